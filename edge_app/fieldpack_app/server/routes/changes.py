"""The route of what the last update changed: for readers, on the start page."""

from __future__ import annotations

from typing import TypedDict

from starlette.requests import Request
from starlette.responses import Response

from ...install.changes import Changes, changes_of
from ...install.opening import store_of
from ...install.state import Installed
from ..bundles import BundleEntry
from ..loaded_bundle import LoadedBundle
from ..responses import Json
from ..search_pool import SearchPool

_LISTED = 100  # documents of each kind, of a library that was exchanged as a whole


class DocumentsJson(TypedDict):
    """How many documents, and the first of them by their paths."""

    count: int
    documents: list[str]


class ChangesJson(TypedDict):
    """What the current release changed against the one before it. `release` names it, `installed`
    says when; `figures`: of the reports, before and now, those that both have."""

    release: str
    version: str
    before: str
    installed: str
    added: DocumentsJson
    changed: DocumentsJson
    removed: DocumentsJson
    figures: dict[str, tuple[float, float]]


class ChangesRoute:
    """Compares the current release with the one before it, once a release."""

    def __init__(self, loaded: LoadedBundle, search_pool: SearchPool) -> None:
        self._loaded = loaded
        self._search_pool = search_pool
        self._last: tuple[str, ChangesJson | None] | None = None

    async def changes(self, request: Request) -> Response:
        """Return what changed; null where the bundle was not installed, has no release before it,
        or is one that the device went back to."""
        bundle = self._loaded.current
        return Json(await self._search_pool.run(lambda: self._compare(bundle)))

    def _compare(self, bundle: BundleEntry) -> ChangesJson | None:
        store, digest = store_of(bundle.path), bundle.path.parent.name
        entry = store.state().bundles.get(bundle.manifest.name) if store else None
        if store is None or entry is None or entry.current.digest != digest:
            return None
        key = f"{digest} {entry.previous.digest if entry.previous else ''}"
        last = self._last  # of two threads each returns its own, whatever the other one keeps
        if last is None or last[0] != key:
            self._last = last = key, _to_json(changes_of(store, entry), entry)
        return last[1]


def _to_json(changes: Changes | None, entry: Installed) -> ChangesJson | None:
    if changes is None:
        return None
    return {
        "release": entry.current.digest,
        "version": entry.current.version,
        "before": changes.before,
        "installed": entry.current.installed,
        "added": _documents(changes.added),
        "changed": _documents(changes.changed),
        "removed": _documents(changes.removed),
        "figures": dict(changes.figures),
    }


def _documents(paths: tuple[str, ...]) -> DocumentsJson:
    return {"count": len(paths), "documents": list(paths[:_LISTED])}
