"""JSON responses of any text: a lone surrogate, which a request can bring and no UTF-8 can hold, is
sent as its escape."""

from __future__ import annotations

from starlette.responses import JSONResponse

from ..terminal.render import dumps
from .errors import HttpError


class Json(JSONResponse):
    """A JSON response with plain letters."""

    def render(self, content: object) -> bytes:
        """Return the JSON of `content`."""
        return dumps(content).encode()


def error_reply(error: HttpError, path: str) -> Json:
    """Return the response to a request that ended with `error`, in OpenAI's form for its paths."""
    return Json(error.body(openai=path.startswith("/v1/")), error.status, error.headers)
