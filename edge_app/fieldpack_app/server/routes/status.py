"""The server's own state: which bundle is open, whether it is loading, its metrics."""

from __future__ import annotations

from typing import TypedDict

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from ..auth import CLIENT
from ..bundles import BundleJson
from ..jobs import AnswerService
from ..json_body import JsonObject, field, read_json
from ..responses import Json
from .ask import parse_previous
from .shown_bundle import check_shown

_PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"
_MAX_ID = 200  # characters of a bundle's name and version


class StatusJson(TypedDict):
    """The state of the server: ok, loading or damaged."""

    status: str


class BundlesJson(TypedDict):
    """The bundles that are served, and the id of the one that is open."""

    current: str
    bundles: list[BundleJson]


class StatusRoutes:
    """Tells and changes the server's state."""

    def __init__(self, service: AnswerService) -> None:
        self._service = service
        self._loaded = service.loaded

    async def health(self, request: Request) -> Response:
        """Return the state; 503 where the bundle is damaged."""
        state = self._state()
        return Json(state, 503 if state["status"] == "damaged" else 200)

    async def metrics(self, request: Request) -> Response:
        """Return the metrics in Prometheus' text format."""
        text = self._service.metrics.text(
            waiting=self._service.queue.waiting, loading=self._loaded.loading
        )
        return PlainTextResponse(text, media_type=_PROMETHEUS)

    async def load(self, request: Request) -> Response:
        """Begin to open the models, so that the first question waits less; with `question`, as far
        as it is typed, read ahead what it will need."""
        data: JsonObject = {}
        if request.headers.get("content-length", "0") != "0":
            data = await self._read(request, {"question", "previous"})
        check_shown(request, self._loaded)
        max_chars = self._loaded.expert.settings.max_question_chars
        typed = field(data, "question", str, default="")[:max_chars]
        previous = parse_previous(data, max_chars)
        self._loaded.load()
        self._service.prefetcher.begin(typed, previous)
        return Json(self._state(), 202)

    async def bundles(self, request: Request) -> Response:
        """Return the bundles that are served."""
        return Json(self._bundles())

    async def choose(self, request: Request) -> Response:
        """Open another bundle, and return the list as `bundles` does."""
        data = await self._read(request, {"id"})
        await self._loaded.switch(field(data, "id", str, max_length=_MAX_ID), request.scope[CLIENT])
        return Json(self._bundles())

    async def _read(self, request: Request, known: set[str]) -> JsonObject:
        limits = self._service.limits
        return await read_json(
            request, max_bytes=limits.body, seconds=limits.body_seconds, known=known
        )

    def _state(self) -> StatusJson:
        return {"status": self._loaded.status}

    def _bundles(self) -> BundlesJson:
        return {
            "current": self._loaded.current.id,
            "bundles": [bundle.to_dict() for bundle in self._loaded.bundles],
        }
