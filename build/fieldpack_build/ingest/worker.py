"""A process that reads documents, one job after the other, until the pipe ends.

What it cannot survive it reports before it dies; what kills it without a word the pool sees. Its
memory is bounded for each document (Linux), so that no file can take that of the machine.
"""

from __future__ import annotations

import faulthandler
import resource
import signal
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path

from fieldpack.retrieval.embedder import Embedder

from .read import ReaderConfig, ReadFailure, ReadJob, read_and_chunk

# A workbook of 117 MB of XML, packed to 8, takes 0.6 GB; Word's XML, of which 256 MB are read,
# takes ten times its size in memory.
_MEMORY = 3 << 30
# A text of 60 MB takes 0.9 GB when it is cut into chunks.
_MEMORY_A_BYTE = 16
_STATISTICS = Path("/proc/self/statm")


def serve(connection: Connection, config: ReaderConfig) -> None:
    """Send (None, True) when it is ready, then (outcome, whether it goes on) for each job."""
    faulthandler.enable()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's, which ends this process
    with suppress(OSError):
        # Where memory runs out, this process goes and not the one that has embedded for hours.
        Path("/proc/self/oom_score_adj").write_text("1000")
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    embedder = Embedder.open(config.embedder)
    connection.send((None, True))
    while True:
        try:
            job: ReadJob = connection.recv()
        except EOFError:
            return
        _bound_memory(_MEMORY + _MEMORY_A_BYTE * job.size)
        try:
            outcome = read_and_chunk(job, config, embedder)
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


def _bound_memory(more: int) -> None:
    """Let this process have `more` bytes of data than it has; what is beyond is a MemoryError."""
    if _STATISTICS.exists():  # not so on macOS
        data = int(_STATISTICS.read_text(encoding="ascii").split()[5]) * resource.getpagesize()
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        soft = data + more if hard == resource.RLIM_INFINITY else min(data + more, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))
