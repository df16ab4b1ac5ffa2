"""Where quality was won and lost -> the rows of a table and the geometry of a waterfall: a bar from
each step's figure to the next, with the interval of the difference. Units: the SVG's own pixels.
Knows nothing of models."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import ceil

from ...evaluation.attribution import KEYS, LABELS
from ...evaluation.report_file import Attribution, StepFigures
from ..tables import COLUMNS, Gap, gap_of, text_of
from .axis import WIDTH

_LEFT, _RIGHT, _TOP, _HEIGHT = 34.0, 6.0, 22.0, 150.0
_COLUMNS = {column.key: column for column in COLUMNS if column.key in KEYS}


@dataclass(frozen=True, slots=True)
class Step:
    """`low` and `high`: y of the interval's ends, and `from_y` of the figure before, for a step
    that has one; `tone` is good, bad, noise or whole."""

    name: str
    x: float
    width: float
    top: float
    height: float
    tone: str
    label: str
    middle: float
    low: float | None = None
    high: float | None = None
    from_y: float | None = None


@dataclass(frozen=True, slots=True)
class Waterfall:
    """Bars from step to step. `lines`: (y, label)."""

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
    """The steps with or without retrieval, as a table and a drawing."""

    heading: str
    columns: tuple[str, ...]
    rows: tuple[StepRow, ...]
    chart: Waterfall | None


def attribution_paths(attribution: Attribution) -> tuple[Path, ...]:
    """Lay out the steps, those with retrieval first."""
    named = (
        ("With retrieval", attribution.with_retrieval),
        ("Without retrieval", attribution.without_retrieval),
    )
    return tuple(
        _path(heading, figures, attribution.steps) for heading, figures in named if figures
    )


def _path(heading: str, of: StepFigures, steps: list[str]) -> Path:
    keys = [key for key in KEYS if any(key in of.figures[step] for step in steps)]
    rows = []
    for step in steps:
        after, moves = of.figures[step], of.moves.get(step, {})
        cells = tuple(
            (
                text_of(_COLUMNS[key], after.get(key)),
                gap_of(_COLUMNS[key], moves[key]) if key in moves else None,
            )
            for key in keys
        )
        rows.append(StepRow(LABELS.get(step, step), cells))
    columns = tuple(_COLUMNS[key].label for key in keys)
    return Path(heading, columns, tuple(rows), _waterfall(of, steps))


def _waterfall(of: StepFigures, steps: list[str]) -> Waterfall | None:
    """The waterfall of F1, the first step and the last as whole bars; None where a step has no
    F1."""
    values = {step: of.figures[step]["f1"] for step in steps if "f1" in of.figures[step]}
    if len(values) < len(steps):
        return None
    moves = {step: of.moves[step]["f1"] for step in steps[1:]}
    reach = [values[before] + moves[step].high for before, step in pairwise(steps)]
    top = max(0.1, ceil(max([*values.values(), *reach]) * 10) / 10)
    base, slot = _TOP + _HEIGHT, (WIDTH - _LEFT - _RIGHT) / (len(steps) + 1)
    width = round(slot * 0.6, 1)

    def x(place: int) -> float:
        return round(_LEFT + slot * (place + 0.2), 1)

    def y(value: float) -> float:
        return float(round(base - _HEIGHT * min(max(value / top, 0.0), 1.0), 1))

    def whole(name: str, place: int, value: float) -> Step:
        height = round(base - y(value), 1)
        middle = x(place) + width / 2
        return Step(name, x(place), width, y(value), height, "whole", f"{value:.3f}", middle)

    bars = [whole(steps[0], 0, values[steps[0]])]
    for place, (before, step) in enumerate(pairwise(steps), 1):
        move, start, end = moves[step], values[before], values[step]
        high, low = y(max(start, end)), y(min(start, end))
        bars.append(
            Step(
                LABELS.get(step, step),
                x(place),
                width,
                high,
                max(low - high, 1.5),
                tone="good" if move.low > 0 else "bad" if move.high < 0 else "noise",
                label=f"{move.value:+.3f}",
                middle=x(place) + width / 2,
                low=y(start + move.low),
                high=y(start + move.high),
                from_y=y(start),
            )
        )
    bars.append(whole("as shipped", len(steps), values[steps[-1]]))
    tick = 0.1 if top <= 0.5 else 0.2
    lines = tuple((y(tick * i), f"{tick * i:.1g}") for i in range(int(top / tick + 1e-9) + 1))
    return Waterfall(WIDTH, base + 28, _LEFT, WIDTH - _RIGHT, base, lines, tuple(bars))
