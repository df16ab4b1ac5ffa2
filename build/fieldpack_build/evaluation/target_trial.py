"""Asks a staged bundle through one of its targets, in a process of its own: what it answers, how fast,
and how much memory it takes. What cannot run here says so; nothing is invented.

Runs by its path (`export.openvino_ir.run_in_openvino`), as some targets want packages on the import
path that the build itself does not have.

stdin: {"bundle", "target", "questions": [TestQuestion]}
stdout: one JSON object: {"proof", "note", "packages", "figures", "answers"}
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import fieldpack
from fieldpack.bundle.golden import read_golden
from fieldpack.bundle.manifest import read_manifest
from fieldpack.bundle.targets import Target
from fieldpack.index.reader import KnowledgeIndex
from fieldpack.targets.choice import CPU, EMULATED, how_it_differs
from fieldpack.targets.engines import missing, versions_of
from fieldpack_build.data.rows import TestQuestion
from fieldpack_build.evaluation import metrics
from fieldpack_build.evaluation.peak_memory import own_peak_mb
from fieldpack_build.evaluation.stored_pages import stored_pages

EMULATED_NOTE = "its static pipeline ran on the CPU: shapes, limits and tokens are shown, its speed and memory are not"


def main() -> None:
    task = json.loads(sys.stdin.readline())
    bundle = Path(task["bundle"])
    target = next(one for one in read_manifest(bundle).targets if one.name == task["target"])
    why = "" if target.name == CPU else missing(target)
    emulated = bool(why) and target.is_static and not missing(target, emulated=True)
    found: dict[str, Any] = {"packages": versions_of(target), "figures": {}, "answers": []}
    if why and not emulated:
        found |= {"proof": "config", "note": f"not run: {why}"}
    else:
        questions = [TestQuestion(**row) for row in task["questions"]]
        asked = [] if emulated else questions  # an emulation is slow, and its speed means nothing
        name = target.name + EMULATED * emulated
        found |= _ask(bundle, name, asked)
        found |= {"proof": "emulated" if emulated else "executed"}
        found |= {"note": EMULATED_NOTE if emulated else ""}
    print(json.dumps(found))


def _ask(bundle: Path, name: str, questions: list[TestQuestion]) -> dict[str, Any]:
    """Return figures and the golden questions' answers. Every question is another one, so that no engine
    answers from a prompt that it has kept."""
    started = time.perf_counter()
    with fieldpack.open(bundle, target=name, verify_contents=False) as expert:
        expert.load()
        load_s = time.perf_counter() - started
        golden = read_golden(bundle)
        answers = [expert.ask(one.question) for one in golden]
        stored = {}
        if expert.manifest.has("knowledge"):
            stored = stored_pages(KnowledgeIndex(bundle / "knowledge"))
        scores = [metrics.score(expert.ask(q.question), q, stored) for q in questions]
    figures = metrics.summarize(scores) if scores else {}
    figures |= {"load_s": round(load_s, 2), "peak_mb": own_peak_mb()}
    right = [not how_it_differs(*pair) for pair in zip(golden, answers, strict=True)]
    figures |= {"golden": len(golden), "golden_right": sum(right)}
    return {
        "figures": {key: value for key, value in figures.items() if value is not None},
        "answers": [answer.text for answer in answers],
    }


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
    main()
