"""GET /v1/models: the bundle that lies open, and no other; which one that is the page decides."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from fieldpack.bundle.manifest import FILENAME

from ..bundles import BundleEntry
from ..errors import HttpError
from ..loaded_bundle import LoadedBundle
from ..responses import Json


class Models:
    def __init__(self, desk: LoadedBundle) -> None:
        self._desk = desk

    async def list(self, request: Request) -> Response:
        return Json({"object": "list", "data": [_model(self._desk.current)]})

    async def one(self, request: Request) -> Response:
        check_model(request.path_params["model"], self._desk.current)
        return Json(_model(self._desk.current))


def check_model(name: str, bundle: BundleEntry) -> None:
    """Raises HttpError (404)."""
    if name != bundle.id:
        raise HttpError(
            404,
            "model_not_found",
            f"{name}: not the model here, which is {bundle.id}",
            param="model",
        )


def _model(bundle: BundleEntry) -> dict[str, Any]:
    created = int((bundle.path / FILENAME).stat().st_mtime)
    return {"id": bundle.id, "object": "model", "created": created, "owned_by": "fieldpack"}
