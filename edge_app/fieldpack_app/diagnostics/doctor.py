"""`fieldpack doctor`: is this bundle whole, does it run on this machine, does it say what it said where it was built? Each
check is a `Finding`; nothing is changed and nothing is sent."""

from __future__ import annotations

import os
import shutil
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fieldpack import Answer, BundleError, BundleUnsupported, Expert, FieldpackError, Manifest, read_manifest
from fieldpack import open as open_bundle
from fieldpack.bundle.golden import Golden, read_golden
from fieldpack.bundle.manifest import verify
from fieldpack.memory import budget_of
from fieldpack.prompt import read_prompt
from fieldpack.targets.choice import AUTO, CPU, EMULATED, named_target
from fieldpack.targets.engines import missing

from ..info import at, read_report
from ..terminal.render import megabytes
from . import checks
from .bench import prefill_speed
from .findings import Finding, Level
from .machine import peak_memory, this_machine

_TIMES = 5  # a median of so many
_SLOWER = 0.5  # of the build server's speed, under which it is worth saying
_CHANGES = {"refusal": "refuses now, or no longer", "document": "reads another document"}


@dataclass
class Doctor:
    """`state`: where the app would write. Findings come in the order of `examine`."""

    bundle: Path
    state: Path
    provider: str = AUTO
    threads: int | None = None
    _answers: list[Answer] = field(default_factory=list)

    def examine(self) -> Iterator[Finding]:
        """A damaged bundle is not opened."""
        machine = this_machine()
        try:
            manifest, found = self._files()
        except BundleError as error:
            yield Finding("bundle", _level(error), str(error))
            return
        yield found
        yield from checks.look_at(machine, manifest.compat)
        try:
            room = checks.memory(machine, self._needed_mb(manifest))
        except BundleError as error:
            yield Finding("bundle", _level(error), str(error))
            return
        yield from (room, self._disk(), self._provider(manifest), _telemetry())
        yield from self._targets(manifest)
        if room.level == "wrong":  # the system may end the process that tries
            yield Finding("opening", "wrong", "not tried", "make room for it first")
            return
        try:
            yield from self._alive(manifest)
        except FieldpackError as error:
            yield Finding("opening", _level(error), str(error))

    def _files(self) -> tuple[Manifest, Finding]:
        manifest = read_manifest(self.bundle)
        started = time.perf_counter()
        verify(self.bundle, manifest)
        seconds = time.perf_counter() - started
        says = f"{manifest.name} {manifest.version}, {len(manifest.files)} files, {megabytes(manifest.size)}, all as sealed"
        facts = {"name": manifest.name, "version": manifest.version, "files": len(manifest.files), "bytes": manifest.size,
                 "hashing_s": round(seconds, 3)}  # fmt: skip
        return manifest, Finding("bundle", "ok", f"{says} ({seconds:.2f} s to hash)", facts=facts)

    def _needed_mb(self, manifest: Manifest) -> float:
        _, settings = read_prompt(self.bundle)
        return budget_of(self.bundle, manifest).needed(settings.max_context)

    def _disk(self) -> Finding:
        there = next(folder for folder in (self.state, *self.state.parents) if folder.exists())
        writable = there.is_dir() and os.access(there, os.W_OK)
        return checks.disk(shutil.disk_usage(there).free, state=str(self.state), writable=writable)

    def _provider(self, manifest: Manifest) -> Finding:
        """What is seen here to run a model on, and whether what was wanted is among it."""
        import onnxruntime

        present = sorted(onnxruntime.get_available_providers())
        devices = [f"{one.ep_name} on a {one.device.type.name}" for one in onnxruntime.get_ep_devices()]
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
            return Finding("provider", "wrong", why, "install what it names, or leave --target away", facts)
        return Finding("provider", "ok", says, facts=facts)

    def _targets(self, manifest: Manifest) -> Iterator[Finding]:
        """Of each target of the bundle: how much of it was seen to work, and what it would need here."""
        for target in manifest.targets:
            why = missing(target)
            says = f"{target.proof}" + (f" on {target.machine}" if target.machine else "") + f"; {why or 'can run here'}"
            facts = {"proof": target.proof, "missing": why, "figures": dict(target.figures), "packages": dict(target.packages)}
            yield Finding(f"target {target.name}", "note" if why else "ok", says, facts=facts)

    def _alive(self, manifest: Manifest) -> Iterator[Finding]:
        started = time.perf_counter()
        with open_bundle(
            self.bundle, target=self.provider, threads=self.threads, verify_contents=False, state=self.state
        ) as expert:  # hashed above
            expert.load()
            seconds = time.perf_counter() - started
            says = f"all models open in {seconds:.2f} s, on {expert.device.threads} threads"
            says += f"; {expert.runs_on_because}" if expert.runs_on_because else ""
            yield Finding("opening", "ok", says, facts={"seconds": round(seconds, 3), "threads": expert.device.threads})
            golden = read_golden(self.bundle)
            yield from (self._ask(expert, one, number) for number, one in enumerate(golden, 1))
            if not golden:
                advice = "built by an older version, or without `evaluate`; `fieldpack bench` measures answers"
                yield Finding("questions", "note", "the bundle brings none of its own to ask", advice)
            yield self._speeds(expert, manifest, [one.question for one in golden])

    def _ask(self, expert: Expert, golden: Golden, number: int) -> Finding:
        answer = expert.ask(golden.question)
        self._answers.append(answer)
        change = golden.differs(answer)
        name = f"question {number}"
        facts = {"question": golden.question, "expected": golden.answer, "answer": answer.text, "differs": change}
        if change is None:
            return Finding(name, "ok", f"{golden.question} - answered as where it was built", facts=facts)
        if change == "text":
            says = f"{golden.question} - in other words, from the same document: versions and processors round differently"
            return Finding(name, "note", says, facts=facts)
        advice = "install the versions that the bundle was proved with; if it stays, build the bundle again"
        return Finding(name, "warning", f"{golden.question} - {_CHANGES[change]}", advice, facts)

    def _speeds(self, expert: Expert, manifest: Manifest, questions: Sequence[str]) -> Finding:
        facts: dict[str, Any] = {**_lookups(expert, questions or ("What is this about?",)), **_generation(self._answers)}
        facts["peak_mb"] = round(peak_memory() / 1e6)
        here, there = facts.get("decode_tokens_per_s"), _measured(self.bundle, manifest).get("tokens_per_s")
        there = there if isinstance(there, int | float) else None
        facts["measured_decode_tokens_per_s"] = there
        units = {"prefill_tokens_per_s": "tokens/s read", "decode_tokens_per_s": "tokens/s written", "embed_ms": "ms to embed",
                 "search_ms": "ms to search", "peak_mb": "MB at the peak"}  # fmt: skip
        says = ", ".join(f"{facts[key]:,.4g} {unit}" for key, unit in units.items() if facts.get(key) is not None)
        says += f"; {there:,.4g} tokens/s written where it was built" if there else ""
        if here and there and here < _SLOWER * there:
            return Finding("speed", "warning", says, "busy, or throttled? `fieldpack bench` measures longer", facts)
        return Finding("speed", "ok", says, facts=facts)


def _level(error: FieldpackError) -> Level:
    return "damaged" if isinstance(error, BundleError) and not isinstance(error, BundleUnsupported) else "wrong"


def _telemetry() -> Finding:
    """Importing fieldpack sets it; onnxruntime reads it when it is imported, which nothing has done before."""
    value = os.environ.get("ORT_DISABLE_TELEMETRY")
    says, facts = f"ORT_DISABLE_TELEMETRY={value}", {"ORT_DISABLE_TELEMETRY": value}
    if value != "1":
        return Finding("telemetry", "wrong", says, "something unset it after fieldpack was imported: set it to 1", facts)
    return Finding("telemetry", "ok", f"{says}: onnxruntime's is off", facts=facts)


def _lookups(expert: Expert, questions: Sequence[str]) -> dict[str, float]:
    if not expert.manifest.has("knowledge"):
        return {}
    asked = [questions[n % len(questions)] for n in range(_TIMES)]
    return {"embed_ms": _median_ms(lambda q: expert.embed([q], query=True), asked),
            "search_ms": _median_ms(lambda q: expert.search(q), asked)}  # fmt: skip


def _median_ms(work: Any, asked: Sequence[str]) -> float:
    spent = []
    for question in asked:
        started = time.perf_counter()
        work(question)
        spent.append((time.perf_counter() - started) * 1000)
    return round(statistics.median(spent), 2)


def _generation(answers: Sequence[Answer]) -> dict[str, float]:
    """Medians over the answers that a model wrote."""
    read = [speed for answer in answers if (speed := prefill_speed(answer))]
    written = [answer.timings.tokens_per_s for answer in answers if answer.timings.tokens > 1]
    found = {"prefill_tokens_per_s": read, "decode_tokens_per_s": written}
    return {name: round(statistics.median(values), 1) for name, values in found.items() if values}


def _measured(bundle: Path, manifest: Manifest) -> Mapping[str, Any]:
    """The shipped arm's figures where the bundle was built."""
    report = read_report(bundle, manifest) or {}
    return at(report, "arms", str(report.get("shipped")))
