"""Which arm to ship, in words: from the scores by the recipe's weights and their intervals. Knows
nothing of HTML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .charts.bars import slug
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


def advise(report: Mapping[str, Any]) -> Advice | None:
    """None where no other arm was measured, or nothing was chosen."""
    choice, shipped = report.get("choice"), report["shipped"]
    if not choice or choice.get("rival") is None or shipped not in choice["scores"]:
        return None
    best, wanted = choice["best"], choice["recommended"]
    rival = best if best != shipped else choice["rival"]
    gap = choice["gaps"][rival]
    figures = f"{_in_words(gap)} in score (95% {_number(gap['low'])} to {_number(gap['high'])})"
    if (report.get("ship") or {}).get("rule") == "auto":
        return Advice("good", _chosen(report, rival, gap), f"{report['ship']['why']}.")
    if shipped not in choice["ties"]:
        return Advice(
            "mixed",
            f"{shipped} ships, but {best} is better",
            f"{best} leads {shipped} by {_turned(gap)}: ship {wanted} ({_HOW[wanted]}).",
        )
    if wanted != shipped:
        others = choice["gaps"][wanted]
        return Advice(
            "mixed",
            f"Ship {wanted} rather than {shipped}: noise may be all the difference",
            f"The difference between {shipped} and {wanted} is within noise "
            f"({_number(others['low'])} to "
            f"{_number(others['high'])}), and {wanted} is the {_why(report, wanted, shipped)}: "
            f"ship {wanted} ({_HOW[wanted]}).",
        )
    if gap["low"] > 0:
        return Advice(
            "good",
            f"Ship {shipped}: it leads {rival} and every other arm",
            f"{shipped} leads {rival} by {figures}.",
        )
    return Advice(
        "good",
        f"Ship {shipped}; {rival} is within noise of it",
        f"The difference between {shipped} and {rival} is within noise ({_number(gap['low'])} to "
        f"{_number(gap['high'])}), "
        f"and {shipped} is the {_why(report, shipped, rival)}.",
    )


def _chosen(report: Mapping[str, Any], rival: str, gap: Mapping[str, float]) -> str:
    """The headline of a bundle whose arm the evaluation chose."""
    shipped, wanted = report["shipped"], report["choice"]["recommended"]
    if wanted != shipped and report["ship"]["missed"].get(wanted):
        return f"{shipped} ships, as {wanted} misses a gate"
    if gap["low"] > 0:
        return f"{shipped} ships: it leads {rival} and every other arm"
    return f"{shipped} ships; {rival} is within noise of it"


def why_shipped(report: Mapping[str, Any]) -> str:
    """One sentence: which arm ships, by which rule, and how it stands against the strongest other
    one and, where another arm is tuned, against that."""
    shipped, ship, choice = report["shipped"], report["ship"], report["choice"]
    by = {
        "auto": "chosen by evaluate.ship: auto",
        "all": "evaluate.ship: all, whatever was measured",
    }
    text = f"{shipped} ships ({by.get(ship['rule'], 'named by evaluate.ship')})"
    others = choice["gaps"] if shipped in choice["scores"] else {}
    named = [choice["rival"]] if choice["rival"] in others else []
    named += [
        arm for arm in others if "tuned" in arm and arm not in named and "tuned" not in shipped
    ]
    parts = [_standing(arm, others[arm]) for arm in named]
    if any(_within_noise(others[arm]) for arm in named) and shipped == choice["recommended"]:
        parts.append("of arms that noise cannot tell apart it is the simplest")
    for arm in choice["ties"]:
        if arm != shipped and ship["rule"] == "auto" and ship["missed"].get(arm):
            parts.append(f"{arm} misses {', '.join(f'`{gate}`' for gate in ship['missed'][arm])}")
    if ship["left_out"]:
        parts.append(f"left out: {', '.join(ship['left_out'])}")
    return "; ".join([text, *parts])


def _standing(other: str, gap: Mapping[str, float]) -> str:
    """ "it leads rag by 0.12 in score (95% +0.03 to +0.21)"."""
    noise = ", which may be noise" if _within_noise(gap) else ""
    return (
        f"it {'leads' if gap['value'] > 0 else 'trails'} {other} by {_in_words(gap)} in "
        f"score{noise} "
        f"(95% {_number(gap['low'])} to {_number(gap['high'])})"
    )


def _within_noise(gap: Mapping[str, float]) -> bool:
    return gap["low"] <= 0 <= gap["high"]


def weights_in_words(weights: Mapping[str, float]) -> str:
    """ "F1 1, right citations 0.5, ..."."""
    return ", ".join(
        f"{_UNITS.get(key, '')}{LABELS.get(key, key).split(',')[0].lower()} {weight:g}".replace(
            "f1 ", "F1 "
        )
        for key, weight in weights.items()
    )


def scores_table(report: Mapping[str, Any]) -> tuple[str, list[ScoreRow]] | None:
    """(the weights in words, a row an arm, the best first)."""
    choice = report.get("choice")
    if not choice:
        return None
    rows = []
    for arm, score in sorted(choice["scores"].items(), key=lambda item: -item[1]["value"]):
        gap = choice["gaps"].get(arm)
        notes = [
            word
            for word, named in (("best", choice["best"]), ("recommended", choice["recommended"]))
            if named == arm
        ]
        if arm in choice["ties"] and arm != choice["best"]:
            notes.append("not told from the best")
        words = (
            ""
            if gap is None
            else f"{_number(gap['value'])} ({_number(gap['low'])} to {_number(gap['high'])})"
        )
        rows.append(
            ScoreRow(
                arm,
                slug(arm),
                arm == report["shipped"],
                f"{score['value']:.3f}",
                f"{score['low']:.3f} to {score['high']:.3f}",
                words,
                ", ".join(notes),
            )
        )
    return weights_in_words(choice["weights"]), rows


def _why(report: Mapping[str, Any], one: str, other: str) -> str:
    mine, theirs = ((report["arms"].get(arm) or {}).get("size_mb") for arm in (one, other))
    if mine is not None and theirs is not None and mine + 0.05 < theirs:
        return f"smaller bundle ({mine:,.0f} against {theirs:,.0f} MB)"
    return "simpler one to build and keep up"


def _number(value: float) -> str:
    return f"{value:+.2f}".replace("-", "−")


def _in_words(gap: Mapping[str, float]) -> str:
    return f"{abs(gap['value']):.2f}"


def _turned(gap: Mapping[str, float]) -> str:
    """The other arm's lead."""
    return f"{-gap['value']:.2f} in score (95% {_number(-gap['high'])} to {_number(-gap['low'])})"
