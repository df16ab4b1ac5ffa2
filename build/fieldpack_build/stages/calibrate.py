"""Learn the refusal thresholds (`answer.refuse_below: auto`) from questions of the recipe that are
never measured.

calibration.json     thresholds, and how well they do on the questions they were learned from
"""

from __future__ import annotations

from ..data import read_questions
from ..data.training_rows import examples_of
from ..errors import DataError
from ..evaluation import calibration, question_split
from ..pipeline.events import StageResult
from ..pipeline.task import Task
from ..recipe.runtime_settings import open_library

_REHEARSED = 12


def run(task: Task) -> StageResult:
    """Learn from which similarity on a question is refused, and write it into `calibration.json`.

    Raises DataError where the questions to learn from are all of one kind."""
    recipe = task.recipe
    assert recipe.evaluate
    learned_from = questions(task)
    retriever = open_library(recipe, task.inputs)
    signals = []
    for number, (question, answerable) in enumerate(learned_from, 1):
        signals.append(
            calibration.signals_of(
                retriever, question, recipe.answer.passages, answerable=answerable
            )
        )
        if number % 20 == 0 or number == len(learned_from):
            task.progress(number, len(learned_from), "questions looked up")
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
    """Return (question, answerable) of the share set aside, or of the training rows without those
    that `train.on_leak: drop` takes out. Raises DataError where one kind is missing."""
    recipe = task.recipe
    assert recipe.evaluate
    if recipe.evaluate.calibration == "train":
        path, *_ = recipe.train_files
        kinds = [(row.question, row.answer is not None) for row in examples_of(recipe)]
    else:
        path = recipe.path(recipe.evaluate.questions)
        every = read_questions(path, refusal=recipe.answer.refusal)
        aside = question_split.calibration_part(recipe, every)
        kinds = [(question.question, question.answer is not None) for question in aside]
    if recipe.rehearsal:
        return kinds[:_REHEARSED]
    for answerable, word in ((True, "an answer"), (False, "the answer null")):
        if answerable not in {kind for _, kind in kinds}:
            raise DataError(
                f"{path}: answer.refuse_below: auto: none of the {len(kinds)} questions to learn "
                f"from has {word}; add some, "
                "or raise evaluate.calibration, or give a number"
            )
    return kinds
