"""Runs what needs no language model (searches, passages, vectors, small files) in threads beside the
one that generates."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from .errors import HttpError

_T = TypeVar("_T")
_THREADS = 2  # each holds an SQLite connection
_MAX_WAITING = 32


class SearchPool:
    """A pool of threads with a limit on what waits for it."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="searches")
        self._pending = 0

    async def run(self, work: Callable[[], _T]) -> _T:
        """Call `work` in a thread and return its result. Raises HttpError (429) when too many wait,
        and what `work` raises."""
        if self._pending >= _MAX_WAITING:
            raise HttpError(
                429,
                "queue_full",
                "too many searches at once; try again in a second",
                headers={"Retry-After": "1"},
            )
        self._pending += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._pending -= 1

    def close(self) -> None:
        """Wait for the threads to end."""
        self._threads.shutdown(cancel_futures=True)
