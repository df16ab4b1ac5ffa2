"""Where quality was won and lost -> the rows of a table and the geometry of a waterfall: a bar from
each step's figure to the next, with the interval of the difference. Units: the SVG's own pixels.
Knows nothing of models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import ceil
from typing import Any

from ...evaluation.attribution import DOES, KEYS
from ..tables import COLUMNS, Gap, gap_of, text_of
from .bars import WIDTH

_LEFT, _RIGHT, _TOP, _TALL = 34.0, 6.0, 22.0, 150.0
_COLUMNS = {column.key: column for column in COLUMNS if column.key in KEYS}


@dataclass(frozen=True, slots=True)
class Step:
    """`low` and `high`: y of the interval's ends, for a step that has one; `tone` is good, bad,
    noise or whole."""

    name: str
    x: float
    width: float
    top: float
    height: float
    tone: str
    label: str
    middle: float
    low: float | None
    high: float | None
    from_y: float | None


@dataclass(frozen=True, slots=True)
class Waterfall:
    width: float
    height: float
    left: float
    right: float
    base: float
    lines: tuple[tuple[float, str], ...]
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class StepRow:
    """`cells`: the figure after the step, and what the step changed (None for the first)."""

    name: str
    cells: tuple[tuple[str, Gap | None], ...]


@dataclass(frozen=True, slots=True)
class Path:
    heading: str
    columns: tuple[str, ...]
    rows: tuple[StepRow, ...]
    chart: Waterfall | None


def attribution_view(report: Mapping[str, Any]) -> dict[str, Any] | None:
    found = report.get("attribution")
    if not found:
        return None
    named = (("With retrieval", "with_retrieval"), ("Without retrieval", "without_retrieval"))
    paths = [_path(heading, found[key], found["steps"]) for heading, key in named if found.get(key)]
    return {"paths": paths, "asked": found["questions"]}


def _path(heading: str, found: Mapping[str, Any], steps: list[str]) -> Path:
    keys = [key for key in KEYS if any(key in found["figures"][step] for step in steps)]
    rows = []
    for step in steps:
        moves = found["moves"].get(step, {})
        after = found["figures"][step]
        cells = tuple(
            (text_of(_COLUMNS[key], after.get(key)), gap_of(_COLUMNS[key], _edges(moves.get(key))))
            for key in keys
        )
        rows.append(StepRow(DOES.get(step, step), cells))
    return Path(
        heading, tuple(_COLUMNS[key].label for key in keys), tuple(rows), _waterfall(found, steps)
    )


def _edges(move: Mapping[str, float] | None) -> tuple[float, float, float] | None:
    return None if move is None else (move["value"], move["low"], move["high"])


def _waterfall(found: Mapping[str, Any], steps: list[str]) -> Waterfall | None:
    """Of F1, the first step and the last as whole bars."""
    values = {step: found["figures"][step].get("f1") for step in steps}
    if any(value is None for value in values.values()):
        return None
    most = max(
        [
            *values.values(),
            *(values[a] + found["moves"][b]["f1"]["high"] for a, b in pairwise(steps)),
        ]
    )
    top = max(0.1, ceil(most * 10) / 10)
    base, room = _TOP + _TALL, (WIDTH - _LEFT - _RIGHT) / (len(steps) + 1)

    def y(value: float) -> float:
        return float(round(base - _TALL * min(max(value / top, 0.0), 1.0), 1))

    drawn = [_whole(steps[0], values[steps[0]], 0, room, base, y(values[steps[0]]))]
    for place, (before, step) in enumerate(pairwise(steps), 1):
        move, start, end = found["moves"][step]["f1"], values[before], values[step]
        tone = "good" if move["low"] > 0 else "bad" if move["high"] < 0 else "noise"
        high, low = y(max(start, end)), y(min(start, end))
        drawn.append(
            Step(
                DOES.get(step, step),
                _x(place, room),
                _wide(room),
                high,
                max(low - high, 1.5),
                tone,
                f"{move['value']:+.3f}",
                _x(place, room) + _wide(room) / 2,
                y(start + move["low"]),
                y(start + move["high"]),
                y(start),
            )
        )
    drawn.append(
        _whole("as shipped", values[steps[-1]], len(steps), room, base, y(values[steps[-1]]))
    )
    tick = 0.1 if top <= 0.5 else 0.2
    lines = tuple((y(tick * i), f"{tick * i:.1g}") for i in range(int(top / tick + 1e-9) + 1))
    return Waterfall(WIDTH, base + 28, _LEFT, WIDTH - _RIGHT, base, lines, tuple(drawn))


def _whole(name: str, value: float, place: int, room: float, base: float, top: float) -> Step:
    x = _x(place, room)
    return Step(
        name,
        x,
        _wide(room),
        top,
        round(base - top, 1),
        "whole",
        f"{value:.3f}",
        x + _wide(room) / 2,
        None,
        None,
        None,
    )


def _x(place: int, room: float) -> float:
    return round(_LEFT + room * (place + 0.2), 1)


def _wide(room: float) -> float:
    return round(room * 0.6, 1)
