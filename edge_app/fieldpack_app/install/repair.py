"""Damaged files of installed releases, copied anew. Believes no source: the digests in state.json
decide."""

from __future__ import annotations

from hashlib import sha256

from fieldpack import BundleError

from .errors import SourceFailed
from .fetch import fetch_release
from .source import Source, open_source
from .state import Installed
from .store import RELEASE, Damage, Store
from .trust import TARGETS


def repair(store: Store, location: str | None) -> tuple[list[Damage], list[Damage]]:
    """Copy damaged files of installed releases anew, from `location` or from where each came. Returns
    (mended, left)."""
    with store.lock():
        state = store.state()
        damages = store.damages()
        for digest, name in state.slots().items():
            entry = state.bundles[name]
            if any(damage.name == name for damage in damages) or not _is_whole(store, digest):
                _repair_slot(store, open_source(location or entry.source), entry, digest)
        left = store.damages() if damages else []
        return [damage for damage in damages if damage not in left], left


def _is_whole(store: Store, digest: str) -> bool:
    """Whether each file of a slot is a link to its blob, as `gc` and the next update want it."""
    try:
        files = store.release(digest).files
    except BundleError:
        return False
    return all(store.blob(file.sha256).is_file() for file in files)


def _repair_slot(store: Store, source: Source, entry: Installed, digest: str) -> None:
    """The release's digest is in state.json, so what hashes to it needs no signature."""
    path = store.slots / digest / RELEASE
    manifest = path.read_bytes() if path.is_file() else b""
    if sha256(manifest).hexdigest() != digest:
        manifest = b"".join(source.read(f"{TARGETS}/{entry.channel}/{digest}.{entry.name}.json"))
        if sha256(manifest).hexdigest() != digest:
            raise SourceFailed(
                f"{source.name}: does not hold the release that is damaged here; name the stick it"
                " came from"
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(manifest)
    release = store.release(digest)
    fetch_release(store, source, release)
    store.make_slot(release, manifest)
