"""A word on a terminal while nothing is there to read yet. Nothing anywhere else. Knows nothing of
what is waited for."""

from __future__ import annotations

import os
import sys
from types import TracebackType

_CLEAR = "\r\x1b[K"


class Spinner:
    """Shown from the `with` on; gone at `clear()` or at the end of the `with`, and never back."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._shown = False
        self._live = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"

    def __enter__(self) -> Spinner:
        self._shown = self._live
        self.say(self._text)
        return self

    def say(self, text: str) -> None:
        if self._shown:
            sys.stdout.write(f"{_CLEAR}{text} ...")
            sys.stdout.flush()

    def clear(self) -> None:
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
