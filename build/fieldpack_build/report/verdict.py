"""What the figures mean, in words: which arm ships, how it stands against the others, how sure a
sample of this size lets one be. Knows nothing of HTML.

Arms are compared by *right outcomes*: an answerable question answered with the right value, or an
unanswerable one refused. Every arm gets the same questions, so two arms are compared question by
question, by the exact sign test.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import comb
from typing import Any

from ..evaluation.bootstrap import wilson
from ..evaluation.outcome import (
    ANSWERED,
    NO_VALUE,
    OTHER_SOURCE,
    RIGHT,
    UNJUDGED,
    WRONG_REFUSAL,
    outcome,
)
from .advice import advise

_EXPLAINED = {
    WRONG_REFUSAL: "The documents do answer these, and the shipped arm refused.",
    NO_VALUE: "An answer was given and the value that it must contain is not in it.",
    ANSWERED: "The documents do not answer these, and the shipped arm answered all the same.",
    OTHER_SOURCE: "The right value, but no citation points to the expected document.",
    UNJUDGED: "Answered; the question file names nothing to compare with.",
    RIGHT: "The right value, or a refusal where the documents do not say.",
}
_HALVES = {"tuned": "fine-tuning", "rag": "retrieval"}
_LIKELY_LUCK = 0.05
_SMALL = 100


@dataclass(frozen=True, slots=True)
class Tally:
    arm: str
    answerable: int
    right_value: int
    refused_wrong: int
    unanswerable: int
    refused_right: int
    f1: float | None

    @property
    def asked(self) -> int:
        return self.answerable + self.unanswerable

    @property
    def right(self) -> int:
        return self.right_value + self.refused_right


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
class Group:
    """The questions with one outcome in the shipped arm; each row carries the outcome of every arm."""

    kind: str
    explained: str
    rows: list[dict[str, Any]]

    @property
    def failed(self) -> bool:
        return self.kind in (WRONG_REFUSAL, NO_VALUE, ANSWERED)

    @property
    def anchor(self) -> str:
        return self.kind.replace(",", "").replace(" ", "-")


def groups(report: dict[str, Any]) -> list[Group]:
    """Failures first, in the order of what they cost; within a group in the order of the question
    file."""
    found: dict[str, list[dict[str, Any]]] = {kind: [] for kind in _EXPLAINED}
    for row in report.get("questions") or []:
        kind = outcome(row, report["shipped"])
        if kind:
            kinds = {arm: outcome(row, arm) for arm in row["arms"]}
            found[kind].append(
                {
                    "passages": [],
                    "value": None,
                    "document": None,
                    "line": None,
                    **row,
                    "kinds": kinds,
                }
            )
    return [Group(kind, _EXPLAINED[kind], rows) for kind, rows in found.items() if rows]


def tally(report: dict[str, Any], arm: str) -> Tally:
    kinds = {True: Counter[str | None](), False: Counter[str | None]()}
    for row in report.get("questions") or []:
        kinds[row["expected"] is not None][outcome(row, arm)] += 1
    yes, no = kinds[True], kinds[False]
    judged = yes[WRONG_REFUSAL] + yes[NO_VALUE] + yes[OTHER_SOURCE] + yes[RIGHT]
    return Tally(
        arm=arm,
        answerable=judged,
        right_value=yes[OTHER_SOURCE] + yes[RIGHT],
        refused_wrong=yes[WRONG_REFUSAL],
        unanswerable=no[RIGHT] + no[ANSWERED],
        refused_right=no[RIGHT],
        f1=report["arms"].get(arm, {}).get("f1"),
    )


def compare(report: dict[str, Any]) -> list[Pair]:
    """The shipped arm against each other one, the strongest first."""
    pairs = []
    for arm in report["arms"]:
        if arm == report["shipped"]:
            continue
        both = [
            (outcome(row, report["shipped"]), outcome(row, arm))
            for row in report.get("questions") or []
        ]
        good = [
            (a in (RIGHT, OTHER_SOURCE), b in (RIGHT, OTHER_SOURCE))
            for a, b in both
            if _judged(a) and _judged(b)
        ]
        better, worse = sum(a and not b for a, b in good), sum(b and not a for a, b in good)
        if good:
            pairs.append(
                Pair(
                    arm, sum(b for _, b in good), len(good), better, worse, sign_test(better, worse)
                )
            )
    return sorted(pairs, key=lambda p: -(p.worse - p.better))


def judge(report: dict[str, Any]) -> Verdict:
    shipped, pairs = tally(report, report["shipped"]), compare(report)
    if not shipped.asked:
        nothing = "No test question was asked, so nothing is known of the answers of this bundle."
        return Verdict(
            "bad", "Nothing was measured", nothing, (), tuple(_gate_remark(report)), None
        )
    missed = [gate for gate in report.get("gates") or [] if not gate["passed"]]
    advice = advise(report)
    tone, headline = (advice.tone, advice.headline) if advice else _headline(shipped.arm, pairs)
    if missed:
        tone, headline = "bad", f"Not to be shipped: {_count(missed, report['gates'])} missed"
    reason = [advice.reason] if advice else []
    remarks = [
        *reason,
        *_gate_remark(report),
        *_rival(shipped, pairs),
        *_outdone(report, pairs),
        *_sample(report, shipped),
    ]
    others = tuple(_short(tally(report, pair.arm)) for pair in pairs)
    return Verdict(tone, headline, _sentence(shipped), others, tuple(remarks), shipped)


def sign_test(better: int, worse: int) -> float:
    """Two-sided p of so uneven a split, were either side as likely (exact; McNemar's test on
    pairs)."""
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


def _gate_remark(report: dict[str, Any]) -> list[str]:
    gates = report.get("gates") or []
    if not gates:
        return [
            (
                "No gate was checked: nothing but this page stands between these figures and a shipped "
                "bundle."
            )
        ]
    missed = [gate for gate in gates if not gate["passed"]]
    if missed:
        return [f"Gates missed: {'; '.join(gate['gate'] for gate in missed)}."]
    return ["The one gate passed." if len(gates) == 1 else f"All {len(gates)} gates passed."]


def _rival(shipped: Tally, pairs: Sequence[Pair]) -> list[str]:
    """The strongest other arm, and, where the shipped one is no better, the half that brings
    nothing."""
    if not pairs:
        return []
    rival = pairs[0]
    text = (
        f"Of {rival.asked} questions {shipped.arm} alone is right on {rival.better} and "
        f"{rival.arm} alone on "
        f"{rival.worse} ({rival.words})."
    )
    if shipped.arm == "quote" or rival.arm == "quote":  # neither is the other with a half left out
        return [text]
    extra = set(shipped.arm.split("+")) - set(rival.arm.split("+"))
    more = [half for name, half in _HALVES.items() if name in extra]
    if rival.worse >= rival.better and more:
        text += f" On these questions {' and '.join(more)} brought no gain over {rival.arm}."
    return [text]


def _outdone(report: dict[str, Any], pairs: Sequence[Pair]) -> list[str]:
    """Headline figures in which some arm beats the shipped one, however the whole came out; where
    the intervals are known, by more than noise."""
    found = []
    noise = {
        arm: {
            row["figure"]
            for row in report.get("differences") or []
            if {row["arm"], row["against"]} == {arm, report["shipped"]}
            and row["low"] <= 0 <= row["high"]
        }
        for arm in report["arms"]
    }
    mine = report["arms"].get(report["shipped"], {})
    for key, label in (
        ("f1", "F1"),
        ("value_match", "value match"),
        ("refused_right", "right refusals"),
    ):
        values = {pair.arm: report["arms"][pair.arm].get(key) for pair in pairs}
        known = [
            (value, arm)
            for arm, value in values.items()
            if value is not None and key not in noise[arm]
        ]
        most, arm = max(known, default=(0.0, ""))
        if mine.get(key) is not None and most > mine[key]:
            found.append(f"{label} ({arm} {most:.2f}, shipped {mine[key]:.2f})")
    return [f"Another arm is ahead in {'; '.join(found)}."] if found else []


def _sample(report: dict[str, Any], shipped: Tally) -> list[str]:
    size = report.get("sample") or {}
    partly = (
        size.get("asked") is not None and size.get("of") is not None and size["asked"] < size["of"]
    )
    text = f"n = {shipped.asked}" + (
        f", a sample of the {size['of']} test questions" if partly else ""
    )
    if shipped.answerable:
        low, high = wilson(shipped.right_value / shipped.answerable, shipped.answerable)
        text += f"; the right-value share lies between {low:.0%} and {high:.0%} (95% interval)"
    if shipped.asked >= _SMALL:
        return [text + "."]
    return [
        text + ". This is a small sample: read differences of a few questions as no difference."
    ]


def _judged(kind: str | None) -> bool:
    return kind not in (None, UNJUDGED)


def _count(some: Sequence[object], all_: Sequence[object]) -> str:
    return f"{len(some)} of {len(all_)} gates" if len(all_) > 1 else "the gate is"
