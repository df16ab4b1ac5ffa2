"""Extends uvicorn's server and HTTP protocol by what they lack: a time limit for a request's head,
and answers that are stopped before their connections are waited for. Knows nothing of routes."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import Counter
from collections.abc import Callable
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from ..lan.certificate import Certificate

_MAX_CONNECTIONS = 200  # of the 1,024 files that a process may usually have open
_MANY_CONNECTIONS = 150  # beyond which idle ones make room for new ones
HEAD = 16 * 1024  # bytes
_STOP_SECONDS = 5
_HANDSHAKE_SECONDS = 10.0


class Loop(asyncio.SelectorEventLoop):
    """An event loop whose TLS handshakes end in time: until then a connection is none that
    `Protocol` knows and closes."""

    async def create_server(self, *args: Any, **options: Any) -> asyncio.Server:
        """Make a server, as any event loop does."""
        if options.get("ssl"):
            options |= {
                "ssl_handshake_timeout": _HANDSHAKE_SECONDS,
                "ssl_shutdown_timeout": _STOP_SECONDS,
            }
        return await super().create_server(*args, **options)


class Protocol(H11Protocol):
    """Closes a connection that takes more than `head_seconds` over a request's head, byte by byte
    or not at all."""

    head_seconds = 10.0
    _head: asyncio.TimerHandle | None = None
    _since = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a new connection. Where there are many, close the oldest idle one of the address
        that has most of them: nobody can keep others out by opening connections and saying
        nothing."""
        super().connection_made(transport)
        self._since = self.loop.time()
        if len(self.connections) > _MANY_CONNECTIONS:
            others = [c for c in self.connections if isinstance(c, Protocol) and c is not self]
            idle = [c for c in others if c.idle and not c.transport.is_closing()]
            shares = Counter(c.address for c in idle)
            if idle:
                min(idle, key=lambda c: (-shares[c.address], c._since)).transport.close()
        self._await_head()

    @property
    def idle(self) -> bool:
        """Whether no request of this connection is being answered."""
        return self.cycle is None or self.cycle.response_complete

    @property
    def address(self) -> str:
        """The client's address."""
        return self.client[0] if self.client else ""

    def data_received(self, data: bytes) -> None:
        """Take bytes; the time for a head begins with its first one."""
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._forget_head()
        elif self._head is None:
            self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the time limit, as the connection is gone."""
        self._forget_head()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """Forget the time limit until the next request begins."""
        self._forget_head()
        super().on_response_complete()

    def _await_head(self) -> None:
        self._head = self.loop.call_later(self.head_seconds, self.transport.close)

    def _forget_head(self) -> None:
        if self._head is not None:
            self._head.cancel()
            self._head = None


class Server(uvicorn.Server):
    """uvicorn's server. `run` ends at Ctrl-C (KeyboardInterrupt) or SIGTERM, within `_STOP_SECONDS`
    of it; `stop` is called first."""

    def __init__(
        self,
        app: ASGIApp,
        stop: Callable[[], None],
        protocol: type[Protocol] = Protocol,
        tls: Certificate | None = None,
    ) -> None:
        """`tls`: the server's certificate; without one it speaks plain HTTP."""
        files: dict[str, Any] = {}
        if tls is not None:
            files = {"ssl_certfile": tls.certificate, "ssl_keyfile": tls.key}
        super().__init__(
            uvicorn.Config(
                app,
                **files,
                loop=f"{Loop.__module__}:{Loop.__name__}",
                http=protocol,
                ws="none",
                lifespan="off",
                log_config=None,
                log_level="error",
                access_log=False,
                proxy_headers=False,
                server_header=False,
                limit_concurrency=_MAX_CONNECTIONS,
                timeout_graceful_shutdown=_STOP_SECONDS,
                h11_max_incomplete_event_size=HEAD,
            )
        )
        self._stop = stop
        # It warns of each write after a client hung up.
        logging.getLogger("asyncio").setLevel(logging.ERROR)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop the answers, then the server."""
        self._stop()
        await super().shutdown(sockets)
