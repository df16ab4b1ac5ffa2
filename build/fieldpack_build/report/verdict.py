"""What the figures mean, in words: which arm ships, how it stands against the others, how sure a
sample of this size lets one be. Knows nothing of HTML or of how arms are counted (`tally`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..data.rows import judged_in_words
from ..evaluation.bootstrap import wilson
from ..evaluation.report_file import Report
from .advice import advise
from .promises import guarantee_in_words, made_up_in_words, risk_in_words
from .tally import LIKELY_LUCK, Pair, Tally, compare, tally

_HALVES = {"tuned": "fine-tuning", "rag": "retrieval"}
_SMALL = 100


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
        *(guarantee_in_words(report.guarantee) if report.guarantee else []),
        *made_up_in_words(report.model.get("quoting", {})),
        *([risk_in_words(report.risk)] if report.risk else []),
        _sample_in_words(report, shipped),
        *_judged_without_value(report),
    ]
    others = tuple(_short(tally(report, pair.arm)) for pair in pairs)
    return Verdict(tone, headline, _sentence(shipped), others, tuple(remarks), shipped)


def _headline(shipped: str, pairs: Sequence[Pair]) -> tuple[str, str]:
    if not pairs:
        return "mixed", f"{shipped} ships; no other arm was measured beside it"
    rival = pairs[0]
    if rival.worse > rival.better:
        return "mixed", f"{shipped} ships, but {rival.arm} did better"
    if rival.worse == rival.better:
        return "mixed", f"{shipped} ships, but {rival.arm} did as well"
    if rival.luck >= LIKELY_LUCK:
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
