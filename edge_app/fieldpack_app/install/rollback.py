"""Back to the release before: a pointer is moved, nothing is copied. By hand, or by what opens a
release that does not start."""

from __future__ import annotations

import time
from dataclasses import replace

from fieldpack import BundleError
from fieldpack.bundle.runtime_list import version_numbers

from .environments import COMPLETE, FOLDER, version_of
from .errors import NotInstalled, Withdrawn
from .outcome import Outcome
from .state import Installed, State
from .store import Store


def rollback(store: Store, name: str | None) -> Outcome:
    """Make the release before the current one current again. Copies nothing. Raises NotInstalled,
    Withdrawn."""
    started = time.monotonic()
    with store.lock():
        state = store.state()
        entry = find_entry(state, name, store)
        state = go_back(store, state, entry, "rolled back by hand")
        store.save(state)
    slot = state.bundles[entry.name].current
    return Outcome(
        entry.name,
        "rolled back",
        slot.version,
        slot.number,
        seconds=round(time.monotonic() - started, 3),
    )


def go_back(store: Store, state: State, entry: Installed, why: str) -> State:
    """Return the state with the release before as the current one, and the environment that it was
    used with. Raises NotInstalled where there is none, Withdrawn."""
    if entry.previous is None or not store.slot(entry.previous.digest).is_dir():
        raise NotInstalled(
            f"{entry.name}: no release before {entry.current.version} on this device; install one"
            " with `fieldpack install SOURCE --allow-downgrade`"
        )
    if (recall := state.recall_of(entry.previous.digest)) is not None:
        raise Withdrawn(
            f"{entry.name} {entry.previous.version}: was withdrawn on {recall.at[:10]}:"
            f" {recall.reason}; run `fieldpack update`"
        )
    left = replace(entry.current, runtime=state.runtime)
    current = replace(entry.previous, runtime="")
    returned = replace(entry, current=current, previous=left, tries=None, failed=why)
    runtime = entry.previous.runtime
    state = state.with_bundle(returned)
    return replace(state, runtime=runtime) if _suffices(store, state, runtime) else state


def _suffices(store: Store, state: State, runtime: str) -> bool:
    """Whether an environment is here and new enough for every current release: another bundle's may
    need the newer one."""
    if not runtime or not (store.root / FOLDER / runtime / COMPLETE).is_file():
        return False
    has = version_numbers(version_of(runtime))
    try:
        return all(
            version_numbers(store.release(entry.current.digest).min_runtime) <= has
            for entry in state.bundles.values()
        )
    except BundleError:  # damaged: what it needs is not known
        return False


def find_entry(state: State, name: str | None, store: Store) -> Installed:
    """Return the installed bundle of this name, or the only one. Raises NotInstalled, which names
    what there is."""
    entries = [entry for entry in state.bundles.values() if name in (None, entry.name)]
    if len(entries) == 1:
        return entries[0]
    there = ", ".join(sorted(state.bundles)) or "nothing"
    what = f"{name} is not installed here" if name else "say which bundle"
    raise NotInstalled(f"{store.root}: {what}; installed: {there}")
