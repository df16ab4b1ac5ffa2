"""Counts what the server does, in Prometheus' text format. Written by hand: its client library is
600 kB. Safe to use from several threads. Knows nothing of HTTP."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator

from fieldpack import Done, Event, TextPiece
from fieldpack.memory import resident_bytes

# Seconds; a Raspberry Pi needs 10 for what a desktop reads in 0.5.
_FIRST = (0.1, 0.25, 0.5, 1, 2, 3, 5, 10, 20, 40)
_WHOLE = (0.5, 1, 2, 5, 10, 20, 40, 60, 120, 300)
_COUNTED = {
    "answered": "Answers that are none of the below.",
    "refused": "Refusals: the documents do not say it.",
    "stopped": "Answers that were stopped: the client hung up, or the time was over.",
    "failed": "Answers that an error ended.",
    "queue_full": "Requests that found the queue full.",
    "answer_tokens": "Tokens generated.",
    "prompt_tokens": "Tokens of prompts.",
    "cached_tokens": "Of those, the ones that had been read before.",
    "searches": "Searches.",
    "embedded_texts": "Texts embedded.",
    "notes": "Ratings and unanswered questions written down.",
    "notes_lost": "Ratings and unanswered questions that the state folder did not take.",
}


class Histogram:
    """Counts of values below the `bounds`, and their sum."""

    def __init__(self, name: str, about: str, bounds: tuple[float, ...]) -> None:
        self._name = name
        self._about = about
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    @property
    def count(self) -> int:
        """How many values were observed."""
        return sum(self._counts)

    def observe(self, value: float) -> None:
        """Count a value."""
        self._counts[sum(value > bound for bound in self._bounds)] += 1
        self.sum += value

    def lines(self) -> Iterator[str]:
        """Yield the histogram in Prometheus' text format."""
        yield f"# HELP {self._name} {self._about}"
        yield f"# TYPE {self._name} histogram"
        below = 0
        for bound, count in zip((*self._bounds, "+Inf"), self._counts, strict=True):
            below += count
            yield f'{self._name}_bucket{{le="{bound}"}} {below}'
        yield f"{self._name}_sum {self.sum:.6f}"
        yield f"{self._name}_count {below}"


class Metrics:
    """The server's counters and histograms."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._first = Histogram(
            "fieldpack_first_token_seconds", "From the turn's begin to the first word.", _FIRST
        )
        self._whole = Histogram(
            "fieldpack_answer_seconds", "From the turn's begin to the whole answer.", _WHOLE
        )

    def count(self, name: str, by: int = 1) -> None:
        """Add to a counter, one of those in `_COUNTED`."""
        assert name in _COUNTED, name
        with self._lock:
            self._counts[name] += by

    def answer(self) -> AnswerMetrics:
        """Return what measures one answer, from now on."""
        return AnswerMetrics(self)

    def mean_seconds(self) -> float:
        """Return the mean time of an answer; 5 before the first."""
        with self._lock:
            return self._whole.sum / self._whole.count if self._whole.count else 5.0

    def observe(self, *, first: float | None, whole: float) -> None:
        """Count the seconds to an answer's first word and to its end."""
        with self._lock:
            if first is not None:
                self._first.observe(first)
            self._whole.observe(whole)

    def text(self, *, waiting: int, loading: bool) -> str:
        """Return all of it in Prometheus' text format. `waiting`: requests in the queue now."""
        now = (
            ("fieldpack_queue_length", "Requests that wait for their turn.", waiting),
            ("fieldpack_loading", "1 while a bundle is being opened.", int(loading)),
            ("process_resident_memory_bytes", "Resident memory.", resident_bytes()),
        )
        lines = []
        with self._lock:
            for name, about in _COUNTED.items():
                lines += _single(f"fieldpack_{name}_total", about, "counter", self._counts[name])
            lines += [*self._first.lines(), *self._whole.lines()]
        for name, about, value in now:
            lines += _single(name, about, "gauge", value)
        return "\n".join(lines) + "\n"


class AnswerMetrics:
    """Measures one answer, from the moment that it is begun."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._began = time.perf_counter()
        self._first: float | None = None
        self._is_done = False

    def observe(self, event: Event) -> None:
        """Take the next event of the answer, before the client gets it; the last one counts."""
        if self._first is None and isinstance(event, TextPiece):
            self._first = time.perf_counter() - self._began
        if isinstance(event, Done):
            self._is_done = True
            answer = event.answer
            self._metrics.count("refused" if answer.refused else "answered")
            self._metrics.count("answer_tokens", answer.timings.tokens)
            self._metrics.count("prompt_tokens", answer.timings.prompt_tokens)
            self._metrics.count("cached_tokens", answer.timings.cached_tokens)
            self._metrics.observe(first=self._first, whole=time.perf_counter() - self._began)

    def end(self, *, stopped: bool) -> None:
        """Count an answer that was stopped before its end."""
        if stopped and not self._is_done:
            self._metrics.count("stopped")


def _single(name: str, about: str, kind: str, value: int) -> list[str]:
    return [f"# HELP {name} {about}", f"# TYPE {name} {kind}", f"{name} {value}"]
