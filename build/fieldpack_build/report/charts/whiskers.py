"""Figures with their intervals -> geometry of dots and whiskers; the templates draw it as inline
SVG. Units: the SVG's own pixels. Knows nothing of how an interval came about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from ...evaluation.report_file import Report
from ..tables import against_shipped
from .axis import SHARES, WIDTH, arm_colour, legend

_LEFT, _RIGHT, _TOP = 190.0, 58.0, 22.0
_STEP, _SPACE = 15.0, 12.0
_Row = tuple[str, float, float, float]  # arm, value, low, high


@dataclass(frozen=True, slots=True)
class Whisker:
    """A dot at `x` and a line from `low` to `high`, on the line `y`; `title` says it in words."""

    colour: str
    name: str
    y: float
    x: float
    low: float
    high: float
    label: str
    title: str


@dataclass(frozen=True, slots=True)
class WhiskerGroup:
    """One figure of all arms; `rule`: y of the line below it."""

    title: str
    y: float
    rule: float
    whiskers: tuple[Whisker, ...]


@dataclass(frozen=True, slots=True)
class WhiskerChart:
    """Whiskers grouped by figure, on one axis. `zero`: x of a line at zero, where there is one."""

    width: float
    height: float
    left: float
    right: float
    top: float
    base: float
    ticks: tuple[tuple[float, str], ...]
    zero: float | None
    groups: tuple[WhiskerGroup, ...]
    names: tuple[tuple[str, str], ...]


def arms_chart(report: Report) -> WhiskerChart | None:
    """Lay out every share of every arm, on one axis from 0 to 1; None without intervals."""
    groups: list[tuple[str, list[_Row]]] = []
    for key, title in SHARES.items():
        rows = []
        for arm, figures in report.arms.items():
            value, interval = figures.get(key), report.intervals.get(arm, {}).get(key)
            if value is not None and interval is not None:
                rows.append((arm, value, *interval))
        groups.append((title, rows))
    return _chart(groups, 0.0, 1.0, 0.25, names=list(report.arms), zero=False)


def differences_chart(report: Report) -> WhiskerChart | None:
    """Lay out what the shipped arm has more than each other one; None without intervals."""
    gaps = against_shipped(report)
    groups: list[tuple[str, list[_Row]]] = [
        (
            title,
            [
                (arm, gap.value, gap.low, gap.high)
                for arm in report.arms
                if (gap := gaps.get((arm, key))) is not None
            ],
        )
        for key, title in SHARES.items()
    ]
    reach = max((abs(end) for _, rows in groups for row in rows for end in row[1:]), default=0.0)
    edge = max(0.1, ceil(reach * 10) / 10)
    others = [arm for arm in report.arms if arm != report.shipped]
    return _chart(groups, -edge, edge, 0.1 if edge <= 0.5 else 0.25, names=others, zero=True)


def _chart(
    groups: Sequence[tuple[str, Sequence[_Row]]],
    low: float,
    high: float,
    tick: float,
    *,
    names: Sequence[str],
    zero: bool,
) -> WhiskerChart | None:
    groups = [(title, rows) for title, rows in groups if rows]
    if not groups:
        return None
    scale = (WIDTH - _LEFT - _RIGHT) / (high - low)

    def place(value: float) -> float:
        return round(_LEFT + (min(max(value, low), high) - low) * scale, 1)

    laid_out, y = [], _TOP
    for title, rows in groups:
        first, whiskers = y, []
        for arm, value, start, end in rows:
            label = f"{value:{'+' if zero else ''}.2f}"
            label = "0.00" if label in ("-0.00", "+0.00") else label
            words = f"{arm}: {label} ({start:.2f} to {end:.2f})"
            colour = arm_colour(arm)
            whiskers.append(
                Whisker(colour, arm, y, place(value), place(start), place(end), label, words)
            )
            y += _STEP
        middle, rule = round((first + y - _STEP) / 2, 1), round(y - _STEP / 2 + _SPACE / 2, 1)
        laid_out.append(WhiskerGroup(title, middle, rule, tuple(whiskers)))
        y += _SPACE
    base = y - _SPACE
    count = round((high - low) / tick)
    marks = [low + (high - low) * i / count for i in range(count + 1)]
    ticks = tuple(
        (place(mark), f"{mark:+.2g}" if zero and abs(mark) > 1e-9 else f"{abs(mark):.2g}")
        for mark in marks
    )
    return WhiskerChart(
        WIDTH,
        base + 26,
        _LEFT,
        WIDTH - _RIGHT,
        _TOP - 12,
        base,
        ticks,
        place(0.0) if zero else None,
        tuple(laid_out),
        legend(names),
    )
