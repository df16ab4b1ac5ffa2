"""Makes the guarantee that report.json holds from the rows of the test questions. Knows nothing of
how a bound is computed or shown."""

from __future__ import annotations

from collections.abc import Sequence
from math import floor

from .arms import QUOTE
from .guarantee import (
    Judged,
    card,
    control_risk,
    least_share,
    passages_needed,
    right_answers_missing,
)
from .outcome import RIGHT, outcome
from .report_file import Guarantee, PassageGuarantee, QuestionRow, RiskMeasured, RiskReport

SURE = 0.95
WRONG = 0.05  # the share of wrong answers that the report says is or is not shown
_PASSAGE_SHARE = 0.95
MADE_UP = (
    "When it refuses was not learned from questions that people asked of these documents, but "
    "carried over from another library and held against questions made up from their sentences, "
    "which is weaker."
)


def judge_answers(rows: Sequence[QuestionRow], arm: str) -> list[Judged]:
    """Return what became of each question in one arm: right is the outcome `RIGHT`, a refusal is no
    answer. Left out, whatever was said, are answerable questions that name nothing to compare with.
    """
    return [
        Judged(
            confidence=-1.0 if answer.sureness is None else answer.sureness,
            answered=not answer.refused,
            right=outcome(row, arm) == RIGHT,
        )
        for row in rows
        if (answer := row.arms.get(arm)) is not None
        and (row.expected is None or answer.value_match is not None)
    ]


def make_guarantee(
    rows: Sequence[QuestionRow],
    arm: str,
    *,
    arms: int,
    ranks: Sequence[int | None] = (),
    depth: int = 0,
    shown: int = 0,
    made_up: bool = False,
) -> Guarantee | None:
    """Return what may be promised of the arm that ships; None where no question can be judged.

    `arms`: among how many arms it was chosen by these questions. `ranks`: the place of the right
    passage of each question that names a document, among the first `depth`; `shown`: passages that
    the bundle shows. `made_up`: the threshold under which a quote is refused was held against
    made-up questions, which the card says of an arm that quotes."""
    judged = judge_answers(rows, arm)
    if not judged:
        return None
    promised = card(judged, sure=SURE, arms=arms)
    passages = None
    if ranks:
        near = sum(rank is not None and rank <= shown for rank in ranks)
        passages = PassageGuarantee(
            questions=len(ranks),
            share=_PASSAGE_SHARE,
            sure=SURE,
            depth=depth,
            needed=passages_needed(ranks, share=_PASSAGE_SHARE, sure=SURE),
            shown=shown,
            shown_of_100=_rounded_down(100 * least_share(near, len(ranks), sure=SURE)),
        )
    says_so = made_up and arm == QUOTE
    return Guarantee(
        sentence=f"{promised.sentence()} {MADE_UP}" if says_so else promised.sentence(),
        questions=promised.questions,
        answered=promised.answered,
        right=promised.right,
        sure=promised.sure,
        arms=arms,
        answered_of_100=_rounded_down(promised.answered_of_100),
        right_of_100=_rounded_down(promised.right_of_100),
        wrong=WRONG,
        missing=right_answers_missing(promised.right, promised.answered, wrong=WRONG, sure=SURE),
        passages=passages,
        **({"made_up": True} if says_so else {}),
    )


def make_risk(
    aside: Sequence[QuestionRow],
    measured: Sequence[QuestionRow],
    arm: str,
    *,
    wrong: float,
    sure: float,
) -> RiskReport:
    """Return from which sureness on an arm answers so that at most the share `wrong` of its answers
    is wrong, with probability `sure`: learned on the questions `aside`, which choose nothing else,
    and held against the `measured` ones."""
    learned = judge_answers(aside, arm)
    control = control_risk(
        [one for one in learned if one.confidence >= 0 or not one.answered], wrong=wrong, sure=sure
    )

    def figures(judged: Sequence[Judged]) -> RiskMeasured:
        given = [
            one
            for one in judged
            if control.threshold is not None
            and one.answered
            and one.confidence >= control.threshold
        ]
        return RiskMeasured(
            questions=len(judged), answered=len(given), wrong=sum(not one.right for one in given)
        )

    return RiskReport(
        wrong=wrong,
        sure=sure,
        sure_from=control.threshold,
        missing=control.missing,
        learned=figures(learned),
        measured=figures(judge_answers(measured, arm)),
    )


def _rounded_down(value: float) -> float:
    """A bound must not grow by rounding."""
    return floor(100 * value) / 100
