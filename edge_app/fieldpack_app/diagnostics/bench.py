"""Measures how fast a bundle answers on this machine, for `fieldpack bench`. Medians of whole rounds;
what is slow at first is measured in processes of its own."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TypedDict

import click

import fieldpack
from fieldpack import Answer, Expert, FieldpackError, InputError, read_manifest
from fieldpack.bundle.golden import read_golden
from fieldpack.child import python, safe_environment

from ..batch import read_rows
from .cold_start import ColdStart, ColdStartSpec
from .machine import Machine, this_machine

_FOLLOW_UP = "What else do the documents say about this?"
_MIN_PREFILL = 32  # tokens that a prefill speed is measured on
_TITLES = 5  # documents that are asked about where there is no question
# key: what it is, unit
_FIGURES = {
    "cold_start_s": ("cold start to the first word, files hashed", "s"),
    "hashing_s": ("of it hashing the files", "s"),
    "load_s": ("models open, system text read", "s"),
    "quote_cold_s": ("cold start to a passage's words", "s"),
    "quote_ms": ("a passage's words, another question after it", "ms"),
    "first_token_cold_ms": ("first word, first question", "ms"),
    "first_token_warm_ms": ("first word, another question after it", "ms"),
    "first_token_follow_up_ms": ("first word, a follow-up", "ms"),
    "prefill_tokens_per_s": ("prompt read", "tokens/s"),
    "decode_tokens_per_s": ("answer written", "tokens/s"),
    "decode_plain_tokens_per_s": ("answer written, without drafts", "tokens/s"),
    "answer_ms": ("whole answer", "ms"),
    "answer_plain_ms": ("whole answer, without drafts", "ms"),
    "embed_ms": ("question embedded", "ms"),
    "search_ms": ("passages found", "ms"),
    "peak_mb": ("peak memory of the process", "MB"),
}


class Figure(TypedDict):
    """A figure of the bench."""

    median: float
    unit: str
    values: list[float]


class BundleName(TypedDict):
    """Which bundle was measured."""

    name: str
    version: str
    bytes: int


class BenchResult(TypedDict):
    """The JSON of `fieldpack bench`. `machine`: a Machine; `measured`: when, UTC."""

    bundle: BundleName
    machine: Mapping[str, object]
    fieldpack: str
    threads: int
    provider: str
    questions: int
    rounds: int
    measured: str
    figures: dict[str, Figure]


class Bench:
    """Asks a bundle its questions in rounds, with drafts, without, and from a cold start. Progress
    goes to stderr."""

    def __init__(
        self,
        bundle: Path,
        questions: Path | None,
        *,
        rounds: int,
        threads: int | None,
        provider: str,
    ) -> None:
        """`questions`: a file of them; None for the bundle's own."""
        self._bundle, self._file, self._rounds = bundle, questions, rounds
        self._threads, self._provider = threads, provider
        self._values: dict[str, list[float]] = {key: [] for key in _FIGURES}

    def run(self) -> BenchResult:
        """Measure all figures. Raises BundleError, InputError, FieldpackError (a cold start that
        failed)."""
        manifest, machine = read_manifest(self._bundle), this_machine()
        values = self._values
        with self._open() as expert:
            questions, threads = self._questions(expert), expert.device.threads
            answers = self._ask_all(expert, questions, "questions", follow_up=True)
            if manifest.has("knowledge"):
                for question in [*questions] * self._rounds:
                    values["embed_ms"].append(
                        milliseconds(lambda q: expert.embed([q], query=True), question)
                    )
                    values["search_ms"].append(milliseconds(expert.search, question))
        values["first_token_warm_ms"] += [a.timings.first_token_ms for a in answers]
        values["quote_ms"] += [a.timings.quote_ms for a in answers if a.quote]
        values["prefill_tokens_per_s"] += filter(None, map(prefill_speed, answers))
        self._record_decode(answers, "decode_tokens_per_s", "answer_ms")
        if manifest.has("model"):
            with self._open(speculate=False) as expert:
                answers = self._ask_all(expert, questions, "without drafts")
            self._record_decode(answers, "decode_plain_tokens_per_s", "answer_plain_ms")
        for number in range(self._rounds):
            self._progress(f"cold starts: {number + 1} of {self._rounds}")
            self._start_cold(questions[number % len(questions)])
        click.echo(err=True)
        figures: dict[str, Figure] = {
            key: {
                "median": statistics.median(measured),
                "unit": _FIGURES[key][1],
                "values": [round(value, 3) for value in measured],
            }
            for key, measured in values.items()
            if measured
        }
        return {
            "bundle": {"name": manifest.name, "version": manifest.version, "bytes": manifest.size},
            "machine": asdict(machine),
            "fieldpack": fieldpack.__version__,
            "threads": threads,
            "provider": self._provider,
            "questions": len(questions),
            "rounds": self._rounds,
            "measured": datetime.now(UTC).isoformat(timespec="seconds"),
            "figures": figures,
        }

    def _open(self, *, speculate: bool = True) -> Expert:
        return fieldpack.open(
            self._bundle,
            verify_contents=False,
            speculate=speculate,
            threads=self._threads,
            provider=self._provider,
        )

    def _questions(self, expert: Expert) -> list[str]:
        """Return the file's questions, else the bundle's own, else some about its documents. Raises
        InputError."""
        if self._file is not None:
            try:
                with self._file.open("rb") as lines:
                    questions = [row.question for row in read_rows(lines, str(self._file))]
            except OSError as error:
                raise InputError(f"{self._file}: {error.strerror}") from None
            if not questions:
                raise InputError(f"{self._file}: no questions")
            return questions
        golden = [one.question for one in read_golden(self._bundle) if not one.refused]
        titles = [
            f"What does {record.title or record.path} say?"
            for record in expert.documents()[:_TITLES]
        ]
        return golden or titles or ["What can you tell me?"]

    def _ask_all(
        self, expert: Expert, questions: Sequence[str], what: str, *, follow_up: bool = False
    ) -> list[Answer]:
        """Return the answers that a model wrote or that are quotes; each question is asked after
        another one, so that a round's first is no repetition. `follow_up`: measure a follow-up to
        each answer."""
        expert.load()
        expert.ask(questions[-1])
        answers: list[Answer] = []
        for number in range(self._rounds):
            for position, question in enumerate(questions, 1):
                self._progress(
                    f"{what}: round {number + 1} of {self._rounds}, {position} of {len(questions)}"
                )
                answer = expert.ask(question)
                answers.append(answer)
                if follow_up:
                    followed = expert.ask(_FOLLOW_UP, previous=answer.previous)
                    if followed.timings.tokens:
                        times = self._values["first_token_follow_up_ms"]
                        times.append(followed.timings.first_token_ms)
        return [answer for answer in answers if answer.timings.tokens or answer.quote]

    def _record_decode(self, answers: Sequence[Answer], speed: str, whole: str) -> None:
        timings = [answer.timings for answer in answers]
        self._values[speed] += [one.tokens_per_s for one in timings if one.tokens > 1]
        self._values[whole] += [one.total_ms for one in timings]

    def _start_cold(self, question: str) -> None:
        """Measure one cold start in a process of its own. Raises FieldpackError."""
        spec = ColdStartSpec(str(self._bundle), question, self._provider, self._threads)
        began = time.monotonic()
        command = python("-m", "fieldpack_app.diagnostics.cold_start", json.dumps(asdict(spec)))
        done = subprocess.run(command, env=safe_environment(), capture_output=True, text=True)
        if done.returncode:
            raise FieldpackError(
                f"a cold start failed: {(done.stderr.strip() or 'killed').splitlines()[-1]}"
            )
        start = ColdStart(**json.loads(done.stdout))
        values = self._values
        values["cold_start_s"].append(start.first_at - began)
        values["hashing_s"].append(start.hashing_s)
        values["load_s"].append(start.loaded_at - start.opened_at)
        values["first_token_cold_ms"].append(start.first_token_ms)
        values["peak_mb"].append(start.peak_bytes / 1e6)
        if start.quote_at is not None:
            values["quote_cold_s"].append(start.quote_at - began)

    def _progress(self, text: str) -> None:
        if sys.stderr.isatty():
            click.echo(f"\r\x1b[K{text} ", err=True, nl=False)


def prefill_speed(answer: Answer) -> float | None:
    """Return the tokens/s of the part of the prompt that the KV cache did not hold; None where that
    is too little to measure."""
    times = answer.timings
    tokens = times.prompt_tokens - times.cached_tokens
    ms = times.first_token_ms - max(times.retrieval_ms, times.quote_ms)
    return tokens / ms * 1000 if tokens >= _MIN_PREFILL and ms > 0 else None


def milliseconds(work: Callable[[str], object], question: str) -> float:
    """Return how long `work` takes for a question."""
    started = time.perf_counter()
    work(question)
    return (time.perf_counter() - started) * 1000


def table(result: BenchResult, *, markdown: bool) -> str:
    """Return the lines that say what was measured and where, then the figures."""
    rows = []
    for key, figure in result["figures"].items():
        value = figure["median"]
        digits = 0 if value >= 100 else 1 if value >= 10 else 2
        rows.append((_FIGURES[key][0], f"{value:,.{digits}f}", figure["unit"]))
    heads = list(_heads(result))
    if markdown:
        lines = ["| | median | |", "|---|---:|---|", *(f"| {' | '.join(row)} |" for row in rows)]
        return "\n".join([*(line + "  " for line in heads), "", *lines])
    widths = [max(len(row[n]) for row in rows) for n in (0, 1)]
    lines = [f"{what:<{widths[0]}}  {value:>{widths[1]}} {unit}" for what, value, unit in rows]
    return "\n".join([*heads, "", *lines])


def _heads(result: BenchResult) -> Iterator[str]:
    """Yield what was measured; on what; with what."""

    def count(number: int, what: str) -> str:
        return f"{number} {what}{'s' if number != 1 else ''}"

    bundle, machine = result["bundle"], Machine.from_dict(result["machine"])
    amount = (
        f"{count(result['questions'], 'question')}, {count(result['rounds'], 'round')}, "
        f"{result['measured'][:10]}"
    )
    yield f"{bundle['name']} {bundle['version']}, {bundle['bytes'] / 1e6:,.0f} MB; {amount}"
    features = " ".join(
        name for name in machine.features if name.startswith(("avx", "amx", "asimd", "i8mm", "sve"))
    )
    used = (
        f"{count(machine.usable, 'core')}, {count(result['threads'], 'thread')}, "
        f"{machine.memory / 1e9:,.0f} GB"
    )
    yield f"{machine.cpu} ({features or 'no vector features known'}), {used}, {machine.system}"
    versions = ", ".join(
        f"{name} {version}" for name, version in machine.versions.items() if version
    )
    busy = (
        f"; busy at the start, load {machine.load:.2g}" if machine.load > machine.usable / 2 else ""
    )
    yield f"fieldpack {result['fieldpack']}, Python {machine.python}, {versions}{busy}"
