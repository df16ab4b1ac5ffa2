"""Checks, for `fieldpack doctor`, whether a bundle is whole, runs on this machine, and answers as it
did where it was built. Each check is a `Finding`; nothing is changed and nothing is sent."""

from __future__ import annotations

import os
import shutil
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fieldpack import (
    Answer,
    BundleError,
    BundleUnsupported,
    Expert,
    FieldpackError,
    Manifest,
    read_manifest,
)
from fieldpack import open as open_bundle
from fieldpack.bundle.golden import Golden, read_golden
from fieldpack.bundle.manifest import verify
from fieldpack.bundle.targets import AUTO, CPU
from fieldpack.figures import megabytes
from fieldpack.memory import budget_of, peak_bytes
from fieldpack.prompt import read_prompt
from fieldpack.targets.choice import EMULATED, named_target
from fieldpack.targets.engines import missing

from ..info import read_report, shipped_figures
from . import checks
from .bench import milliseconds, prefill_speed
from .findings import Finding, Level
from .machine import this_machine

_REPEATS = 5  # of which a median is taken
_SLOW = 0.5  # share of the build server's speed below which there is a warning
_CHANGES = {"refusal": "refuses now, or no longer", "document": "reads another document"}


@dataclass
class Doctor:
    """Examines a bundle. `state`: where the app would write."""

    bundle: Path
    state: Path
    provider: str = AUTO
    threads: int | None = None
    _answers: list[Answer] = field(default_factory=list)

    def examine(self) -> Iterator[Finding]:
        """Yield the findings, in the order of the checks. A damaged bundle is not opened."""
        machine = this_machine()
        try:
            manifest = read_manifest(self.bundle)
            yield self._files(manifest)
            yield from checks.check_machine(machine, manifest.compat)
            _, settings = read_prompt(self.bundle)
            needed_mb = budget_of(self.bundle, manifest).needed(settings.max_context)
        except BundleError as error:
            yield Finding("bundle", _level(error), str(error))
            return
        memory = checks.memory(machine, needed_mb)
        there = next(folder for folder in (self.state, *self.state.parents) if folder.exists())
        writable = there.is_dir() and os.access(there, os.W_OK)
        free = shutil.disk_usage(there).free
        yield memory
        yield checks.disk(free, state=str(self.state), writable=writable)
        yield self._provider(manifest)
        yield _telemetry()
        yield from _targets(manifest)
        if memory.level == "wrong":  # the system may end the process that tries
            yield Finding("opening", "wrong", "not tried", "make room for it first")
            return
        try:
            yield from self._open(manifest)
        except FieldpackError as error:
            yield Finding("opening", _level(error), str(error))

    def _files(self, manifest: Manifest) -> Finding:
        """Verify the bundle's files. Raises BundleCorrupt."""
        started = time.perf_counter()
        verify(self.bundle, manifest)
        seconds = time.perf_counter() - started
        says = (
            f"{manifest.name} {manifest.version}, {len(manifest.files)} files, "
            f"{megabytes(manifest.size)}, all as sealed"
        )
        facts = {
            "name": manifest.name,
            "version": manifest.version,
            "files": len(manifest.files),
            "bytes": manifest.size,
            "hashing_s": round(seconds, 3),
        }
        return Finding("bundle", "ok", f"{says} ({seconds:.2f} s to hash)", facts=facts)

    def _provider(self, manifest: Manifest) -> Finding:
        """Say what there is here to run a model on, and check that what was asked for is among
        it."""
        import onnxruntime

        present = sorted(onnxruntime.get_available_providers())
        devices = [
            f"{one.ep_name} on a {one.device.type.name}" for one in onnxruntime.get_ep_devices()
        ]
        says = f"{self.provider}; here: {', '.join(present)}"
        facts = {"wanted": self.provider, "present": present, "devices": devices}
        if self.provider in (AUTO, CPU):
            return Finding("provider", "ok", says, facts=facts)
        try:
            target = named_target(manifest, self.provider)
            why = missing(target, emulated=self.provider.endswith(EMULATED))
        except BundleUnsupported as error:
            why = str(error)
        if why:
            return Finding(
                "provider", "wrong", why, "install what it names, or leave --target away", facts
            )
        return Finding("provider", "ok", says, facts=facts)

    def _open(self, manifest: Manifest) -> Iterator[Finding]:
        """Open the bundle, ask its golden questions, and measure. Raises FieldpackError."""
        started = time.perf_counter()
        # Its files were hashed before.
        with open_bundle(
            self.bundle,
            target=self.provider,
            threads=self.threads,
            verify_contents=False,
            state=self.state,
        ) as expert:
            expert.load()
            seconds = time.perf_counter() - started
            says = f"all models open in {seconds:.2f} s, on {expert.device.threads} threads"
            says += f"; {expert.runs_on_because}" if expert.runs_on_because else ""
            yield Finding(
                "opening",
                "ok",
                says,
                facts={"seconds": round(seconds, 3), "threads": expert.device.threads},
            )
            golden = read_golden(self.bundle)
            yield from (self._ask(expert, one, number) for number, one in enumerate(golden, 1))
            if not golden:
                advice = (
                    "built by an older version, or without `evaluate`; `fieldpack bench` measures "
                    "answers"
                )
                yield Finding(
                    "questions", "note", "the bundle brings none of its own to ask", advice
                )
            yield self._speeds(expert, manifest, [one.question for one in golden])

    def _ask(self, expert: Expert, golden: Golden, number: int) -> Finding:
        """Ask a golden question and compare the answers."""
        answer = expert.ask(golden.question)
        self._answers.append(answer)
        change = golden.differs(answer)
        name = f"question {number}"
        facts = {
            "question": golden.question,
            "expected": golden.answer,
            "answer": answer.text,
            "differs": change,
        }
        if change is None:
            return Finding(
                name, "ok", f"{golden.question} - answered as where it was built", facts=facts
            )
        if change == "text":
            says = (
                f"{golden.question} - in other words, from the same document: versions and "
                "processors round differently"
            )
            return Finding(name, "note", says, facts=facts)
        advice = (
            "install the versions that the bundle was proved with; if it stays, build the bundle "
            "again"
        )
        return Finding(name, "warning", f"{golden.question} - {_CHANGES[change]}", advice, facts)

    def _speeds(self, expert: Expert, manifest: Manifest, questions: Sequence[str]) -> Finding:
        """Measure searches, take the speeds of the answers, and compare with those that the report
        says."""
        facts: dict[str, float | None] = {}
        if manifest.has("knowledge"):
            questions = questions or ("What is this about?",)
            repeated = [questions[n % len(questions)] for n in range(_REPEATS)]

            def median_ms(work: Callable[[str], object]) -> float:
                return round(statistics.median(milliseconds(work, q) for q in repeated), 2)

            facts["embed_ms"] = median_ms(lambda q: expert.embed([q], query=True))
            facts["search_ms"] = median_ms(expert.search)
        prefill = [speed for answer in self._answers if (speed := prefill_speed(answer))]
        decode = [a.timings.tokens_per_s for a in self._answers if a.timings.tokens > 1]
        if prefill:
            facts["prefill_tokens_per_s"] = round(statistics.median(prefill), 1)
        if decode:
            facts["decode_tokens_per_s"] = round(statistics.median(decode), 1)
        facts["peak_mb"] = round(peak_bytes() / 1e6)
        here = facts.get("decode_tokens_per_s")
        there = shipped_figures(read_report(self.bundle, manifest)).get("tokens_per_s")
        there = there if isinstance(there, int | float) else None
        facts["measured_decode_tokens_per_s"] = there
        units = {
            "prefill_tokens_per_s": "tokens/s read",
            "decode_tokens_per_s": "tokens/s written",
            "embed_ms": "ms to embed",
            "search_ms": "ms to search",
            "peak_mb": "MB at the peak",
        }
        says = ", ".join(
            f"{facts[key]:,.4g} {unit}" for key, unit in units.items() if facts.get(key) is not None
        )
        says += f"; {there:,.4g} tokens/s written where it was built" if there else ""
        if here and there and here < _SLOW * there:
            return Finding(
                "speed",
                "warning",
                says,
                "busy, or throttled? `fieldpack bench` measures longer",
                facts,
            )
        return Finding("speed", "ok", says, facts=facts)


def _level(error: FieldpackError) -> Level:
    damaged = isinstance(error, BundleError) and not isinstance(error, BundleUnsupported)
    return "damaged" if damaged else "wrong"


def _targets(manifest: Manifest) -> Iterator[Finding]:
    """Say of each target of the bundle how much of it was seen to work, and what it would need
    here."""
    for target in manifest.targets:
        why = "" if target.name == CPU else missing(target)
        where = f" on {target.machine}" if target.machine else ""
        facts = {
            "proof": target.proof,
            "missing": why,
            "figures": dict(target.figures),
            "packages": dict(target.packages),
        }
        yield Finding(
            f"target {target.name}",
            "note" if why else "ok",
            f"{target.proof}{where}; {why or 'can run here'}",
            facts=facts,
        )


def _telemetry() -> Finding:
    """Check that onnxruntime's telemetry is off. Importing fieldpack sets the variable; onnxruntime
    reads it when it is imported, which nothing has done before."""
    value = os.environ.get("ORT_DISABLE_TELEMETRY")
    says, facts = f"ORT_DISABLE_TELEMETRY={value}", {"ORT_DISABLE_TELEMETRY": value}
    if value != "1":
        return Finding(
            "telemetry",
            "wrong",
            says,
            "something unset it after fieldpack was imported: set it to 1",
            facts,
        )
    return Finding("telemetry", "ok", f"{says}: onnxruntime's is off", facts=facts)
