"""The one folder that the app writes to: history and feedback, for this user's eyes alone. Knows nothing of what is in the
files. Reading never makes the folder."""

from __future__ import annotations

import os
from pathlib import Path

from fieldpack import InputError

FEEDBACK = "feedback.jsonl"
HISTORY = "history"


def state_folder(given: Path | None = None) -> Path:
    """`given`, else $XDG_STATE_HOME/fieldpack, else ~/.local/state/fieldpack. Raises InputError where there is no home."""
    if given is not None:
        return given
    named = os.environ.get("XDG_STATE_HOME", "")
    # The specification has a relative path ignored: it would be another folder in each working directory.
    if named and Path(named).is_absolute():
        return Path(named) / "fieldpack"
    try:
        return Path.home() / ".local" / "state" / "fieldpack"
    except RuntimeError:  # no HOME, and a user that the system does not know, as in a container
        raise InputError("no home folder to keep anything in; name one with --state DIR, or set HOME") from None


def append_line(path: Path, line: str) -> None:
    """Add one line to a file that nobody else may read; it and its folder are made if need be. One write a line, so that
    two processes do not mix theirs."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, line.encode("utf-8", "backslashreplace") + b"\n")
    finally:
        os.close(descriptor)
