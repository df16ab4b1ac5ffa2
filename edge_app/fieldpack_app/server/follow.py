"""Keeps a running server at the current release of what it serves: after `fieldpack update` or
`rollback` it goes over between two questions, and after a recall it answers no more. Knows nothing
of routes."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import click
from starlette.types import ASGIApp, Receive, Scope, Send

from fieldpack import FieldpackError, read_manifest

from ..install.opening import store_of
from ..install.runtime_update import is_too_new
from ..install.state import FILENAME, Installed, State
from ..install.store import Store
from ..terminal.render import printable
from .bundles import BundleEntry, entry_of
from .loaded_bundle import LoadedBundle

_log = logging.getLogger("fieldpack.server")
_EVERY = 1.0  # seconds between two looks at state.json, which cost some microseconds


class FollowReleases:
    """An application around another one, whose event loop it shares: it begins to look at the first
    request."""

    def __init__(self, app: ASGIApp, loaded: LoadedBundle) -> None:
        self._app = app
        self._loaded = loaded
        self._task: asyncio.Task[None] | None = None
        self._seen: dict[Path, tuple[int, int]] = {}
        self._tried: set[str] = (
            set()
        )  # digests that did not open: not again until the server's next start

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._task is None and any(store_of(bundle.path) for bundle in self._loaded.bundles):
            self._task = asyncio.create_task(self._follow())
            self._task.add_done_callback(_say_why)
        await self._app(scope, receive, send)

    async def _follow(self) -> None:
        opened = self._loaded.current
        while True:
            for bundle in self._loaded.bundles:
                store = store_of(bundle.path)
                # A bundle that was opened just now may have been withdrawn while that took place.
                if store is not None and (
                    self._changed(store) or self._loaded.current is not opened
                ):
                    await self._look(store)
            opened = self._loaded.current
            await asyncio.sleep(_EVERY)

    def _changed(self, store: Store) -> bool:
        """Whether state.json is another than at the last look; two bundles of one store count as
        one look."""
        try:
            information = (store.root / FILENAME).stat()
        except OSError:
            return False
        now = (information.st_ino, information.st_mtime_ns)
        before, self._seen[store.root] = self._seen.get(store.root), now
        return before != now

    async def _look(self, store: Store) -> None:
        try:
            state = store.state()
        except (FieldpackError, OSError) as error:
            _say(str(error))
            return
        for bundle in self._loaded.bundles:
            entry = state.bundles.get(bundle.manifest.name)
            inside = bundle.path.parent.parent == store.slots.resolve()
            if entry is not None and inside and store_of(bundle.path):
                await self._go_over(bundle, entry, store, state)

    async def _go_over(
        self, bundle: BundleEntry, entry: Installed, store: Store, state: State
    ) -> None:
        digest = entry.current.digest
        recall = state.recall_of(digest)
        if (
            recall is not None
            and bundle is self._loaded.current
            and digest == bundle.path.parent.name
        ):
            self._loaded.expert.withdraw(
                f"{bundle.id}: was withdrawn on {recall.at[:10]}: {recall.reason}; it answers no"
                " more"
            )
            _say(f"{bundle.id} was withdrawn: {recall.reason}")
            return
        if digest == bundle.path.parent.name or digest in self._tried or recall is not None:
            return
        path = store.slot(digest)
        try:
            release = store.release(digest)
            if is_too_new(release):
                self._tried.add(digest)
                _say(
                    f"{bundle.id} stays until this server is started again: {release.version} needs"
                    f" Fieldpack {release.min_runtime}, which is installed"
                )
                return
            manifest = read_manifest(path)
            newer = entry_of(f"{manifest.name}-{manifest.version}", path, manifest)
            await self._loaded.move(bundle, newer)
            same = (one.id for one in self._loaded.bundles if one.path == newer.path)
            _say(f"{bundle.id} is {next(same, newer.id)} now")
        except (FieldpackError, OSError) as error:
            self._tried.add(digest)
            _say(f"{bundle.id} stays: {error}")


def _say_why(task: asyncio.Task[None]) -> None:
    """Say on the terminal that releases are not followed any more, as nobody waits for the task."""
    if not task.cancelled() and (error := task.exception()):
        _log.error("updates and recalls are not followed any more", exc_info=error)


def _say(text: str) -> None:
    click.echo(printable(text), err=True)
