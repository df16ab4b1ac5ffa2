"""Counts what each arm got right, and sets the shipped one against the others. Knows nothing of gates,
advice or promises.

Arms are compared by *right outcomes*: an answerable question answered with the right value, or an
unanswerable one refused. Every arm gets the same questions, so two arms are compared question by
question, by the exact sign test.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from math import comb

from ..evaluation.outcome import (
    ANSWERED,
    NO_VALUE,
    OTHER_SOURCE,
    RIGHT,
    UNJUDGED,
    WRONG_REFUSAL,
    outcome,
)
from ..evaluation.report_file import QuestionRow, Report

_EXPLAINED = {
    WRONG_REFUSAL: "The documents do answer these, and the shipped arm refused.",
    NO_VALUE: "An answer was given, and the value, or what the expected answer says, is not in it.",
    ANSWERED: "The documents do not answer these, and the shipped arm answered all the same.",
    OTHER_SOURCE: "The right value, but no citation points to the expected document.",
    UNJUDGED: "Answered; the question names no value, and its expected answer is none to judge by.",
    RIGHT: "The right value, or a refusal where the documents do not say.",
}
LIKELY_LUCK = 0.05  # a p from which on a difference may well be luck


@dataclass(frozen=True, slots=True)
class Tally:
    """How many questions an arm got right. `answerable`: those with a value to compare with."""

    arm: str
    answerable: int
    right_value: int
    refused_wrong: int
    unanswerable: int
    refused_right: int
    f1: float | None

    @property
    def asked(self) -> int:
        """Questions of either kind."""
        return self.answerable + self.unanswerable


@dataclass(frozen=True, slots=True)
class Pair:
    """The shipped arm against another, over the same questions; `luck` is the sign test's two-sided
    p."""

    arm: str
    right: int
    asked: int
    better: int
    worse: int
    luck: float

    @property
    def words(self) -> str:
        """Whether the difference may be luck."""
        if not self.better + self.worse:
            return "no question tells them apart"
        sure = "may well be luck" if self.luck >= LIKELY_LUCK else "hardly luck"
        return f"{sure}, p {'< 0.001' if self.luck < 0.001 else f'= {self.luck:.2g}'}"


@dataclass(frozen=True, slots=True)
class JudgedQuestion:
    """A question with its outcome in every arm that was asked."""

    row: QuestionRow
    outcomes: dict[str, str | None]


@dataclass(frozen=True, slots=True)
class Group:
    """The questions with one outcome in the shipped arm."""

    kind: str
    explained: str
    rows: list[JudgedQuestion]

    @property
    def failed(self) -> bool:
        """Whether the outcome is a failure."""
        return self.kind in (WRONG_REFUSAL, NO_VALUE, ANSWERED)

    @property
    def anchor(self) -> str:
        """The group's id on the page."""
        return self.kind.replace(",", "").replace(" ", "-")


def groups(report: Report) -> list[Group]:
    """Return the questions by outcome, failures first, in the order of what they cost; within a
    group in the order of the question file."""
    by_kind: dict[str, list[JudgedQuestion]] = {kind: [] for kind in _EXPLAINED}
    for row in report.questions:
        outcomes = {arm: outcome(row, arm) for arm in row.arms}
        kind = outcomes.get(report.shipped)
        if kind:
            by_kind[kind].append(JudgedQuestion(row, outcomes))
    return [Group(kind, _EXPLAINED[kind], rows) for kind, rows in by_kind.items() if rows]


def tally(report: Report, arm: str) -> Tally:
    """Count the outcomes of an arm."""
    kinds = {True: Counter[str | None](), False: Counter[str | None]()}
    for row in report.questions:
        kinds[row.expected is not None][outcome(row, arm)] += 1
    yes, no = kinds[True], kinds[False]
    return Tally(
        arm=arm,
        answerable=yes[WRONG_REFUSAL] + yes[NO_VALUE] + yes[OTHER_SOURCE] + yes[RIGHT],
        right_value=yes[OTHER_SOURCE] + yes[RIGHT],
        refused_wrong=yes[WRONG_REFUSAL],
        unanswerable=no[RIGHT] + no[ANSWERED],
        refused_right=no[RIGHT],
        f1=report.arms.get(arm, {}).get("f1"),
    )


def compare(report: Report) -> list[Pair]:
    """Set the shipped arm against each other one, the strongest first."""
    pairs = []
    for arm in report.arms:
        if arm == report.shipped:
            continue
        kinds = [(outcome(row, report.shipped), outcome(row, arm)) for row in report.questions]
        right = [
            (mine in (RIGHT, OTHER_SOURCE), theirs in (RIGHT, OTHER_SOURCE))
            for mine, theirs in kinds
            if mine not in (None, UNJUDGED) and theirs not in (None, UNJUDGED)
        ]
        if right:
            better = sum(mine and not theirs for mine, theirs in right)
            worse = sum(theirs and not mine for mine, theirs in right)
            theirs_right = sum(theirs for _, theirs in right)
            luck = sign_test(better, worse)
            pairs.append(Pair(arm, theirs_right, len(right), better, worse, luck))
    return sorted(pairs, key=lambda p: -(p.worse - p.better))


def sign_test(better: int, worse: int) -> float:
    """Return the two-sided p of so uneven a split, were either side as likely (exact; McNemar's
    test on pairs)."""
    n = better + worse
    ways = sum(comb(n, i) for i in range(min(better, worse) + 1))
    return min(1.0, 2.0 * ways / (1 << n))
