"""The server's own state: which bundle lies open, whether it is loading, how it does."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from ..auth import CLIENT
from ..jobs import AnswerService
from ..json_body import field, read_json, refuse_unknown
from ..responses import Json
from .ask import previous_of

_PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"


class Running:
    def __init__(self, answering: AnswerService) -> None:
        self._answering = answering
        self._desk = answering.desk

    async def health(self, request: Request) -> Response:
        return Json({"status": self._desk.status}, 503 if self._desk.status == "damaged" else 200)

    async def metrics(self, request: Request) -> Response:
        text = self._answering.metrics.text(
            waiting=self._answering.turns.waiting, loading=self._desk.loading
        )
        return PlainTextResponse(text, media_type=_PROMETHEUS)

    async def load(self, request: Request) -> Response:
        """Begin to open the models, so that the first question waits less; with `question`, as far
        as it is typed, read ahead what it will want."""
        data = {}
        if request.headers.get("content-length", "0") != "0":
            data = await self._json(request, {"question", "previous"})
        most = self._desk.expert.settings.max_question_chars
        typed = field(data, "question", str, default="")[:most]
        before = data.get("previous")
        previous = None if before is None else previous_of(before, most)
        self._desk.load()
        self._answering.ahead.begin(typed, previous)
        return Json({"status": self._desk.status}, 202)

    async def bundles(self, request: Request) -> Response:
        return Json(self._listing())

    async def choose(self, request: Request) -> Response:
        data = await self._json(request, {"id"})
        await self._desk.switch(field(data, "id", str, most=200), request.scope[CLIENT])
        return Json(self._listing())

    async def _json(self, request: Request, known: set[str]) -> dict[str, Any]:
        limits = self._answering.limits
        data = await read_json(request, limit=limits.body, seconds=limits.body_seconds)
        refuse_unknown(data, known)
        return data

    def _listing(self) -> dict[str, object]:
        return {
            "current": self._desk.current.id,
            "bundles": [bundle.to_dict() for bundle in self._desk.bundles],
        }
