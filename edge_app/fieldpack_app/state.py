"""The one folder that the app writes to: history and feedback, for this user's eyes alone. Knows
nothing of what is in the files. Reading never makes the folder."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from pathlib import Path

from fieldpack import InputError

FEEDBACK = "feedback.jsonl"
HISTORY = "history"


def state_folder(given: Path | None = None) -> Path:
    """`given`, else $XDG_STATE_HOME/fieldpack, else ~/.local/state/fieldpack. Raises InputError
    where there is no home."""
    if given is not None:
        return given
    named = os.environ.get("XDG_STATE_HOME", "")
    # The specification has a relative path ignored: it would be another folder in each working
    # directory.
    if named and Path(named).is_absolute():
        return Path(named) / "fieldpack"
    try:
        return Path.home() / ".local" / "state" / "fieldpack"
    except RuntimeError:  # no HOME, and a user that the system does not know, as in a container
        raise InputError(
            "no home folder to keep anything in; name one with --state DIR, or set HOME"
        ) from None


def append_line(path: Path, line: str) -> None:
    """Add one line to a file that nobody else may read, and return once it is on the disk. The file
    and its folder are made if need be.

    After a power cut a file may end in half a line or in a block of NUL bytes: a new line begins
    behind them, so that only that one is lost. Where the disk has no room for the whole line
    nothing of it stays. Two processes do not mix theirs.

    Raises OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    is_new = not path.exists()
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK, 0o600)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is no regular file", str(path))
        fcntl.flock(
            descriptor, fcntl.LOCK_EX
        )  # given back by the close, also by that of a process that is killed
        end = os.fstat(descriptor).st_size
        begins_line = end == 0 or os.pread(descriptor, 1, end - 1) == b"\n"
        _write_all(
            descriptor,
            (b"" if begins_line else b"\n") + line.encode("utf-8", "backslashreplace") + b"\n",
            end,
        )
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    if is_new:
        _sync_folder(path.parent)


def _write_all(descriptor: int, data: bytes, end: int) -> None:
    """Write at the file's `end`; back to that length if the disk takes only a part."""
    written = 0
    try:
        while written < len(data):
            written += os.write(descriptor, data[written:])
    except OSError:
        os.ftruncate(descriptor, end)
        raise


def _sync_folder(folder: Path) -> None:
    """A file's name is its folder's to keep."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
