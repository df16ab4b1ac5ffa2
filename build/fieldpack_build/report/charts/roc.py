"""The learned refusal threshold -> a table and a ROC curve: what it refuses of the questions it was
learned from, and of those that were measured. Units: the SVG's own pixels."""

from __future__ import annotations

from dataclasses import dataclass

from ...evaluation.report_file import Calibration, LearnedThresholds
from ..tables import NONE, figure

_SIDE, _LEFT, _TOP = 260.0, 40.0, 12.0


@dataclass(frozen=True, slots=True)
class Curve:
    """A polyline with its colour."""

    name: str
    colour: str
    points: str


@dataclass(frozen=True, slots=True)
class Roc:
    """`ticks`: (x, y, label) of either axis; `dots`: (x, y, name) of the chosen threshold on either
    set of questions."""

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
    """What the thresholds refuse of one set of questions; `lead` and `cosine`: how well each
    signal separates."""

    name: str
    answerable: int
    unanswerable: int
    right: str
    wrong: str
    lead: str
    cosine: str


@dataclass(frozen=True, slots=True)
class ThresholdsView:
    """`source`: the questions that the thresholds were learned from, as the recipe says it."""

    thresholds: LearnedThresholds
    rows: tuple[ThresholdRow, ...]
    roc: Roc | None
    source: str | None


def thresholds_view(calibration: Calibration) -> ThresholdsView:
    """Lay out what the learned thresholds refuse."""
    rows = []
    for name, of in (("learned from", calibration.learned), ("measured", calibration.measured)):
        if of is None:
            continue
        areas = [of.separation.get(signal) for signal in ("lead", "cosine")]
        rows.append(
            ThresholdRow(
                f"Questions {name}",
                of.answerable,
                of.unanswerable,
                figure(of.refused_right),
                figure(of.refused_wrong),
                *(NONE if area is None else f"{area:.0%}" for area in areas),
            )
        )
    return ThresholdsView(
        calibration.thresholds, tuple(rows), _roc(calibration), calibration.source
    )


def _roc(calibration: Calibration) -> Roc | None:
    learned, measured = calibration.learned, calibration.measured
    curves = tuple(
        Curve(
            name,
            colour,
            " ".join(f"{_x(wrong)},{_y(right)}" for _, right, wrong in of.curves[signal]),
        )
        for name, colour, of, signal in (
            ("lead, measured", "a-both", measured, "lead"),
            ("lead, learned from", "a-rag", learned, "lead"),
            ("cosine, measured", "a-base", measured, "cosine"),
        )
        if of is not None and of.curves.get(signal)
    )
    if not curves:
        return None
    ticks = tuple((_x(share), _y(share), f"{share:g}") for share in (0, 0.25, 0.5, 0.75, 1))
    dots = tuple(
        (_x(of.refused_wrong), _y(of.refused_right), name)
        for name, of in (("learned from", learned), ("measured", measured))
        if of is not None and of.refused_wrong is not None and of.refused_right is not None
    )
    return Roc(_LEFT + _SIDE + 12, _TOP + _SIDE + 40, _LEFT, _TOP, _SIDE, ticks, curves, dots)


def _x(share: float) -> float:
    return round(_LEFT + share * _SIDE, 1)


def _y(share: float) -> float:
    return round(_TOP + (1 - share) * _SIDE, 1)
