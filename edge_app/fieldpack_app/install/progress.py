"""How far a long copy is, with the time left, on stderr. Knows nothing of what is copied."""

from __future__ import annotations

import sys
import time

_EVERY_TERMINAL, _EVERY_PLAIN = 0.2, 10.0  # seconds between two lines


class Progress:
    """Shows how far a copy of `total` bytes is. On a terminal one line that is written over, else a line every ten
    seconds."""

    def __init__(self, total: int, what: str) -> None:
        self._total = total
        self._what = what
        self._begun = self._last = time.monotonic()
        self._terminal = sys.stderr.isatty()
        self._shown = False

    def at(self, done: int, *, before: int = 0) -> None:
        """Show that `done` bytes are copied, on top of `before`, unless the last line is too
        fresh."""
        done += before
        now = time.monotonic()
        if now - self._last < (_EVERY_TERMINAL if self._terminal else _EVERY_PLAIN):
            return
        self._last = now
        spent = now - self._begun
        left = ""
        if done:
            seconds = spent / done * (self._total - done)
            span = f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
            left = f", about {span} left"
        line = f"{self._what}: {done / 1e6:,.0f} of {self._total / 1e6:,.0f} MB{left}"
        print(
            f"\r\x1b[K{line}" if self._terminal else line,
            end="" if self._terminal else "\n",
            file=sys.stderr,
            flush=True,
        )
        self._shown = True

    def done(self) -> None:
        """Clear the line on a terminal."""
        if self._terminal and self._shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
