"""The server's own state: which bundle lies open, whether it is loading, how it does."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from .answering import Answering
from .bodies import field, read_json, refuse_unknown
from .guard import CLIENT

_PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"


class Running:
    def __init__(self, answering: Answering) -> None:
        self._answering = answering
        self._desk = answering.desk

    async def health(self, request: Request) -> Response:
        return JSONResponse({"status": "loading" if self._desk.loading else "ok"})

    async def metrics(self, request: Request) -> Response:
        text = self._answering.metrics.text(waiting=self._answering.turns.waiting, loading=self._desk.loading)
        return PlainTextResponse(text, media_type=_PROMETHEUS)

    async def load(self, request: Request) -> Response:
        """Begin to open the models, so that the first question waits less."""
        self._desk.load()
        return JSONResponse({"status": "loading" if self._desk.loading else "ok"}, 202)

    async def bundles(self, request: Request) -> Response:
        return JSONResponse(self._listing())

    async def choose(self, request: Request) -> Response:
        limits = self._answering.limits
        data = await read_json(request, limit=limits.body, seconds=limits.body_seconds)
        refuse_unknown(data, {"id"})
        await self._desk.switch(field(data, "id", str, most=200), request.scope[CLIENT])
        return JSONResponse(self._listing())

    def _listing(self) -> dict[str, object]:
        return {"current": self._desk.current.id, "bundles": [bundle.to_dict() for bundle in self._desk.bundles]}
