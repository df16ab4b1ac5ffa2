"""How far a library is: by the size of what has been read, pages of a long document included, until
the first chunks are embedded; then by chunks, of which those to come are guessed from the files'
sizes. Knows nothing of how documents are read or embedded.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import NamedTuple, Protocol

_EVERY = 0.2  # seconds between two reports
_NAME_LIMIT = 40  # characters of a document's name


class Report(Protocol):
    """Takes how far it is: `done` of `total`, of what `note` says.

    `guess`: the total is one. `count`: how that is to be shown, where not as the two figures.
    `left`: seconds to the end, where they are known better than from the pace of `done`.
    """

    def __call__(
        self,
        done: float,
        total: float,
        note: str,
        guess: bool,
        *,
        count: str = "",
        left: float | None = None,
    ) -> None:
        """Take it."""
        ...


class _Partial(NamedTuple):
    """A document of `size` bytes of which `done` pages, or what `unit` says, of `total` are read:
    `share` of all that is to be done."""

    size: int
    done: int
    total: int
    unit: str
    share: float

    @property
    def bytes(self) -> float:
        return self.size * min(self.share, 1.0)


class ProgressEstimator:
    """Reports how far a library is, to `report`.

    `documents` are to be read, of `size` bytes together. Safe to use from several threads.
    """

    def __init__(
        self, documents: int, size: int, report: Report, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._documents, self._size = documents, size
        self._report, self._clock = report, clock
        self._read = self._skipped = self._bytes = self._chunks = self.embedded = 0
        self._partial: dict[str, _Partial] = {}
        self._since = clock()
        self._begun: float | None = None
        self._last = float("-inf")
        self._lock = threading.Lock()

    def begin(self) -> None:
        """Report that there is something to count, and nothing is read yet."""
        with self._lock:
            self._report_now()

    def reading(self, name: str, size: int, done: int, total: int, unit: str, share: float) -> None:
        """Note that of a document of `size` bytes `done` of `total` pages are read, or of what
        `unit` says: `share` of all that is to be done before it is embedded."""
        with self._lock:
            self._partial[name] = _Partial(size, done, total, unit, share)
            self._report_now()

    def read(self, name: str, size: int, new_chunks: int) -> None:
        """Count a document of `size` bytes; `new_chunks` of it have no vector yet."""
        with self._lock:
            self._partial.pop(name, None)
            self._read += 1
            self._bytes += size
            self._chunks += new_chunks
            self._report_now()

    def skipped(self, name: str, size: int) -> None:
        """Count a document of `size` bytes that was not read."""
        with self._lock:
            self._skipped += 1
        self.read(name, size, 0)

    def embedding(self) -> None:
        """Note that the first chunks are about to be embedded: a rate counts from here."""
        with self._lock:
            self._begun = self._begun or self._clock()

    def embed(self, count: int) -> None:
        """Count chunks that were embedded."""
        with self._lock:
            self.embedded += count
            self._report_now()

    def end(self) -> None:
        """Report the last figures, however short ago the last report was."""
        with self._lock:
            self._last = float("-inf")
            self._report_now()

    def _report_now(self) -> None:
        now = self._clock()
        if now - self._last < _EVERY:
            return
        self._last = now
        count = f"{self._read:,}/{self._documents:,}"
        skipped = f", {self._skipped:,} skipped" if self._skipped else ""
        size = self._bytes + sum(partial.bytes for partial in self._partial.values())
        if self._begun is None:
            at = self._at()
            note = f"documents{skipped}{at}" if at else f"documents read{skipped}"
            self._report(size, max(self._size, 1), note, False, count=count)
            return
        guess = self._read < self._documents
        total = self._chunks * max(1.0, self._size / max(1, self._bytes)) if guess else self._chunks
        rate = self.embedded / (now - self._begun) if now > self._begun else 0.0
        left = None
        if guess and rate and size:
            to_read = (now - self._since) / size * (self._size - size)
            left = max(to_read, (total - self.embedded) / rate)
        per_second = f", {rate:,.0f}/s" if rate else ""
        note = f"chunks embedded{per_second}; {count} documents{skipped}{self._at()}"
        self._report(self.embedded, round(total), note, guess, left=left)

    def _at(self) -> str:
        """Where the reader is of the document of which most is left, as a clause."""
        name, partial = max(
            self._partial.items(),
            key=lambda entry: entry[1].size - entry[1].bytes,
            default=("", None),
        )
        if partial is None or partial.done >= partial.total:
            return ""
        name = PurePosixPath(name).name
        short = name if len(name) <= _NAME_LIMIT else name[: _NAME_LIMIT - 1] + "…"
        return f"; {partial.unit} {partial.done + 1:,} of {partial.total:,} of {short}"
