"""Ask the recipe's test questions on the staged bundle, through the runtime, in every arm; then check the gates.

report/report.json, report/report.html
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import fieldpack
from fieldpack.embedder import Embedder
from fieldpack.index import KnowledgeIndex
from fieldpack.prompt import PromptSettings
from fieldpack.rag import Arm

from .. import scoring
from ..bundling import assemble
from ..data import TestQuestion, read_questions
from ..errors import GateMissed
from ..recipe import Evaluate, parse_gate
from ..report import render
from ..report.library import picture
from ..retrieval_report import KS, Search, measure
from ..store import RECEIPT, place_link
from ..task import Task

REPORT = "report"
_REHEARSED = 4


def run(task: Task) -> dict[str, Any]:
    evaluate = task.recipe.evaluate
    assert evaluate
    every = read_questions(task.recipe.path(evaluate.questions))
    questions = sample(every, _REHEARSED if task.recipe.rehearsal else evaluate.sample)
    stored = _stored_text(task)
    arms: dict[str, Any] = {}
    rows: list[dict[str, Any]] = [{"question": q.question, "expected": q.answer, "value": q.value,
                                   "document": q.document, "line": q.line, "arms": {}} for q in questions]  # fmt: skip
    names = arms_of(task, evaluate)
    for model, mine in _by_model(names).items():
        folder = task.out / f"staged-{model}"
        assemble(folder, task.recipe, task.inputs, model=model, provenance={}, place=place_link)
        with fieldpack.open(folder, verify_contents=False) as expert:
            for arm in mine:
                scores = _ask_all(task, expert, arm, questions, rows, stored, done=len(arms), total=len(names))
                arms[arm] = scoring.summarize(scores)
            if model == "export" and task.recipe.knowledge:
                search = cache(expert.search)  # the figures and the picture ask the same
                retrieval = _retrieval(search, expert.settings, every)
                library = picture(
                    task.inputs["knowledge"], Embedder.open(task.inputs["embedder"]), every, search=search,
                    refuse_below=expert.settings.refuse_below,
                )  # fmt: skip
        shutil.rmtree(folder)
    report = {
        "name": task.recipe.name, "version": task.recipe.version, "schema": 1, "shipped": _shipped(task),
        "arms": {name: arms[name] for name in names}, "retrieval": retrieval if task.recipe.knowledge else None,
        "library": library if task.recipe.knowledge else None,
        "sample": {"asked": len(questions), "of": len(every)}, "questions": rows, "model": _facts(task),
        "tools": {name: version(name) for name in ("onnxruntime", "onnxruntime-genai", "usearch")},
    }  # fmt: skip
    report["gates"] = check_gates(evaluate, report) if not task.recipe.rehearsal else []
    folder = task.out / REPORT
    folder.mkdir()
    (folder / "report.json").write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (folder / "report.html").write_text(render(report), encoding="utf-8")
    _refuse_missed(task, report, folder)
    return {"arms": report["arms"], "retrieval": report["retrieval"], "gates": report["gates"], "shipped": report["shipped"]}


def sample(questions: Sequence[TestQuestion], count: int | None) -> list[TestQuestion]:
    """`count` questions spread evenly over the file, answerable and not in their proportion; all for None."""
    if count is None or count >= len(questions):
        return list(questions)
    answerable = [q for q in questions if q.answer is not None]
    others = [q for q in questions if q.answer is None]
    share = max(min(1, len(others)), round(count * len(others) / len(questions)))
    chosen = _every(answerable, count - share) + _every(others, share)
    return sorted(chosen, key=lambda q: q.line)


def _every(rows: Sequence[TestQuestion], count: int) -> list[TestQuestion]:
    return [rows[i * len(rows) // count] for i in range(count)] if rows and count > 0 else []


def arms_of(task: Task, evaluate: Evaluate) -> list[str]:
    """The arms that this recipe has the halves for, in the recipe's order; the shipped one is always among them."""
    recipe = task.recipe
    possible = {"base": True, "rag": recipe.knowledge is not None, "tuned": recipe.tuned,
                "tuned+rag": recipe.tuned and recipe.knowledge is not None}  # fmt: skip
    names: list[str] = [name for name in evaluate.arms if possible[name]]
    return names if _shipped(task) in names else [*names, _shipped(task)]


def _shipped(task: Task) -> str:
    halves = [name for name, there in (("tuned", task.recipe.tuned), ("rag", task.recipe.knowledge is not None)) if there]
    return "+".join(halves) or "base"


def _by_model(arms: Sequence[str]) -> dict[str, list[str]]:
    """Which exported model answers in which arms; the shipped one ("export") always comes first."""
    tuned = [arm for arm in arms if arm.startswith("tuned")]
    if not tuned:
        return {"export": list(arms)}
    plain = [arm for arm in arms if arm not in tuned]
    return {"export": tuned, **({"baseline": plain} if plain else {})}


def _stored_text(task: Task) -> dict[tuple[str, int | None], str]:
    if "knowledge" not in task.inputs:
        return {}
    found: dict[tuple[str, int | None], list[str]] = {}
    for _, chunk in KnowledgeIndex(task.inputs["knowledge"]).chunks():
        found.setdefault((chunk.document, chunk.page), []).append(chunk.text)
    return {key: "\0".join(texts) for key, texts in found.items()}


def _ask_all(
    task: Task, expert: fieldpack.Expert, arm: str, questions: Sequence[TestQuestion], rows: list[dict[str, Any]],
    stored: dict[tuple[str, int | None], str], *, done: int, total: int,
) -> list[scoring.Score]:  # fmt: skip
    scores = []
    for number, (question, row) in enumerate(zip(questions, rows, strict=True), 1):
        answer = expert.ask(question.question, arm=Arm(retrieval=arm.endswith("rag")))
        scored = scoring.score(answer, question, stored)
        scores.append(scored)
        row["arms"][arm] = {"answer": answer.text, "refused": answer.refused, "f1": round(scored.f1, 4),
                            "value_match": scored.value_match, "cites_right": scored.cites_right,
                            "citations": [asdict(c) for c in answer.citations],
                            "total_ms": round(scored.total_ms, 1)}  # fmt: skip
        if arm == _shipped(task):
            row["passages"] = [{"document": p.document, "page": p.page, "similarity": round(p.similarity, 4),
                                "text": p.text} for p in answer.passages]  # fmt: skip
        task.progress(done * len(questions) + number, total * len(questions), f"questions asked ({arm})")
    return scores


def _retrieval(search: Search, settings: PromptSettings, questions: Sequence[TestQuestion]) -> dict[str, Any]:
    """Over all questions with a document: searching is cheap, so no sample."""
    report = measure(search, questions)
    asked = [q for q in questions if q.document]
    by_passage = [scoring.rank_of(q, search(q.question, max(KS)), with_value=True) for q in asked]
    best = {"answerable": [], "unanswerable": []}  # type: dict[str, list[float]]
    for question in questions:
        top = max((p.similarity for p in search(question.question, settings.passages)), default=0.0)
        best["answerable" if question.answer is not None else "unanswerable"].append(round(top, 4))
    figures = {"document": report.document, "page": report.page, "distinct_page": report.distinct_page}
    return {"questions": len(asked), **{name: value.to_dict() if value else None for name, value in figures.items()},
            "passage": scoring.retrieval_figures(by_passage), "best_similarity": best,
            "refuse_below": settings.refuse_below}  # fmt: skip


def _facts(task: Task) -> dict[str, Any]:
    """What the stages before said of themselves, for the report."""
    found = {}
    for name, folder in task.inputs.items():
        found[name] = json.loads((folder / RECEIPT).read_text(encoding="utf-8"))["result"]
    return found


def check_gates(evaluate: Evaluate, report: dict[str, Any]) -> list[dict[str, Any]]:
    gates = []
    for text in evaluate.gates:
        gate = parse_gate(text)
        arm = gate.arm or report["shipped"]
        if gate.metric.startswith(("recall", "mrr")):
            measured = ((report["retrieval"] or {}).get("document") or {}).get(gate.metric)
        else:
            measured = report["arms"].get(arm, {}).get(gate.metric)
        passed = measured is not None and (measured >= gate.value if gate.op == ">=" else measured <= gate.value)
        gates.append({"gate": text, "measured": measured, "passed": passed})
    return gates


def _refuse_missed(task: Task, report: dict[str, Any], folder: Path) -> None:
    """The report of a missed gate is kept where the next build does not wipe it, and the message names it."""
    missed = [g for g in report["gates"] if not g["passed"]]
    if not missed:
        return
    kept = task.store.root / "missed" / f"{task.recipe.name}-{task.recipe.version}"
    shutil.rmtree(kept, ignore_errors=True)
    shutil.copytree(folder, kept)
    words = "; ".join(
        f"`{g['gate']}` (measured {'nothing' if g['measured'] is None else format(g['measured'], '.3g')})" for g in missed
    )
    raise GateMissed(f"evaluate.gates: {words}: no bundle was made; see {kept / 'report.html'}")
