"""What was measured of each candidate of the export -> rows of a table and the geometry of a
drawing: size against what it costs in quality. Knows nothing of HTML, nor of how a candidate was
measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, inf, log10

from ..facts import Candidate, ExportFacts
from ..tables import NONE
from .axis import WIDTH

_HEIGHT = 300.0
# On the right there is room for the last name.
_LEFT, _RIGHT, _TOP, _BOTTOM = 52.0, 150.0, 18.0, 40.0
_MIN_DEGRADATION = 1e-3  # one below a thousandth is drawn as a thousandth
_LINE = 13.0  # pixels between the names of neighbours
# Heading of each column, and how a candidate's figure is written in it.
_FORMATS = {
    "Size, MB": ("size_mb", ",.1f"),
    "Perplexity": ("perplexity_onnx", ".2f"),
    "× full": ("perplexity_ratio", ".3f"),
    "KL, nats": ("kl", ".2g"),
    "at most": ("max_kl", ".2g"),
    "Same token": ("same_next_token", ".1%"),
    "at least": ("min_same_next_token", ".1%"),
    "Same answers": ("same_answers", ".0%"),
    "Worse by": ("degradation", ".1%"),
    "Prefill, tok/s": ("prefill_tokens_per_s", ",.0f"),
    "Decode, tok/s": ("decode_tokens_per_s", ",.0f"),
    "Peak, MB": ("memory_mb", ",.0f"),
}


@dataclass(frozen=True, slots=True)
class CandidateRow:
    """A candidate's figures in words; `refused`: why it does not ship."""

    name: str
    cells: tuple[str, ...]
    refused: str | None
    chosen: bool


@dataclass(frozen=True, slots=True)
class CandidatePoint:
    """A candidate on the drawing; `label_y` keeps its name apart from its neighbours'."""

    name: str
    x: float
    y: float
    label_y: float
    fits: bool
    chosen: bool


@dataclass(frozen=True, slots=True)
class Scatter:
    """`limit_y`: where degradation is as much as the recipe allows; None if it sets no limit."""

    width: float
    height: float
    left: float
    right: float
    base: float
    ticks_x: tuple[tuple[float, str], ...]
    ticks_y: tuple[tuple[float, str], ...]
    points: tuple[CandidatePoint, ...]
    limit_y: float | None
    limit: str


@dataclass(frozen=True, slots=True)
class PrecisionView:
    """`texts`, `positions`: on how many questions and tokens the candidates were measured."""

    columns: tuple[str, ...]
    rows: tuple[CandidateRow, ...]
    scatter: Scatter | None
    texts: int | None
    positions: int | None


def precision_view(export: ExportFacts) -> PrecisionView | None:
    """Lay out the candidates, the smallest first; None where the recipe named one precision, and
    nothing was chosen."""
    if not export.candidates:
        return None
    candidates = sorted(export.candidates, key=lambda c: c.size_mb or inf)
    rows = []
    for candidate in candidates:
        values = [(getattr(candidate, key), spec) for key, spec in _FORMATS.values()]
        cells = tuple(NONE if value is None else format(value, spec) for value, spec in values)
        chosen = candidate.name == export.candidate
        rows.append(CandidateRow(candidate.name, cells, candidate.refused, chosen))
    limit = export.limits.degradation if export.limits else None
    return PrecisionView(
        tuple(_FORMATS),
        tuple(rows),
        _scatter(candidates, export.candidate, limit),
        export.texts,
        export.positions,
    )


def _scatter(
    candidates: Sequence[Candidate], chosen: str | None, limit: float | None
) -> Scatter | None:
    """Size to the right, degradation upward and by powers of ten. None where nothing was
    measured."""
    measured = [
        (c, c.size_mb, max(_MIN_DEGRADATION, c.degradation))
        for c in candidates
        if c.degradation is not None and c.size_mb is not None
    ]
    if not measured:
        return None
    levels = [level for *_, level in measured] + ([max(_MIN_DEGRADATION, limit)] if limit else [])
    low, high = floor(log10(min(levels))), ceil(log10(max(levels)) + 1e-9)
    largest = max(size for _, size, _ in measured)
    # Of 1, 2 or 5 times a power of ten, the step that makes five to twelve of the largest size.
    power = 10.0 ** floor(log10(max(largest, 1e-6)) - 0.7)
    step = next((power * f for f in (1, 2, 5) if largest / (power * f) <= 12), power * 10)
    steps = ceil(largest / step)
    base, right = _HEIGHT - _BOTTOM, WIDTH - _RIGHT

    def x(size: float) -> float:
        return round(_LEFT + (right - _LEFT) * size / (steps * step), 1)

    def y(level: float) -> float:
        return round(base - (base - _TOP) * (log10(level) - low) / max(1, high - low), 1)

    labels = _spread([y(level) for *_, level in measured])
    points = tuple(
        CandidatePoint(c.name, x(size), y(level), label_y, c.refused is None, c.name == chosen)
        for (c, size, level), label_y in zip(measured, labels, strict=True)
    )
    return Scatter(
        WIDTH,
        _HEIGHT,
        _LEFT,
        right,
        base,
        tuple((x(i * step), f"{i * step:g}") for i in range(steps + 1)),
        tuple((y(10.0**power), f"{10.0**power:.4g}") for power in range(low, high + 1)),
        points,
        y(max(_MIN_DEGRADATION, limit)) if limit else None,
        f"{limit:g}" if limit else "",
    )


def _spread(heights: Sequence[float]) -> list[float]:
    """Heights for the names, none within a line of another."""
    spread = [0.0] * len(heights)
    last = -inf
    for place in sorted(range(len(heights)), key=lambda i: heights[i]):
        last = spread[place] = max(heights[place], last + _LINE)
    return [round(height, 1) for height in spread]
