"""Reads documents in worker processes: in the order of the jobs, a bounded number ahead of who
takes them.

A document on which its worker dies (a crash in native code, a limit of memory or time) is read once
more, by a worker that finds out first what takes too much; one that ends that worker too, or that
the kernel's out-of-memory killer ends, is skipped with a reason. A new worker takes the place of
each. Knows nothing of what reading is: `worker`
does.
"""

from __future__ import annotations

import multiprocessing
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from multiprocessing.connection import Connection, wait
from types import TracebackType

from ..errors import StageError
from .read import Outcome, ReaderConfig, ReadFailure, ReadJob, ReadProgress
from .worker import serve

_AHEAD = 32  # documents read before they are wanted, for each worker
_AHEAD_BYTES = 64 << 20  # of files; what a reader makes of one is several times its size
_ENDED = (signal.SIGKILL, signal.SIGTERM)  # by somebody, or by the kernel for want of memory
_PATIENCE = 3600.0  # seconds for one document; OCR of 300 pages takes ten minutes
_DYING = 60.0  # seconds that a process may take to end, with its gigabytes of memory


class _Worker:
    def __init__(self, config: ReaderConfig) -> None:
        # A fork of a process with onnxruntime's threads can hang.
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs, config), daemon=True)
        self.process.start()
        theirs.close()  # so that its end shows here as an end of file
        self.ready = False
        self.at: int | None = None
        self.since = 0.0

    def give(self, at: int, job: ReadJob) -> None:
        self.at, self.since = at, time.monotonic()
        self.connection.send(job)

    def end(self, *, patience: float = 1.0) -> int:
        """Its exit code; a process that does not end by itself within `patience` seconds is
        ended."""
        self.connection.close()
        self.process.join(timeout=patience)
        if self.process.is_alive():
            self.process.kill()
        self.process.join()
        return self.process.exitcode or 0


class ReadingPool:
    """Reads in processes: `with ReadingPool(...) as pool: for outcome in pool.results(jobs): ...`.

    A thread hands out and collects, so that documents are read while the one who takes them is
    busy. `on_progress`, called in that thread, is told how far the document of a job is.
    """

    def __init__(
        self,
        config: ReaderConfig,
        *,
        workers: int,
        on_progress: Callable[[ReadJob, ReadProgress], None] | None = None,
    ) -> None:
        self._config = config
        self._on_progress = on_progress
        self._limit = workers
        self._workers: list[_Worker] = []
        self._jobs: list[ReadJob] = []
        self._next = self._taken = self._bytes = 0
        self._again: deque[int] = deque()  # jobs that ended their worker
        self._done: dict[int, Outcome] = {}
        self._changed = threading.Condition()
        self._ring, self._bell = multiprocessing.Pipe(duplex=False)
        self._error: BaseException | None = None
        self._stopped = False
        self._thread: threading.Thread | None = None

    def __enter__(self) -> ReadingPool:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopped = True
        self._bell.send_bytes(b".")
        if self._thread:
            self._thread.join()
        for worker in self._workers:
            if worker.at is not None or kind:  # nobody waits for what it reads
                worker.process.kill()
            worker.end()

    def results(self, jobs: Sequence[ReadJob]) -> Iterator[Outcome]:
        """Yield one outcome for each job, in their order.

        Raises StageError when no worker starts.
        """
        self._jobs = list(jobs)
        self._thread = threading.Thread(target=self._run, name="reading", daemon=True)
        self._thread.start()
        for at, job in enumerate(jobs):
            with self._changed:
                while at not in self._done and self._error is None:
                    self._changed.wait()
                if self._error is not None and at not in self._done:
                    raise self._error
                outcome = self._done.pop(at)
                self._taken += 1
                self._bytes -= job.size
            self._bell.send_bytes(b".")
            yield outcome

    def _run(self) -> None:
        try:
            while not self._stopped and self._taken < len(self._jobs):
                self._hand_out()
                self._collect()
        except (OSError, StageError) as error:  # no more processes, a worker that does not start
            with self._changed:
                self._error = error
                self._changed.notify_all()

    def _hand_out(self) -> None:
        """Jobs to idle workers, and a new worker while there is work and room for one."""
        while self._again or self._next < len(self._jobs):
            ahead = self._next - self._taken
            is_full = ahead >= _AHEAD * self._limit or self._bytes >= _AHEAD_BYTES
            if ahead and is_full and not self._again:
                return
            worker = next((w for w in self._workers if w.at is None), None)
            if worker is None:
                if len(self._workers) >= self._limit:
                    return
                worker = _Worker(self._config)
                self._workers.append(worker)
            at = self._again[0] if self._again else self._next
            try:
                worker.give(at, self._jobs[at])
            except OSError:  # it died while idle, and the document goes to another
                worker.at = None
                self._retire(worker)
                continue
            if self._again:
                self._again.popleft()
                continue
            with self._changed:
                self._bytes += self._jobs[at].size
            self._next += 1

    def _collect(self) -> None:
        busy = {
            worker.connection: worker
            for worker in self._workers
            if worker.at is not None or not worker.ready
        }
        for connection in wait([*busy, self._ring], timeout=30):
            if connection is self._ring:
                self._ring.recv_bytes()
            elif isinstance(connection, Connection):
                self._hear(busy[connection])
        for worker in busy.values():
            if worker.at is not None and time.monotonic() - worker.since > _PATIENCE:
                worker.process.kill()
                self._lose(
                    worker,
                    f"was read for more than {_PATIENCE / 60:.0f} minutes; leave it out or split it",
                )

    def _hear(self, worker: _Worker) -> None:
        try:
            message = worker.connection.recv()
        except (EOFError, OSError):
            self._lose(worker, None)
            return
        if isinstance(message, ReadProgress):
            if self._on_progress is not None and worker.at is not None:
                self._on_progress(self._jobs[worker.at], message)
            return
        outcome, alive = message
        if outcome is None:
            worker.ready = True
            return
        self._finish(worker, outcome)
        if not alive:
            self._retire(worker)

    def _lose(self, worker: _Worker, why: str | None) -> None:
        """A worker has died: of the document that it had."""
        code = self._retire(worker)
        if not worker.ready and why is None:
            raise StageError(
                f"a process that reads documents ended with {code} before it began; see the "
                "stage's log"
            )
        if worker.at is not None:
            job = self._jobs[worker.at]
            name = job.relative
            if why is None and code < 0 and -code not in _ENDED and not job.again:
                self._jobs[worker.at] = replace(job, again=True)
                self._again.append(worker.at)
                return
            if why is None:
                end = f"ended with {code}"
                if code < 0:
                    signal_name = signal.Signals(-code).name
                    end = f"was ended by {signal_name}"
                    end += " (out of memory?)" if signal_name == "SIGKILL" else ""
                why = f"its reader's process {end}; leave the file out, or repair it"
            self._finish(worker, ReadFailure(name, f"{name}: {why}", lasting=False))

    def _retire(self, worker: _Worker) -> int:
        """Part with a worker that is dying, and return its exit code. It is let go its own way:
        killed on it, it would say neither of what it dies nor why."""
        self._workers.remove(worker)
        return worker.end(patience=_DYING)

    def _finish(self, worker: _Worker, outcome: Outcome) -> None:
        assert worker.at is not None
        with self._changed:
            self._done[worker.at] = outcome
            worker.at = None
            self._changed.notify_all()
