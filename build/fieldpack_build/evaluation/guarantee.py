"""What may be promised of answers to questions like the test's: bounds that hold with a stated
probability, whatever the answers' distribution. Knows nothing of bundles or reports.

A share gets its exact binomial bound (Clopper and Pearson, 1934). A threshold on how sure an answer
is gets its bound on wrong answers by testing thresholds one after the other, the strictest first,
until one cannot be shown to keep the bound (fixed-sequence testing: Angelopoulos et al., "Learn
then Test", 2021, arXiv:2110.01052, section 3). A promise holds for questions drawn as the test's
were, not for other kinds.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import ceil, floor, log

_STARTS = 5  # starting points of the tests; each has a fifth of the probability of error


@dataclass(frozen=True, slots=True)
class Judged:
    """One test question's answer. `confidence`: the higher, the surer; `answered`: it was no
    refusal; `right`: the answer is right, or the refusal is."""

    confidence: float
    answered: bool
    right: bool


@dataclass(frozen=True, slots=True)
class Card:
    """Of 100 questions like the test's, with probability `sure` (both bounds together): at least
    `answered_of_100` are answered, and of 100 answers at least `right_of_100` are right.
    `answered`, `right`: what was counted."""

    questions: int
    answered: int
    right: int
    sure: float
    answered_of_100: float
    right_of_100: float

    def sentence(self) -> str:
        """The card in words."""
        if not self.answered:
            return (
                f"None of the test's {self.questions} questions was answered, so nothing is promised "
                "of answers."
            )
        return (
            f"Of 100 questions like the test's at least {floor(self.answered_of_100)} are "
            f"answered, and of 100 answers at least {floor(self.right_of_100)} are right, with "
            f"{self.sure:.0%} certainty ({self.questions} questions asked, {self.answered} "
            f"answered, {self.right} of these right)."
        )


@dataclass(frozen=True, slots=True)
class RiskControl:
    """Answers whose confidence is at least `threshold` are wrong in at most the wanted share, with
    the wanted certainty; `answered` is the share of questions that have such an answer. `threshold`
    is None where nothing can be promised, and `missing` says how many more answers as good as the
    surest ones would be needed at least."""

    threshold: float | None
    answered: float
    missing: int


def card(judged: Sequence[Judged], *, sure: float = 0.95, arms: int = 1) -> Card:
    """Return what may be promised. `sure`: probability that both bounds hold. `arms`: among how
    many these answers were chosen by the same questions; each could have been, so the promise must
    hold for all of them at once. Raises ValueError without questions."""
    if not judged:
        raise ValueError("no question was judged")
    each = 1 - (1 - sure) / (2 * arms)  # all bounds share what may go wrong (Bonferroni)
    answers = [one for one in judged if one.answered]
    right = sum(one.right for one in answers)
    return Card(
        len(judged),
        len(answers),
        right,
        sure,
        100 * least_share(len(answers), len(judged), sure=each),
        100 * least_share(right, len(answers), sure=each),
    )


def least_share(hits: int, trials: int, *, sure: float) -> float:
    """Return the lower end of the one-sided Clopper-Pearson interval: the share behind `hits` of
    `trials` is no smaller, with probability `sure`. 0 where nothing was tried."""
    from scipy.stats import beta

    return float(beta.ppf(1 - sure, hits, trials - hits + 1)) if hits else 0.0


def control_risk(judged: Sequence[Judged], *, wrong: float, sure: float) -> RiskControl:
    """Return the lowest confidence from which on answers are wrong in at most the share `wrong`,
    with probability `sure`.

    Wrong is an answer that is not right, also one to a question that no document answers.
    Thresholds are the confidences that occur; answers that share one stand or fall together. They
    are tested from the strictest to the most lenient, from several starting points that share the
    probability of error (multi-start testing, same paper), so that one early mistake of a sure
    answer does not end it all."""
    from scipy.stats import binom

    answers = sorted((one for one in judged if one.answered), key=lambda one: -one.confidence)
    level = (1 - sure) / _STARTS
    least = fewest(wrong, 1 - level)
    counts = [
        count
        for count in range(least, len(answers) + 1)
        if count == len(answers) or answers[count].confidence < answers[count - 1].confidence
    ]
    if not counts:
        return RiskControl(None, 0.0, max(1, least - len(answers)))
    errors = [0, *accumulate(not one.right for one in answers)]
    kept = 0
    for start in range(_STARTS):
        for count in counts[start * len(counts) // _STARTS :]:
            # how likely so few errors are if the share of wrong answers were just above `wrong`
            if float(binom.cdf(errors[count], count, wrong)) > level:
                break
            kept = max(kept, count)
    if kept:
        return RiskControl(answers[kept - 1].confidence, kept / len(judged), 0)
    faultless = next((n for n, one in enumerate(answers) if not one.right), len(answers))
    return RiskControl(None, 0.0, max(1, least - faultless))


def fewest(wrong: float, sure: float) -> int:
    """Return how many answers, all of them right, show that at most the share `wrong` is wrong: the
    smallest n with (1 - wrong)^n <= 1 - sure."""
    return ceil(log(1 - sure) / log(1 - wrong))


def right_answers_missing(right: int, answered: int, *, wrong: float, sure: float) -> int:
    """Return how many more answers, all of them right, would show that at most the share `wrong`
    of answers is wrong, with probability `sure`; 0 where `right` of `answered` show it already."""

    def shown(more: int) -> bool:
        return least_share(right + more, answered + more, sure=sure) >= 1 - wrong

    if shown(0):
        return 0
    high = 1
    while not shown(high):
        high *= 2
    return bisect_left(range(high), True, key=shown)


def passages_needed(ranks: Sequence[int | None], *, share: float, sure: float) -> int | None:
    """Return how many passages must be shown so that the right one is among them in at least
    `share` of questions, with probability `sure`; None where not even the most that were looked at
    will do.

    `ranks`: of each question's right passage, from 1; None where it was not among those looked at.
    """
    known = sorted(rank for rank in ranks if rank is not None)
    for count in sorted(set(known)):
        if least_share(sum(rank <= count for rank in known), len(ranks), sure=sure) >= share:
            return count
    return None
