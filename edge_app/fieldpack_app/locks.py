"""Locks on open files that the system gives back when a process ends, however it ends: flock(2),
and byte ranges on Windows, which has no flock. Knows nothing of what the files are for."""

from __future__ import annotations

import os
import sys

# Flags that only some systems have; Windows inherits no descriptor unless it is asked to.
CLOSE_ON_EXEC = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOINHERIT", 0)
NON_BLOCKING = getattr(os, "O_NONBLOCK", 0)
BINARY = getattr(os, "O_BINARY", 0)

if sys.platform == "win32":
    import msvcrt
    import time

    # A shared lock is one byte of one process, an exclusive one is all bytes: those of two
    # processes that read do not overlap, and each of them overlaps the exclusive one. They lie far
    # behind what the files hold, as Windows keeps others from reading locked bytes.
    _ALL = 1 << 28
    _BEGIN = 1 << 30

    def _lock_bytes(descriptor: int, begin: int, length: int) -> bool:
        position = os.lseek(descriptor, 0, os.SEEK_CUR)
        os.lseek(descriptor, begin, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, length)
        except OSError:
            return False
        finally:
            os.lseek(descriptor, position, os.SEEK_SET)
        return True

    def try_exclusive(descriptor: int) -> bool:
        """Take the lock for this process alone, until `descriptor` is closed; False where another
        one has it."""
        return _lock_bytes(descriptor, _BEGIN, _ALL)

    def try_shared(descriptor: int) -> bool:
        """Take the lock beside others that share it, until `descriptor` is closed; False where one
        has it for itself."""
        return _lock_bytes(descriptor, _BEGIN + os.getpid() % _ALL, 1)

    def wait_exclusive(descriptor: int) -> None:
        """Take the lock for this process alone, however long another one has it."""
        while not try_exclusive(descriptor):
            time.sleep(0.01)

else:
    import fcntl

    def try_exclusive(descriptor: int) -> bool:
        """Take the lock for this process alone, until `descriptor` is closed; False where another
        one has it."""
        return _flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def try_shared(descriptor: int) -> bool:
        """Take the lock beside others that share it, until `descriptor` is closed; False where one
        has it for itself."""
        return _flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)

    def wait_exclusive(descriptor: int) -> None:
        """Take the lock for this process alone, however long another one has it."""
        fcntl.flock(descriptor, fcntl.LOCK_EX)

    def _flock(descriptor: int, operation: int) -> bool:
        try:
            fcntl.flock(descriptor, operation)
        except BlockingIOError:
            return False
        return True
