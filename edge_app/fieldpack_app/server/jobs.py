"""An answer under way: waits for its turn, runs in the one thread that generates, hands its events
to the event loop, stops when nobody listens any more. Knows nothing of HTTP's forms."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import Any, cast

from fieldpack import Answer, Done, Event, Expert, FieldpackError

from .errors import HttpError, from_runtime
from .fair_queue import FairQueue, QueueFull, Ticket
from .feedback_log import FeedbackLog
from .loaded_bundle import LoadedBundle
from .metrics import Metrics
from .prefetch import Prefetcher
from .settings import Limits

Start = Callable[
    [Expert, threading.Event], Iterator[Event]
]  # how the answer is begun, when its turn has come
_log = logging.getLogger("fieldpack.server")


@dataclass(frozen=True, slots=True)
class Queued:
    position: int  # others before this one; 0: its turn


class AnswerService:
    """What all answers share: the queue, the thread, the figures."""

    def __init__(
        self,
        desk: LoadedBundle,
        turns: FairQueue,
        metrics: Metrics,
        notes: FeedbackLog,
        limits: Limits,
    ) -> None:
        self.desk = desk
        self.turns = turns
        self.metrics = metrics
        self.notes = notes
        self.limits = limits
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="answers")
        self.ahead = Prefetcher(desk, turns, self.thread)
        self._jobs: set[AnswerJob] = set()

    def start(self, client: str, begin: Start) -> AnswerJob:
        """Queue an answer. Raises HttpError (429)."""
        self.ahead.stop()
        try:
            place = self.turns.enter(client)
        except QueueFull as full:
            self.metrics.count("queue_full")
            raise self._full(full) from None
        job = AnswerJob(self, place, begin)
        self._jobs.add(job)
        job.task.add_done_callback(lambda _: self._jobs.discard(job))
        return job

    def stop_all(self) -> None:
        for job in tuple(self._jobs):
            job.stop(
                HttpError(503, "stopping", "the server is being stopped; ask again when it runs")
            )

    def close(self) -> None:
        self.ahead.stop()
        self.thread.shutdown(cancel_futures=True)

    def _full(self, full: QueueFull) -> HttpError:
        whose = "of yours" if full.own else "others"
        seconds = min(max(round(self.metrics.mean_seconds() * full.waiting), 1), 60)
        message = (
            f"{full.waiting} questions {whose} are waiting already; ask again in about {seconds} s"
        )
        return HttpError(429, "queue_full", message, headers={"Retry-After": str(seconds)})


class AnswerJob:
    """One answer. `events` is read once; `stop` may be called at any time, and again."""

    def __init__(self, shared: AnswerService, place: Ticket, begin: Start) -> None:
        self._shared = shared
        self._place = place
        self._begin = begin
        self._bundle = shared.desk.current
        self._cancel = threading.Event()
        self._events: asyncio.Queue[Queued | Event | HttpError | None] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()
        self.task = asyncio.create_task(self._run())
        self.task.add_done_callback(self._ended)

    def stop(self, error: HttpError | None = None) -> None:
        """The model stops within a token; the turn is given on when it has."""
        if not self.task.done():
            self._cancel.set()
            self._place.wake()
            self._events.put_nowait(error)

    async def events(self) -> AsyncIterator[Queued | Event | HttpError | None]:
        """Queued..., then the runtime's events, or an HttpError as the last; None in between says
        that it is still alive, every `heartbeat_seconds`."""
        while True:
            try:
                async with asyncio.timeout(self._shared.limits.heartbeat_seconds):
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
        """The whole answer, None if it was stopped. Raises HttpError."""
        async for event in self.events():
            if isinstance(event, HttpError):
                raise event
            if isinstance(event, Done):
                return event.answer
        return None

    async def _run(self) -> None:
        try:
            if await self._turn():
                await self._answer()
        finally:
            self._place.leave()

    async def _turn(self) -> bool:
        """Whether its turn came before it was stopped."""
        while not self._cancel.is_set():
            position = self._place.position
            self._events.put_nowait(Queued(position))
            if position == 0:
                return True
            await self._place.moved()
        return False

    async def _answer(self) -> None:
        if self._shared.desk.current is not self._bundle:
            now = self._shared.desk.current.id
            self._events.put_nowait(
                HttpError(409, "bundle_changed", f"the bundle is {now} now; ask again")
            )
            return
        limit = self._loop.call_later(self._shared.limits.answer_seconds, self._too_slow)
        try:
            await self._loop.run_in_executor(
                self._shared.thread, self._generate, self._shared.desk.expert
            )
        finally:
            limit.cancel()

    def _too_slow(self) -> None:
        seconds = self._shared.limits.answer_seconds
        self.stop(
            HttpError(
                503,
                "too_slow",
                f"no whole answer within {seconds:g} s; ask for less, or allow more time",
            )
        )

    def _generate(self, expert: Expert) -> None:
        """In the thread. A stopped answer's iterator is closed here, where it runs."""
        figures = self._shared.metrics.answer()
        try:
            with closing(cast(Any, self._begin(expert, self._cancel))) as events:
                for event in events:
                    if self._cancel.is_set():
                        break
                    figures.saw(event)
                    self._hand_on(event)
                    if isinstance(event, Done) and event.answer.refused:
                        self._shared.notes.unanswered(self._bundle.id, event.answer)
        except FieldpackError as error:
            if not self._cancel.is_set():
                self._shared.metrics.count("failed")
                self._hand_on(from_runtime(error))
        finally:
            figures.end(stopped=self._cancel.is_set())

    def _hand_on(self, event: Event | HttpError) -> None:
        self._loop.call_soon_threadsafe(self._events.put_nowait, event)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """However it ended, its reader is told."""
        if not task.cancelled() and (error := task.exception()):
            _log.error("an answer failed", exc_info=error)
            self._shared.metrics.count("failed")
            self._events.put_nowait(
                HttpError(500, "failed", "the answer failed; the server's terminal says why")
            )
        self._events.put_nowait(None)
