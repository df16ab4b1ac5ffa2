"""The refusal thresholds, learned from questions that are never measured: how far apart the two
signals hold answerable and unanswerable ones, and where the threshold comes. Knows nothing of
embedders or bundles: a retriever is asked.

Two signals, both known before the model runs: the cosine of the closest passage, and its lead over
the others (`fieldpack.retrieval.retriever.similarity_margin`). The threshold is on the lead, which
separates better (see there); the cosine's only cuts off what is farther away than any answerable
question was.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Protocol

from fieldpack.passages import Passage

from ..recipe.runtime_settings import CALIBRATION, Thresholds
from .report_file import Calibration, LearnedThresholds, ThresholdFigures

_COSINE_MARGIN = 0.02  # below the farthest answerable question


@dataclass(frozen=True, slots=True)
class Signals:
    """What the refusal thresholds look at, of one question."""

    answerable: bool
    cosine: float
    lead: float


class Retrieves(Protocol):
    """The part of `fieldpack.retrieval.retriever.Retriever` that calibration asks."""

    def search(self, question: str, k: int) -> Sequence[Passage]:
        """Return the `k` best passages."""

    def similarity_margin(self, question: str) -> float:
        """Return the similarity margin of the closest chunk."""


def signals_of(retriever: Retrieves, question: str, passages: int, *, answerable: bool) -> Signals:
    """Return a question's signals as the runtime sees them when it decides."""
    best = max((p.similarity for p in retriever.search(question, passages)), default=-1.0)
    return Signals(answerable, round(best, 4), round(retriever.similarity_margin(question), 4))


def learn(signals: Sequence[Signals], *, max_wrong: float) -> Thresholds:
    """Return the lead that refuses most unanswerable questions above its share of answerable ones
    (Youden's J), among those that refuse at most `max_wrong` of the answerable; None where no
    threshold does better than chance."""
    yes = sorted(s.lead for s in signals if s.answerable)
    no = sorted(s.lead for s in signals if not s.answerable)
    best, chosen = 0.0, None
    for threshold in _midpoints(sorted({*yes, *no})):
        right, wrong = rates(yes, no, threshold)
        if wrong <= max_wrong and right - wrong > best + 1e-9:
            best, chosen = right - wrong, round(threshold, 4)
    farthest = min((s.cosine for s in signals if s.answerable), default=-1.0)
    return Thresholds(round(max(-1.0, farthest - _COSINE_MARGIN), 4), chosen)


def rates(yes: Sequence[float], no: Sequence[float], threshold: float) -> tuple[float, float]:
    """Return the share of the unanswerable, and of the answerable, below a threshold. Both
    sorted."""
    right = bisect_left(no, threshold) / len(no) if no else 0.0
    return right, bisect_left(yes, threshold) / len(yes) if yes else 0.0


def refused(signal: Signals, thresholds: Thresholds) -> bool:
    """Return whether the thresholds refuse a question."""
    return signal.cosine < thresholds.cosine or (
        thresholds.lead is not None and signal.lead < thresholds.lead
    )


def curve(signals: Sequence[Signals], name: str) -> list[tuple[float, float, float]]:
    """Return the ROC curve of a signal, "lead" or "cosine": (threshold, right refusals, wrong
    refusals) from no refusal to all."""
    yes = sorted(getattr(s, name) for s in signals if s.answerable)
    no = sorted(getattr(s, name) for s in signals if not s.answerable)
    values = sorted({*yes, *no})
    ends = (values[0], values[-1]) if values else (0.0, 0.0)
    points = []
    for threshold in (ends[0], *_midpoints(values), ends[1] + 1e-4):
        right, wrong = rates(yes, no, threshold)
        points.append((round(threshold, 4), round(right, 4), round(wrong, 4)))
    return points


def separation(yes: Sequence[float], no: Sequence[float]) -> float | None:
    """Return how often an answerable question's figure is above an unanswerable one's (the area
    under the ROC curve; 0.5 is chance). None where one is empty."""
    if not yes or not no:
        return None
    ordered = sorted(no)
    return sum(bisect_left(ordered, y) + bisect_right(ordered, y) for y in yes) / (
        2 * len(yes) * len(no)
    )


def describe(signals: Sequence[Signals], thresholds: Thresholds) -> ThresholdFigures:
    """Return, for the report, how well each signal separates, what the thresholds refuse, and the
    signals' curves (none where one kind of question is missing)."""
    yes, no = [s for s in signals if s.answerable], [s for s in signals if not s.answerable]

    def share(of: Sequence[Signals]) -> float | None:
        return round(sum(refused(s, thresholds) for s in of) / len(of), 4) if of else None

    areas = {
        name: separation([getattr(s, name) for s in yes], [getattr(s, name) for s in no])
        for name in ("cosine", "lead")
    }
    return ThresholdFigures(
        answerable=len(yes),
        unanswerable=len(no),
        refused_right=share(no),
        refused_wrong=share(yes),
        separation={name: None if area is None else round(area, 4) for name, area in areas.items()},
        curves={name: curve(signals, name) for name in ("lead", "cosine")} if yes and no else {},
    )


def write_calibration(
    folder: Path, thresholds: Thresholds, *, source: str, learned: ThresholdFigures
) -> None:
    """Write calibration.json: the thresholds, and how they do on what they were learned from."""
    calibration = Calibration(
        thresholds=LearnedThresholds(**asdict(thresholds)), source=source, learned=learned
    )
    (folder / CALIBRATION).write_text(calibration.to_json(), encoding="utf-8")


def _midpoints(values: Sequence[float]) -> list[float]:
    """Between every two values that follow each other."""
    return [(low + high) / 2 for low, high in pairwise(values)]
