"""uvicorn's server and its HTTP protocol, with what they lack: a time limit for a request's head,
answers that are stopped before their connections are waited for. Knows nothing of routes."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import Counter
from collections.abc import Callable

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

_CONNECTIONS = 200  # of the 1,024 files that a process may usually have open
_ROOMY = 150  # connections, beyond which idle ones make room for new ones
HEAD = 16 * 1024  # bytes
_STOP_SECONDS = 5


class Protocol(H11Protocol):
    """Closes a connection that takes more than `head_seconds` over a request's head, byte by byte
    or not at all."""

    head_seconds = 10.0
    _head: asyncio.TimerHandle | None = None
    _since = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._since = self.loop.time()
        if len(self.connections) > _ROOMY:
            self._make_room()
        self._await_head()

    @property
    def idle(self) -> bool:
        """No request of it is being answered."""
        return self.cycle is None or self.cycle.response_complete

    def _make_room(self) -> None:
        """Close the oldest idle connection of the address that has most of them: nobody can keep
        others out by opening connections and saying nothing."""
        others = [one for one in self.connections if isinstance(one, Protocol) and one is not self]
        idle = [one for one in others if one.idle and not one.transport.is_closing()]
        shares = Counter(one.address for one in idle)
        if idle:
            min(idle, key=lambda one: (-shares[one.address], one._since)).transport.close()

    @property
    def address(self) -> str:
        return self.client[0] if self.client else ""

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._forget_head()
        elif self._head is None:
            self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget_head()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        self._forget_head()
        super().on_response_complete()

    def _await_head(self) -> None:
        self._head = self.loop.call_later(self.head_seconds, self.transport.close)

    def _forget_head(self) -> None:
        if self._head is not None:
            self._head.cancel()
            self._head = None


class Server(uvicorn.Server):
    """`run` ends at Ctrl-C (KeyboardInterrupt) or SIGTERM, within `_STOP_SECONDS` of it. `stop` is
    called first."""

    def __init__(
        self, app: ASGIApp, stop: Callable[[], None], protocol: type[Protocol] = Protocol
    ) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                loop="asyncio",
                http=protocol,
                ws="none",
                lifespan="off",
                log_config=None,
                log_level="error",
                access_log=False,
                proxy_headers=False,
                server_header=False,
                limit_concurrency=_CONNECTIONS,
                timeout_graceful_shutdown=_STOP_SECONDS,
                h11_max_incomplete_event_size=HEAD,
            )
        )
        self._stop = stop
        logging.getLogger("asyncio").setLevel(
            logging.ERROR
        )  # it warns of each write after a client hung up

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._stop()
        await super().shutdown(sockets)
