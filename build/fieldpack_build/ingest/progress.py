"""How far a library is: chunks embedded a second, and how many are still to come.

That is guessed from the files' sizes while documents are still being read. Knows nothing of how
they are read or embedded.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

_EVERY = 0.2  # seconds between two reports
Report = Callable[[float, float, str, bool], None]


class ProgressEstimator:
    """Reports progress as `report(done, total, note, total_is_a_guess)`.

    `documents` are to be read, of `size` bytes together. Safe to use from several threads.
    """

    def __init__(
        self, documents: int, size: int, report: Report, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._documents, self._size = documents, size
        self._report, self._clock = report, clock
        self._read = self._skipped = self._bytes = self._chunks = self.embedded = 0
        self._begun: float | None = None
        self._last = float("-inf")
        self._lock = threading.Lock()

    def begin(self) -> None:
        """Report that there is something to count, and nothing is read yet."""
        with self._lock:
            self._report_now()

    def read(self, size: int, new_chunks: int) -> None:
        """Count a document of `size` bytes; `new_chunks` of it have no vector yet."""
        with self._lock:
            self._read += 1
            self._bytes += size
            self._chunks += new_chunks
            self._report_now()

    def skipped(self, size: int) -> None:
        """Count a document of `size` bytes that was not read."""
        with self._lock:
            self._skipped += 1
        self.read(size, 0)

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
        documents = f"{self._read:,}/{self._documents:,} documents"
        skipped = f", {self._skipped:,} skipped" if self._skipped else ""
        if not self._chunks:
            self._report(self._read, self._documents, f"documents read{skipped}", False)
            return
        spent = now - self._begun if self._begun is not None else 0.0
        rate = f", {self.embedded / spent:,.0f}/s" if self.embedded and spent > 0 else ""
        guess = self._read < self._documents
        total = self._chunks * max(1.0, self._size / max(1, self._bytes)) if guess else self._chunks
        self._report(
            self.embedded, round(total), f"chunks embedded{rate}; {documents}{skipped}", guess
        )
