"""How passages are quoted, fitted on training rows: which weights pick the sentence that says most
of a row's answer, and under which sufficiency a quote is no answer. Knows nothing of files but its
own, of bundles or of test questions.

A few weights on a coarse grid around the plain ones, judged by cross-validation: where the fit is
not better than the plain weights by more than noise, the plain ones stay, as a fit that gains
nothing on these rows loses on others."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from math import floor, sqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fieldpack.retrieval.quoting import QuoteSettings

from ..recipe.runtime_settings import QUOTING
from .calibration import separation

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

LEAST_ROWS = 40  # answerable: below it a fold of five has under eight rows, whose mean is noise
FOLDS = 5
_GRID = tuple(
    product((0.0, 0.1, 0.2, 0.4), (0.0, 0.1, 0.2, 0.4), (0.0, -0.05, -0.1))
)  # words, words in context, rank
_Z = 1.96


@dataclass(frozen=True)
class Row:
    """A training row: its candidates' `signals` [n, 4], `worth` [n] of each (token F1 with the
    answer; zeros where there is none), the `lead` of the library's closest chunk, whether retrieval
    alone refuses it already (`unfounded`)."""

    answerable: bool
    signals: Floats
    worth: Floats
    lead: float
    unfounded: bool = False


def fit(rows: Sequence[Row], *, max_wrong: float) -> tuple[QuoteSettings, dict[str, Any]]:
    """The settings to ship, and for the receipt: rows, the mean F1 of the plain weights and of
    fitted ones on rows that these were not fitted on, which of them ships, what the threshold
    refuses."""
    import numpy as np

    plain = QuoteSettings()
    asked = [row for row in rows if row.answerable and len(row.signals)]
    facts: dict[str, Any] = {
        "rows": len(rows),
        "answerable": sum(row.answerable for row in rows),
        "fitted": False,
    }
    chosen = plain
    if len(asked) >= LEAST_ROWS:
        grid = [
            replace(plain, words=words, words_in_context=context, rank=rank)
            for words, context, rank in _GRID
        ]
        worth = np.array(
            [[_worth(row, settings) for settings in grid] for row in asked]
        )  # [rows, grid]
        mine = np.array([_worth(row, plain) for row in asked])
        folds = np.arange(len(asked)) % FOLDS
        held_out = np.empty(len(asked))
        for fold in range(FOLDS):
            best = int(worth[folds != fold].mean(axis=0).argmax())
            held_out[folds == fold] = worth[folds == fold, best]
        gain = held_out - mine
        better = float(gain.mean()) > _Z * float(gain.std(ddof=1)) / sqrt(len(gain))
        chosen = grid[int(worth.mean(axis=0).argmax())] if better else plain
        facts |= {
            "fitted": better,
            "f1_plain": round(float(mine.mean()), 4),
            "f1_fitted": round(float(held_out.mean()), 4),
        }
    chosen = replace(chosen, refuse_below=threshold(rows, chosen, max_wrong=max_wrong))
    return chosen, facts | _refusals(rows, chosen)


def threshold(rows: Sequence[Row], settings: QuoteSettings, *, max_wrong: float) -> float | None:
    """The highest sufficiency to ask for, with which at most `max_wrong` of the answerable rows are
    refused, those that retrieval refuses counted in. None where one kind of row is missing, or
    where it would refuse the answerable as often as the others."""
    yes = [(row.unfounded, sufficiency(row, settings)) for row in rows if row.answerable]
    no = [(row.unfounded, sufficiency(row, settings)) for row in rows if not row.answerable]
    spare = int(max_wrong * len(yes)) - sum(unfounded for unfounded, _ in yes)
    left = sorted(value for unfounded, value in yes if not unfounded)
    if not no or not left or spare < 1:
        return None
    line = left[min(spare, len(left) - 1)]
    wrong = sum(value < line for value in left) / len(left)
    others = [value for unfounded, value in no if not unfounded]
    right = sum(value < line for value in others) / len(others) if others else 0.0
    return (
        floor(line * 1e4) / 1e4 if right > wrong else None
    )  # rounded down, so that it refuses no more


def sufficiency(row: Row, settings: QuoteSettings) -> float:
    """As the runtime sees it; minus infinity where there is no candidate."""
    import numpy as np

    if not len(row.signals):
        return float("-inf")
    return float((row.signals @ np.array(settings.weights)).max()) + settings.lead * row.lead


def _worth(row: Row, settings: QuoteSettings) -> float:
    import numpy as np

    return float(row.worth[int((row.signals @ np.array(settings.weights)).argmax())])


def _refusals(rows: Sequence[Row], settings: QuoteSettings) -> dict[str, Any]:
    line = float("-inf") if settings.refuse_below is None else settings.refuse_below
    values = {
        kind: [
            (row.unfounded, sufficiency(row, settings)) for row in rows if row.answerable == kind
        ]
        for kind in (True, False)
    }
    shares = {
        kind: round(sum(u or v < line for u, v in of) / len(of), 4) if of else None
        for kind, of in values.items()
    }
    apart = separation([v for _, v in values[True]], [v for _, v in values[False]])
    return {
        "refuse_below": settings.refuse_below,
        "refused_right": shares[False],
        "refused_wrong": shares[True],
        "separation": None if apart is None else round(apart, 4),
    }


def write_quoting(folder: Path, settings: QuoteSettings) -> None:
    (folder / QUOTING).write_text(json.dumps(asdict(settings), indent=1) + "\n", encoding="utf-8")
