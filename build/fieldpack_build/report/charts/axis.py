"""What the drawings share: the page's width, the colour of an arm, round steps of an axis. Units:
the SVG's own pixels."""

from __future__ import annotations

from collections.abc import Iterable
from math import floor, log10

WIDTH = 860.0
# The shares of an arm, as a drawing names them.
SHARES = {
    "f1": "F1",
    "exact_match": "Exact match",
    "numeric_match": "Numeric match",
    "value_match": "Value match",
    "citations_right": "Citations right",
    "refused_right": "Refused right",
    "refused_wrong": "Refused wrong (low is good)",
}
_COLOURS = {
    "quote": "a-quote",
    "base": "a-base",
    "rag": "a-rag",
    "tuned": "a-tuned",
    "tuned+rag": "a-both",
}


def arm_colour(arm: str) -> str:
    """Return the CSS class that colours an arm."""
    return _COLOURS.get(arm, "a-base")


def legend(arms: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Return (arm, CSS class) of each arm."""
    return tuple((arm, arm_colour(arm)) for arm in arms)


def round_step(rough: float) -> float:
    """Return the next of 1, 2 or 5 times a power of ten, at least `rough` > 0."""
    power = 10.0 ** floor(log10(rough))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
