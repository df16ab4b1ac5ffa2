"""Writes files so that after a pulled plug the old one or the new one is there, whole. Knows nothing of
what is in them."""

from __future__ import annotations

import os
from pathlib import Path

from .locks import BINARY


def replace_file(path: Path, data: bytes, *, private: bool = False) -> None:
    """Write `data` beside `path`, sync it, rename it into place, sync the folder: a reader sees the
    old file or the new. `private`: nobody else may read it, and what root writes belongs to the
    folder's owner, so that a service that is another user can. Raises OSError."""
    beside = path.with_name(f".{path.name}.new")
    beside.unlink(missing_ok=True)  # of a process that was ended
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | BINARY
    descriptor = os.open(beside, flags, 0o600 if private else 0o644)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        if private and os.name != "nt" and os.geteuid() == 0:
            owner = path.parent.stat()
            os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
        os.fsync(file.fileno())
    beside.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk: a renamed file is there after a power cut only once
    its folder is synced. Nothing on Windows, which opens no folder; NTFS keeps a journal of
    names."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
