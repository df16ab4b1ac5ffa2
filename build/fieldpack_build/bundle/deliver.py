"""Brings a sealed bundle from the cache to where the user wants it: beside, then one rename."""

from __future__ import annotations

import glob
import os
import re
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from fieldpack.bundle.manifest import FILENAME, Manifest, read_manifest, verify
from fieldpack.errors import BundleError

from ..errors import MachineError, OutputExists
from ..evaluation.compare import changed_documents
from ..uncaught import NO_SPACE, disk_is_full, no_space


def is_delivered(bundle: Path, target: Path) -> bool:
    """Whether `target` holds this very bundle, by manifest and file sizes."""
    try:
        if (bundle / FILENAME).read_bytes() != (target / FILENAME).read_bytes():
            return False
    except OSError:
        return False
    return _is_whole(target)


def check_target(target: Path, name: str) -> None:
    """Raise OutputExists unless `target` is absent, an empty folder, or an earlier bundle of this
    name, and MachineError where no bundle can be written there."""
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        _require_writable(target)
        return
    try:
        there: Manifest | None = read_manifest(target)
    except BundleError:
        there = None
    if there is None or there.name != name:
        what = (
            f"the bundle {there.name} {there.version}" if there else "something that is no bundle"
        )
        raise OutputExists(f"{target}: holds {what}; remove it or name another folder with -o")


def replaced_contents(bundle: Path, target: Path) -> str:
    """Return in what the bundle at `target` that this one will replace differs, if it has the same
    version; empty where there is none, or it holds the same."""
    try:
        old = read_manifest(target)
    except BundleError:
        return ""
    new = read_manifest(bundle)
    if old.version != new.version or old.files == new.files:
        return ""
    changed = changed_documents(old, new)
    counts = {
        "added": changed.added,
        "removed": changed.removed,
        "changed": changed.changed,
    }
    words = [f"{len(names):,} {word}" for word, names in counts.items() if names]
    return (
        f"other documents: {', '.join(words)}" if words else "the same documents, built otherwise"
    )


def _require_writable(target: Path) -> None:
    """Make a folder beside `target` and remove it again, with the folders above it that were not
    there: permissions do not say what /proc, a read-only medium or a file in the path refuse.
    Raises MachineError."""
    missing = [folder for folder in target.parents if not folder.exists()]
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent)).rmdir()
    except OSError as error:
        raise MachineError(
            f"{target}: no bundle can be written there: {error.strerror or error}; name another "
            "folder with -o"
        ) from error
    finally:
        for folder in missing:
            with suppress(OSError):  # not there, or another build has filled it
                folder.rmdir()


def deliver(bundle: Path, target: Path) -> None:
    """Copy a bundle beside the target, then swap them: whoever looks sees the old bundle or the new
    one, never half of one. Raises MachineError where the disk refuses."""
    fresh, old = (
        target.with_name(f".{target.name}.{word}-{os.getpid()}") for word in ("new", "old")
    )
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _sweep(target)
        shutil.copytree(bundle, fresh)
        verify(fresh, read_manifest(fresh))
        if target.exists():
            target.rename(old)
        fresh.rename(target)
    except OSError as error:
        raise _refused(error, bundle, target) from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
        if old.exists() and not target.exists():
            old.rename(target)
        shutil.rmtree(old, ignore_errors=True)


def _refused(error: OSError, bundle: Path, target: Path) -> MachineError:
    """Return the error for a delivery that the disk refused: of many files, the first one's."""
    path, words = target, error.strerror or str(error)
    if isinstance(error, shutil.Error):  # it has no number, but (source, copy, words) of each file
        _, path, words = error.args[0][0]
    safe = f"the bundle is safe in {bundle}"
    if error.errno in NO_SPACE or disk_is_full(words):
        return MachineError(f"{no_space(path)}; {safe}, -o brings it to another folder")
    return MachineError(f"{target}: {words}; {safe}")


def _sweep(target: Path) -> None:
    """Mend what a delivery left beside the target when it was killed: put the old bundle back where
    the new one had not taken its place, and remove the rest."""
    for path in sorted(target.parent.glob(f".{glob.escape(target.name)}.*-*")):
        left = re.fullmatch(re.escape(f".{target.name}.") + r"(new|old)-(\d+)", path.name)
        # Our own number too: in a container every build may have the same one.
        if left is None or (int(left[2]) != os.getpid() and Path("/proc", left[2]).exists()):
            continue
        if left[1] == "old" and not target.exists() and _is_whole(path):
            path.rename(target)
        shutil.rmtree(path, ignore_errors=True)


def _is_whole(bundle: Path) -> bool:
    """Whether a folder is a bundle whose files are all there, with their sizes."""
    try:
        verify(bundle, read_manifest(bundle), contents=False)
    except (OSError, BundleError):
        return False
    return True
