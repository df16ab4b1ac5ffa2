"""Learn the refusal thresholds (`answer.refuse_below: auto`) from questions of the recipe that are
never measured.

calibration.json     thresholds, and how well they do on the questions they were learned from
"""

from __future__ import annotations

from collections.abc import Sequence

from fieldpack.retrieval.retriever import open_retriever

from ..data import read_examples, read_questions
from ..data.training_rows import load_options
from ..errors import DataError
from ..evaluation import calibration, question_split
from ..pipeline.events import StageResult
from ..pipeline.task import Task
from ..recipe.runtime_settings import retrieval_settings

_REHEARSED = 12


def run(task: Task) -> StageResult:
    """Learn from which similarity on a question is refused, and write it into `calibration.json`.

    Raises DataError where the questions to learn from are all of one kind."""
    recipe = task.recipe
    assert recipe.evaluate
    asked = questions(task)
    retriever = open_retriever(
        task.inputs["embedder"],
        task.inputs["knowledge"],
        retrieval_settings(recipe),
        reranker=task.inputs.get("reranker"),
    )
    signals = []
    for number, (question, answerable) in enumerate(asked, 1):
        signals.append(
            calibration.signals_of(
                retriever, question, recipe.answer.passages, answerable=answerable
            )
        )
        if number % 20 == 0 or number == len(asked):
            task.progress(number, len(asked), "questions looked up")
    thresholds = calibration.learn(signals, max_wrong=recipe.answer.max_wrong_refusals)
    if thresholds.lead is None:
        task.warn(
            "no threshold tells answerable questions from others better than chance; the model "
            "alone refuses"
        )
    learned = calibration.describe(signals, thresholds)
    source = str(recipe.evaluate.calibration)
    calibration.write_calibration(task.out, thresholds, source=source, learned=learned)
    return {
        "cosine": thresholds.cosine,
        "lead": thresholds.lead,
        "source": source,
        **learned.model_dump(exclude={"curves"}),
    }


def questions(task: Task) -> list[tuple[str, bool]]:
    """(question, answerable): the share set aside, or the training rows. Raises DataError where one
    kind is missing."""
    recipe = task.recipe
    assert recipe.evaluate
    if recipe.evaluate.calibration == "train":
        path, *_ = recipe.train_files
        rows = (
            row for file in recipe.train_files for row in read_examples(file, load_options(recipe))
        )
        found = [(e.question, e.answer is not None) for e in rows]
    else:
        path = recipe.path(recipe.evaluate.questions)
        aside = question_split.calibration_part(
            recipe, read_questions(path, refusal=recipe.answer.refusal)
        )
        found = [(q.question, q.answer is not None) for q in aside]
    if not recipe.rehearsal:
        _check(found, str(path))
    return found[:_REHEARSED] if recipe.rehearsal else found


def _check(found: Sequence[tuple[str, bool]], path: str) -> None:
    kinds = {answerable for _, answerable in found}
    for answerable, word in ((True, "an answer"), (False, "the answer null")):
        if answerable not in kinds:
            raise DataError(
                f"{path}: answer.refuse_below: auto: none of the {len(found)} questions to learn "
                f"from has {word}; add some, "
                "or raise evaluate.calibration, or give a number"
            )
