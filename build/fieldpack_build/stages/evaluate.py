"""Ask the recipe's test questions on the staged bundle, through the runtime, in every arm; then check the gates.

report/report.json, report/report.html
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fieldpack.answers import Answer
from fieldpack.bundle.manifest import Manifest
from fieldpack.index.reader import KnowledgeIndex
from fieldpack.prompt import PromptSettings
from fieldpack.rag import Arm
from fieldpack.retrieval.embedder import Embedder

from ..bundle.assemble import assemble
from ..data import TestQuestion, read_questions
from ..errors import GateMissed
from ..evaluation import ask_trace, calibration, metrics, question_split
from ..evaluation.arms import arms_of, by_model, fixed_arm, left_out, retrieves
from ..evaluation.bootstrap import FIGURES, Resampled
from ..evaluation.gates import check_gates
from ..evaluation.peak_memory import peak_mb
from ..evaluation.recommend import choose, pick
from ..evaluation.retrieval_metrics import KS, Search, measure
from ..evaluation.scoring_expert import MeasuredExpert
from ..evaluation.stored_pages import stored_pages
from ..pipeline.store import RECEIPT, place_link
from ..pipeline.task import Task
from ..recipe.runtime_settings import read_calibration, read_thresholds
from ..report import render
from ..report.advice import why_shipped
from ..report.library import picture
from ..training.checkpoints import LOG

REPORT = "report"


def run(task: Task) -> dict[str, Any]:
    evaluate = task.recipe.evaluate
    assert evaluate
    every = read_questions(task.recipe.path(evaluate.questions), refusal=task.recipe.answer.refusal)
    measuring = _Measuring(task, question_split.asked(task.recipe, every, evaluate.sample), arms_of(task.recipe))
    retrieval: dict[str, Any] | None = None
    library: dict[str, Any] | None = None
    thresholds: dict[str, Any] | None = None
    silence: dict[str, Any] | None = None
    for number, (model, mine) in enumerate(by_model(task.recipe, measuring.names).items()):
        folder = task.out / f"staged-{model}"
        manifest = assemble(folder, task.recipe, task.inputs, model=model, provenance={}, place=place_link)
        with MeasuredExpert(folder) as expert:
            for arm in mine:
                measuring.ask_all(expert, arm)
            if not number and task.recipe.knowledge:  # every staged bundle has the same library
                search = cache(expert.search)  # the figures and the picture ask the same
                thresholds = _thresholds(task, expert, question_split.measured_part(task.recipe, every), measuring.rows)
                retrieval = _retrieval(search, expert.settings, question_split.measured_part(task.recipe, every))
                library = picture(
                    task.inputs["knowledge"], Embedder.open(task.inputs["embedder"]), every, search=search,
                    refuse_below=expert.settings.refuse_below,
                )  # fmt: skip
        for arm in mine:  # with the models of this process closed
            measuring.weigh(folder, manifest, arm)
        if not number and measuring.questions:
            silence = _silence(task, folder, measuring.questions[0].question)
        shutil.rmtree(folder)
    parts = {"retrieval": retrieval, "library": library, "calibration": thresholds, "attribution": _attribution(task),
             "silence": silence}  # fmt: skip
    report = _report(task, measuring, every, parts)
    folder = task.out / REPORT
    folder.mkdir()
    (folder / "report.json").write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (folder / "report.html").write_text(render(report), encoding="utf-8")
    _refuse_missed(task, report, folder)
    if report["ship"]["rule"] != "auto" and report["shipped"] not in report["choice"]["ties"] and not task.recipe.rehearsal:
        task.warn(report["ship"]["why"])
    return {"arms": report["arms"], "retrieval": report["retrieval"], "gates": report["gates"],
            "shipped": report["shipped"], "ship": report["ship"]}  # fmt: skip


@dataclass
class _Measuring:
    """Fills `rows` and `figures` arm by arm."""

    task: Task
    questions: Sequence[TestQuestion]
    names: Sequence[str]
    rows: list[dict[str, Any]] = field(default_factory=list)
    figures: dict[str, dict[str, Any]] = field(default_factory=dict)
    fixed: dict[str, dict[str, float]] = field(default_factory=dict)
    passages: dict[str, list[list[dict[str, Any]]]] = field(default_factory=dict)  # by arm, of each question
    _longest: dict[str, tuple[int, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.rows = [{"question": q.question, "expected": q.answer, "value": q.value, "document": q.document,
                      "line": q.line, "arms": {}} for q in self.questions]  # fmt: skip
        self._stored = stored_text(self.task)

    def ask_all(self, expert: MeasuredExpert, arm: str) -> None:
        scores = []
        done, total = len(self.figures), len(self.names)
        self._longest[arm] = (-1, "")
        for number, (question, row) in enumerate(zip(self.questions, self.rows, strict=True), 1):
            answer = expert.ask(question.question, arm=Arm(retrieval=retrieves(arm)))
            loss = expert.loss(answer, question.answer) if question.answer else None
            scored = metrics.score(answer, question, self._stored, loss)
            scores.append(scored)
            self._longest[arm] = max(self._longest[arm], (answer.timings.prompt_tokens, question.question))
            row["arms"][arm] = row_of(answer, scored)
            self.passages.setdefault(arm, []).append(passages_of(answer))
            said = done * len(self.questions) + number
            self.task.progress(said, total * len(self.questions), f"questions asked ({arm})")
        self.figures[arm] = metrics.summarize(scores)

    def weigh(self, folder: Path, manifest: Manifest, arm: str) -> None:
        """Memory on the longest prompt, and megabytes of the files that the arm reads."""
        self.task.note(f"measuring memory ({arm})")
        roles = {"model", "settings", *(("embedder", "knowledge", "reranker") if retrieves(arm) else ())}
        size = sum(entry.size for entry in manifest.files if entry.role in roles)
        self.fixed[arm] = {"size_mb": round(size / 1e6, 1)}
        if self.questions:
            self.fixed[arm]["peak_mb"] = peak_mb(folder, self._longest[arm][1], retrieval=retrieves(arm))
        self.figures[arm] |= self.fixed[arm]


def row_of(answer: Answer, scored: metrics.Score) -> dict[str, Any]:
    """One answer in report.json."""
    return {**scored.to_dict(), "answer": answer.text, "citations": [asdict(c) for c in answer.citations]}


def passages_of(answer: Answer) -> list[dict[str, Any]]:
    return [{"document": p.document, "page": p.page, "similarity": round(p.similarity, 4), "text": p.text}
            for p in answer.passages]  # fmt: skip


def _report(task: Task, measured: _Measuring, every: Sequence[TestQuestion], parts: Mapping[str, Any]) -> dict[str, Any]:
    recipe = task.recipe
    assert recipe.evaluate
    evaluate = recipe.evaluate
    arms = {name: measured.figures[name] for name in measured.names}
    drawn = Resampled(measured.rows, measured.names, fixed=measured.fixed)
    by_document = (parts["retrieval"] or {}).get("document")

    def gates(arm: str) -> list[dict[str, Any]]:
        if recipe.rehearsal:
            return []
        return check_gates(evaluate.gates, shipped=arm, arms=arms, retrieval=by_document, drawn=drawn)

    missed = {arm: [gate["gate"] for gate in gates(arm) if not gate["passed"]] for arm in measured.names}
    shipped = fixed_arm(recipe) or pick(drawn, measured.names, evaluate.weights, missed.__getitem__)
    for row, passages in zip(measured.rows, measured.passages.get(shipped, ()), strict=True):
        row["passages"] = passages
    aside = question_split.calibration_part(recipe, every)
    report = {
        "name": recipe.name, "version": recipe.version, "schema": 1, "shipped": shipped, "arms": arms,
        **compared(drawn, measured.names), "choice": choose(drawn, measured.names, shipped, evaluate.weights),
        **parts, "gates": gates(shipped),
        "sample": {"asked": len(measured.questions), "of": len(every) - len(aside), "set_aside": len(aside)},
        "questions": measured.rows, "model": _facts(task), "training": _training(task),
        "tools": {name: version(name) for name in ("onnxruntime", "onnxruntime-genai", "usearch")},
    }  # fmt: skip
    rule = evaluate.ship if not recipe.rehearsal or evaluate.ship != "auto" else "all"
    report["ship"] = {"rule": rule, "missed": {arm: texts for arm, texts in missed.items() if texts},
                      "left_out": left_out(recipe, shipped)}  # fmt: skip
    report["ship"]["why"] = why_shipped(report)
    return report


def compared(drawn: Resampled, arms: Sequence[str]) -> dict[str, Any]:
    """`intervals` of each arm's figures, and the `differences` of every two arms, later less earlier, with theirs."""
    keys = [figure.key for figure in FIGURES]
    intervals = {arm: {k: [found.low, found.high] for k in keys if (found := drawn.interval(arm, k))} for arm in arms}
    differences = [
        {"arm": arm, "against": other, "figure": key, **gap.to_dict()}
        for at, arm in enumerate(arms) for other in arms[:at] for key in keys if (gap := drawn.difference(arm, other, key))
    ]  # fmt: skip
    rounded = {arm: {k: [round(low, 4), round(high, 4)] for k, (low, high) in of.items()} for arm, of in intervals.items()}
    return {"intervals": rounded, "differences": differences}


def stored_text(task: Task) -> dict[tuple[str, int | None], str]:
    if "knowledge" not in task.inputs:
        return {}
    return stored_pages(KnowledgeIndex(task.inputs["knowledge"]))


def _retrieval(search: Search, settings: PromptSettings, questions: Sequence[TestQuestion]) -> dict[str, Any]:
    """Over all questions with a document: searching is cheap, so no sample."""
    report = measure(search, questions)
    asked = [q for q in questions if q.document]
    by_passage = [metrics.rank_of(q, search(q.question, max(KS)), with_value=True) for q in asked]
    best: dict[str, list[float]] = {"answerable": [], "unanswerable": []}
    for question in questions:
        top = max((p.similarity for p in search(question.question, settings.passages)), default=0.0)
        best["answerable" if question.answer is not None else "unanswerable"].append(round(top, 4))
    figures = {"document": report.document, "page": report.page, "distinct_page": report.distinct_page}
    return {"questions": len(asked), **{name: value.to_dict() if value else None for name, value in figures.items()},
            "passage": metrics.retrieval_figures(by_passage), "best_similarity": best,
            "refuse_below": settings.refuse_below}  # fmt: skip


def _thresholds(
    task: Task, expert: MeasuredExpert, questions: Sequence[TestQuestion], rows: Sequence[dict[str, Any]]
) -> dict[str, Any] | None:
    """The learned ones, with what they refuse of the measured questions; each row gets its lead."""
    if "calibrate" not in task.inputs:
        return None
    found = read_calibration(task.inputs["calibrate"])
    signals = [expert.signals(q.question, answerable=q.answer is not None) for q in questions]
    leads = {q.line: signal.lead for q, signal in zip(questions, signals, strict=True)}
    for row in rows:
        row["lead"] = leads[row["line"]]
    return found | {"measured": calibration.describe(signals, read_thresholds(task.inputs["calibrate"]))}


def _silence(task: Task, folder: Path, question: str) -> dict[str, Any]:
    task.note("watching what `fieldpack ask` asks of the system")
    seen = ask_trace.watch(folder, question)
    if seen["tool"] and not seen["silent"]:
        task.warn(f"`fieldpack ask` is not silent here: {', '.join(seen['named']) or seen['errors']}; see the report")
    return seen


def _attribution(task: Task) -> dict[str, Any] | None:
    if "attribute" not in task.inputs:
        return None
    found: dict[str, Any] = json.loads((task.inputs["attribute"] / "attribution.json").read_text(encoding="utf-8"))
    return found


def _facts(task: Task) -> dict[str, Any]:
    """What the stages before said of themselves, for the report."""
    found = {}
    for name, folder in task.inputs.items():
        found[name] = json.loads((folder / RECEIPT).read_text(encoding="utf-8"))["result"]
    return found


def _training(task: Task) -> dict[str, Any] | None:
    """Loss by step."""
    if "train" not in task.inputs:
        return None
    found: dict[str, Any] = json.loads((task.inputs["train"] / LOG).read_text(encoding="utf-8"))
    return found


def _refuse_missed(task: Task, report: Mapping[str, Any], folder: Path) -> None:
    """The report of a missed gate is kept where the next build does not wipe it, and the message names it."""
    missed = [g for g in report["gates"] if not g["passed"]]
    if not missed:
        return
    kept = task.store.root / "missed" / f"{task.recipe.name}-{task.recipe.version}"
    shutil.rmtree(kept, ignore_errors=True)
    shutil.copytree(folder, kept)
    words = "; ".join(f"`{g['gate']}` (measured {_measured(g)})" for g in missed)
    raise GateMissed(f"evaluate.gates: {words}: no bundle was made; see {kept / 'report.html'}")


def _measured(gate: Mapping[str, Any]) -> str:
    """"0.31", "0.31, wanted 0.4"; where a gate is to be surely reached, by how much it may fall short."""
    if gate["measured"] is None:
        return "nothing"
    text = format(gate["measured"], ".3g")
    if gate.get("low") is not None:
        return f"{text}, ahead by {gate['low']:.3g} to {gate['high']:.3g} (95%)"
    written = gate["wanted"] is None or format(gate["wanted"], ".3g") in gate["gate"]
    return text if written else f"{text}, wanted {gate['wanted']:.3g}"
