"""The application: routes to their handlers, the guard around all."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from fieldpack import FieldpackError

from .answering import Answering
from .asking import Asking
from .desk import Desk, Opener
from .errors import HttpError, from_runtime
from .guard import Guard
from .metrics import Metrics
from .notes import Notes
from .settings import Settings
from .shelf import Shelved
from .static import StaticFiles
from .turns import Turns


class Application:
    """`asgi` is what a server runs; `close` stops the answers and gives the models back."""

    def __init__(self, bundles: Sequence[Shelved], open_bundle: Opener, settings: Settings) -> None:
        turns = Turns(settings.limits.waiting)
        self.desk = Desk(bundles, open_bundle, turns)
        self.answering = Answering(self.desk, turns, Metrics(), settings.limits)
        notes = Notes(settings.state, settings.limits.feedback)
        asking, static = Asking(self.answering, notes), StaticFiles()
        routes = [
            Route("/", static.page),
            Route("/static/{path:path}", static.file),
            Route("/api/ask", asking.ask, methods=["POST"]),
        ]
        self.asgi: ASGIApp = Guard(Starlette(routes=routes, exception_handlers=_HANDLERS), settings)

    def close(self) -> None:
        self.answering.thread.shutdown(cancel_futures=True)
        self.desk.close()


def _refused(request: Request, error: Exception) -> Response:
    if isinstance(error, FieldpackError):
        error = from_runtime(error)
    elif isinstance(error, HTTPException):
        error = HttpError(error.status_code, "not_found" if error.status_code == 404 else "bad_request", error.detail)
    assert isinstance(error, HttpError)
    return JSONResponse(error.body(openai=request.url.path.startswith("/v1/")), error.status, error.headers)


def _gone(request: Request, error: Exception) -> Response:
    return Response(status_code=400)  # nobody reads it


_HANDLERS = {HttpError: _refused, FieldpackError: _refused, HTTPException: _refused, ClientDisconnect: _gone}
