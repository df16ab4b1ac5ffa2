"""`fieldpack bench`: how fast a bundle answers on this machine. Medians of whole rounds; what is
slow at first is measured in processes of its own."""

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
from typing import Any

import click

import fieldpack
from fieldpack import Answer, Expert, FieldpackError, InputError, read_manifest
from fieldpack.bundle.golden import read_golden
from fieldpack.child import python, safe_environment

from ..batch import read_rows
from .machine import Machine, this_machine

_FOLLOW_UP = "What else do the documents say about this?"
_ENOUGH = 32  # tokens that a speed of reading is measured on
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
_Values = dict[str, list[float]]


class Bench:
    """Raises BundleError, InputError; progress goes to stderr."""

    def __init__(
        self,
        bundle: Path,
        questions: Path | None,
        *,
        rounds: int,
        threads: int | None,
        provider: str,
    ) -> None:
        self._bundle, self._file, self._rounds = bundle, questions, rounds
        self._options: dict[str, Any] = {"threads": threads, "provider": provider}
        self._values: _Values = {key: [] for key in _FIGURES}

    def run(self) -> dict[str, Any]:
        """{bundle, machine, questions, rounds, threads, measured, figures: {key: {median, values,
        unit}}}"""
        manifest, machine = read_manifest(self._bundle), this_machine()
        with self._open() as expert:
            questions, threads = self._questions(expert), expert.device.threads
            drafted = self._ask_all(expert, questions, "questions")
            self._look_up(expert, questions)
        self._keep(drafted, "first_token_warm_ms", lambda a: a.timings.first_token_ms)
        self._keep([a for a in drafted if a.quote], "quote_ms", lambda a: a.timings.quote_ms)
        self._values["prefill_tokens_per_s"] += [
            speed for answer in drafted if (speed := prefill_speed(answer))
        ]
        self._write(drafted, "decode_tokens_per_s", "answer_ms")
        if manifest.has("model"):
            with self._open(speculate=False) as expert:
                plain = self._ask_all(expert, questions, "without drafts")
            self._write(plain, "decode_plain_tokens_per_s", "answer_plain_ms")
        self._start_cold(questions)
        click.echo(err=True)
        figures = {
            key: {
                "median": statistics.median(values),
                "unit": _FIGURES[key][1],
                "values": [round(v, 3) for v in values],
            }
            for key, values in self._values.items()
            if values
        }
        return {
            "bundle": {"name": manifest.name, "version": manifest.version, "bytes": manifest.size},
            "machine": asdict(machine),
            "fieldpack": fieldpack.__version__,
            "threads": threads,
            "provider": self._options["provider"],
            "questions": len(questions),
            "rounds": self._rounds,
            "measured": datetime.now(UTC).isoformat(timespec="seconds"),
            "figures": figures,
        }

    def _open(self, *, speculate: bool = True) -> Expert:
        return fieldpack.open(
            self._bundle, verify_contents=False, speculate=speculate, **self._options
        )

    def _questions(self, expert: Expert) -> list[str]:
        if self._file is not None:
            return _from_file(self._file)
        golden = [one.question for one in read_golden(self._bundle) if not one.refused]
        titles = [
            f"What does {record.title or record.path} say?"
            for record in expert.documents()[:_TITLES]
        ]
        return golden or titles or ["What can you tell me?"]

    def _ask_all(self, expert: Expert, questions: Sequence[str], what: str) -> list[Answer]:
        """The answers that a model wrote or that are quotes; each question after another one, so
        that a round's first is no repetition."""
        expert.load()
        expert.ask(questions[-1])
        answers: list[Answer] = []
        for number in range(self._rounds):
            for at, question in enumerate(questions, 1):
                self._progress(
                    f"{what}: round {number + 1} of {self._rounds}, {at} of {len(questions)}"
                )
                answer = expert.ask(question)
                answers.append(answer)
                if what == "questions":
                    self._follow(expert, answer)
        return [answer for answer in answers if answer.timings.tokens or answer.quote]

    def _follow(self, expert: Expert, answer: Answer) -> None:
        followed = expert.ask(_FOLLOW_UP, previous=answer.previous)
        if followed.timings.tokens:
            self._values["first_token_follow_up_ms"].append(followed.timings.first_token_ms)

    def _write(self, answers: Sequence[Answer], speed: str, whole: str) -> None:
        self._keep(
            [a for a in answers if a.timings.tokens > 1], speed, lambda a: a.timings.tokens_per_s
        )
        self._keep(answers, whole, lambda a: a.timings.total_ms)

    def _keep(self, answers: Sequence[Answer], key: str, of: Callable[[Answer], float]) -> None:
        self._values[key] += [of(answer) for answer in answers]

    def _look_up(self, expert: Expert, questions: Sequence[str]) -> None:
        if not expert.manifest.has("knowledge"):
            return
        for question in [*questions] * self._rounds:
            self._values["embed_ms"].append(_ms(lambda q: expert.embed([q], query=True), question))
            self._values["search_ms"].append(_ms(expert.search, question))

    def _start_cold(self, questions: Sequence[str]) -> None:
        for number in range(self._rounds):
            self._progress(f"cold starts: {number + 1} of {self._rounds}")
            spec = {
                "bundle": str(self._bundle),
                "question": questions[number % len(questions)],
                **self._options,
            }
            began = time.monotonic()
            command = python("-m", "fieldpack_app.diagnostics.cold_start", json.dumps(spec))
            done = subprocess.run(command, env=safe_environment(), capture_output=True, text=True)
            if done.returncode:
                raise FieldpackError(
                    f"a cold start failed: {(done.stderr.strip() or 'killed').splitlines()[-1]}"
                )
            said = json.loads(done.stdout)
            found = {
                "cold_start_s": said["first_at"] - began,
                "hashing_s": said["hashing_s"],
                "load_s": said["loaded_at"] - said["opened_at"],
                "first_token_cold_ms": said["first_token_ms"],
                "peak_mb": said["peak_bytes"] / 1e6,
            }
            if "quote_at" in said:
                found["quote_cold_s"] = said["quote_at"] - began
            for key, value in found.items():
                self._values[key].append(value)

    def _progress(self, text: str) -> None:
        if sys.stderr.isatty():
            click.echo(f"\r\x1b[K{text} ", err=True, nl=False)


def _from_file(path: Path) -> list[str]:
    try:
        with path.open("rb") as lines:
            found = [row.question for row in read_rows(lines, str(path))]
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    if not found:
        raise InputError(f"{path}: no questions")
    return found


def prefill_speed(answer: Answer) -> float | None:
    """Tokens/s of what was not kept from the prompt before; None where that is too little to tell."""
    times = answer.timings
    read, spent = (
        times.prompt_tokens - times.cached_tokens,
        times.first_token_ms - max(times.retrieval_ms, times.quote_ms),
    )
    return read / spent * 1000 if read >= _ENOUGH and spent > 0 else None


def _ms(work: Callable[[str], object], question: str) -> float:
    started = time.perf_counter()
    work(question)
    return (time.perf_counter() - started) * 1000


def table(measured: Mapping[str, Any], *, markdown: bool) -> str:
    """The lines that say what was measured and where, then the figures."""
    rows = [
        (_FIGURES[key][0], _figure(one["median"]), one["unit"])
        for key, one in measured["figures"].items()
    ]
    heads = list(_heads(measured))
    if markdown:
        lines = ["| | median | |", "|---|---:|---|", *(f"| {' | '.join(row)} |" for row in rows)]
        return "\n".join([*(line + "  " for line in heads), "", *lines])
    widths = [max(len(row[n]) for row in rows) for n in (0, 1)]
    return "\n".join(
        [
            *heads,
            "",
            *(f"{what:<{widths[0]}}  {value:>{widths[1]}} {unit}" for what, value, unit in rows),
        ]
    )


def _heads(measured: Mapping[str, Any]) -> Iterator[str]:
    """What was measured; on what; with what."""
    bundle, machine = measured["bundle"], Machine(**measured["machine"])
    asked = (
        f"{_count(measured['questions'], 'question')}, {_count(measured['rounds'], 'round')}, "
        f"{measured['measured'][:10]}"
    )
    yield f"{bundle['name']} {bundle['version']}, {bundle['bytes'] / 1e6:,.0f} MB; {asked}"
    features = " ".join(
        name for name in machine.features if name.startswith(("avx", "amx", "asimd", "i8mm", "sve"))
    )
    used = (
        f"{_count(machine.usable, 'core')}, {_count(measured['threads'], 'thread')}, "
        f"{machine.memory / 1e9:,.0f} GB"
    )
    yield f"{machine.cpu} ({features or 'no vector features known'}), {used}, {machine.system}"
    versions = ", ".join(
        f"{name} {version}" for name, version in machine.versions.items() if version
    )
    busy = (
        f"; busy at the start, load {machine.load:.2g}" if machine.load > machine.usable / 2 else ""
    )
    yield f"fieldpack {measured['fieldpack']}, Python {machine.python}, {versions}{busy}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' if number != 1 else ''}"


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
