"""Loss by step -> geometry of a line chart; the template draws it as inline SVG. Units: the SVG's
own pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor, log10
from typing import Any

from .bars import WIDTH

_LEFT, _RIGHT, _TOP, _TALL = 44.0, 6.0, 10.0, 190.0
_TICKS = 5
Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class LossChart:
    """`raw`: each update's loss; `smooth`: its running mean; `held`: of what was held out, with its
    label."""

    width: float
    height: float
    left: float
    right: float
    base: float
    lines: tuple[tuple[float, str], ...]
    ticks: tuple[tuple[float, str], ...]
    raw: str
    smooth: str
    held: tuple[tuple[float, float, str], ...]
    kept_x: float | None
    kept: int | None
    first: float
    last: float
    tokens_per_s: float | None


def loss_chart(log: Mapping[str, Any] | None) -> LossChart | None:
    """`log`: what train/log.json holds. None with fewer than two steps."""
    steps = [(e["step"], e["loss"]) for e in (log or {}).get("train") or []]
    if log is None or len(steps) < 2:
        return None
    held = [(e["step"], e["loss"]) for e in log.get("validation") or []]
    marks = _nice(min(loss for _, loss in steps + held), max(loss for _, loss in steps + held))
    low, high, end = marks[0], marks[-1], max(step for step, _ in steps)

    def place(step: float, loss: float) -> Point:
        x = _LEFT + (step - 1) / (end - 1) * (WIDTH - _LEFT - _RIGHT)
        return round(x, 1), round(_TOP + _TALL * (high - loss) / (high - low), 1)

    smooth = _smoothed([loss for _, loss in steps])
    by_step = sorted({1, *(max(1, round(end * part / _TICKS)) for part in range(1, _TICKS + 1))})
    speeds = sorted(e["tokens_per_s"] for e in log["train"] if e.get("tokens_per_s"))
    kept = log.get("kept_step") if held else None
    return LossChart(
        width=WIDTH,
        height=_TOP + _TALL + 34,
        left=_LEFT,
        right=WIDTH - _RIGHT,
        base=_TOP + _TALL,
        lines=tuple((place(1, mark)[1], f"{mark:g}") for mark in marks),
        ticks=tuple((place(step, low)[0], f"{step:,}") for step in by_step),
        raw=_line([place(*entry) for entry in steps]),
        smooth=_line([place(step, loss) for (step, _), loss in zip(steps, smooth, strict=True)]),
        held=tuple((*place(step, loss), f"step {step}: {loss:.3f}") for step, loss in held),
        kept_x=place(kept, low)[0] if kept else None,
        kept=kept,
        first=steps[0][1],
        last=smooth[-1],
        tokens_per_s=speeds[len(speeds) // 2] if speeds else None,
    )


def _smoothed(values: Sequence[float]) -> list[float]:
    """The mean of the last twentieth of the run, and at least three values, up to each."""
    wide = max(3, len(values) // 20)
    return [
        sum(values[max(0, i - wide + 1) : i + 1]) / min(wide, i + 1) for i in range(len(values))
    ]


def _nice(low: float, high: float) -> list[float]:
    """Round marks around [low, high], four to nine of them."""
    rough = max(high - low, 1e-6) / _TICKS
    unit = 10.0 ** floor(log10(rough))
    step = unit * next(factor for factor in (1, 2, 5, 10) if factor * unit >= rough)
    first, last = floor(low / step), max(ceil(high / step), floor(low / step) + 1)
    return [round(i * step, 10) for i in range(first, last + 1)]


def _line(points: Sequence[Point]) -> str:
    return " ".join(f"{x:g},{y:g}" for x, y in points)
