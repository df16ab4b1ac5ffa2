"""Serves the page's files: only what was in the folder when the server started, by its name there,
so no path can lead out of it. Knows nothing of what the page does."""

from __future__ import annotations

from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from ..errors import HttpError

PAGE = Path(__file__).parents[2] / "page"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".woff2": "font/woff2",
    ".json": "application/json",
    ".webmanifest": "application/manifest+json",
    ".txt": "text/plain; charset=utf-8",
}


class StaticFiles:
    """The files below a folder."""

    def __init__(self, folder: Path = PAGE) -> None:
        paths = (
            path for path in sorted(folder.rglob("*")) if path.suffix in _TYPES and path.is_file()
        )
        self._files = {path.relative_to(folder).as_posix(): path for path in paths}

    async def page(self, request: Request) -> Response:
        """Return the page itself."""
        return self._file("index.html")

    async def file(self, request: Request) -> Response:
        """Return a file by its path. Raises HttpError (404)."""
        return self._file(request.path_params["path"])

    def _file(self, name: str) -> Response:
        path = self._files.get(name)
        if path is None:
            raise HttpError(404, "not_found", f"{name}: no such file of the page")
        return Response(path.read_bytes(), media_type=_TYPES[path.suffix])
