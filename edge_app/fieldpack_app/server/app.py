"""The application: routes to their handlers, the guard around all."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from fieldpack import FieldpackError

from .auth import AuthMiddleware
from .bundles import BundleEntry
from .errors import HttpError, from_runtime
from .fair_queue import FairQueue
from .feedback_log import FeedbackLog
from .jobs import AnswerService
from .loaded_bundle import LoadedBundle, Opener
from .metrics import Metrics
from .responses import error_reply
from .routes.ask import Asking
from .routes.chat_completions import Completions
from .routes.embeddings import Embeddings
from .routes.feedback import Rating
from .routes.library import Library
from .routes.models import Models
from .routes.static import StaticFiles
from .routes.status import Running
from .search_pool import SearchPool
from .settings import Limits, Settings


class Application:
    """`asgi` is what a server runs; `close` stops the answers and gives the models back."""

    def __init__(
        self, bundles: Sequence[BundleEntry], open_bundle: Opener, settings: Settings
    ) -> None:
        turns, metrics, limits = FairQueue(settings.limits.waiting), Metrics(), settings.limits
        self.desk = LoadedBundle(bundles, open_bundle, turns)
        self.notes = FeedbackLog(settings.state, limits.feedback, metrics)
        self.answering = AnswerService(self.desk, turns, metrics, self.notes, limits)
        self.readers = SearchPool()
        inner = Starlette(routes=self._routes(limits), exception_handlers=_HANDLERS)
        inner.router.redirect_slashes = False
        self.asgi: ASGIApp = AuthMiddleware(inner, settings)

    def close(self) -> None:
        self.readers.close()
        self.answering.close()
        self.desk.close()

    def _routes(self, limits: Limits) -> list[Route]:
        static, running, asking = StaticFiles(), Running(self.answering), Asking(self.answering)
        library = Library(self.desk, self.readers, self.answering.metrics, limits)
        completions, models = Completions(self.answering), Models(self.desk)
        embeddings = Embeddings(self.answering, self.readers)
        rating = Rating(self.desk, self.readers, self.notes, limits)
        return [
            Route("/", static.page),
            Route("/static/{path:path}", static.file),
            Route("/report", library.report),
            Route("/health", running.health),
            Route("/metrics", running.metrics),
            Route("/api/ask", asking.ask, methods=["POST"]),
            Route("/api/load", running.load, methods=["POST"]),
            Route("/api/search", library.search),
            Route("/api/about", library.about),
            Route("/api/documents", library.documents),
            Route("/api/passages", library.outline),
            Route("/api/bundles", running.bundles),
            Route("/api/bundles/current", running.choose, methods=["POST"]),
            Route("/api/passages/{id}", library.passage),
            Route("/api/feedback", rating.rate, methods=["POST"]),
            Route("/v1/models", models.list),
            Route("/v1/models/{model:path}", models.one),
            Route("/v1/chat/completions", completions.create, methods=["POST"]),
            Route("/v1/embeddings", embeddings.create, methods=["POST"]),
        ]


def _refused(request: Request, error: Exception) -> Response:
    if isinstance(error, FieldpackError):
        error = from_runtime(error)
    elif isinstance(
        error, FileNotFoundError
    ):  # of a bundle that was taken away; nothing else is read for a request
        error = HttpError(
            409, "bundle_damaged", f"{error.filename}: is not there any more; copy the bundle again"
        )
    elif isinstance(error, HTTPException):
        error = HttpError(
            error.status_code,
            "not_found" if error.status_code == 404 else "bad_request",
            error.detail,
        )
    assert isinstance(error, HttpError)
    return error_reply(error, request.url.path)


def _gone(request: Request, error: Exception) -> Response:
    return Response(status_code=400)  # nobody reads it


def _failed(request: Request, error: Exception) -> Response:
    """What nobody foresaw; uvicorn writes it to the terminal."""
    return error_reply(
        HttpError(500, "failed", "the server failed; its terminal says why"), request.url.path
    )


_HANDLERS = {
    Exception: _failed,
    HttpError: _refused,
    FileNotFoundError: _refused,
    FieldpackError: _refused,
    HTTPException: _refused,
    ClientDisconnect: _gone,
}
