"""Brings a sealed bundle from the cache to where the user wants it: beside, then one rename."""

from __future__ import annotations

import glob
import os
import re
import shutil
from pathlib import Path

from fieldpack.bundle.manifest import FILENAME, Manifest, read_manifest, verify
from fieldpack.errors import BundleError

from ..errors import MachineError, OutputExists


def is_delivered(bundle: Path, target: Path) -> bool:
    """Whether `target` holds this very bundle, by manifest and file sizes."""
    try:
        if (bundle / FILENAME).read_bytes() != (target / FILENAME).read_bytes():
            return False
        verify(target, read_manifest(target), contents=False)
    except (OSError, BundleError):
        return False
    return True


def check_target(target: Path, name: str) -> None:
    """Raise OutputExists unless `target` is absent, an empty folder, or an earlier bundle of this
    name."""
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
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


def deliver(bundle: Path, target: Path) -> None:
    """Copy a bundle beside the target, then swap them: whoever looks sees the old bundle or the new
    one, never half of one. Raises MachineError where the disk refuses."""
    target.parent.mkdir(parents=True, exist_ok=True)
    _sweep(target)
    fresh, old = (
        target.with_name(f".{target.name}.{word}-{os.getpid()}") for word in ("new", "old")
    )
    try:
        shutil.copytree(bundle, fresh)
        verify(fresh, read_manifest(fresh))
        if target.exists():
            target.rename(old)
        fresh.rename(target)
    except OSError as error:
        raise MachineError(f"{target}: {error.strerror}; the bundle is safe in {bundle}") from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
        if old.exists() and not target.exists():
            old.rename(target)
        shutil.rmtree(old, ignore_errors=True)


def _sweep(target: Path) -> None:
    """Remove what a delivery left beside the target when it was killed."""
    for path in sorted(target.parent.glob(f".{glob.escape(target.name)}.*-*")):
        left = re.fullmatch(re.escape(f".{target.name}.") + r"(?:new|old)-(\d+)", path.name)
        # Our own number too: in a container every build may have the same one.
        if left and (int(left[1]) == os.getpid() or not Path("/proc", left[1]).exists()):
            shutil.rmtree(path, ignore_errors=True)
