"""Shows a word on a terminal while there is nothing to read yet, and nothing in a pipe. Knows nothing
of what is waited for."""

from __future__ import annotations

import os
import sys
from types import TracebackType

_CLEAR = "\r\x1b[K"


class Spinner:
    """A line that says what is waited for, from the `with` on; it is gone at `clear()` or at the end
    of the `with`, and does not come back."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._shown = False
        self._live = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"

    def __enter__(self) -> Spinner:
        self._shown = self._live
        self.say(self._text)
        return self

    def say(self, text: str) -> None:
        """Show another text."""
        if self._shown:
            sys.stdout.write(f"{_CLEAR}{text} ...")
            sys.stdout.flush()

    def clear(self) -> None:
        """Remove the line for good."""
        if self._shown:
            sys.stdout.write(_CLEAR)
            sys.stdout.flush()
            self._shown = False

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.clear()
