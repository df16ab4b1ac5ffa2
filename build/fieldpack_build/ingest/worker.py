"""A process that reads documents, one job after the other, until the pipe ends.

What it cannot survive it reports before it dies; what kills it without a word the pool sees. Its
memory is bounded for each document (Linux), so that no file can take that of the machine.
"""

from __future__ import annotations

import faulthandler
import signal
import time
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path

from fieldpack.retrieval.embedder import Embedder

from ..process_limits import bound_memory, set_limit
from .read import ReaderConfig, ReadFailure, ReadJob, ReadProgress, read_and_chunk

# A workbook of 117 MB of XML, packed to 8, takes 0.6 GB; Word's XML, of which 256 MB are read,
# takes ten times its size in memory.
MEMORY = 3 << 30
# A text of 60 MB takes 0.9 GB when it is cut into chunks.
MEMORY_A_BYTE = 16
_EVERY = 0.2  # seconds between two messages of how far a document is


def serve(connection: Connection, config: ReaderConfig) -> None:
    """Send (None, True) when it is ready, then for each job how far it is, now and then, as a
    `ReadProgress`, and at last (outcome, whether it goes on)."""
    faulthandler.enable()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's, which ends this process
    with suppress(OSError):
        # Where memory runs out, this process goes and not the one that has embedded for hours.
        Path("/proc/self/oom_score_adj").write_text("1000")
    set_limit("CORE", 0)
    embedder = Embedder.open(config.embedder)
    connection.send((None, True))
    while True:
        try:
            job: ReadJob = connection.recv()
        except EOFError:
            return
        bound_memory("DATA", MEMORY + MEMORY_A_BYTE * job.size)
        try:
            outcome = read_and_chunk(job, config, embedder, _Now(connection))
        except Exception as error:
            if isinstance(error, MemoryError):
                reason = "needs more memory than there is for it; split it"
            else:
                words = " ".join(str(error).split())[:200]
                reason = (
                    f"its reader failed: {type(error).__name__}: {words}; the traceback is in the "
                    "stage's log"
                )
            failure = ReadFailure(job.relative, f"{job.relative}: {reason}", lasting=False)
            connection.send((failure, False))
            # its traceback is for the log, and a process in an unknown state is not used again
            raise
        connection.send((outcome, True))


class _Now:
    """Sends how far a document is, but not more often than a person sees."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._last = float("-inf")

    def __call__(self, done: int, total: int, unit: str, share: float) -> None:
        now = time.monotonic()
        if now - self._last >= _EVERY:
            self._last = now
            self._connection.send(ReadProgress(done, total, unit, share))
