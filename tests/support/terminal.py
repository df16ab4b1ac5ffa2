"""A terminal of its own for a command under test: what is typed goes in, what would be seen comes
out."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import psutil

COMMAND = [sys.executable, "-m", "fieldpack_app.cli"]
_WAIT = 120  # seconds, after which a test fails; a starved machine opens the models slowly
_STYLE = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]|\x1b[=>]")


def wait_until_asleep(process: subprocess.Popen[bytes]) -> None:
    """Wait until the main thread of a process waits for something, such as its input."""
    deadline = time.monotonic() + _WAIT
    while psutil.Process(process.pid).status() != psutil.STATUS_SLEEPING:
        assert process.poll() is None, "it has ended"
        assert time.monotonic() < deadline, "it never waited"
        time.sleep(0.01)


class Terminal:
    """`with Terminal("chat", bundle) as t: t.until("> "); t.type("...")`. Keys are bytes as a
    keyboard sends them."""

    def __init__(self, *args: str | Path, environment: Mapping[str, str] | None = None) -> None:
        self._args = [*COMMAND, *map(str, args)]
        self._environment = {
            **os.environ,
            "TERM": "xterm",
            "LANG": "C.UTF-8",
            **(environment or {}),
        }
        self.raw = ""  # all that came
        self._at, self._left = (
            0,
            "",
        )  # how much of it `until` has seen, and what it has not passed yet

    def __enter__(self) -> Terminal:
        self._mine, theirs = pty.openpty()
        self.process = subprocess.Popen(
            self._args,
            env=self._environment,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            preexec_fn=lambda: os.login_tty(
                theirs
            ),  # its controlling terminal, so that Ctrl-C is a signal
        )
        os.close(theirs)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._mine)

    def keys(self, text: str) -> None:
        os.write(self._mine, text.encode())

    def line(self, text: str) -> None:
        self.keys(text + "\r")

    def until(self, text: str) -> str:
        """What was shown from the last `until` to the end of `text`, without colours."""
        deadline = time.monotonic() + _WAIT
        while True:
            shown = self._left + _STYLE.sub("", self.raw[self._at :])
            before, found, after = shown.partition(text)
            if found:
                self._at, self._left = len(self.raw), after
                return before + found
            if not self._read(deadline):
                raise AssertionError(f"{text!r} never came; this did: {shown!r}")

    def until_asleep(self) -> None:
        """Wait until the command waits, as it does for a key once all that it had to show came."""
        wait_until_asleep(self.process)

    def ended(self) -> int:
        """Its exit code, all that it still had to say read."""
        while self._read(time.monotonic() + _WAIT):
            pass
        return self.process.wait(timeout=_WAIT)

    def _read(self, deadline: float) -> bool:
        ready, _, _ = select.select([self._mine], [], [], max(deadline - time.monotonic(), 0))
        try:
            data = os.read(self._mine, 65536) if ready else b""
        except OSError:  # Linux: the other side is closed
            data = b""
        self.raw += data.decode("utf-8", "replace")
        return bool(data)
