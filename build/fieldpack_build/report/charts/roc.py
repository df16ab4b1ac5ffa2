"""The learned refusal threshold -> a table and a ROC curve: what it refuses of the questions it was
learned from, and of those that were measured. Units: the SVG's own pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..tables import NONE, figure

_SIDE, _LEFT, _TOP = 260.0, 40.0, 12.0
_KINDS = (("learned from", "learned"), ("measured", "measured"))


@dataclass(frozen=True, slots=True)
class Curve:
    name: str
    colour: str
    points: str


@dataclass(frozen=True, slots=True)
class Roc:
    """`dots`: (x, y, name) of the chosen threshold on either set of questions."""

    width: float
    height: float
    left: float
    top: float
    side: float
    ticks: tuple[tuple[float, float, str], ...]
    curves: tuple[Curve, ...]
    dots: tuple[tuple[float, float, str], ...]


@dataclass(frozen=True, slots=True)
class ThresholdRow:
    name: str
    answerable: int
    unanswerable: int
    right: str
    wrong: str
    lead: str
    cosine: str


def thresholds_view(report: Mapping[str, Any]) -> dict[str, Any] | None:
    found = report.get("calibration")
    if not found:
        return None
    rows = [_row(name, found[key]) for name, key in _KINDS if found.get(key)]
    return {
        "thresholds": found["thresholds"],
        "rows": rows,
        "roc": _roc(found),
        "source": found.get("source"),
    }


def _row(name: str, of: Mapping[str, Any]) -> ThresholdRow:
    apart = of.get("separation") or {}
    shares = [NONE if apart.get(key) is None else f"{apart[key]:.0%}" for key in ("lead", "cosine")]
    return ThresholdRow(
        f"Questions {name}",
        of["answerable"],
        of["unanswerable"],
        figure(of["refused_right"]),
        figure(of["refused_wrong"]),
        *shares,
    )


def _roc(found: Mapping[str, Any]) -> Roc | None:
    learned, measured = found.get("learned") or {}, found.get("measured") or {}
    drawn = [
        Curve(name, colour, _points(of["curves"][signal]))
        for name, colour, of, signal in (
            ("lead, measured", "a-both", measured, "lead"),
            ("lead, learned from", "a-rag", learned, "lead"),
            ("cosine, measured", "a-base", measured, "cosine"),
        )
        if (of.get("curves") or {}).get(signal)
    ]
    if not drawn:
        return None
    ticks = tuple((_x(share), _y(share), f"{share:g}") for share in (0, 0.25, 0.5, 0.75, 1))
    named = [(name, found[key]) for name, key in _KINDS if found.get(key)]
    dots = tuple(
        (_x(of["refused_wrong"]), _y(of["refused_right"]), name)
        for name, of in named
        if of["refused_wrong"] is not None and of["refused_right"] is not None
    )
    return Roc(_LEFT + _SIDE + 12, _TOP + _SIDE + 40, _LEFT, _TOP, _SIDE, ticks, tuple(drawn), dots)


def _points(curve: Sequence[Sequence[float]]) -> str:
    """A polyline's points, of (line, right, wrong)."""
    return " ".join(f"{_x(wrong)},{_y(right)}" for _, right, wrong in curve)


def _x(share: float) -> float:
    return round(_LEFT + share * _SIDE, 1)


def _y(share: float) -> float:
    return round(_TOP + (1 - share) * _SIDE, 1)
