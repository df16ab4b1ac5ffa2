"""The bundle that lies open: one at a time. Opens, loads and switches beside the event loop. Knows
nothing of HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

from fieldpack import Expert

from .bundles import BundleEntry
from .errors import HttpError
from .fair_queue import FairQueue

Opener = Callable[[Path], Expert]


class LoadedBundle:
    """`open_bundle` verifies a bundle and opens it, its models not yet; the first of `bundles` is
    opened at once."""

    def __init__(
        self, bundles: Sequence[BundleEntry], open_bundle: Opener, turns: FairQueue
    ) -> None:
        self.bundles = tuple(bundles)
        self.current = self.bundles[0]
        self.expert = open_bundle(self.current.path)
        self._open = open_bundle
        self._turns = turns
        self._loading: asyncio.Task[None] | None = None
        self._switching = asyncio.Lock()

    @property
    def loading(self) -> bool:
        return self._switching.locked() or (self._loading is not None and not self._loading.done())

    @property
    def status(self) -> str:
        """`damaged`: the bundle's files have changed, and it answers no more; another can be laid
        open."""
        return "damaged" if self.expert.damaged else "loading" if self.loading else "ok"

    def load(self) -> None:
        """Begin to open the models, if nobody has. What is wrong with them the next question says."""
        if self._loading is None:
            self._loading = asyncio.create_task(asyncio.to_thread(self.expert.load))
            self._loading.add_done_callback(_looked_at)

    async def switch(self, name: str, client: str) -> BundleEntry:
        """Lay another bundle open, or the same one anew when its files have changed under it. The
        new one is verified while the old one goes on answering; then the running answer is waited
        for. Raises HttpError (404), BundleError: the old one then stays."""
        wanted = next((bundle for bundle in self.bundles if bundle.id == name), None)
        if wanted is None:
            known = ", ".join(bundle.id for bundle in self.bundles)
            raise HttpError(
                404, "no_such_bundle", f"{name}: not served here; there are {known}", param="id"
            )
        async with self._switching:
            if wanted is not self.current or self.expert.damaged:
                await self._replace(
                    wanted, await asyncio.to_thread(self._open, wanted.path), client
                )
        return self.current

    async def move(self, bundle: BundleEntry, newer: BundleEntry) -> None:
        """Offer `newer` in the place of `bundle`; if that lies open, lay the newer one open, loaded, between
        two answers. Raises BundleError: the old one then stays."""
        if bundle is self.current:
            async with self._switching:
                expert = await asyncio.to_thread(self._open_loaded, newer.path)
                await self._replace(newer, expert, "")
        self.bundles = tuple(newer if one is bundle else one for one in self.bundles)

    def _open_loaded(self, path: Path) -> Expert:
        expert = self._open(path)
        expert.load()
        return expert

    async def _replace(self, wanted: BundleEntry, expert: Expert, client: str) -> None:
        place = self._turns.enter_first(client)
        try:
            while place.position:
                await place.moved()
            old, self.expert, self.current, self._loading = self.expert, expert, wanted, None
            await asyncio.to_thread(old.close)
        finally:
            place.leave()

    def close(self) -> None:
        self.expert.close()


def _looked_at(task: asyncio.Task[None]) -> None:
    """A failed load is no news here: the question that needs the models fails in the same way and
    tells."""
    if not task.cancelled():
        task.exception()
