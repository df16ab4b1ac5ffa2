"""Opens what is installed: a name is the current release, a release that has not opened in earnest
yet is tried a few times and then left for the one before it, a withdrawn one is not opened. Knows
nothing of sources or signatures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import click

from fieldpack import BundleCorrupt, BundleError, Expert, OutOfMemory

from .errors import NotInstalled, Withdrawn
from .rollback import go_back
from .state import FILENAME, Installed, State
from .store import Store, default_store

COPY_AGAIN = "; copy the bundle again"  # how the runtime's sentences end, of a bundle anywhere
Opener = Callable[[Path], Expert]


def installed_path(name: str) -> Path | None:
    """Return the folder of the current release of an installed bundle; None where no bundle of this
    name is installed."""
    if not name or "/" in name or not (store := Store(default_store())).root.is_dir():
        return None
    entry = store.state().bundles.get(name)
    return store.slot(entry.current.digest) if entry else None


def store_of(bundle: Path) -> Store | None:
    """Return the store whose slot a bundle's folder lies in; None for a bundle that lies
    elsewhere."""
    slots = bundle.parent.parent
    if slots.name == "slots" and (slots.parent / FILENAME).is_file():
        return Store(slots.parent)
    return None


def open_installed(path: Path, opener: Opener) -> Expert:
    """Open a bundle; for one that lies in a slot of the store keep count of its starts.

    The first start of a new release loads all of it, and only then does the release count as good.
    Each start that does not get so far costs a try, also one that the system ends; with no try left
    the release before comes back. A shortage of memory costs none where it is reported: it is this
    machine's just now, and the installation has seen the release answer here.

    Raises Withdrawn, and what `opener` raises."""
    digest = path.parent.name
    store = Store(path.parent.parent.parent)
    state = store.state() if store.slots == path.parent.parent and store.root.is_dir() else None
    installed = state.bundles.values() if state else ()
    entry = next(
        (
            one
            for one in installed
            if digest in [s.digest for s in (one.current, one.previous) if s]
        ),
        None,
    )
    if state is None or entry is None:
        return opener(path)
    if (recall := state.recall_of(digest)) is not None:
        raise Withdrawn(
            f"{entry.name} {entry.current.version}: was withdrawn on {recall.at[:10]}:"
            f" {recall.reason}; run `fieldpack update`, or `fieldpack rollback {entry.name}` for"
            " the release before it"
        )
    if entry.current.digest != digest or entry.tries is None:
        store.mark_read(digest)
        store.check_manifest(digest)
        return _opened(opener, path, entry)
    return _first_start(store, entry, opener)


def _opened(opener: Opener, path: Path, entry: Installed) -> Expert:
    """Open a release whose files nobody copies by hand. Raises BundleCorrupt with what mends it."""
    try:
        return opener(path)
    except BundleCorrupt as error:
        what = str(error).removeprefix(f"{path}: ").removesuffix(COPY_AGAIN)
        raise BundleCorrupt(
            f"{entry.name}: {what}; `fieldpack repair` with the stick plugged in mends this"
        ) from None


def _first_start(store: Store, entry: Installed, opener: Opener) -> Expert:
    tries = entry.tries or 0
    if tries == 0:
        returned = _return(store, entry, f"{entry.current.version} did not start")
        return _opened(opener, store.slot(returned.current.digest), returned)
    _change(store, entry, lambda state: state.with_bundle(replace(entry, tries=tries - 1)))
    digest = entry.current.digest
    store.mark_read(digest)
    try:
        store.check_manifest(digest)
        expert = opener(store.slot(digest))
        expert.load()
    except OutOfMemory:
        _change(store, entry, lambda state: state.with_bundle(entry))
        raise
    except BundleError as error:
        returned = _return(store, entry, f"{entry.current.version} did not open: {error}")
        return _opened(opener, store.slot(returned.current.digest), returned)
    good = replace(entry, tries=None, failed="")
    _change(store, entry, lambda state: state.with_bundle(good))
    return expert


def _return(store: Store, entry: Installed, why: str) -> Installed:
    """Go back to the release before, and say so on stderr. Raises NotInstalled where there is
    none."""
    state = store.state()
    if entry.previous is None:
        raise NotInstalled(
            f"{entry.name}: {why}, and there is no release before it; run `fieldpack repair` or"
            " `fieldpack update`"
        )
    returned = go_back(store, state, entry, why).bundles[entry.name]
    _change(store, entry, lambda state: go_back(store, state, entry, why))
    click.echo(f"fieldpack: {entry.name}: {why}; back to {returned.current.version}", err=True)
    store.mark_read(returned.current.digest)
    return returned


def _change(store: Store, before: Installed, change: Callable[[State], State]) -> None:
    """Write the changed state unless another command is changing the store, or has changed this
    entry: then it knows better."""
    with store.lock_if_free() as free:
        state = store.state()
        same = (
            entry_now := state.bundles.get(before.name)
        ) is not None and entry_now.current.digest == before.current.digest
        if free and same:
            store.save(change(state))
