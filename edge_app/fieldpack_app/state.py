"""Writes to the one folder that the app keeps: history and feedback, readable by this user alone; and
writes whole files so that no half-written one is ever seen. Knows nothing of what is in the files.
Reading never makes the folder."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from fieldpack import InputError

from . import locks
from .durable import replace_file, sync_folder

FEEDBACK = "feedback.jsonl"
HISTORY = "history"
LAN = "lan"  # the folder of paired devices


def state_folder(folder: Path | None = None) -> Path:
    """Return `folder`, else $XDG_STATE_HOME/fieldpack, else ~/.local/state/fieldpack. Raises
    InputError where there is no home."""
    if folder is not None:
        return folder
    state_home = os.environ.get("XDG_STATE_HOME", "")
    # The specification has a relative path ignored: it would be another folder in each working
    # directory.
    if state_home and Path(state_home).is_absolute():
        return Path(state_home) / "fieldpack"
    try:
        return Path.home() / ".local" / "state" / "fieldpack"
    except RuntimeError:  # no HOME, and a user that the system does not know, as in a container
        raise InputError(
            "no home folder to keep anything in; name one with --state DIR, or set HOME"
        ) from None


def append_line(path: Path, line: str) -> None:
    """Append one line to a file that nobody else may read, and return once it is on the disk. The
    file and its folder are made if need be.

    After a power cut a file may end in half a line or in a block of NUL bytes: a new line begins
    behind them, so that only that one is lost. Where the disk has no space for the whole line,
    nothing of it is kept. Lines of two processes are never mixed.

    Raises OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    is_new = not path.exists()
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | locks.NON_BLOCKING | locks.BINARY
    descriptor = os.open(path, flags, 0o600)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is no regular file", str(path))
        # The lock is released by the close, also by that of a process that is killed.
        locks.wait_exclusive(descriptor)
        end = os.fstat(descriptor).st_size
        if end:
            os.lseek(descriptor, end - 1, os.SEEK_SET)
        begins_line = end == 0 or os.read(descriptor, 1) == b"\n"
        data = (b"" if begins_line else b"\n") + line.encode("utf-8", "backslashreplace") + b"\n"
        written = 0
        try:
            while written < len(data):
                written += os.write(descriptor, data[written:])
        except OSError:
            os.ftruncate(descriptor, end)
            raise
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    if is_new:
        sync_folder(path.parent)


def read_regular(path: Path) -> bytes:
    """Return what a regular file holds. A pipe or a device in its place is not waited for. Raises
    OSError, FileNotFoundError among it."""
    descriptor = os.open(path, os.O_RDONLY | locks.NON_BLOCKING | locks.BINARY)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is no regular file", str(path))
        return file.read()


@contextmanager
def written_whole(path: Path) -> Iterator[IO[str]]:
    """Open a text file that is written beside `path` and renamed to it when all is written; after
    an error, what was written stays under `partial_path(path)`. Raises OSError."""
    partial = partial_path(path)
    with partial.open("w", encoding="utf-8") as file:
        yield file
    partial.replace(path)


def write_private(path: Path, data: bytes) -> None:
    """Write a whole file that nobody else may read; it is on the disk when this returns. The folder
    is made if need be. What root writes belongs to the folder's owner, so that a service that is
    another user can read it. Raises OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    replace_file(path, data, private=True)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder: what two processes read, change and write again. The folder is
    made if need be. The lock is released when the process ends, however it does. Raises OSError."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        locks.wait_exclusive(descriptor)
        yield
    finally:
        os.close(descriptor)


def partial_path(path: Path) -> Path:
    """Return the name that a file has while it is being written."""
    return path.with_name(path.name + ".partial")
