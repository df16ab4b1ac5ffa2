"""Reading ahead: while a question is typed and nobody's answer runs, its passages are searched and
read. Knows nothing of HTTP."""

from __future__ import annotations

import threading
from concurrent.futures import Executor
from contextlib import suppress

from fieldpack import Expert, FieldpackError, Previous

from .fair_queue import FairQueue
from .loaded_bundle import LoadedBundle


class Prefetcher:
    """One at a time, in the thread that generates; a later one, or a question that is asked, takes
    its place."""

    def __init__(self, desk: LoadedBundle, turns: FairQueue, thread: Executor) -> None:
        self._desk = desk
        self._turns = turns
        self._thread = thread
        self._cancel = threading.Event()

    def begin(self, typed: str, previous: Previous | None) -> None:
        """Nothing is read while models open or an answer runs: that would only delay it."""
        self.stop()
        if typed.strip() and not self._desk.loading and self._turns.idle:
            self._cancel = threading.Event()
            self._thread.submit(self._read, self._desk.expert, typed, previous, self._cancel)

    def stop(self) -> None:
        """The model stops within a slice of the prompt."""
        self._cancel.set()

    def _read(
        self, expert: Expert, typed: str, previous: Previous | None, cancel: threading.Event
    ) -> None:
        if cancel.is_set() or expert is not self._desk.expert:
            return
        with suppress(FieldpackError):  # stopped; or what the question itself will meet, and tells
            expert.read_ahead(typed, previous=previous, cancel=cancel)
