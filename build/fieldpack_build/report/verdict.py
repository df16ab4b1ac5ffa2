"""What the figures mean, in words: which arm ships, how it stands against the others, how sure a
sample of this size lets one be. Knows nothing of HTML.

Arms are compared by *right outcomes*: an answerable question answered with the right value, or an
unanswerable one refused. Every arm gets the same questions, so two arms are compared question by
question, by the exact sign test.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import comb, floor
from typing import Any

from ..data.rows import judged_in_words
from ..evaluation.bootstrap import wilson
from ..evaluation.guarantee import fewest
from ..evaluation.outcome import (
    ANSWERED,
    NO_VALUE,
    OTHER_SOURCE,
    RIGHT,
    UNJUDGED,
    WRONG_REFUSAL,
    outcome,
)
from ..evaluation.report_file import Guarantee, QuestionRow, Report, RiskReport
from .advice import advise

_EXPLAINED = {
    WRONG_REFUSAL: "The documents do answer these, and the shipped arm refused.",
    NO_VALUE: "An answer was given, and the value, or what the expected answer says, is not in it.",
    ANSWERED: "The documents do not answer these, and the shipped arm answered all the same.",
    OTHER_SOURCE: "The right value, but no citation points to the expected document.",
    UNJUDGED: "Answered; the question names no value, and its expected answer is none to judge by.",
    RIGHT: "The right value, or a refusal where the documents do not say.",
}
_HALVES = {"tuned": "fine-tuning", "rag": "retrieval"}
_LIKELY_LUCK = 0.05
_SMALL = 100


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
        sure = "may well be luck" if self.luck >= _LIKELY_LUCK else "hardly luck"
        return f"{sure}, p {'< 0.001' if self.luck < 0.001 else f'= {self.luck:.2g}'}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """`tone` is good, mixed or bad. `summary` is what a manager reads; `remarks` are what makes it
    honest."""

    tone: str
    headline: str
    summary: str
    others: tuple[str, ...]
    remarks: tuple[str, ...]
    shipped: Tally | None


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


def judge(report: Report) -> Verdict:
    """Say in words what ships and how it stands."""
    shipped, pairs = tally(report, report.shipped), compare(report)
    if not shipped.asked:
        nothing = "No test question was asked, so nothing is known of the answers of this bundle."
        return Verdict("bad", "Nothing was measured", nothing, (), (_gates_in_words(report),), None)
    missed = sum(not gate.passed for gate in report.gates)
    advice = advise(report)
    tone, headline = (advice.tone, advice.headline) if advice else _headline(shipped.arm, pairs)
    if missed:
        count = f"{missed} of {len(report.gates)} gates" if len(report.gates) > 1 else "the gate is"
        tone, headline = "bad", f"Not to be shipped: {count} missed"
    remarks = [
        *([advice.reason] if advice else []),
        _gates_in_words(report),
        *([_against_strongest(shipped, pairs[0])] if pairs else []),
        *_outdone(report, pairs),
        *([guarantee_in_words(report.guarantee)] if report.guarantee else []),
        *made_up_in_words(report.model.get("quoting", {})),
        *([risk_in_words(report.risk)] if report.risk else []),
        _sample_in_words(report, shipped),
        *_judged_without_value(report),
    ]
    others = tuple(_short(tally(report, pair.arm)) for pair in pairs)
    return Verdict(tone, headline, _sentence(shipped), others, tuple(remarks), shipped)


def sign_test(better: int, worse: int) -> float:
    """Return the two-sided p of so uneven a split, were either side as likely (exact; McNemar's
    test on pairs)."""
    n = better + worse
    ways = sum(comb(n, i) for i in range(min(better, worse) + 1))
    return min(1.0, 2.0 * ways / (1 << n))


def _headline(shipped: str, pairs: Sequence[Pair]) -> tuple[str, str]:
    if not pairs:
        return "mixed", f"{shipped} ships; no other arm was measured beside it"
    rival = pairs[0]
    if rival.worse > rival.better:
        return "mixed", f"{shipped} ships, but {rival.arm} did better"
    if rival.worse == rival.better:
        return "mixed", f"{shipped} ships, but {rival.arm} did as well"
    if rival.luck >= _LIKELY_LUCK:
        return "good", f"{shipped} ships and leads; {rival.arm} is close"
    return "good", f"{shipped} ships and is the best of the {len(pairs) + 1} arms measured"


def _sentence(arm: Tally) -> str:
    """The arm's three figures in words; `arm` was asked something."""
    parts = []
    if arm.answerable:
        f1 = "" if arm.f1 is None else f" (F1 {arm.f1:.2f})"
        parts.append(
            f"answers {arm.right_value} of {arm.answerable} answerable questions with the right "
            f"value{f1}"
        )
        if arm.refused_wrong:
            parts.append(f"wrongly refuses {arm.refused_wrong} of them")
    if arm.unanswerable:
        parts.append(
            f"rightly refuses {arm.refused_right} of {arm.unanswerable} that the documents do not "
            "cover"
        )
    return f"{arm.arm} {', '.join(parts[:-1]) + ' and ' if parts[1:] else ''}{parts[-1]}."


def _short(arm: Tally) -> str:
    f1 = "" if arm.f1 is None else f", F1 {arm.f1:.2f}"
    values = [f"{arm.right_value} of {arm.answerable} right values{f1}"] if arm.answerable else []
    refusals = (
        [f"{arm.refused_right} of {arm.unanswerable} right refusals"] if arm.unanswerable else []
    )
    return f"{arm.arm} {', '.join(values + refusals)}"


def _gates_in_words(report: Report) -> str:
    if not report.gates:
        return (
            "No gate was checked: nothing but this page stands between these figures and a shipped "
            "bundle."
        )
    missed = [gate.gate for gate in report.gates if not gate.passed]
    if missed:
        return f"Gates missed: {'; '.join(missed)}."
    return (
        "The one gate passed."
        if len(report.gates) == 1
        else f"All {len(report.gates)} gates passed."
    )


def _against_strongest(shipped: Tally, rival: Pair) -> str:
    """The strongest other arm, and, where the shipped one is no better, the half that brings
    nothing."""
    text = (
        f"Of {rival.asked} questions {shipped.arm} alone is right on {rival.better} and "
        f"{rival.arm} alone on {rival.worse} ({rival.words})."
    )
    if shipped.arm == "quote" or rival.arm == "quote":  # neither is the other with a half left out
        return text
    extra = set(shipped.arm.split("+")) - set(rival.arm.split("+"))
    more = [half for name, half in _HALVES.items() if name in extra]
    if rival.worse >= rival.better and more:
        text += f" On these questions {' and '.join(more)} brought no gain over {rival.arm}."
    return text


def _outdone(report: Report, pairs: Sequence[Pair]) -> list[str]:
    """Headline figures in which some arm beats the shipped one, however the whole came out; where
    the intervals are known, by more than noise."""
    noise = {
        (row.arm if row.against == report.shipped else row.against, row.figure)
        for row in report.differences
        if report.shipped in (row.arm, row.against) and row.low <= 0 <= row.high
    }
    mine = report.arms.get(report.shipped, {})
    ahead = []
    for key, label in (
        ("f1", "F1"),
        ("value_match", "value match"),
        ("refused_right", "right refusals"),
    ):
        values = [
            (value, pair.arm)
            for pair in pairs
            if (value := report.arms[pair.arm].get(key)) is not None
            and (pair.arm, key) not in noise
        ]
        best, arm = max(values, default=(0.0, ""))
        own = mine.get(key)
        if own is not None and best > own:
            ahead.append(f"{label} ({arm} {best:.2f}, shipped {own:.2f})")
    return [f"Another arm is ahead in {'; '.join(ahead)}."] if ahead else []


def risk_in_words(risk: RiskReport) -> str:
    """Return which share of the questions gets an answer at the wanted risk, or what is missing for
    any."""
    wanted = f"at most {risk.wrong:.0%} of answers wrong, with {risk.sure:.0%} certainty"
    learned, measured = risk.learned, risk.measured
    if risk.sure_from is None:
        return (
            f"For {wanted} (answer.risk), no answer is sure enough: of the {learned.questions} "
            f"questions set aside too few were answered, or too many wrong. At least {risk.missing:,} "
            "more answers as good as the surest ones are needed (more test questions, or a larger "
            "evaluate.calibration); until then the bundle shows passages and gives no answer."
        )
    return (
        f"For {wanted} (answer.risk), answers are given from a sureness of {risk.sure_from:.2f} on: "
        f"to {learned.answered} of the {learned.questions} questions that this was learned from, "
        f"{learned.wrong} of them wrong; of the {measured.questions} test questions "
        f"{measured.answered} get one, {measured.wrong} wrong. To the others the bundle says that "
        "it is not sure and shows the passages."
    )


def guarantee_in_words(promised: Guarantee) -> str:
    """Return what may be promised of answers and of passages, and how many more right answers the
    promise of few wrong ones would take."""
    parts = [promised.sentence]
    if promised.arms > 1:
        parts.append(f"That this arm was chosen among {promised.arms} is allowed for.")
    at_most = f"at most {promised.wrong:.0%} of answers are wrong"
    if promised.missing:
        least = fewest(promised.wrong, promised.sure)
        few = f", too few even if all had been right ({least} answers are needed then)"
        parts.append(
            f"To promise with {promised.sure:.0%} certainty that {at_most}, {promised.missing:,} "
            f"more answers would be needed, all of them right; {promised.answered} were given and "
            f"{promised.answered - promised.right} of them wrong"
            f"{few if promised.answered < least else ''}."
        )
    else:
        parts.append(f"With {promised.sure:.0%} certainty {at_most}.")
    if passages := promised.passages:
        parts.append(
            f"The right passage is among the {passages.shown} shown in at least "
            f"{floor(passages.shown_of_100)} of 100 questions that the documents answer, with "
            f"{passages.sure:.0%} certainty ({passages.questions} questions); for "
            f"{passages.share:.0%} of them "
            + (
                f"{passages.needed} must be shown."
                if passages.needed
                else f"not even {passages.depth} are enough, or the questions are too few."
            )
        )
    return " ".join(parts)


def made_up_in_words(quoting: Mapping[str, Any]) -> list[str]:
    """Return what was learned of refusals without training rows, from the result of the quoting
    stage; nothing where there were rows or the stage did not run."""
    if not quoting.get("made_up"):
        return []
    line, count = quoting["refuse_below"], quoting["answerable"]
    shares = ""
    if count:
        shares = (
            f"it refuses {quoting['refused_wrong']:.0%} of {count} questions made up from these "
            f"documents' sentences, and {quoting['refused_right']:.0%} of them once their source "
            "is left out"
        )
    if line is None:
        text = (
            "There were no training rows, and a quote is refused by its passage's similarity alone: "
            "a threshold on how well it answers could only come from another library, and "
            + (
                f"{shares}, which is too many, or they are too few."
                if shares
                else "the documents have no sentence to make a question of."
            )
        )
    else:
        text = (
            "There were no training rows: the threshold under which a quote is refused comes from "
            f"another library, and {shares}. Such questions are weaker evidence than those that "
            "people ask."
        )
    return [text]


def _judged_without_value(report: Report) -> list[str]:
    """How the shipped arm's answers to questions that name no value were judged, and how many could
    not be."""
    answerable = [row for row in report.questions if row.expected is not None]
    without = [row for row in answerable if not row.value]
    if not without:
        return []
    unjudged = sum(
        (answer := row.arms.get(report.shipped)) is not None and answer.value_match is None
        for row in without
    )
    text = f"{judged_in_words(len(without), len(answerable))}."
    if unjudged:
        them = "it" if unjudged == 1 else "them"
        text += f" {unjudged:,} of them could not be judged so, and no promise counts {them}."
    return [text]


def _sample_in_words(report: Report, shipped: Tally) -> str:
    asked, of = report.sample.asked, report.sample.of
    text = f"n = {shipped.asked}"
    if asked is not None and of is not None and asked < of:
        text += f", a sample of the {of} test questions"
    if shipped.answerable:
        low, high = wilson(shipped.right_value / shipped.answerable, shipped.answerable)
        text += f"; the right-value share lies between {low:.0%} and {high:.0%} (95% interval)"
    if shipped.asked >= _SMALL:
        return text + "."
    return text + ". This is a small sample: read differences of a few questions as no difference."
