"""Runs answers: each waits in the queue, runs in the one thread that generates, hands its events to
the event loop, and stops when nobody listens any more. While nobody's answer runs, reads ahead for
a question that is still being typed. Knows nothing of HTTP's forms."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Any, cast

from fieldpack import Answer, Done, Event, Expert, FieldpackError, Previous

from .errors import HttpError, from_runtime
from .fair_queue import FairQueue, QueueFull, Ticket
from .feedback_log import FeedbackLog
from .loaded_bundle import LoadedBundle
from .metrics import Metrics
from .settings import Limits

# Begins the answer when its ticket is served; the event cancels it.
Start = Callable[[Expert, threading.Event], Iterator[Event]]
_log = logging.getLogger("fieldpack.server")


@dataclass(frozen=True, slots=True)
class Queued:
    """The event that says how many requests are answered before this one; 0 when it is begun."""

    position: int


class Prefetcher:
    """Reads ahead for a question that is being typed, in the thread that generates. One at a time: a
    later one, or a question that is asked, takes its place."""

    def __init__(self, loaded: LoadedBundle, queue: FairQueue, thread: Executor) -> None:
        self._loaded = loaded
        self._queue = queue
        self._thread = thread
        self._cancel = threading.Event()

    def begin(self, typed: str, previous: Previous | None) -> None:
        """Begin to read ahead; not while models open or an answer runs, as it would only delay
        that."""
        self.stop()
        if not typed.strip() or self._loaded.loading or not self._queue.idle:
            return
        cancel = self._cancel = threading.Event()
        expert = self._loaded.expert

        def read() -> None:
            if cancel.is_set() or expert is not self._loaded.expert:
                return
            # It was stopped, or fails as the question itself will, which says so.
            with suppress(FieldpackError):
                expert.read_ahead(typed, previous=previous, cancel=cancel)

        self._thread.submit(read)

    def stop(self) -> None:
        """Stop the model, which takes it a slice of the prompt at most."""
        self._cancel.set()


class AnswerService:
    """Starts answers, and holds what they share: the queue, the thread, the metrics."""

    def __init__(
        self,
        loaded: LoadedBundle,
        queue: FairQueue,
        metrics: Metrics,
        feedback_log: FeedbackLog,
        limits: Limits,
    ) -> None:
        self.loaded = loaded
        self.queue = queue
        self.metrics = metrics
        self.feedback_log = feedback_log
        self.limits = limits
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="answers")
        self.prefetcher = Prefetcher(loaded, queue, self.thread)
        self._jobs: set[AnswerJob] = set()
        self._stopping = False

    def start(self, client: str, begin: Start) -> AnswerJob:
        """Queue an answer. Raises HttpError (429, 503)."""
        if self._stopping:
            raise _stopping()
        self.prefetcher.stop()
        try:
            ticket = self.queue.enter(client)
        except QueueFull as full:
            self.metrics.count("queue_full")
            whose = "of yours" if full.own else "others"
            seconds = min(max(round(self.metrics.mean_seconds() * full.waiting), 1), 60)
            raise HttpError(
                429,
                "queue_full",
                f"{full.waiting} questions {whose} are waiting already; ask again in about "
                f"{seconds} s",
                headers={"Retry-After": str(seconds)},
            ) from None
        job = AnswerJob(self, ticket, begin)
        self._jobs.add(job)
        job.task.add_done_callback(lambda _: self._jobs.discard(job))
        return job

    def stop_all(self) -> None:
        """Stop every answer, as the server is being stopped, and begin no more: a connection that is
        open already can still bring one."""
        self._stopping = True
        for job in tuple(self._jobs):
            job.stop(_stopping())

    def close(self) -> None:
        """Wait for the thread to end."""
        self.prefetcher.stop()
        self.thread.shutdown(cancel_futures=True)


def _stopping() -> HttpError:
    return HttpError(503, "stopping", "the server is being stopped; ask again when it runs")


class AnswerJob:
    """One answer. `events` is read once; `stop` may be called at any time, and again."""

    def __init__(self, service: AnswerService, ticket: Ticket, begin: Start) -> None:
        self._service = service
        self._ticket = ticket
        self._begin = begin
        self._bundle = service.loaded.current
        self._cancel = threading.Event()
        self._events: asyncio.Queue[Queued | Event | HttpError | None] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()
        self.task = asyncio.create_task(self._run())
        self.task.add_done_callback(self._ended)

    def stop(self, error: HttpError | None = None) -> None:
        """Stop the answer: the model stops within a token, and the next ticket is served when it
        has. `error`: what the client gets as the last event."""
        if not self.task.done():
            self._cancel.set()
            self._ticket.wake()
            self._events.put_nowait(error)

    async def events(self) -> AsyncIterator[Queued | Event | HttpError | None]:
        """Yield Queued..., then the runtime's events, or an HttpError as the last one; None in
        between, every `heartbeat_seconds`, says that the server is still there."""
        while True:
            try:
                async with asyncio.timeout(self._service.limits.heartbeat_seconds):
                    event = await self._events.get()
            except TimeoutError:
                yield None
                continue
            if event is None:
                return
            yield event
            if isinstance(event, HttpError | Done):
                return

    async def answer(self) -> Answer | None:
        """Return the whole answer; None if it was stopped. Raises HttpError."""
        async for event in self.events():
            if isinstance(event, HttpError):
                raise event
            if isinstance(event, Done):
                return event.answer
        return None

    async def _run(self) -> None:
        """Wait until the ticket is served, then answer in the thread, within the time limit."""
        loaded, seconds = self._service.loaded, self._service.limits.answer_seconds
        try:
            while True:
                if self._cancel.is_set():
                    return
                position = self._ticket.position
                self._events.put_nowait(Queued(position))
                if position == 0:
                    break
                await self._ticket.moved()
            if loaded.current is not self._bundle:
                message = f"the bundle is {loaded.current.id} now; ask again"
                self._events.put_nowait(HttpError(409, "bundle_changed", message))
                return
            too_slow = HttpError(
                503,
                "too_slow",
                f"no whole answer within {seconds:g} s; ask for less, or allow more time",
            )
            limit = self._loop.call_later(seconds, self.stop, too_slow)
            try:
                done = await self._loop.run_in_executor(
                    self._service.thread, self._generate, loaded.expert
                )
            finally:
                limit.cancel()
        finally:
            self._ticket.leave()
        if done is not None:
            self._events.put_nowait(done)

    def _generate(self, expert: Expert) -> Done | None:
        """Generate the answer, in the thread, and return its last event; None if it was stopped or
        failed. The last event is not sent here: who has it may ask again at once, and finds the
        queue free, the answer counted and the unanswered question written down. A stopped answer's
        iterator is closed here, where it runs."""
        metrics = self._service.metrics.answer()
        done = None

        def send(event: Event | HttpError) -> None:
            self._loop.call_soon_threadsafe(self._events.put_nowait, event)

        try:
            with closing(cast(Any, self._begin(expert, self._cancel))) as events:
                for event in events:
                    if self._cancel.is_set():
                        break
                    metrics.observe(event)
                    if not isinstance(event, Done):
                        send(event)
                        continue
                    done = event
                    if done.answer.refused:
                        self._service.feedback_log.unanswered(self._bundle.id, done.answer)
        except FieldpackError as error:
            if done is None and not self._cancel.is_set():
                self._service.metrics.count("failed")
                send(from_runtime(error))
        finally:
            metrics.end(stopped=self._cancel.is_set())
        return done

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Tell the reader of `events` that the answer has ended, however it did."""
        if not task.cancelled() and (error := task.exception()):
            _log.error("an answer failed", exc_info=error)
            self._service.metrics.count("failed")
            self._events.put_nowait(
                HttpError(500, "failed", "the answer failed; the server's terminal says why")
            )
        self._events.put_nowait(None)
