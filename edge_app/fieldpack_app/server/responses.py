"""JSON responses of any text: a lone surrogate, which a request can bring and no UTF-8 can hold,
goes as its escape."""

from __future__ import annotations

from typing import Any

from starlette.responses import JSONResponse

from ..terminal.render import dumps
from .errors import HttpError


class Json(JSONResponse):
    def render(self, content: Any) -> bytes:
        return dumps(content).encode()


def error_reply(error: HttpError, path: str) -> Json:
    """In OpenAI's form where its clients ask."""
    return Json(error.body(openai=path.startswith("/v1/")), error.status, error.headers)
