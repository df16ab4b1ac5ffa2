"""Ask the recipe's test questions on the staged bundle, through the runtime, in every arm; then
check the gates.

report/report.json, report/report.html
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.metadata import version
from pathlib import Path

from fieldpack.answers import UNSURE, Answer
from fieldpack.bundle.manifest import Manifest
from fieldpack.index.reader import KnowledgeIndex
from fieldpack.prompt import PromptSettings
from fieldpack.rag import AnswerOptions
from fieldpack.retrieval.embedder import Embedder

from ..bundle.assemble import assemble
from ..data import TestQuestion, read_questions
from ..errors import GateMissed
from ..evaluation import ask_trace, calibration, metrics, question_split
from ..evaluation.arms import arms_of, by_model, fixed_arm, left_out, retrieves
from ..evaluation.bootstrap import PairedBootstrap
from ..evaluation.gates import check_gates
from ..evaluation.guarantee_part import make_guarantee, make_risk
from ..evaluation.peak_memory import peak_mb
from ..evaluation.recommend import choose, pick
from ..evaluation.report_file import (
    SCHEMA,
    Attribution,
    Calibration,
    Figures,
    GateResult,
    LibrarySummary,
    PassageRead,
    QuestionRow,
    Report,
    Retrieval,
    Sample,
    Shipping,
    Silence,
    Similarities,
    TrainingLog,
)
from ..evaluation.retrieval_metrics import KS, Search, measure
from ..evaluation.scoring_expert import ScoringExpert
from ..evaluation.stored_pages import stored_pages
from ..pipeline.events import StageResult
from ..pipeline.store import RECEIPT, place_link
from ..pipeline.task import Task
from ..recipe.runtime_settings import CALIBRATION, read_thresholds
from ..report import render
from ..report.advice import why_shipped
from ..report.library import summarize_library
from ..report.promises import risk_in_words
from ..training.checkpoints import LOG

REPORT = "report"


def run(task: Task) -> StageResult:
    """Ask the test questions in every arm, choose what ships, and write `report/`.

    Raises GateMissed where what would ship misses a gate of the recipe."""
    evaluate = task.recipe.evaluate
    assert evaluate
    every = read_questions(task.recipe.path(evaluate.questions), refusal=task.recipe.answer.refusal)
    measuring = _Measuring(
        task,
        question_split.sampled_part(task.recipe, every, evaluate.sample),
        arms_of(task.recipe),
        question_split.calibration_part(task.recipe, every) if task.recipe.answer.risk else (),
    )
    parts = _Parts()
    if "attribute" in task.inputs:
        path = task.inputs["attribute"] / "attribution.json"
        parts.attribution = Attribution.model_validate_json(path.read_bytes())
    for number, (model, mine) in enumerate(by_model(task.recipe, measuring.names).items()):
        folder = task.out / f"staged-{model}"
        manifest = assemble(
            folder, task.recipe, task.inputs, model=model, provenance={}, place=place_link
        )
        with ScoringExpert(folder) as expert:
            for arm in mine:
                measuring.ask_all(expert, arm)
            if not number and task.recipe.knowledge:  # every staged bundle has the same library
                search = cache(expert.search)  # the figures and the library's summary ask the same
                measured = question_split.measured_part(task.recipe, every)
                parts.calibration = _thresholds(task, expert, measured, measuring.rows)
                parts.retrieval = _retrieval(search, expert.settings, measured)
                parts.passage_ranks = _passage_ranks(search, measured)
                parts.passages_shown = expert.settings.passages
                parts.library = summarize_library(
                    task.inputs["knowledge"],
                    Embedder.open(task.inputs["embedder"]),
                    every,
                    search=search,
                    refuse_below=expert.settings.refuse_below,
                )
        for arm in mine:  # with the models of this process closed
            measuring.weigh(folder, manifest, arm)
        if not number and measuring.questions:
            parts.silence = _silence(task, folder, measuring.questions[0].question)
        shutil.rmtree(folder)
    report = _report(task, measuring, every, parts)
    folder = task.out / REPORT
    folder.mkdir()
    report.write(folder)
    (folder / "report.html").write_text(render(report), encoding="utf-8")
    _refuse_missed(task, report, folder)
    assert report.ship and report.choice
    if (
        report.ship.rule != "auto"
        and report.shipped not in report.choice.ties
        and not task.recipe.rehearsal
    ):
        task.warn(report.ship.why)
    risk = risk_in_words(report.risk) if report.risk else None
    if report.risk and report.risk.sure_from is None and not task.recipe.rehearsal:
        task.warn(str(risk))
    written = report.to_dict()
    shown = ("arms", "retrieval", "gates", "shipped", "ship", "guarantee")
    return {**{key: written[key] for key in shown}, **({"risk": risk} if risk else {})}


@dataclass
class _Parts:
    """What only some recipes have, or is measured on the first staged bundle alone."""

    retrieval: Retrieval | None = None
    passage_ranks: Sequence[int | None] = ()
    passages_shown: int = 0
    library: LibrarySummary | None = None
    calibration: Calibration | None = None
    attribution: Attribution | None = None
    silence: Silence | None = None


@dataclass
class _Measuring:
    """Fills `rows` and `figures` arm by arm."""

    task: Task
    questions: Sequence[TestQuestion]
    names: Sequence[str]
    aside: Sequence[TestQuestion] = ()  # that a risk is learned from, and nothing else
    rows: list[QuestionRow] = field(default_factory=list)
    aside_rows: list[QuestionRow] = field(default_factory=list)
    figures: dict[str, Figures] = field(default_factory=dict)
    fixed: dict[str, dict[str, float]] = field(default_factory=dict)
    # by arm, of each question
    passages: dict[str, list[list[PassageRead]]] = field(default_factory=dict)
    _longest: dict[str, tuple[int, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.rows, self.aside_rows = (
            [
                QuestionRow(
                    question=q.question,
                    expected=q.answer,
                    value=q.value,
                    document=q.document,
                    line=q.line,
                    arms={},
                )
                for q in questions
            ]
            for questions in (self.questions, self.aside)
        )
        self._stored = stored_text(self.task)

    def ask_all(self, expert: ScoringExpert, arm: str) -> None:
        options = AnswerOptions(retrieval=retrieves(arm))
        for question, row in zip(self.aside, self.aside_rows, strict=True):
            answer = expert.ask(question.question, options=options)
            scored = metrics.score(answer, question, self._stored, languages=expert.languages)
            row.arms[arm] = scored.to_row(answer.text, answer.citations)
            row.arms[arm].sureness = answer.sureness
        sure_from = self._sure_from(arm)
        scores = []
        done, total = len(self.figures), len(self.names)
        self._longest[arm] = (-1, "")
        for number, (question, row) in enumerate(zip(self.questions, self.rows, strict=True), 1):
            answer = expert.ask(question.question, options=options)
            loss = expert.loss(answer, question.answer) if question.answer else None
            if sure_from is not None:  # what ships says so of itself (`Rag._if_sure`)
                answer = self._if_sure(answer, sure_from)
            scored = metrics.score(answer, question, self._stored, loss, languages=expert.languages)
            scores.append(scored)
            self._longest[arm] = max(
                self._longest[arm], (answer.timings.prompt_tokens, question.question)
            )
            row.arms[arm] = scored.to_row(answer.text, answer.citations)
            row.arms[arm].sureness = answer.sureness
            self.passages.setdefault(arm, []).append(
                [
                    PassageRead(
                        document=p.document,
                        page=p.page,
                        similarity=round(p.similarity, 4),
                        text=p.text,
                    )
                    for p in answer.passages
                ]
            )
            said = done * len(self.questions) + number
            self.task.progress(said, total * len(self.questions), f"questions asked ({arm})")
        self.figures[arm] = metrics.summarize(scores)

    def _sure_from(self, arm: str) -> float | None:
        """The sureness from which on the arm would answer, learned on the questions set aside; None
        where the recipe names no risk, and without retrieval, where the runtime looks at none."""
        risk = self.task.recipe.answer.risk
        if risk is None or not retrieves(arm):
            return None
        return make_risk(self.aside_rows, (), arm, wrong=risk.wrong, sure=risk.sure).threshold

    def _if_sure(self, answer: Answer, sure_from: float) -> Answer:
        """The answer, or what the bundle says in the place of one that is not sure enough."""
        if answer.refused or (answer.sureness is not None and answer.sureness >= sure_from):
            return answer
        unsure = self.task.recipe.answer.unsure.strip()
        return replace(answer, text=unsure, refused=True, citations=(), quote=None, kind=UNSURE)

    def weigh(self, folder: Path, manifest: Manifest, arm: str) -> None:
        """Memory on the longest prompt, and megabytes of the files that the arm reads."""
        self.task.note(f"measuring memory ({arm})")
        roles = {
            "model",
            "settings",
            *(("embedder", "knowledge", "reranker") if retrieves(arm) else ()),
        }
        size = sum(entry.size for entry in manifest.files if entry.role in roles)
        self.fixed[arm] = {"size_mb": round(size / 1e6, 1)}
        if self.questions:
            self.fixed[arm]["peak_mb"] = peak_mb(
                folder, self._longest[arm][1], retrieval=retrieves(arm)
            )
        self.figures[arm] |= self.fixed[arm]


def _report(
    task: Task, measured: _Measuring, every: Sequence[TestQuestion], parts: _Parts
) -> Report:
    recipe = task.recipe
    assert recipe.evaluate
    evaluate = recipe.evaluate
    arms = {name: measured.figures[name] for name in measured.names}
    bootstrap = PairedBootstrap(measured.rows, measured.names, fixed=measured.fixed)
    by_document = parts.retrieval.document if parts.retrieval else None

    def gates(arm: str) -> list[GateResult]:
        if recipe.rehearsal:
            return []
        return check_gates(
            evaluate.gates, shipped=arm, arms=arms, retrieval=by_document, bootstrap=bootstrap
        )

    missed = {arm: [gate.gate for gate in gates(arm) if not gate.passed] for arm in measured.names}
    shipped = fixed_arm(recipe) or pick(
        bootstrap, measured.names, evaluate.weights, missed.__getitem__
    )
    for row, passages in zip(measured.rows, measured.passages.get(shipped, ()), strict=True):
        row.passages = passages
    aside = question_split.calibration_part(recipe, every)
    training = None
    if "train" in task.inputs:
        training = TrainingLog.model_validate_json((task.inputs["train"] / LOG).read_bytes())
    report = Report(
        name=recipe.name,
        version=recipe.version,
        schema_version=SCHEMA,
        shipped=shipped,
        arms=arms,
        intervals=bootstrap.intervals(),
        differences=bootstrap.differences(),
        choice=choose(bootstrap, measured.names, shipped, evaluate.weights),
        retrieval=parts.retrieval,
        library=parts.library,
        calibration=parts.calibration,
        attribution=parts.attribution,
        silence=parts.silence,
        gates=gates(shipped),
        sample=Sample(
            asked=len(measured.questions), of=len(every) - len(aside), set_aside=len(aside)
        ),
        questions=measured.rows,
        model={  # what the stages before said of themselves
            name: json.loads((folder / RECEIPT).read_text(encoding="utf-8"))["result"]
            for name, folder in task.inputs.items()
        },
        training=training,
        tools={name: version(name) for name in ("onnxruntime", "onnxruntime-genai", "usearch")},
    )
    report.ship = Shipping(
        rule=evaluate.ship if not recipe.rehearsal or evaluate.ship != "auto" else "all",
        missed={arm: texts for arm, texts in missed.items() if texts},
        left_out=left_out(recipe, shipped),
    )
    report.ship.why = why_shipped(report)
    quoting = report.model.get("quoting", {})
    report.guarantee = make_guarantee(
        measured.rows,
        shipped,
        arms=1 if fixed_arm(recipe) else len(measured.names),
        ranks=parts.passage_ranks,
        depth=max(KS),
        shown=parts.passages_shown,
        made_up=bool(quoting.get("made_up")) and quoting["refuse_below"] is not None,
    )
    if risk := recipe.answer.risk:
        report.risk = make_risk(
            measured.aside_rows, measured.rows, shipped, wrong=risk.wrong, sure=risk.sure
        )
    return report


def stored_text(task: Task) -> dict[tuple[str, int | None], str]:
    """Return what the library holds of each (document, page), its chunks' texts apart by a null
    character; nothing where the recipe has no documents."""
    if "knowledge" not in task.inputs:
        return {}
    return stored_pages(KnowledgeIndex(task.inputs["knowledge"]))


def _retrieval(
    search: Search, settings: PromptSettings, questions: Sequence[TestQuestion]
) -> Retrieval:
    """Over all questions with a document: searching is cheap, so no sample."""
    report = measure(search, questions)
    by_passage = _passage_ranks(search, questions)
    best = Similarities(answerable=[], unanswerable=[])
    for question in questions:
        top = max((p.similarity for p in search(question.question, settings.passages)), default=0.0)
        kind = best.answerable if question.answer is not None else best.unanswerable
        kind.append(round(top, 4))
    return Retrieval(
        questions=len(by_passage),
        **report.figures(),
        passage=metrics.retrieval_figures(by_passage),
        best_similarity=best,
        refuse_below=settings.refuse_below,
    )


def _passage_ranks(search: Search, questions: Sequence[TestQuestion]) -> list[int | None]:
    """The place of the right passage of each question that names a document; None where it is not
    among the first `max(KS)`."""
    return [
        metrics.rank_of(q, search(q.question, max(KS)), with_value=True)
        for q in questions
        if q.document
    ]


def _thresholds(
    task: Task,
    expert: ScoringExpert,
    questions: Sequence[TestQuestion],
    rows: Sequence[QuestionRow],
) -> Calibration | None:
    """The learned ones, with what they refuse of the measured questions; each row gets its lead."""
    if "calibrate" not in task.inputs:
        return None
    learned = Calibration.model_validate_json(
        (task.inputs["calibrate"] / CALIBRATION).read_text(encoding="utf-8")
    )
    signals = [expert.signals(q.question, answerable=q.answer is not None) for q in questions]
    leads = {q.line: signal.lead for q, signal in zip(questions, signals, strict=True)}
    for row in rows:
        assert row.line is not None
        row.lead = leads[row.line]
    learned.measured = calibration.describe(signals, read_thresholds(task.inputs["calibrate"]))
    return learned


def _silence(task: Task, folder: Path, question: str) -> Silence:
    task.note("watching what `fieldpack ask` asks of the system")
    name = f"{task.recipe.name}-{task.recipe.version}"
    watched = ask_trace.watch(folder, question, name=name)
    if watched.tool and not watched.silent:
        task.warn(
            f"`fieldpack ask` is not silent here: {', '.join(watched.named) or watched.errors}; "
            "see the report"
        )
    return watched


def _refuse_missed(task: Task, report: Report, folder: Path) -> None:
    """The report of a missed gate is kept where the next build does not wipe it, and the message
    names it."""
    missed = [gate for gate in report.gates if not gate.passed]
    if not missed:
        return
    kept = task.store.missed / f"{task.recipe.name}-{task.recipe.version}"
    shutil.rmtree(kept, ignore_errors=True)
    shutil.copytree(folder, kept)
    words = "; ".join(f"`{gate.gate}` (measured {_measured(gate)})" for gate in missed)
    message = f"evaluate.gates: {words}: no bundle was made; see {kept / 'report.html'}"
    if report.risk and report.risk.sure_from is None:
        message += f"\n{risk_in_words(report.risk)}"
    raise GateMissed(message)


def _measured(gate: GateResult) -> str:
    """ "0.31", "0.31, wanted 0.4"; where a gate is to be surely reached, by how much it may fall
    short."""
    if gate.measured is None:
        return "nothing"
    text = format(gate.measured, ".3g")
    if gate.low is not None:
        return f"{text}, ahead by {gate.low:.3g} to {gate.high:.3g} (95%)"
    written = gate.wanted is None or format(gate.wanted, ".3g") in gate.gate
    return text if written else f"{text}, wanted {gate.wanted:.3g}"
