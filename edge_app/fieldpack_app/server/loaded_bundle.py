"""The one bundle that is open: opens, loads and switches it beside the event loop. Knows nothing of
HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

from fieldpack import Expert

from .bundles import BundleEntry
from .errors import HttpError
from .fair_queue import FairQueue

_FIRST_TEXT = "What is this about?"
Opener = Callable[[Path], Expert]
# Opens a release with the models of the one before it, where they are of the same files.
Follower = Callable[[Path, Expert], Expert]


class LoadedBundle:
    """The bundle that questions are answered from, and the others that it can be exchanged for."""

    def __init__(
        self,
        bundles: Sequence[BundleEntry],
        open_bundle: Opener,
        queue: FairQueue,
        follow_bundle: Follower | None = None,
    ) -> None:
        """`open_bundle` verifies a bundle and opens it, its models not yet; the first of `bundles`
        is opened at once. `follow_bundle`: in place of it, for a newer release of the current
        one."""
        self.bundles = tuple(bundles)
        self.current = self.bundles[0]
        self.expert = open_bundle(self.current.path)
        self._open = open_bundle
        self._follow = follow_bundle
        self._queue = queue
        self._loading: asyncio.Task[None] | None = None
        self._switching = asyncio.Lock()

    @property
    def loading(self) -> bool:
        """Whether a bundle or its models are being opened."""
        return self._switching.locked() or (self._loading is not None and not self._loading.done())

    @property
    def status(self) -> str:
        """ok, loading or damaged: then the bundle's files have changed, and it answers no more;
        another one can be opened."""
        return "damaged" if self.expert.damaged else "loading" if self.loading else "ok"

    def load(self) -> None:
        """Begin to open the models, if nobody has."""

        def ignore_failure(task: asyncio.Task[None]) -> None:
            # The next question needs the models, fails in the same way and says so.
            if not task.cancelled():
                task.exception()

        if self._loading is None:
            self._loading = asyncio.create_task(asyncio.to_thread(self.expert.load))
            self._loading.add_done_callback(ignore_failure)

    async def switch(self, name: str, client: str) -> BundleEntry:
        """Open another bundle in place of this one, or the same one again when its files have
        changed. The new one is verified while the old one goes on answering; then the running
        answer is waited for. Raises HttpError (404), BundleError: the old one then stays."""
        async with self._switching:  # first: while it is waited for, a newer release may come
            chosen = next((bundle for bundle in self.bundles if bundle.id == name), None)
            if chosen is None:
                known = ", ".join(bundle.id for bundle in self.bundles)
                raise HttpError(
                    404, "no_such_bundle", f"{name}: not served here; there are {known}", param="id"
                )
            if chosen is not self.current or self.expert.damaged:
                expert = await asyncio.to_thread(self._open, chosen.path)
                await self._replace(chosen, expert, client)
            return self.current

    async def move(self, bundle: BundleEntry, newer: BundleEntry) -> None:
        """Offer `newer` in the place of `bundle`; if that lies open, lay the newer one open,
        loaded, between two answers. Raises BundleError: the old one then stays."""
        async with self._switching:  # first: while it is waited for, a reader's choice is opened
            offered = tuple(newer if one is bundle else one for one in self.bundles)
            if bundle is self.current:
                expert = await asyncio.to_thread(self._open_loaded, newer.path)
                await self._replace(newer, expert, "", offered)
            self.bundles = offered

    def _open_loaded(self, path: Path) -> Expert:
        expert = self._follow(path, self.expert) if self._follow else self._open(path)
        expert.load()
        if expert.manifest.has("knowledge"):
            # The encoder's network is loaded at the first text, which must not be a reader's.
            expert.search(_FIRST_TEXT)
        return expert

    async def _replace(
        self,
        chosen: BundleEntry,
        expert: Expert,
        client: str,
        offered: tuple[BundleEntry, ...] | None = None,
    ) -> None:
        """Wait for the running answer, put `expert` in its place, let the next question in, and
        give the old one's memory back. `offered`: the bundles from that moment on."""
        ticket = self._queue.enter_first(client)
        try:
            while ticket.position:
                await ticket.moved()
            old, self.expert = self.expert, expert
            self.current, self._loading = chosen, None
            self.bundles = offered or self.bundles
        finally:
            ticket.leave()
        await asyncio.to_thread(old.close)

    def close(self) -> None:
        """Give the models' memory back."""
        self.expert.close()
