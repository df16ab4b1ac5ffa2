"""The protocol of a child process that works for a while and says how it fares: events, one line of
JSON each, on its stdout, and as the last of them the error that ended it.

Parent's side: `read_events`, `error_of`, `describe_exit`. Child's side: `EventChannel`. A child
that is asked one question is `fieldpack.child.ask_child`'s. Knows nothing of what a child does.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, TypeAlias

from . import errors
from .errors import BuildError, StageError
from .uncaught import as_build_error

# An event as it was read from a line of JSON: "event" says which it is.
RawEvent: TypeAlias = dict[str, Any]


def read_events(lines: Iterable[str]) -> Iterator[RawEvent]:
    """Yield the events in a child's output. A line that holds none, as a library of the child's or
    torchrun may print, goes to stderr."""
    for line in lines:
        try:
            event = json.loads(line)
        except ValueError:
            event = None
        if isinstance(event, dict) and "event" in event:
            yield event
        else:
            sys.stderr.write(line)


def error_of(event: Mapping[str, str]) -> BuildError:
    """Return the error that a child sent: of its own class, or a StageError where we do not know
    that."""
    kind = getattr(errors, event["kind"], StageError)
    error = kind(event["message"])
    assert isinstance(error, BuildError)
    return error


def describe_exit(code: int) -> str:
    """Say how a process ended, from its exit code: "was ended by SIGKILL (out of memory?)"."""
    if code >= 0:
        return f"ended with {code}"
    name = signal.Signals(-code).name
    return f"was ended by {name}" + " (out of memory?)" * (name == "SIGKILL")


class EventChannel:
    """A child's way to its parent. Takes the real stdout for itself: from then on what libraries
    print goes to stderr, the log. Any thread may send.

    `max_message`: characters of an error's text, for children that write into one pipe together:
    lines of up to 4,096 bytes do not mix (PIPE_BUF)."""

    def __init__(self, *, max_message: int | None = None) -> None:
        self._file = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)
        self._lock = threading.Lock()
        self._max_message = max_message

    def send(self, event: Mapping[str, object]) -> None:
        """Send an event, at once."""
        with self._lock:
            self._file.write(json.dumps(event) + "\n")
            self._file.flush()

    def send_error(
        self, error: BaseException, *, event: str = "error", kind: str | None = None
    ) -> None:
        """Send an error, as one of class `kind` where it is not of its own."""
        message = str(error)[: self._max_message]
        self.send({"event": event, "kind": kind or type(error).__name__, "message": message})

    def report_uncaught(
        self,
        *,
        cache: Path,
        log: Path,
        event: Literal["error", "uncaught"] = "error",
        leave: bool = False,
    ) -> None:
        """Have exceptions that nothing catches reported: the traceback goes to the log, and what it
        means as an error to the parent. `leave`: then end the process there and then, whatever its
        threads wait for."""

        def report(
            kind: type[BaseException], error: BaseException, trace: TracebackType | None
        ) -> None:
            sys.__excepthook__(kind, error, trace)
            self.send_error(as_build_error(error, cache=cache, log=log), event=event)
            if leave:
                sys.stderr.flush()
                os._exit(1)

        sys.excepthook = report
