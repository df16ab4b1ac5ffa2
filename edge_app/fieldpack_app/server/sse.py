"""Sends server-sent events, and notices when nobody reads them any more. Knows nothing of what an
answer holds."""

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
    """Return one event; `data` as JSON, on one line."""
    line = f"data: {dumps(data)}\n\n"
    return (f"event: {name}\n{line}" if name else line).encode()


class EventStream:
    """An ASGI response that sends an answer's events. When the client hangs up, or does not read
    for `send_seconds`, the job is stopped."""

    def __init__(self, job: AnswerJob, lines: AsyncIterator[bytes], send_seconds: float) -> None:
        self._job = job
        self._lines = lines
        self._seconds = send_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_all() -> None:
            headers = [(b"content-type", b"text/event-stream; charset=utf-8")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            async for line in self._lines:
                async with asyncio.timeout(self._seconds):
                    await send({"type": "http.response.body", "body": line, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})

        await until_gone(send_all(), receive, self._job.stop)


async def until_gone(
    work: Coroutine[Any, Any, _T], receive: Receive, stop: Callable[[], None]
) -> _T | None:
    """Return the result of `work`, or None if the client hung up first. `stop` is called at the end
    in any case."""

    async def hung_up() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    working = asyncio.create_task(work)
    gone = asyncio.create_task(hung_up())
    try:
        await asyncio.wait((working, gone), return_when=asyncio.FIRST_COMPLETED)
        return working.result() if working.done() else None
    finally:
        stop()
        working.cancel()
        gone.cancel()
