"""The store on a device's disk:

- blobs/sha256/: files by their SHA-256, written once, never changed
- slots/<digest>/: a release: bundle/ of hard links to blobs, and the release.json that names them
- partial/: files that are still being copied
- trust/: verified signing metadata, a folder for each state
- env/: Fieldpack itself, an environment a version
- state.json: the one pointer: what is current, what was before
- lock: held by the one command that changes anything

Nothing that state.json points to is ever changed in place. Knows nothing of sources or signatures.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from fieldpack import BundleCorrupt, BundleError, InputError
from fieldpack.bundle.manifest import FILENAME as MANIFEST
from fieldpack.bundle.manifest import sha256_file
from fieldpack.bundle.release import Release, ReleaseFile, parse_manifest

from .. import locks
from ..durable import sync_folder
from . import environments
from .disk import explain_disk_errors, require_disk, sync_tree
from .errors import NotInstalled, StoreFailed
from .state import State, new_state, read_state, write_state

BUNDLE = "bundle"
RELEASE = "release.json"
_IN_USE = environments.IN_USE
_VARIABLE = "FIELDPACK_STORE"


def default_store() -> Path:
    """Return $FIELDPACK_STORE, else $XDG_DATA_HOME/fieldpack, else ~/.local/share/fieldpack. Raises
    InputError without a home."""
    if named := os.environ.get(_VARIABLE, ""):
        return Path(named)
    data = os.environ.get("XDG_DATA_HOME", "")
    if data and Path(data).is_absolute():  # the specification has a relative one ignored
        return Path(data) / "fieldpack"
    try:
        return Path.home() / ".local" / "share" / "fieldpack"
    except RuntimeError:
        raise InputError(
            "no home folder to keep releases in; name a folder with --store DIR, or set"
            f" {_VARIABLE}"
        ) from None


@dataclass(frozen=True, slots=True)
class Damage:
    """A file of an installed release that is not what it was signed as."""

    name: str
    path: str
    sha256: str
    size: int
    what: str


class Store:
    """`root`: the store's folder; it need not be there to look at it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.blobs = root / "blobs" / "sha256"
        self.slots = root / "slots"
        self.partial = root / "partial"
        self.trust = root / "trust"

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Make the store if need be and keep all others from changing it. Raises StoreFailed where
        one is at it, where the disk cannot hold a store, and for a full or failing disk while it is
        held."""
        with explain_disk_errors(self.root):
            made = not self.root.is_dir()
            for folder in (self.root, self.blobs, self.slots, self.partial, self.trust):
                folder.mkdir(mode=0o755, parents=True, exist_ok=True)
            with self._locked() as descriptor:
                if descriptor is None:
                    raise StoreFailed(
                        f"{self.root}: another fieldpack command is changing this store; wait until"
                        " it is done and run this one again"
                    )
                require_disk(self.root)
                if made:
                    sync_tree(self.root)
                yield

    @contextmanager
    def lock_if_free(self) -> Iterator[bool]:
        """False where another command holds the lock, or the store cannot be written."""
        with self._locked() as descriptor:
            yield descriptor is not None

    @contextmanager
    def _locked(self) -> Iterator[int | None]:
        try:
            flags = os.O_RDWR | os.O_CREAT | locks.CLOSE_ON_EXEC
            descriptor = os.open(self.root / "lock", flags, 0o644)
        except OSError:
            if self.root.is_dir() and os.access(self.root, os.W_OK):
                raise
            yield None
            return
        try:
            # Given back by the system, also of a killed process.
            yield descriptor if locks.try_exclusive(descriptor) else None
        finally:
            os.close(descriptor)

    def state(self) -> State:
        """What is installed; an empty state where nothing is. Raises StoreFailed for a damaged
        one."""
        return read_state(self.root) or new_state()

    def save(self, state: State) -> None:
        """Write state.json: the one step that makes a change count."""
        write_state(self.root, state)
        environments.point(self.root, state.runtime)

    def blob(self, sha256: str) -> Path:
        """Return where the file of this hash is, or would be."""
        return self.blobs / sha256

    def has_blob(self, file: ReleaseFile) -> bool:
        """Whether the file is here and whole: it is hashed, and thrown away if it is not what its
        name says."""
        path = self.blob(file.sha256)
        if not path.is_file():
            return False
        if path.stat().st_size == file.size and sha256_file(path) == file.sha256:
            return True
        # Slots keep their own link to it: `verify --deep` finds them, `repair` mends them.
        path.unlink()
        sync_folder(self.blobs)
        return False

    def add_blob(self, partial: Path, sha256: str) -> None:
        """Move a file that is whole and synced from partial/ to blobs/."""
        if os.name != "nt":  # where a file that must not be written cannot be removed either
            partial.chmod(0o444)
        partial.rename(self.blob(sha256))
        sync_folder(self.blobs)
        sync_folder(self.partial)

    def slot(self, digest: str) -> Path:
        """Return the folder of a release's bundle, installed or not."""
        return self.slots / digest / BUNDLE

    def make_slot(self, release: Release, manifest: bytes) -> Path:
        """Link a release whose blobs are all here into a folder of its own, beside first, then by
        one rename.

        A slot that is there with all its links is taken as it is; one that is not is made anew."""
        final = self.slots / release.digest
        if final.is_dir():
            links = [(final / BUNDLE / file.path, self.blob(file.sha256)) for file in release.files]
            if all(path.is_file() and path.samefile(blob) for path, blob in links):
                return final / BUNDLE
            self._remove_slot(release.digest)
        beside = self.slots / f".new-{release.digest}"
        shutil.rmtree(beside, ignore_errors=True)
        (beside / BUNDLE).mkdir(parents=True)
        for file in release.files:
            target = beside / BUNDLE / file.path
            target.parent.mkdir(parents=True, exist_ok=True)
            os.link(self.blob(file.sha256), target)
        (beside / RELEASE).write_bytes(manifest)
        sync_tree(beside)
        beside.rename(final)
        sync_folder(self.slots)
        return final / BUNDLE

    def release(self, digest: str) -> Release:
        """Read an installed release's manifest. Raises NotInstalled; BundleCorrupt where its bytes
        are not those of its name."""
        path = self.slots / digest / RELEASE
        try:
            data = path.read_bytes()
        except OSError:
            raise NotInstalled(
                f"{path}: not there; `fieldpack repair SOURCE` brings it back"
            ) from None
        if hashlib.sha256(data).hexdigest() != digest:
            raise BundleCorrupt(
                f"{path}: changed since it was installed; `fieldpack repair SOURCE` mends it"
            )
        return parse_manifest(data, str(path))

    def check_manifest(self, digest: str) -> None:
        """Hash a slot's manifest.json, which names the hashes of all other files and so cannot name
        its own. Raises BundleCorrupt."""
        wanted = next(file for file in self.release(digest).files if file.path == MANIFEST)
        path = self.slot(digest) / MANIFEST
        if not path.is_file() or sha256_file(path) != wanted.sha256:
            raise BundleCorrupt(
                f"{path}: changed since it was installed; `fieldpack repair SOURCE` mends it"
            )

    def damages(self) -> list[Damage]:
        """Hash every file of every installed release, current and previous; return those that are
        not as signed."""
        damaged, good = [], set()
        for digest, name in self.state().slots().items():
            try:
                release = self.release(digest)
            except BundleError as error:
                damaged.append(Damage(name, f"slots/{digest}/{RELEASE}", digest, 0, str(error)))
                continue
            for file in release.files:
                path = self.slot(digest) / file.path
                try:
                    found_stat = path.stat()
                    key = (found_stat.st_ino, file.sha256)
                    if key not in good and (
                        found_stat.st_size != file.size or sha256_file(path) != file.sha256
                    ):
                        what = "its contents differ from what was signed"
                    else:
                        good.add(key)
                        continue
                except OSError as error:
                    what = error.strerror or "cannot be read"
                damaged.append(
                    Damage(name, f"{release.version}/{file.path}", file.sha256, file.size, what)
                )
        return damaged

    def collect(self) -> tuple[list[str], int]:
        """Remove what nothing points to: slots, blobs, environments, half-copied files, old trust. Returns the
        digests of the slots removed, and the bytes that were freed. A slot or an environment that a
        running process uses stays."""
        state = self.state()
        before = shutil.disk_usage(self.root).free
        removed = []
        for folder in sorted(self.slots.iterdir()):
            if folder.name not in state.slots() and not self._is_read(folder):
                self._remove_slot(folder.name)
                removed.append(folder.name)
        for path in sorted(self.blobs.iterdir()):
            if path.stat().st_nlink == 1:
                path.unlink()
        for path in sorted(self.partial.iterdir()):
            path.unlink()
        for folder in sorted(self.trust.iterdir()):
            if folder.name != state.trust:
                shutil.rmtree(folder)
        environments.point(self.root, state.runtime)
        used = {slot.runtime for entry in state.bundles.values() if (slot := entry.previous)}
        for folder in environments.unused(self.root, {state.runtime, *used}):
            if not self._is_read(folder):
                gone = folder.with_name(f".old-{folder.name.removeprefix('.old-')}")
                folder.rename(gone)  # by its name first, as a slot
                sync_folder(folder.parent)
                shutil.rmtree(gone)
        for folder in (self.slots, self.blobs, self.partial, self.trust):
            sync_folder(folder)
        return [name for name in removed if not name.startswith(".")], max(
            shutil.disk_usage(self.root).free - before, 0
        )

    def _remove_slot(self, digest: str) -> None:
        """By its name first: half of a removal is a hidden folder, which nothing takes for a
        release."""
        gone = self.slots / f".old-{digest.removeprefix('.old-').removeprefix('.new-')}"
        if gone.name != digest:
            shutil.rmtree(gone, ignore_errors=True)
            (self.slots / digest).rename(gone)
            sync_folder(self.slots)
        shutil.rmtree(gone)

    def _is_read(self, folder: Path) -> bool:
        path = folder / _IN_USE
        if not path.is_file():
            return False
        descriptor = os.open(path, os.O_RDWR | locks.CLOSE_ON_EXEC)
        try:
            return not locks.try_exclusive(descriptor)
        finally:
            os.close(descriptor)

    def mark_read(self, digest: str) -> None:
        """Keep `gc` from a slot as long as this process lives. Does nothing where the slot cannot
        be written to."""
        with suppress(OSError):
            flags = os.O_RDWR | os.O_CREAT | locks.CLOSE_ON_EXEC
            # Never closed: the process' end gives it back.
            locks.try_shared(os.open(self.slots / digest / _IN_USE, flags, 0o666))
