"""Which test questions are asked, and which are set aside to learn the refusal threshold from.
Knows nothing of models."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from ..data import TestQuestion
from ..recipe.schema import Recipe

_REHEARSED = 4


def measured_part(recipe: Recipe, questions: Sequence[TestQuestion]) -> list[TestQuestion]:
    """Return the questions that are not set aside."""
    aside = {question.line for question in calibration_part(recipe, questions)}
    return [question for question in questions if question.line not in aside]


def calibration_part(recipe: Recipe, questions: Sequence[TestQuestion]) -> list[TestQuestion]:
    """Return the questions that a threshold is learned from, on similarity or on sureness
    (`answer.risk`), and that are never measured: the recipe's share of the answerable and of the
    others; none where no threshold is learned, or it is learned from the training rows. A question
    is in it by its own words, so that a row added to the file moves no other."""
    learned = recipe.calibrated or recipe.answer.risk is not None
    if not learned or recipe.evaluate is None or recipe.evaluate.calibration == "train":
        return []
    aside: list[TestQuestion] = []
    for answerable in (True, False):
        mine = [q for q in questions if (q.answer is not None) == answerable]
        mine.sort(key=lambda q: sha256(q.question.encode()).hexdigest())
        aside += mine[: round(float(recipe.evaluate.calibration) * len(mine))]
    return sorted(aside, key=lambda q: q.line)


def sampled_part(
    recipe: Recipe, questions: Sequence[TestQuestion], count: int | None
) -> list[TestQuestion]:
    """Return `count` questions of the measured part; a handful in a rehearsal."""
    return sample(measured_part(recipe, questions), _REHEARSED if recipe.rehearsal else count)


def sample(questions: Sequence[TestQuestion], count: int | None) -> list[TestQuestion]:
    """Return `count` questions spread evenly over the file, answerable and not in their proportion;
    all for None."""
    if count is None or count >= len(questions):
        return list(questions)
    answerable = [q for q in questions if q.answer is not None]
    others = [q for q in questions if q.answer is None]
    share = max(min(1, len(others)), round(count * len(others) / len(questions)))
    chosen = _every(answerable, count - share) + _every(others, share)
    return sorted(chosen, key=lambda q: q.line)


def _every(rows: Sequence[TestQuestion], count: int) -> list[TestQuestion]:
    return [rows[i * len(rows) // count] for i in range(count)] if rows and count > 0 else []
