"""Which arm to ship, in words: from the scores by the recipe's weights and their intervals. Knows
nothing of HTML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..evaluation.report_file import Choice, Interval, Report, Shipping
from .charts.axis import arm_colour
from .tables import LABELS

_HOW = {
    "quote": "the documents' own words, no language model",
    "base": "the untuned model as it is",
    "rag": "`train: none` and no tuning",
    "tuned": "no `knowledge` section",
    "tuned+rag": "both halves",
}
_UNITS = {
    "first_token_ms": "a second of ",
    "total_ms": "a second of ",
    "peak_mb": "100 MB of ",
    "size_mb": "100 MB of ",
}
_RULES = {
    "auto": "chosen by evaluate.ship: auto",
    "all": "evaluate.ship: all, whatever was measured",
}


@dataclass(frozen=True, slots=True)
class Advice:
    """`tone`: good or mixed; `reason`: the sentence with the figures."""

    tone: str
    headline: str
    reason: str


@dataclass(frozen=True, slots=True)
class ScoreRow:
    """`gap`: the shipped arm's score less this one's, in words; empty for the shipped arm."""

    arm: str
    colour: str
    shipped: bool
    score: str
    range: str
    gap: str
    note: str


def advise(report: Report) -> Advice | None:
    """Return which arm to ship and why; None where no other arm was measured, or nothing was
    chosen."""
    choice, shipped = report.choice, report.shipped
    if choice is None or choice.rival is None or shipped not in choice.scores:
        return None
    best, recommended = choice.best, choice.recommended
    rival = best if best != shipped else choice.rival
    gap = choice.gaps[rival]
    if report.ship is not None and report.ship.rule == "auto":
        headline = _chosen(choice, report.ship, shipped, rival)
        return Advice("good", headline, f"{report.ship.why}.")
    if shipped not in choice.ties:
        lead = f"{-gap.value:.2f} in score (95% {_signed(-gap.high)} to {_signed(-gap.low)})"
        return Advice(
            "mixed",
            f"{shipped} ships, but {best} is better",
            f"{best} leads {shipped} by {lead}: ship {recommended} ({_HOW[recommended]}).",
        )
    if recommended != shipped:
        return Advice(
            "mixed",
            f"Ship {recommended} rather than {shipped}: noise may be all the difference",
            f"The difference between {shipped} and {recommended} is within noise "
            f"({_range(choice.gaps[recommended])}), and {recommended} is the "
            f"{_simpler(report, recommended, shipped)}: ship {recommended} ({_HOW[recommended]}).",
        )
    if gap.low > 0:
        return Advice(
            "good",
            f"Ship {shipped}: it leads {rival} and every other arm",
            f"{shipped} leads {rival} by {abs(gap.value):.2f} in score (95% {_range(gap)}).",
        )
    return Advice(
        "good",
        f"Ship {shipped}; {rival} is within noise of it",
        f"The difference between {shipped} and {rival} is within noise ({_range(gap)}), "
        f"and {shipped} is the {_simpler(report, shipped, rival)}.",
    )


def _chosen(choice: Choice, ship: Shipping, shipped: str, rival: str) -> str:
    """The headline of a bundle whose arm the evaluation chose."""
    if choice.recommended != shipped and ship.missed.get(choice.recommended):
        return f"{shipped} ships, as {choice.recommended} misses a gate"
    if choice.gaps[rival].low > 0:
        return f"{shipped} ships: it leads {rival} and every other arm"
    return f"{shipped} ships; {rival} is within noise of it"


def why_shipped(report: Report) -> str:
    """Return one sentence: which arm ships, by which rule, and how it stands against the strongest
    other one and, where another arm is tuned, against that."""
    shipped, ship, choice = report.shipped, report.ship, report.choice
    assert ship is not None and choice is not None
    rule = _RULES.get(ship.rule, "named by evaluate.ship")
    parts = [f"{shipped} ships ({rule})"]
    gaps = choice.gaps if shipped in choice.scores else {}
    others = [choice.rival] if choice.rival is not None and choice.rival in gaps else []
    others += [
        arm for arm in gaps if "tuned" in arm and arm not in others and "tuned" not in shipped
    ]
    for arm in others:
        gap = gaps[arm]
        parts.append(
            f"it {'leads' if gap.value > 0 else 'trails'} {arm} by {abs(gap.value):.2f} in score"
            f"{'' if gap.clear else ', which may be noise'} (95% {_range(gap)})"
        )
    if any(not gaps[arm].clear for arm in others) and shipped == choice.recommended:
        parts.append("of arms that noise cannot tell apart it is the simplest")
    for arm in choice.ties:
        if arm != shipped and ship.rule == "auto" and ship.missed.get(arm):
            parts.append(f"{arm} misses {', '.join(f'`{gate}`' for gate in ship.missed[arm])}")
    if ship.left_out:
        parts.append(f"left out: {', '.join(ship.left_out)}")
    return "; ".join(parts)


def weights_in_words(weights: Mapping[str, float]) -> str:
    """Return the recipe's weights as a list, "F1 1, right citations 0.5, ..."."""
    return ", ".join(
        f"{_UNITS.get(key, '')}{LABELS.get(key, key).split(',')[0].lower()} {weight:g}".replace(
            "f1 ", "F1 "
        )
        for key, weight in weights.items()
    )


def scores_table(report: Report) -> tuple[str, list[ScoreRow]] | None:
    """Return (the weights in words, a row an arm, the best first); None where nothing was
    chosen."""
    choice = report.choice
    if choice is None:
        return None
    rows = []
    for arm, score in sorted(choice.scores.items(), key=lambda item: -item[1].value):
        gap = choice.gaps.get(arm)
        notes = [
            word
            for word, named in (("best", choice.best), ("recommended", choice.recommended))
            if named == arm
        ]
        if arm in choice.ties and arm != choice.best:
            notes.append("not told from the best")
        rows.append(
            ScoreRow(
                arm,
                arm_colour(arm),
                shipped=arm == report.shipped,
                score=f"{score.value:.3f}",
                range=f"{score.low:.3f} to {score.high:.3f}",
                gap="" if gap is None else f"{_signed(gap.value)} ({_range(gap)})",
                note=", ".join(notes),
            )
        )
    return weights_in_words(choice.weights), rows


def _simpler(report: Report, one: str, other: str) -> str:
    """Why one arm is preferred where noise cannot tell it from another."""
    mine, theirs = (report.arms.get(arm, {}).get("size_mb") for arm in (one, other))
    if mine is not None and theirs is not None and mine + 0.05 < theirs:
        return f"smaller bundle ({mine:,.0f} against {theirs:,.0f} MB)"
    return "simpler one to build and keep up"


def _range(gap: Interval) -> str:
    return f"{_signed(gap.low)} to {_signed(gap.high)}"


def _signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", "−")
