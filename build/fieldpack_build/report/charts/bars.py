"""Figures -> geometry of two small drawings; the template draws it as inline SVG. Units: the SVG's
own pixels."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, floor

from ...evaluation.calibration import separation
from ...evaluation.report_file import Figures, Retrieval
from .axis import SHARES, WIDTH, arm_colour, legend

_SHOWN = ("f1", "value_match", "refused_right", "citations_right", "refused_wrong")
_LEFT, _RIGHT = 34.0, 6.0
_TOP, _HEIGHT = 18.0, 170.0
_HALF, _BINS = 70.0, 30


@dataclass(frozen=True, slots=True)
class Bar:
    """One arm's share, as a box."""

    arm: str
    colour: str
    x: float
    y: float
    width: float
    height: float
    label: str


@dataclass(frozen=True, slots=True)
class BarGroup:
    """One figure of all arms."""

    title: str
    middle: float
    bars: tuple[Bar, ...]


@dataclass(frozen=True, slots=True)
class BarChart:
    """Shares of the arms, grouped by figure. `lines`: (y, label)."""

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
    """Two histograms on one axis, answerable above and unanswerable below: (x, height, questions).
    Heights are shares of each group."""

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


def bar_chart(arms: Mapping[str, Figures]) -> BarChart | None:
    """Lay out the arms' shares as bars; None where there is nothing to draw."""
    shown = [key for key in _SHOWN if any(arm.get(key) is not None for arm in arms.values())]
    if not shown:
        return None
    base = _TOP + _HEIGHT
    group_width = (WIDTH - _LEFT - _RIGHT) / len(shown)
    width = min(30.0, (group_width - 24) / len(arms))
    groups = []
    for number, key in enumerate(shown):
        middle = _LEFT + group_width * (number + 0.5)
        bars = []
        for place, (name, arm) in enumerate(arms.items()):
            value, x = arm.get(key), middle + (place - len(arms) / 2) * width
            height = _HEIGHT * min(max(value or 0.0, 0.0), 1.0)
            bars.append(
                Bar(
                    name,
                    arm_colour(name),
                    x=round(x, 1),
                    y=round(base - height, 1),
                    width=round(width - 3, 1),
                    height=round(height, 1),
                    label="–" if value is None else f"{value:.2f}",
                )
            )
        groups.append(BarGroup(SHARES[key], round(middle, 1), tuple(bars)))
    lines = tuple((base - _HEIGHT * share, f"{share:g}") for share in (0, 0.25, 0.5, 0.75, 1))
    return BarChart(
        WIDTH, base + 28, _LEFT, WIDTH - _RIGHT, base, lines, tuple(groups), legend(arms)
    )


def similarity_chart(retrieval: Retrieval | None) -> SimilarityChart | None:
    """Lay out the similarities of the best passages, and the threshold where there is one; None
    without a figure."""
    if retrieval is None:
        return None
    best, threshold = retrieval.best_similarity, retrieval.refuse_below
    yes, no = sorted(best.answerable), sorted(best.unanswerable)
    if not yes and not no:
        return None
    # -1 switches the threshold off: no cosine is below it, and the axis would be half empty.
    shown = [threshold] if threshold is not None and threshold > -1 else []
    low = floor(min([*yes, *no, *shown]) * 10 - 0.001) / 10
    high = max(ceil(max([*yes, *no, *shown]) * 10 + 0.001) / 10, low + 0.1)
    scale = (WIDTH - _LEFT - _RIGHT) / (high - low)
    axis = _TOP + _HALF
    edges = [low + (high - low) * i / _BINS for i in range(_BINS + 1)]
    shares = [_histogram(yes, edges), _histogram(no, edges)]
    tallest = max(share for side in shares for share, _ in side) or 1.0
    above, below = (
        tuple(
            (round(_LEFT + (edge - low) * scale, 1), round(_HALF * share / tallest, 1), count)
            for edge, (share, count) in zip(edges, side, strict=False)
            if count
        )
        for side in shares
    )
    steps = round((high - low) * 10)
    ticks = tuple(
        (round(_LEFT + i / 10 * scale, 1), f"{low + i / 10:.1f}") for i in range(steps + 1)
    )
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
        threshold_x=round(_LEFT + (shown[0] - low) * scale, 1) if shown else None,
        answerable=len(yes),
        unanswerable=len(no),
        refused_answerable=0 if threshold is None else bisect_left(yes, threshold),
        refused_unanswerable=0 if threshold is None else bisect_left(no, threshold),
        separation=separation(yes, no),
    )


def _histogram(values: Sequence[float], edges: Sequence[float]) -> list[tuple[float, int]]:
    """(share, count) of each bin; the last bin holds its upper edge too. `values` sorted."""
    counts = [bisect_left(values, high) - bisect_left(values, low) for low, high in pairwise(edges)]
    counts[-1] += len(values) - bisect_left(values, edges[-1])
    return [(count / len(values) if values else 0.0, count) for count in counts]
