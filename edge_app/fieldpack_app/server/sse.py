"""Server-sent events, and noticing that nobody reads them any more. Knows nothing of answers'
contents."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, TypeVar

from starlette.types import Receive, Scope, Send

from ..terminal.render import dumps
from .jobs import AnswerJob

_T = TypeVar("_T")
HEARTBEAT = b": \n\n"  # a comment, which every reader of server-sent events passes over


def sse(data: object, name: str | None = None) -> bytes:
    """One event; `data` as JSON, on one line."""
    line = f"data: {dumps(data)}\n\n"
    return (f"event: {name}\n{line}" if name else line).encode()


class EventStream:
    """An ASGI response. When the client hangs up, or does not read for `send_seconds`, the job is
    stopped."""

    def __init__(self, job: AnswerJob, lines: AsyncIterator[bytes], send_seconds: float) -> None:
        self._job = job
        self._lines = lines
        self._seconds = send_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await until_gone(self._send(send), receive, self._job.stop)

    async def _send(self, send: Send) -> None:
        headers = [(b"content-type", b"text/event-stream; charset=utf-8")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        async for line in self._lines:
            async with asyncio.timeout(self._seconds):
                await send({"type": "http.response.body", "body": line, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def until_gone(
    work: Coroutine[Any, Any, _T], receive: Receive, stop: Callable[[], None]
) -> _T | None:
    """The result of `work`, or None when the client hung up first. `stop` is called at the end in
    any case."""
    working = asyncio.create_task(work)
    gone = asyncio.create_task(_hung_up(receive))
    try:
        await asyncio.wait((working, gone), return_when=asyncio.FIRST_COMPLETED)
        return working.result() if working.done() else None
    finally:
        stop()
        working.cancel()
        gone.cancel()


async def _hung_up(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
