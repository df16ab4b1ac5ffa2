"""The refusal thresholds, learned from questions that are never measured: how far apart the two
signals hold answerable and unanswerable ones, and where to draw the line. Knows nothing of
embedders or bundles: a retriever is asked.

Two signals, both known before the model runs: the cosine of the closest passage, and its lead over
the others (`fieldpack.retrieval.retriever.similarity_margin`). The line is drawn on the lead, which
separates better (see there); the cosine's only cuts off what is farther away than any answerable
question was.
"""

from __future__ import annotations

import json
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

from fieldpack.passages import Passage

from ..recipe.runtime_settings import CALIBRATION, Thresholds

_SPARE = 0.02  # of cosine below the farthest answerable question


@dataclass(frozen=True, slots=True)
class Signals:
    """Of one question."""

    answerable: bool
    cosine: float
    lead: float


class Retrieves(Protocol):
    """What is asked of `fieldpack.retrieval.retriever.Retriever`."""

    def search(self, question: str, k: int) -> Sequence[Passage]: ...
    def similarity_margin(self, question: str) -> float: ...


def signals_of(retriever: Retrieves, question: str, passages: int, *, answerable: bool) -> Signals:
    """As the runtime sees them when it decides."""
    best = max((p.similarity for p in retriever.search(question, passages)), default=-1.0)
    return Signals(answerable, round(best, 4), round(retriever.similarity_margin(question), 4))


def learn(signals: Sequence[Signals], *, max_wrong: float) -> Thresholds:
    """The lead that refuses most unanswerable questions above its share of answerable ones
    (Youden's J), among those that refuse at most `max_wrong` of the answerable; None where no line
    does better than chance."""
    yes = sorted(s.lead for s in signals if s.answerable)
    no = sorted(s.lead for s in signals if not s.answerable)
    best, chosen = 0.0, None
    for line in _lines(sorted({*yes, *no})):
        right, wrong = rates(yes, no, line)
        if wrong <= max_wrong and right - wrong > best + 1e-9:
            best, chosen = right - wrong, round(line, 4)
    farthest = min((s.cosine for s in signals if s.answerable), default=-1.0)
    return Thresholds(round(max(-1.0, farthest - _SPARE), 4), chosen)


def rates(yes: Sequence[float], no: Sequence[float], line: float) -> tuple[float, float]:
    """Share of the unanswerable, and of the answerable, below the line. Both sorted."""
    right = bisect_left(no, line) / len(no) if no else 0.0
    return right, bisect_left(yes, line) / len(yes) if yes else 0.0


def refused(signal: Signals, thresholds: Thresholds) -> bool:
    return signal.cosine < thresholds.cosine or (
        thresholds.lead is not None and signal.lead < thresholds.lead
    )


def curve(signals: Sequence[Signals], name: str) -> list[tuple[float, float, float]]:
    """(line, right refusals, wrong refusals) of a signal, "lead" or "cosine", from no refusal to
    all: a ROC curve."""
    yes = sorted(getattr(s, name) for s in signals if s.answerable)
    no = sorted(getattr(s, name) for s in signals if not s.answerable)
    values = sorted({*yes, *no})
    lines = [values[0] if values else 0.0, *_lines(values), (values[-1] if values else 0.0) + 1e-4]
    return [(round(line, 4), *(round(rate, 4) for rate in rates(yes, no, line))) for line in lines]  # type: ignore[misc]


def separation(yes: Sequence[float], no: Sequence[float]) -> float | None:
    """How often an answerable question's figure is above an unanswerable one's (the area under the
    ROC curve; 0.5 is chance). None where one is empty."""
    if not yes or not no:
        return None
    ordered = sorted(no)
    return sum(bisect_left(ordered, y) + bisect_right(ordered, y) for y in yes) / (
        2 * len(yes) * len(no)
    )


def describe(signals: Sequence[Signals], thresholds: Thresholds) -> dict[str, Any]:
    """For the report: sizes, how well each signal separates, what the thresholds refuse, and the
    lead's curve."""
    yes, no = [s for s in signals if s.answerable], [s for s in signals if not s.answerable]

    def share(of: Sequence[Signals]) -> float | None:
        return round(sum(refused(s, thresholds) for s in of) / len(of), 4) if of else None

    apart = {
        n: separation([getattr(s, n) for s in yes], [getattr(s, n) for s in no])
        for n in ("cosine", "lead")
    }
    return {
        "answerable": len(yes),
        "unanswerable": len(no),
        "refused_right": share(no),
        "refused_wrong": share(yes),
        "separation": {
            name: None if value is None else round(value, 4) for name, value in apart.items()
        },
        "curves": {name: curve(signals, name) for name in ("lead", "cosine")} if yes and no else {},
    }


def write_thresholds(folder: Path, thresholds: Thresholds, facts: Mapping[str, Any]) -> None:
    data = {"thresholds": asdict(thresholds), **facts}
    (folder / CALIBRATION).write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")


def _lines(values: Sequence[float]) -> list[float]:
    """Between every two values that follow each other."""
    return [(low + high) / 2 for low, high in pairwise(values)]
