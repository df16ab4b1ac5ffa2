"""What was found of each candidate of the export -> rows of a table and the geometry of a drawing:
size against what it costs in quality. Knows nothing of HTML, nor of how a candidate was measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor, log10
from typing import Any

from ..tables import NONE

_WIDTH, _HEIGHT = 860.0, 300.0
_LEFT, _RIGHT, _TOP, _BOTTOM = (
    52.0,
    150.0,
    18.0,
    40.0,
)  # on the right there is room for the last name
_LEAST = 1e-3  # a degradation below a thousandth is drawn as one
_APART = 13.0  # pixels between the names of neighbours


@dataclass(frozen=True, slots=True)
class Row:
    name: str
    cells: tuple[str, ...]
    refused: str | None
    chosen: bool


@dataclass(frozen=True, slots=True)
class Point:
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
    points: tuple[Point, ...]
    limit_y: float | None
    limit: str


COLUMNS = (
    "Size, MB",
    "Perplexity",
    "× full",
    "KL, nats",
    "at most",
    "Same token",
    "at least",
    "Same answers",
    "Worse by",
    "Prefill, tok/s",
    "Decode, tok/s",
    "Peak, MB",
)


def precision(model: Mapping[str, Mapping[str, Any]]) -> dict[str, Any] | None:
    """None where the recipe named one precision, and nothing was chosen."""
    export = model.get("export") or {}
    candidates: Sequence[Mapping[str, Any]] = export.get("candidates") or ()
    if not candidates:
        return None
    chosen = export["candidate"]
    rows = tuple(
        Row(c["name"], _cells(c), c["refused"], c["name"] == chosen) for c in _by_size(candidates)
    )
    limit = (export.get("limits") or {}).get("degradation")
    return {
        "columns": COLUMNS,
        "rows": rows,
        "scatter": scatter(candidates, chosen, limit),
        "texts": export["texts"],
        "positions": export["positions"],
    }


def scatter(
    candidates: Sequence[Mapping[str, Any]], chosen: str, limit: float | None
) -> Scatter | None:
    """Size to the right, degradation upward and by powers of ten. None where nothing was measured."""
    measured = [c for c in _by_size(candidates) if c.get("degradation") is not None]
    if not measured:
        return None
    levels = [
        max(_LEAST, value)
        for value in (*(c["degradation"] for c in measured), *([limit] if limit else []))
    ]
    low, high = floor(log10(min(levels))), ceil(log10(max(levels)) + 1e-9)
    largest = max(float(c["size_mb"]) for c in measured)
    step = _step(largest)
    most = ceil(largest / step) * step
    base, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT

    def x(size: float) -> float:
        return round(_LEFT + (right - _LEFT) * size / most, 1)

    def y(value: float) -> float:
        return round(
            base - (base - _TOP) * (log10(max(_LEAST, value)) - low) / max(1, high - low), 1
        )

    places = [(x(c["size_mb"]), y(c["degradation"])) for c in measured]
    points = tuple(
        Point(c["name"], *place, label, c["refused"] is None, c["name"] == chosen)
        for c, place, label in zip(
            measured, places, _apart([place[1] for place in places]), strict=True
        )
    )
    return Scatter(
        _WIDTH,
        _HEIGHT,
        _LEFT,
        right,
        base,
        tuple((x(i * step), f"{i * step:g}") for i in range(round(most / step) + 1)),
        tuple((y(10.0**power), f"{10.0**power:.4g}") for power in range(low, high + 1)),
        points,
        y(limit) if limit else None,
        f"{limit:g}" if limit else "",
    )


def _by_size(candidates: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return sorted(candidates, key=lambda c: c.get("size_mb") or float("inf"))


def _step(most: float) -> float:
    """Of 1, 2 or 5 times a power of ten, the one that makes five to twelve steps of `most`."""
    power = 10.0 ** floor(log10(max(most, 1e-6)) - 0.7)
    return next(
        (power * factor for factor in (1, 2, 5) if most / (power * factor) <= 12), power * 10
    )


def _apart(heights: Sequence[float]) -> list[float]:
    """Heights for the names, none within a line of another."""
    found = dict.fromkeys(range(len(heights)), 0.0)
    last = float("-inf")
    for place in sorted(found, key=lambda i: heights[i]):
        last = found[place] = max(heights[place], last + _APART)
    return [round(found[i], 1) for i in range(len(heights))]


def _cells(c: Mapping[str, Any]) -> tuple[str, ...]:
    formats = (
        ("size_mb", ",.1f"),
        ("perplexity_onnx", ".2f"),
        ("perplexity_ratio", ".3f"),
        ("kl", ".2g"),
        ("max_kl", ".2g"),
        ("same_next_token", ".1%"),
        ("min_same_next_token", ".1%"),
        ("same_answers", ".0%"),
        ("degradation", ".1%"),
        ("prefill_tokens_per_s", ",.0f"),
        ("decode_tokens_per_s", ",.0f"),
        ("memory_mb", ",.0f"),
    )
    return tuple(NONE if c.get(key) is None else format(c[key], shape) for key, shape in formats)
