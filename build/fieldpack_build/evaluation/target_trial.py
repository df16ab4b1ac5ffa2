"""Asks a staged bundle through one of its targets, in a process of its own: what it answers, how
fast, and how much memory it takes. What cannot run here says so; nothing is invented.

Runs by its path (`export.openvino_ir.ask_in_openvino`), as some targets want packages on the import
path that the build itself does not have.

Asked by the stage `targets`: `Question`; its answer is `Trial`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypedDict

import fieldpack
from fieldpack.bundle.golden import read_golden
from fieldpack.bundle.manifest import read_manifest
from fieldpack.bundle.targets import CPU, Proof, Target
from fieldpack.child import answer_parent
from fieldpack.index.reader import KnowledgeIndex
from fieldpack.targets.choice import EMULATED, how_it_differs
from fieldpack.targets.engines import missing, versions_of
from fieldpack_build.data.rows import TestQuestion
from fieldpack_build.evaluation import metrics
from fieldpack_build.evaluation.peak_memory import own_peak_mb
from fieldpack_build.evaluation.stored_pages import stored_pages

EMULATED_NOTE = (
    "its static pipeline ran on the CPU: shapes, limits and tokens are shown, its speed and memory "
    "are not"
)


class Question(TypedDict):
    """`bundle`: the staged bundle's folder. `target`: a name of its manifest. `questions`: test
    questions, the fields of each by name."""

    bundle: str
    target: str
    questions: list[dict[str, Any]]


class Trial(TypedDict):
    """What came of asking: see `fieldpack.bundle.targets.Target`."""

    proof: Proof
    note: str
    packages: dict[str, str]
    figures: dict[str, float]
    answers: list[str]


def question_of(bundle: Path, target: str, questions: Sequence[TestQuestion]) -> Question:
    """Return what this program is asked."""
    rows = [asdict(question) for question in questions]
    return {"bundle": str(bundle), "target": target, "questions": rows}


def try_target(question: Question) -> Trial:
    """Ask a staged bundle through one of its targets, if this machine can run that."""
    bundle = Path(question["bundle"])
    target = next(one for one in read_manifest(bundle).targets if one.name == question["target"])
    why = "" if target.name == CPU else missing(target)
    emulated = bool(why) and target.is_static and not missing(target, emulated=True)
    trial: Trial = {
        "proof": "executed",
        "note": "",
        "packages": versions_of(target),
        "figures": {},
        "answers": [],
    }
    if why and not emulated:
        return {**trial, "proof": "config", "note": f"not run: {why}"}
    if emulated:  # an emulation is slow, and its speed means nothing: the golden questions alone
        figures, answers = _ask(bundle, target.name + EMULATED, [])
        trial |= {"proof": "emulated", "note": EMULATED_NOTE}
    else:
        questions = [TestQuestion(**row) for row in question["questions"]]
        figures, answers = _ask(bundle, target.name, questions)
    return {**trial, "figures": figures, "answers": answers}


def _ask(
    bundle: Path, name: str, questions: Sequence[TestQuestion]
) -> tuple[dict[str, float], list[str]]:
    """Return figures, and the answers to the golden questions. These are asked last: they are among
    the test questions, and no engine is to be timed on a prompt that it has in its cache."""
    started = time.perf_counter()
    with fieldpack.open(bundle, target=name, verify_contents=False) as expert:
        expert.load()
        load_s = time.perf_counter() - started
        stored = {}
        if expert.manifest.has("knowledge"):
            stored = stored_pages(KnowledgeIndex(bundle / "knowledge"))
        scores = [
            metrics.score(expert.ask(q.question), q, stored, languages=expert.languages)
            for q in questions
        ]
        golden = read_golden(bundle)
        answers = [expert.ask(one.question) for one in golden]
    measured = metrics.summarize(scores) if scores else {}
    figures = {key: float(value) for key, value in measured.items() if value is not None}
    right = [not how_it_differs(*pair) for pair in zip(golden, answers, strict=True)]
    figures |= {
        "load_s": round(load_s, 2),
        "peak_mb": own_peak_mb(),
        "golden": len(golden),
        "golden_right": sum(right),
    }
    return figures, [answer.text for answer in answers]


def describe(target: Target) -> str:
    """Return one line for a build's log."""
    figures = ", ".join(
        f"{target.figures[key]:,.4g} {unit}"
        for key, unit in (
            ("golden_right", "golden questions right"),
            ("f1", "F1"),
            ("first_token_ms", "ms to the first token"),
            ("tokens_per_s", "tokens/s"),
            ("peak_mb", "MB"),
        )
        if key in target.figures
    )
    return f"{target.name}: {target.proof}" + (f", {figures}" if figures else f"; {target.note}")


if __name__ == "__main__":
    answer_parent(try_target)
