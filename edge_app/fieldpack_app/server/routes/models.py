"""GET /v1/models: the bundle that is open, and no other; the page decides which one that is."""

from __future__ import annotations

from typing import TypedDict

from starlette.requests import Request
from starlette.responses import Response

from fieldpack.bundle.manifest import FILENAME

from ..bundles import BundleEntry
from ..errors import HttpError
from ..loaded_bundle import LoadedBundle
from ..responses import Json


class ModelJson(TypedDict):
    """A model in OpenAI's form."""

    id: str
    object: str
    created: int
    owned_by: str


class ModelsRoutes:
    """Names the open bundle as a model."""

    def __init__(self, loaded: LoadedBundle) -> None:
        self._loaded = loaded

    async def list(self, request: Request) -> Response:
        """Return the list of models: one."""
        return Json({"object": "list", "data": [_model(self._loaded.current)]})

    async def one(self, request: Request) -> Response:
        """Return the model of a name. Raises HttpError (404)."""
        check_model(request.path_params["model"], self._loaded.current)
        return Json(_model(self._loaded.current))


def check_model(name: str, bundle: BundleEntry) -> None:
    """Raise HttpError (404) unless `name` is the open bundle's."""
    if name != bundle.id:
        raise HttpError(
            404,
            "model_not_found",
            f"{name}: not the model here, which is {bundle.id}",
            param="model",
        )


def _model(bundle: BundleEntry) -> ModelJson:
    created = int((bundle.path / FILENAME).stat().st_mtime)
    return {"id": bundle.id, "object": "model", "created": created, "owned_by": "fieldpack"}
