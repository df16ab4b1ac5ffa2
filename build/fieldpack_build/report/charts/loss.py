"""Loss by step -> geometry of a line chart; the template draws it as inline SVG. Units: the SVG's
own pixels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil, floor

from ...evaluation.report_file import TrainingLog, ValidationLoss
from .axis import WIDTH, round_step

_LEFT, _RIGHT, _TOP, _HEIGHT = 44.0, 6.0, 10.0, 190.0
_TICKS = 5


@dataclass(frozen=True, slots=True)
class LossChart:
    """`raw`: each update's loss; `smooth`: its running mean; `held`: (x, y, label) of what was held
    out; `kept`: the step whose adapter ships."""

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


def loss_chart(log: TrainingLog | None) -> LossChart | None:
    """Lay out the losses of a training; None with fewer than two steps."""
    steps = [(entry.step, entry.loss) for entry in log.train] if log else []
    if log is None or len(steps) < 2:
        return None
    held = [(entry.step, entry.loss) for entry in log.validation]
    losses = [loss for _, loss in steps + held]
    marks = _round_marks(min(losses), max(losses))
    low, high, end = marks[0], marks[-1], max(step for step, _ in steps)

    def place(step: float, loss: float) -> tuple[float, float]:
        x = _LEFT + (step - 1) / (end - 1) * (WIDTH - _LEFT - _RIGHT)
        return round(x, 1), round(_TOP + _HEIGHT * (high - loss) / (high - low), 1)

    def line(points: Iterable[tuple[float, float]]) -> str:
        return " ".join(f"{x:g},{y:g}" for x, y in (place(*point) for point in points))

    smooth = _running_mean([loss for _, loss in steps])
    by_step = sorted({1, *(max(1, round(end * part / _TICKS)) for part in range(1, _TICKS + 1))})
    speeds = sorted(entry.tokens_per_s for entry in log.train if entry.tokens_per_s)
    kept = log.kept_step if held else None
    return LossChart(
        width=WIDTH,
        height=_TOP + _HEIGHT + 34,
        left=_LEFT,
        right=WIDTH - _RIGHT,
        base=_TOP + _HEIGHT,
        lines=tuple((place(1, mark)[1], f"{mark:g}") for mark in marks),
        ticks=tuple((place(step, low)[0], f"{step:,}") for step in by_step),
        raw=line(steps),
        smooth=line((step, loss) for (step, _), loss in zip(steps, smooth, strict=True)),
        held=tuple(
            (*place(entry.step, entry.loss), _held_out_label(entry)) for entry in log.validation
        ),
        kept_x=place(kept, low)[0] if kept else None,
        kept=kept,
        first=steps[0][1],
        last=smooth[-1],
        tokens_per_s=speeds[len(speeds) // 2] if speeds else None,
    )


def _held_out_label(entry: ValidationLoss) -> str:
    """What is shown of an evaluation on held-out rows when a reader points at it."""
    label = f"step {entry.step}: {entry.loss:.3f}"
    if entry.wrong_refusals is not None:
        label += f", {entry.wrong_refusals:.0%} of the answerable questions refused"
    return label


def _running_mean(values: Sequence[float]) -> list[float]:
    """The mean of the last twentieth of the run, and at least three values, up to each."""
    count = max(3, len(values) // 20)
    return [
        sum(values[max(0, i - count + 1) : i + 1]) / min(count, i + 1) for i in range(len(values))
    ]


def _round_marks(low: float, high: float) -> list[float]:
    """Round marks around [low, high], four to nine of them."""
    step = round_step(max(high - low, 1e-6) / _TICKS)
    first, last = floor(low / step), max(ceil(high / step), floor(low / step) + 1)
    return [round(i * step, 10) for i in range(first, last + 1)]
