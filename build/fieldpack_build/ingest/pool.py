"""Reads documents in worker processes: in the order given, a bounded number ahead of the one who
takes them.

A document on which its worker dies (a crash in native code, the kernel's out-of-memory killer) is
skipped with a reason; a new worker takes its place. Knows nothing of what reading is: `worker`
does.
"""

from __future__ import annotations

import multiprocessing
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection, wait
from types import TracebackType

from ..errors import StageError
from .read import Outcome, ReaderConfig, ReadFailure, ReadJob
from .worker import serve

_AHEAD = 32  # documents read before they are wanted, for each worker
_AHEAD_BYTES = 64 << 20  # of files; what a reader makes of one is several times its size
_PATIENCE = 3600.0  # seconds for one document; OCR of 300 pages takes ten minutes


class _Worker:
    def __init__(self, reading: ReaderConfig) -> None:
        context = multiprocessing.get_context(
            "spawn"
        )  # a fork of a process with onnxruntime's threads can hang
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs, reading), daemon=True)
        self.process.start()
        theirs.close()  # so that its end shows here as an end of file
        self.ready = False
        self.at: int | None = None
        self.since = 0.0

    def give(self, at: int, order: ReadJob) -> None:
        self.at, self.since = at, time.monotonic()
        self.connection.send(order)

    def end(self) -> int:
        """Its exit code; a process that does not end by itself is ended."""
        self.connection.close()
        self.process.join(timeout=1)
        if self.process.is_alive():
            self.process.kill()
        self.process.join()
        return self.process.exitcode or 0


class ReadingPool:
    """`with ReadingPool(...) as pool: for outcome in pool.results(orders): ...`. A thread hands out
    and collects, so that documents are read while the one who takes them is busy."""

    def __init__(self, reading: ReaderConfig, *, workers: int) -> None:
        self._reading = reading
        self._limit = workers
        self._workers: list[_Worker] = []
        self._orders: Sequence[ReadJob] = ()
        self._next = self._taken = self._bytes = 0
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

    def results(self, orders: Sequence[ReadJob]) -> Iterator[Outcome]:
        """One outcome for each order, in their order. Raises StageError when no worker starts."""
        self._orders = orders
        self._thread = threading.Thread(target=self._run, name="reading", daemon=True)
        self._thread.start()
        for at, order in enumerate(orders):
            with self._changed:
                while at not in self._done and self._error is None:
                    self._changed.wait()
                if self._error is not None and at not in self._done:
                    raise self._error
                outcome = self._done.pop(at)
                self._taken += 1
                self._bytes -= order.size
            self._bell.send_bytes(b".")
            yield outcome

    def _run(self) -> None:
        try:
            while not self._stopped and self._taken < len(self._orders):
                self._hand_out()
                self._collect()
        except (OSError, StageError) as error:  # no more processes, a worker that does not start
            with self._changed:
                self._error = error
                self._changed.notify_all()

    def _hand_out(self) -> None:
        """Orders to idle workers, and a new worker while there is work and room for one."""
        while self._next < len(self._orders) and self._has_room():
            worker = next((w for w in self._workers if w.at is None), None)
            if worker is None:
                if len(self._workers) >= self._limit:
                    return
                worker = _Worker(self._reading)
                self._workers.append(worker)
            order = self._orders[self._next]
            with self._changed:
                self._bytes += order.size
            try:
                worker.give(self._next, order)
            except (
                OSError
            ):  # it died while idle: found out by _collect, which hands the document back
                worker.at = None
                self._retire(worker)
                with self._changed:
                    self._bytes -= order.size
                continue
            self._next += 1

    def _has_room(self) -> bool:
        ahead = self._next - self._taken
        return ahead == 0 or (ahead < _AHEAD * self._limit and self._bytes < _AHEAD_BYTES)

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
            outcome, alive = worker.connection.recv()
        except (EOFError, OSError):
            self._lose(worker, None)
            return
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
            name = self._orders[worker.at].relative
            self._finish(
                worker, ReadFailure(name, f"{name}: {why or _obituary(code)}", lasting=False)
            )

    def _retire(self, worker: _Worker) -> int:
        self._workers.remove(worker)
        return worker.end()

    def _finish(self, worker: _Worker, outcome: Outcome) -> None:
        assert worker.at is not None
        with self._changed:
            self._done[worker.at] = outcome
            worker.at = None
            self._changed.notify_all()


def _obituary(code: int) -> str:
    if code >= 0:
        return f"its reader's process ended with {code}; leave the file out, or repair it"
    name = signal.Signals(-code).name
    what = " (out of memory?)" if name == "SIGKILL" else ""
    return f"its reader's process was ended by {name}{what}; leave the file out, or repair it"
