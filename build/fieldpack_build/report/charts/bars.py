"""Figures -> geometry of two small drawings; the template draws it as inline SVG. Units: the SVG's
own pixels."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, floor
from typing import Any

from ...evaluation.calibration import separation

_SHARES = (
    ("f1", "F1"),
    ("value_match", "Value match"),
    ("refused_right", "Refused right"),
    ("citations_right", "Citations right"),
    ("refused_wrong", "Refused wrong (low is good)"),
)
WIDTH, _LEFT, _RIGHT = 860.0, 34.0, 6.0
_TOP, _TALL = 18.0, 170.0
_HALF, _BINS = 70.0, 30


def slug(arm: str) -> str:
    """The CSS class that colours an arm."""
    return {
        "quote": "a-quote",
        "base": "a-base",
        "rag": "a-rag",
        "tuned": "a-tuned",
        "tuned+rag": "a-both",
    }.get(arm, "a-base")


@dataclass(frozen=True, slots=True)
class Bar:
    arm: str
    colour: str
    x: float
    y: float
    width: float
    height: float
    label: str


@dataclass(frozen=True, slots=True)
class BarGroup:
    title: str
    middle: float
    bars: tuple[Bar, ...]


@dataclass(frozen=True, slots=True)
class BarChart:
    width: float
    height: float
    left: float
    right: float
    base: float
    lines: tuple[tuple[float, str], ...]
    groups: tuple[BarGroup, ...]
    arms: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class SimilarityChart:
    """Two histograms on one axis, answerable above and unanswerable below; heights are shares of
    each group."""

    width: float
    height: float
    left: float
    right: float
    axis: float
    bin_width: float
    above: tuple[tuple[float, float, int], ...]
    below: tuple[tuple[float, float, int], ...]
    ticks: tuple[tuple[float, str], ...]
    threshold: float | None
    threshold_x: float | None
    answerable: int
    unanswerable: int
    refused_answerable: int
    refused_unanswerable: int
    separation: float | None


def bar_chart(arms: Mapping[str, Mapping[str, Any]]) -> BarChart | None:
    """None where there is nothing to draw."""
    shown = [
        (key, title)
        for key, title in _SHARES
        if any(arm.get(key) is not None for arm in arms.values())
    ]
    if not shown:
        return None
    base = _TOP + _TALL
    room = (WIDTH - _LEFT - _RIGHT) / len(shown)
    width = min(30.0, (room - 24) / len(arms))
    groups = []
    for number, (key, title) in enumerate(shown):
        middle = _LEFT + room * (number + 0.5)
        bars = []
        for place, (name, arm) in enumerate(arms.items()):
            value, x = arm.get(key), middle + (place - len(arms) / 2) * width
            tall = _TALL * min(max(value or 0.0, 0.0), 1.0)
            box = (round(x, 1), round(base - tall, 1), round(width - 3, 1), round(tall, 1))
            bars.append(Bar(name, slug(name), *box, "–" if value is None else f"{value:.2f}"))
        groups.append(BarGroup(title, round(middle, 1), tuple(bars)))
    lines = tuple((base - _TALL * share, f"{share:g}") for share in (0, 0.25, 0.5, 0.75, 1))
    names = tuple((name, slug(name)) for name in arms)
    return BarChart(WIDTH, base + 28, _LEFT, WIDTH - _RIGHT, base, lines, tuple(groups), names)


def similarity_chart(retrieval: Mapping[str, Any] | None) -> SimilarityChart | None:
    """`retrieval["best_similarity"]` and, where it is there, `retrieval["refuse_below"]`. None
    without a figure."""
    best = (retrieval or {}).get("best_similarity") or {}
    yes, no = sorted(best.get("answerable") or []), sorted(best.get("unanswerable") or [])
    if not yes and not no:
        return None
    threshold = (retrieval or {}).get("refuse_below")
    # -1 switches the threshold off: no cosine is below it, and the axis would be half empty.
    drawn = [threshold] if threshold is not None and threshold > -1 else []
    low = floor(min([*yes, *no, *drawn]) * 10 - 0.001) / 10
    high = max(ceil(max([*yes, *no, *drawn]) * 10 + 0.001) / 10, low + 0.1)
    scale = (WIDTH - _LEFT - _RIGHT) / (high - low)
    axis = _TOP + _HALF
    edges = [low + (high - low) * i / _BINS for i in range(_BINS + 1)]
    shares = [_shares(yes, edges), _shares(no, edges)]
    most = max(share for side in shares for share, _ in side) or 1.0
    above, below = (
        tuple(
            (round(_LEFT + (edge - low) * scale, 1), round(_HALF * share / most, 1), count)
            for edge, (share, count) in zip(edges, side, strict=False)
            if count
        )
        for side in shares
    )
    steps = round((high - low) * 10)
    ticks = tuple(
        (round(_LEFT + i / 10 * scale, 1), f"{low + i / 10:.1f}") for i in range(steps + 1)
    )
    at = None if threshold is None else threshold
    return SimilarityChart(
        width=WIDTH,
        height=axis + _HALF + 24,
        left=_LEFT,
        right=WIDTH - _RIGHT,
        axis=axis,
        bin_width=round((WIDTH - _LEFT - _RIGHT) / _BINS - 1.5, 1),
        above=above,
        below=below,
        ticks=ticks,
        threshold=threshold,
        threshold_x=round(_LEFT + (drawn[0] - low) * scale, 1) if drawn else None,
        answerable=len(yes),
        unanswerable=len(no),
        refused_answerable=0 if at is None else bisect_left(yes, at),
        refused_unanswerable=0 if at is None else bisect_left(no, at),
        separation=separation(yes, no),
    )


def _shares(values: Sequence[float], edges: Sequence[float]) -> list[tuple[float, int]]:
    """(share, count) a bin; the last bin holds its upper edge too. `values` sorted."""
    counts = [bisect_left(values, high) - bisect_left(values, low) for low, high in pairwise(edges)]
    counts[-1] += len(values) - bisect_left(values, edges[-1])
    return [(count / len(values) if values else 0.0, count) for count in counts]
