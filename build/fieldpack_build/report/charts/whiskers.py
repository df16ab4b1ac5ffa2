"""Figures with their intervals -> geometry of dots and whiskers; the templates draw it as inline
SVG. Units: the SVG's own pixels. Knows nothing of how an interval came about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

from .bars import WIDTH, slug

_LEFT, _RIGHT, _TOP = 190.0, 58.0, 22.0
_STEP, _SPACE = 15.0, 12.0
SHARES = (
    ("f1", "F1"),
    ("exact_match", "Exact match"),
    ("numeric_match", "Numeric match"),
    ("value_match", "Value match"),
    ("citations_right", "Citations right"),
    ("refused_right", "Refused right"),
    ("refused_wrong", "Refused wrong (low is good)"),
)


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
    title: str
    y: float
    rule: float
    whiskers: tuple[Whisker, ...]


@dataclass(frozen=True, slots=True)
class WhiskerChart:
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


def arms_chart(report: Mapping[str, Any]) -> WhiskerChart | None:
    """Every share of every arm, on one axis from 0 to 1; None without intervals."""
    intervals, arms = report.get("intervals") or {}, report.get("arms") or {}
    found = []
    for key, title in SHARES:
        rows = [
            (arm, figures[key], *intervals[arm][key])
            for arm, figures in arms.items()
            if figures.get(key) is not None and key in intervals.get(arm, {})
        ]
        found.append((title, rows))
    return _chart(found, 0.0, 1.0, 0.25, names=list(arms), zero=False)


def differences_chart(report: Mapping[str, Any]) -> WhiskerChart | None:
    """What the shipped arm has more than each other one; None without intervals."""
    rows = against_shipped(report)
    found = [
        (
            title,
            [
                (arm, *gap)
                for arm in report.get("arms") or {}
                if (gap := rows.get((arm, key))) is not None
            ],
        )
        for key, title in SHARES
    ]
    reach = max((abs(edge) for _, mine in found for row in mine for edge in row[1:]), default=0.0)
    edge = max(0.1, ceil(reach * 10) / 10)
    others = [arm for arm in report.get("arms") or {} if arm != report.get("shipped")]
    return _chart(found, -edge, edge, 0.1 if edge <= 0.5 else 0.25, names=others, zero=True)


def against_shipped(report: Mapping[str, Any]) -> dict[tuple[str, str], tuple[float, float, float]]:
    """(other arm, figure) -> shipped less other: value, low, high."""
    shipped, found = report.get("shipped"), {}
    for row in report.get("differences") or []:
        value, low, high = row["value"], row["low"], row["high"]
        if row["arm"] == shipped:
            found[row["against"], row["figure"]] = (value, low, high)
        elif row["against"] == shipped:
            found[row["arm"], row["figure"]] = (-value, -high, -low)
    return found


def _chart(
    groups: Sequence[tuple[str, Sequence[tuple[str, float, float, float]]]],
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

    drawn, y = [], _TOP
    for title, rows in groups:
        first, whiskers = y, []
        for arm, value, start, end in rows:
            label = f"{value:{'+' if zero else ''}.2f}"
            label = "0.00" if label in ("-0.00", "+0.00") else label
            told = f"{arm}: {label} ({start:.2f} to {end:.2f})"
            whiskers.append(
                Whisker(slug(arm), arm, y, place(value), place(start), place(end), label, told)
            )
            y += _STEP
        middle, rule = round((first + y - _STEP) / 2, 1), round(y - _STEP / 2 + _SPACE / 2, 1)
        drawn.append(WhiskerGroup(title, middle, rule, tuple(whiskers)))
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
        tuple(drawn),
        tuple((name, slug(name)) for name in names),
    )
