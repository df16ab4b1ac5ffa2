"""What a disk must be able to do so that a pulled plug leaves the old release or the new, and what it
lacks; syncs whole folders. Knows nothing of releases."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..durable import sync_folder
from .errors import StoreFailed

# Without hard links or without a rename that replaces: FAT. Without a lock and a sync that can be
# relied on: the network's.
_FAT = frozenset(("vfat", "msdos", "exfat", "fuseblk.exfat", "fuse.exfat"))
_NETWORK = frozenset(
    (
        "nfs",
        "nfs4",
        "cifs",
        "smb3",
        "smbfs",
        "9p",
        "afs",
        "ceph",
        "davfs",
        "fuse.sshfs",
        "fuse.rclone",
        "fuse.davfs",
        "fuse.s3fs",
        "glusterfs",
        "fuse.glusterfs",
        "ncpfs",
        "lustre",
    )
)
MOUNTS = Path("/proc/self/mountinfo")
_NO_ROOM = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))
_MARGIN = 4 << 20  # bytes beside the files themselves: metadata, state, folders


def sync_tree(folder: Path) -> None:
    """Bring every file and folder below `folder`, and itself, to the disk."""
    for root, _, names in os.walk(folder):
        for name in names:
            path = Path(root) / name
            if not path.is_symlink():
                # Windows syncs only what may be written.
                descriptor = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)
        sync_folder(Path(root))


def require_disk(folder: Path) -> None:
    """Raise StoreFailed where `folder` (it is there) lies on a file system that cannot hold a
    store, by its name and by trial."""
    kind = filesystem_of(folder)
    if kind in _FAT:
        raise StoreFailed(
            f"{folder}: lies on {kind}, which has no hard links and no safe renames; a store needs"
            " the device's own disk (ext4, xfs, btrfs, apfs, ntfs): name a folder there with"
            " --store DIR or FIELDPACK_STORE"
        )
    if kind in _NETWORK:
        raise StoreFailed(
            f"{folder}: lies on a network ({kind}), where locks and syncs cannot be relied on; name"
            " a folder on the device's own disk with --store DIR or FIELDPACK_STORE"
        )
    one, other = folder / ".trial-1", folder / ".trial-2"
    try:
        one.write_bytes(b"")
        other.unlink(missing_ok=True)
        os.link(one, other)
        sync_folder(folder)
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise
        raise StoreFailed(
            f"{folder}: this file system cannot make a hard link ({error.strerror}); name a folder"
            " on another disk with --store DIR or FIELDPACK_STORE"
        ) from None
    finally:
        for path in (one, other):
            path.unlink(missing_ok=True)


def filesystem_of(folder: Path) -> str:
    """Return the type of the file system that holds `folder`, as the kernel names it ("ext4",
    "fuse.sshfs"); "" if unknown."""
    if not MOUNTS.is_file():
        return ""
    wanted, best, kind = str(folder.resolve()), -1, ""
    for line in MOUNTS.read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        left, _, right = line.partition(" - ")
        point = (
            left.split(" ")[4].replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\")
        )
        inside = wanted == point or wanted.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= best:  # the last of two mounts on one point is on top
            best, kind = len(point), right.split(" ")[0]
    return kind


def require_room(folder: Path, needed: int, what: str) -> None:
    """Raise StoreFailed, with the bytes named, where the disk of `folder` has less than `needed`
    and a margin."""
    free = shutil.disk_usage(folder).free
    if free < needed + _MARGIN:
        raise StoreFailed(
            f"{folder}: {what} needs {needed + _MARGIN:,} bytes, the disk has {free:,} free; remove"
            f" {needed + _MARGIN - free:,} bytes (`fieldpack gc` frees old releases) and run the"
            " same command again"
        )


@contextmanager
def explain_disk_errors(folder: Path) -> Iterator[None]:
    """Turn a disk that is full or fails while the store is written into StoreFailed with the next
    step."""
    try:
        yield
    except OSError as error:
        where = error.filename or folder
        if error.errno in _NO_ROOM:
            raise StoreFailed(
                f"{where}: no room left on the disk; nothing has changed. Free some (`fieldpack gc`"
                " removes old releases) and run the same command again: it goes on where it"
                " stopped"
            ) from None
        if error.errno == errno.EIO:
            raise StoreFailed(
                f"{where}: the disk reports an input/output error; nothing has changed. Run the"
                " same command again, and if it stays, replace the disk"
            ) from None
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise StoreFailed(
                f"{where}: {error.strerror}; the store must be writable: run as its owner, or name"
                " another with --store DIR"
            ) from None
        raise
