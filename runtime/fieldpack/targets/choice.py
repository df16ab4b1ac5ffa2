"""Decides what a bundle's language model runs on: the target that was named, or under `auto` the
first of the bundle's that gives right answers here, else the CPU. It always says which, and why.

A target answers the bundle's golden questions once for each version of its packages and driver, and
what came of it is kept in the state folder. Knows no engine, and not how a question is asked.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from ..answers import Answer
from ..bundle.golden import Golden, read_golden
from ..bundle.manifest import Manifest
from ..bundle.targets import AUTO, CPU, Target
from ..devices import PROVIDERS
from ..errors import BundleUnsupported, EngineFailed, OutOfMemory
from ..generation.engine import Engine
from .engines import Opening, driver_of, missing, open_target, require_placement

EMULATED = ":emulated"  # behind a static target's name: run its pipeline on the CPU
REMEMBERED = "targets.json"  # in the state folder
# F1 of the words: what `bundle/golden.py` of the build takes for right where no value is given.
_SAME_WORDS = 0.5
_CHANGES = {"refusal": "it refused, or no longer did", "document": "it read another document"}

Ask = Callable[[Engine, Target, str], Answer]


@dataclass(frozen=True, slots=True)
class Chosen:
    """The target that was chosen. `target` is None for the CPU, whose engine the caller opens.
    `passed_over`: the targets that were to be tried before it, each with why it was not taken."""

    target: Target | None
    engine: Engine | None = None
    passed_over: tuple[tuple[str, str], ...] = ()
    emulated: bool = False

    @property
    def name(self) -> str:
        """`cpu`, or the target's name."""
        return CPU if self.target is None else self.target.name + EMULATED * self.emulated

    @property
    def says(self) -> str:
        """A sentence for the user; empty where the CPU was all there was."""
        if not self.passed_over and self.target is None:
            return ""
        reasons = "; ".join(f"not on {name}: {why}" for name, why in self.passed_over)
        return f"answers come from {self.name}" + (f" ({reasons})" if reasons else "")


def named_target(manifest: Manifest, name: str) -> Target:
    """Return the target of this name: one of the bundle's, or the bundle's own ONNX model on an
    execution provider. Raises BundleUnsupported."""
    plain = name.removesuffix(EMULATED)
    for target in manifest.targets:
        if target.name == plain:
            return target
    if plain in PROVIDERS:
        return Target(plain, "genai", plain, "model", "config")
    known = ", ".join([AUTO, CPU, *(target.name for target in manifest.targets)])
    raise BundleUnsupported(
        f"this bundle has no target {plain!r}; it has {known}, and its own model runs on "
        f"the execution providers {', '.join(PROVIDERS)}"
    )


def choose(
    manifest: Manifest,
    name: str,
    opening: Opening,
    ask: Ask,
    *,
    state: Path | None = None,
) -> Chosen:
    """Open the engine of the target called `name`, or under `auto` of the first that works here.

    A name is taken strictly: what hinders it is raised as BundleUnsupported. Under `auto` the
    bundle's targets are tried in its order; one that cannot run here, or answers the golden
    questions otherwise than it should, is passed over, and the CPU comes last. `ask(engine, target,
    question)` answers a question; `state` is the folder that remembers, None asks each time."""
    if name == CPU:
        return Chosen(None)
    if name != AUTO:
        target = named_target(manifest, name)
        opening = replace(opening, emulated=name.endswith(EMULATED))
        engine = open_target(target, opening)
        memory = _Memory(state, manifest, target, opening)
        if memory.recall("placement") is None:
            require_placement(target, opening.bundle)
            memory.remember("placement", "")
        return Chosen(target, engine, emulated=opening.emulated)
    golden = read_golden(opening.bundle)
    passed_over: list[tuple[str, str]] = []
    for target in manifest.targets:
        if target.name == CPU:  # the last resort, wherever it stands
            continue
        try:
            if not (why := missing(target)):
                engine = open_target(target, opening)
                memory = _Memory(state, manifest, target, opening)
                known = memory.recall("golden")
                why = _prove(target, engine, opening, golden, ask) if known is None else known
                memory.remember("golden", why)
                if not why:
                    return Chosen(target, engine, tuple(passed_over))
        except (BundleUnsupported, EngineFailed, OutOfMemory) as error:
            why = str(error)
        passed_over.append((target.name, why))
    return Chosen(None, passed_over=tuple(passed_over))


def _prove(
    target: Target, engine: Engine, opening: Opening, golden: Sequence[Golden], ask: Ask
) -> str:
    """Return why the target is not to be trusted here; empty where it answered as it should."""
    require_placement(target, opening.bundle)
    if not golden and target.proof != "executed":
        return (
            f"it was never executed ({target.proof}), and the bundle has no questions to try it "
            "with"
        )
    for number, question in enumerate(golden, 1):
        if wrong := how_it_differs(question, ask(engine, target, question.question)):
            return f"golden question {number} came out otherwise: {wrong}"
    return ""


def how_it_differs(golden: Golden, answer: Answer) -> str:
    """Return how an answer differs from the golden one by more than another engine's rounding
    explains: in its refusal, its document, or more than half of its words; empty where it does not.
    That a target repeats what it answered where the bundle was built is not enough: it may have
    been wrong there."""
    change = golden.differs(answer)
    if change in _CHANGES:
        return _CHANGES[change]
    if answer.refused or shared_words(answer.text, golden.answer) >= _SAME_WORDS:
        return ""
    return f"{answer.text[:60]!r}, not {golden.answer[:60]!r}"


def shared_words(one: str, other: str) -> float:
    """Return the F1 of the words that two texts share, 0 to 1, each counted as often as it occurs."""
    left, right = Counter(one.casefold().split()), Counter(other.casefold().split())
    both = (left & right).total()
    return 2 * both / (left.total() + right.total()) if both else 0.0


class _Memory:
    """Remembers what came of a target's checks, by all that could change it: the bundle, the
    target's record, the versions of packages and driver. Without a state folder, or with one that
    cannot be written, nothing is remembered."""

    def __init__(
        self, state: Path | None, manifest: Manifest, target: Target, opening: Opening
    ) -> None:
        self._path = state / REMEMBERED if state else None
        driver = driver_of(target, emulated=opening.emulated)
        files = sorted(entry.sha256 for entry in manifest.files)
        parts = json.dumps([files, asdict(target), driver, opening.emulated], sort_keys=True)
        self._key = hashlib.sha256(parts.encode()).hexdigest()
        self._name = target.name

    def recall(self, check: str) -> str | None:
        """Return why the check failed, empty where it passed, None where it was not made."""
        entry = self._read().get(f"{check} {self._key}")
        why = entry.get("why") if isinstance(entry, dict) else None
        return why if isinstance(why, str) else None

    def remember(self, check: str, why: str) -> None:
        """Write down why a check failed, empty for one that passed."""
        if self._path is None:
            return
        entries = self._read() | {f"{check} {self._key}": {"target": self._name, "why": why}}
        partial = self._path.with_name(f"{REMEMBERED}.{os.getpid()}")
        with suppress(OSError):
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            partial.write_text(
                json.dumps(entries, indent=1, sort_keys=True) + "\n", encoding="utf-8"
            )
            partial.replace(self._path)

    def _read(self) -> dict[str, object]:
        if self._path is None:
            return {}
        try:
            entries = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return {}
        return entries if isinstance(entries, dict) else {}
