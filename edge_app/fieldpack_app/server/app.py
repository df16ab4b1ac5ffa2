"""The server's application: routes with their handlers, behind the check of who may ask."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from fieldpack import FieldpackError

from ..lan.device_keys import DeviceKeys
from .auth import PAIR, AuthMiddleware
from .bundles import BundleEntry
from .errors import HttpError, from_runtime
from .fair_queue import FairQueue
from .feedback_log import FeedbackLog
from .follow_ups import FollowUpCache
from .jobs import AnswerService
from .loaded_bundle import Follower, LoadedBundle, Opener
from .metrics import Metrics
from .responses import error_reply
from .routes.ask import AskRoute
from .routes.changes import ChangesRoute
from .routes.embeddings import EmbeddingsRoute
from .routes.feedback import FeedbackRoute
from .routes.library import LibraryRoutes
from .routes.models import ModelsRoutes
from .routes.openai_answers import OpenAiAnswerRoutes
from .routes.originals import OriginalRoutes
from .routes.pair import PairRoute
from .routes.static import StaticFiles
from .routes.status import StatusRoutes
from .search_pool import SearchPool
from .settings import Settings


class Application:
    """The bundles behind HTTP. `asgi` is what a server runs; `close` stops the answers and gives
    the models' memory back."""

    def __init__(
        self,
        bundles: Sequence[BundleEntry],
        open_bundle: Opener,
        settings: Settings,
        follow_bundle: Follower | None = None,
    ) -> None:
        limits, metrics, queue = settings.limits, Metrics(), FairQueue(settings.limits.waiting)
        self.loaded = LoadedBundle(bundles, open_bundle, queue, follow_bundle)
        self.feedback_log = FeedbackLog(settings.state, limits.feedback, metrics)
        self.service = AnswerService(self.loaded, queue, metrics, self.feedback_log, limits)
        self.search_pool = SearchPool()

        static, status, asking = StaticFiles(), StatusRoutes(self.service), AskRoute(self.service)
        changes = ChangesRoute(self.loaded, self.search_pool)
        library = LibraryRoutes(self.loaded, self.search_pool, metrics, limits)
        originals = OriginalRoutes(self.loaded, self.search_pool, limits)
        follow_ups, models = FollowUpCache(), ModelsRoutes(self.loaded)
        openai_answers = OpenAiAnswerRoutes(self.service, follow_ups)
        embeddings = EmbeddingsRoute(self.service, self.search_pool)
        feedback = FeedbackRoute(self.loaded, self.search_pool, self.feedback_log, limits)
        routes = [
            Route("/", static.page),
            Route("/static/{path:path}", static.file),
            Route("/report", library.report),
            Route("/health", status.health),
            Route("/metrics", status.metrics),
            Route("/api/ask", asking.ask, methods=["POST"]),
            Route("/api/load", status.load, methods=["POST"]),
            Route("/api/search", library.search),
            Route("/api/about", library.about),
            Route("/api/changes", changes.changes),
            Route("/api/documents", library.documents),
            Route("/api/passages", library.outline),
            Route("/api/bundles", status.bundles),
            Route("/api/bundles/current", status.choose, methods=["POST"]),
            Route("/api/passages/{id}", library.passage),
            Route("/api/originals", originals.find, methods=["POST"]),
            Route("/api/originals/{id}/picture", originals.picture),
            Route("/api/feedback", feedback.rate, methods=["POST"]),
            Route("/v1/models", models.list),
            Route("/v1/models/{model:path}", models.one),
            Route("/v1/chat/completions", openai_answers.chat_completion, methods=["POST"]),
            Route("/v1/responses", openai_answers.response, methods=["POST"]),
            Route("/v1/embeddings", embeddings.create, methods=["POST"]),
        ]
        keys = DeviceKeys(settings.lan) if settings.lan else None
        if keys is not None:
            pairing = PairRoute(settings, keys)
            routes += [
                Route(PAIR, pairing.form),
                Route(PAIR, pairing.pair, methods=["POST"]),
            ]
        inner = Starlette(routes=routes, exception_handlers=_HANDLERS)
        inner.router.redirect_slashes = False
        self.asgi: ASGIApp = AuthMiddleware(inner, settings, keys)

    def close(self) -> None:
        """Stop the threads and give the models' memory back."""
        self.search_pool.close()
        self.service.close()
        self.loaded.close()


def _refused(request: Request, error: Exception) -> Response:
    """Return the response to an error that was foreseen."""
    if isinstance(error, FieldpackError):
        error = from_runtime(error)
    elif isinstance(error, FileNotFoundError):
        # Of a bundle that was taken away: nothing else is read for a request.
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


def _failed(request: Request, error: Exception) -> Response:
    """Return the response to an error that nobody foresaw; uvicorn writes it to the terminal."""
    return error_reply(
        HttpError(500, "failed", "the server failed; its terminal says why"), request.url.path
    )


_HANDLERS = {
    Exception: _failed,
    HttpError: _refused,
    FileNotFoundError: _refused,
    FieldpackError: _refused,
    HTTPException: _refused,
    ClientDisconnect: lambda request, error: Response(status_code=400),  # nobody reads it
}
