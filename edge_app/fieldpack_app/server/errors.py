"""The errors that a client gets when something cannot be done, each with its status. Knows nothing
of routes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NotRequired, TypedDict

import fieldpack

_CODES: tuple[tuple[type[fieldpack.FieldpackError], int, str], ...] = (
    (fieldpack.EmptyQuestion, 422, "empty_question"),
    (fieldpack.QuestionTooLong, 422, "question_too_long"),
    (fieldpack.NoSuchPassage, 404, "no_such_passage"),
    (fieldpack.QuestionError, 422, "bad_question"),
    (fieldpack.BundleNotFound, 409, "bundle_not_found"),
    (fieldpack.BundleCorrupt, 409, "bundle_damaged"),
    (fieldpack.BundleError, 409, "bundle_unsupported"),
    (fieldpack.OutOfMemory, 503, "out_of_memory"),
    (fieldpack.InputError, 400, "bad_request"),
    (fieldpack.Cancelled, 503, "stopped"),
)
# OpenAI's `type`, which its clients choose their exceptions and their retries by.
_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}


class ErrorJson(TypedDict):
    """An error in JSON; `type` and `param` only in OpenAI's form."""

    code: str
    message: str
    type: NotRequired[str]
    param: NotRequired[str | None]


class ErrorBody(TypedDict):
    """The body of a response that is an error."""

    error: ErrorJson


class HttpError(Exception):
    """An error with a status. `code` is for programs, `message` for people: what, where, next step.
    `param`: the field of the request, if it is about one."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.param = param
        self.headers = dict(headers or {})

    def body(self, *, openai: bool = False) -> ErrorBody:
        """Return the error as JSON, with `openai` in the form that OpenAI's clients read."""
        error: ErrorJson = {"code": self.code, "message": self.message}
        if openai:
            default = "invalid_request_error" if self.status < 500 else "server_error"
            error["type"] = _TYPES.get(self.status, default)
            error["param"] = self.param
        return {"error": error}


def from_runtime(error: fieldpack.FieldpackError) -> HttpError:
    """Return the runtime's own sentence under the status of its kind."""
    for kind, status, code in _CODES:
        if isinstance(error, kind):
            return HttpError(status, code, str(error))
    return HttpError(500, "failed", str(error))


def bad_request(message: str, *, param: str | None = None) -> HttpError:
    """Return the error for a request that cannot be read (400)."""
    return HttpError(400, "bad_request", message, param=param)
