"""A process that reads documents, one job after the other, until the pipe ends.

What it cannot survive it reports before it dies; what kills it without a word the pool sees.
"""

from __future__ import annotations

import faulthandler
import signal
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path

from fieldpack.retrieval.embedder import Embedder

from .read import ReaderConfig, ReadFailure, ReadJob, read_and_chunk


def serve(connection: Connection, config: ReaderConfig) -> None:
    """Send (None, True) when it is ready, then (outcome, whether it goes on) for each job."""
    faulthandler.enable()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's, which ends this process
    with suppress(OSError):
        # Where memory runs out, this process goes and not the one that has embedded for hours.
        Path("/proc/self/oom_score_adj").write_text("1000")
    embedder = Embedder.open(config.embedder)
    connection.send((None, True))
    while True:
        try:
            job: ReadJob = connection.recv()
        except EOFError:
            return
        try:
            outcome = read_and_chunk(job, config, embedder)
        except Exception as error:
            if isinstance(error, MemoryError):
                reason = "needs more memory than there is; split it"
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
