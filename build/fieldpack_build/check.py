"""`build check`: everything that can be found wrong without running a stage, all at once. Imports
nothing heavy."""

from __future__ import annotations

import difflib
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from .base_model import inspect_base
from .data import read_questions
from .data.rows import TestQuestion, judged_in_words, raise_problems, shortened
from .data.training_rows import training_rows
from .device_budget import solve
from .documents import read_document
from .documents.quick_look import why_unreadable
from .embedding.engines import problems as engine_problems
from .embedding.languages import language_warning
from .errors import DocumentError, RecipeError, SourceError
from .ingest.files import hint, roots_of, survey_of
from .models import sources
from .models.inspection import Use, file_problems, inspect_model
from .recipe.gates import parse_gate
from .recipe.scaffold import is_example
from .recipe.schema import ModelSource, Recipe

# What the plain `answer.refuse_below` was measured with, as it stands in the names of that model.
MEASURED_EMBEDDER = "all-minilm-l6-v2"
# Documents that are read to see their language, and the largest of them in bytes.
_READ, _SMALL = 5, 1 << 20


def check_recipe(
    recipe: Recipe, name: str, synthesized: Path | None = None, *, models: Path | None = None
) -> list[str]:
    """Return warnings. Raises RecipeError, SourceError or DataError with every problem found in
    files the recipe names, in models that are on this disk (those fetched before lie in `models`),
    and in rows that were `synthesized` before (the finished folder)."""
    warnings = check_sources(recipe, name, models=models)
    rows = training_rows(recipe, synthesized)
    raise_problems(
        rows.problems
        + _example_questions(recipe, rows.questions)
        + _gates_without_questions(recipe, rows.questions)
    )
    return [
        *warnings,
        *rows.warnings,
        *_unknown_documents(recipe, rows.questions),
        *_threshold_of_another_embedder(recipe, name),
    ]


def _example_questions(recipe: Recipe, questions: Sequence[TestQuestion]) -> list[str]:
    """Return a problem for the questions that `build init` wrote: they are there to be replaced,
    and a build that is measured by them misses its gates after minutes."""
    lines = [question.line for question in questions if is_example(question.question)]
    if not lines or recipe.evaluate is None:
        return []
    where = f"{recipe.path(recipe.evaluate.questions)}:{lines[0]}"
    return [
        (
            f"{where}: this is an example that `build init` wrote; write test questions of your own in "
            "the place of the examples, or take the section `evaluate` out to build without measuring"
        )
    ]


def _gates_without_questions(recipe: Recipe, questions: Sequence[TestQuestion]) -> list[str]:
    """Return a problem for each gate on refusals of unanswerable questions where no test question is
    one: a figure that is not measured reaches no gate, and the build would end with it."""
    if recipe.evaluate is None or any(question.answer is None for question in questions):
        return []
    where = recipe.places.get("evaluate.gates", "evaluate.gates")
    return [
        f"{where}: `{gate.text}` needs test questions that the documents do not answer (`answer: "
        "null`), and there are none; add some, or take the gate out"
        for gate in map(parse_gate, recipe.evaluate.gates)
        if "refused_right" in (gate.metric, gate.other)
    ]


def judged_line(recipe: Recipe) -> str:
    """Return a line that says how answers are judged to test questions that name no value; empty
    where there are none. Raises DataError."""
    if recipe.evaluate is None:
        return ""
    path = recipe.path(recipe.evaluate.questions)
    answerable = [
        question
        for question in read_questions(path, refusal=recipe.answer.refusal)
        if question.answer is not None
    ]
    return judged_in_words(sum(not one.value for one in answerable), len(answerable))


def _unknown_documents(recipe: Recipe, questions: Sequence[TestQuestion]) -> list[str]:
    """Return a warning for each document that test questions name and the library does not have:
    its questions can only miss."""
    lines: dict[str, int] = {}
    for question in questions:
        if question.document:
            lines.setdefault(question.document, question.line)
    if not lines or recipe.knowledge is None or recipe.evaluate is None:
        return []
    known = set(survey_of(recipe, recipe.knowledge).names.values())
    path = recipe.path(recipe.evaluate.questions)
    warnings = []
    for document, line in lines.items():
        if document not in known:
            close = difflib.get_close_matches(document, known, n=1)
            meant = f" (did you mean {close[0]}?)" if close else ""
            warnings.append(
                f"{path}:{line}: document {document} is not in knowledge.documents{meant}"
            )
    return shortened(warnings, "documents")


def _threshold_of_another_embedder(recipe: Recipe, name: str) -> list[str]:
    """Return a warning where the plain refusal threshold meets an embedder that it was not measured
    with: models of the E5 family give unrelated texts a cosine of 0.7, so it would refuse nothing."""
    answer, knowledge = recipe.answer, recipe.knowledge
    plain = type(answer).model_fields["refuse_below"].default
    if (
        knowledge is None
        or answer.refuse_below != plain
        or not sources.is_remote(
            knowledge.embedder
        )  # a folder's name says nothing of what is in it
        or MEASURED_EMBEDDER in knowledge.embedder.model.casefold()
    ):
        return []
    advice = (
        "write `auto`, which learns it from the test questions"
        if recipe.evaluate
        else ("with test questions under `evaluate`, `auto` learns it")
    )
    return [
        (
            f"{name}: answer.refuse_below: {plain} was measured with {MEASURED_EMBEDDER}, and other "
            f"embedders have other cosines; {advice}"
        )
    ]


def check_sources(recipe: Recipe, name: str, *, models: Path | None = None) -> list[str]:
    """Return warnings of the models and documents alone. Raises RecipeError; SourceError where
    nothing is wrong but what is in the models."""
    problems = (
        (sources.check_local(recipe.base, recipe, "base") if recipe.base else [])
        + _knowledge_problems(recipe)
        + _writer_problems(recipe)
    )
    unusable, warnings = _inspect_models(recipe, models)
    problems += _device_problems(recipe, models)
    if problems:
        raise RecipeError(_placed(recipe, name, problems + unusable))
    if unusable:
        raise SourceError("\n".join(_placed(recipe, name, unusable)))
    return [*recipe.notes, *_placed(recipe, name, warnings)]


def check_knowledge(recipe: Recipe, name: str) -> list[str]:
    """Return warnings for a build of the knowledge alone. Raises RecipeError with every problem
    found in what its section names."""
    if problems := _knowledge_problems(recipe):
        raise RecipeError(_placed(recipe, name, problems))
    return list(recipe.notes)


def _placed(recipe: Recipe, name: str, problems: Sequence[str]) -> list[str]:
    """Return problems that begin with their key (`knowledge.documents: ...`) with the recipe's line
    of it before them; its `name` where the key is not written."""
    return [f"{recipe.places.get(text.partition(': ')[0], name)}: {text}" for text in problems]


def check_files(recipe: Recipe) -> list[str]:
    """Return a warning for each document that a quick look finds empty, encrypted or damaged: a build
    skips it, or stops at it where the recipe says so."""
    knowledge = recipe.knowledge
    if knowledge is None:
        return []
    survey = survey_of(recipe, knowledge)
    ends = "will be skipped" if knowledge.on_error == "warn" else "the build will stop there"
    reasons = (why_unreadable(path, survey.names[path]) for path in survey.paths)
    return shortened([f"{reason} ({ends})" for reason in reasons if reason], "documents")


def check_languages(recipe: Recipe, models: Path | None) -> list[str]:
    """Return a warning where the embedder was not made for the languages of some documents: a few
    small ones are read for it. A build warns of all of them, in its knowledge stage."""
    knowledge = recipe.knowledge
    if knowledge is None:
        return []
    survey = survey_of(recipe, knowledge)
    small = [path for path in survey.paths if path.stat().st_size <= _SMALL]
    texts: dict[str, list[str]] = {}
    for path in small[:: max(len(small) // _READ, 1)][:_READ]:
        with suppress(DocumentError):  # the build reports it
            document = read_document(
                path,
                survey.names[path],
                vocabulary=knowledge.vocabulary,
                language=knowledge.index_language,
            )
            pages = texts.setdefault(document.language, [])
            pages += [page.text for page in document.pages]
    folder = sources.on_disk(knowledge.embedder, recipe, models)
    warning = language_warning(knowledge.embedder.model, folder, texts)
    return [f"knowledge.embedder.model: {warning}"] if warning else []


def _inspect_models(recipe: Recipe, models: Path | None) -> tuple[list[str], list[str]]:
    """(problems, warnings) of what is in the models that are on this disk."""
    problems, warnings = [], []
    writer = recipe.train.synthesize.source if recipe.train.synthesize and recipe.tuned else None
    knowledge = recipe.knowledge
    models_of: list[tuple[str, ModelSource | None]] = [
        ("base", recipe.base),
        ("train.synthesize", writer),
        ("knowledge.embedder", knowledge.embedder if knowledge else None),
        ("knowledge.retrieval.reranker", knowledge.retrieval.reranker if knowledge else None),
    ]
    for key, source in models_of:
        try:
            path = sources.on_disk(source, recipe, models) if source else None
        except SourceError as error:
            problems.append(f"{key}.model: {error}")
            continue
        if path is None:
            continue
        if key == "base":
            inspection = inspect_base(path, recipe)
        elif key == "train.synthesize":
            inspection = inspect_model(path, Use())
        else:
            problems += [f"{key}.model: {problem}" for problem in file_problems(path)]
            continue
        problems += [f"{key}.model: {problem}" for problem in inspection.problems]
        warnings += [f"{key}.model: {warning}" for warning in inspection.warnings]
    return problems, warnings


def _device_problems(recipe: Recipe, models: Path | None) -> list[str]:
    """Return what the recipe's device has no room or no time for, with what fits instead."""
    solution = solve(recipe, models)
    if solution is None or not solution.problem:
        return []
    if solution.best is None:
        return [
            (
                f"device: {solution.problem}; no precision and no smaller context fits: take a "
                "smaller base model"
            )
        ]
    settings = " ".join(f"--set {override}" for override in solution.overrides())
    return [f"device: {solution.problem}; this fits: {solution.best.words()}: {settings}"]


def _writer_problems(recipe: Recipe) -> list[str]:
    """Of who writes training rows."""
    writes = recipe.train.synthesize
    if writes is None or not recipe.tuned:
        return []
    if writes.source:
        return sources.check_local(writes.source, recipe, "train.synthesize")
    missing = writes.key_env and not os.environ.get(writes.key_env)
    return [f"train.synthesize.key_env: ${writes.key_env} is not set"] if missing else []


def _knowledge_problems(recipe: Recipe) -> list[str]:
    knowledge = recipe.knowledge
    if knowledge is None:
        return []
    problems = sources.check_local(
        knowledge.embedder, recipe, "knowledge.embedder"
    ) + engine_problems(knowledge)
    if knowledge.retrieval.reranker:
        problems += sources.check_local(
            knowledge.retrieval.reranker, recipe, "knowledge.retrieval.reranker"
        )
    roots = roots_of(recipe, knowledge)
    missing = [
        f"knowledge.documents: {root}: no such folder" for root in roots if not root.exists()
    ]
    if not missing and not (survey := survey_of(recipe, knowledge)).paths:
        among = (
            "" if knowledge.include == ["**/*"] else f" that matches {', '.join(knowledge.include)}"
        )
        where = ", ".join(map(str, roots))
        problems.append(
            f"knowledge.documents: {where}: no documents of a known format in "
            f"it{among}{hint(survey, knowledge)}"
        )
    return problems + missing
