"""Holds a page to the bundle that it shows: another window, another device or an update may have
opened another one since, whose passages have the same numbers."""

from __future__ import annotations

from urllib.parse import unquote

from starlette.requests import Request

from ..errors import HttpError
from ..loaded_bundle import LoadedBundle

HEADER = "x-fieldpack-bundle"  # its id, percent-encoded; for a picture the query `bundle`


def check_shown(request: Request, loaded: LoadedBundle) -> None:
    """Raise HttpError (409) where a request names another bundle than the one that is open. One that
    names none is answered from whichever that is."""
    shown = unquote(request.headers.get(HEADER, "")) or request.query_params.get("bundle", "")
    if shown and shown != loaded.current.id:
        message = f"{shown} is not open here any more, but {loaded.current.id}; ask that one"
        raise HttpError(409, "bundle_changed", message)
