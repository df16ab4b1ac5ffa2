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
from typing import TYPE_CHECKING

from fieldpack.retrieval.quoting import QuoteSettings

from ..recipe.runtime_settings import QUOTING
from .calibration import separation
from .report_file import Part

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

MIN_ROWS = 40  # answerable: below it a fold of five has under eight rows, whose mean is noise
FOLDS = 5
_GRID = tuple(
    product((0.0, 0.1, 0.2, 0.4), (0.0, 0.1, 0.2, 0.4), (0.0, -0.05, -0.1))
)  # words, words in context, rank
_Z = 1.96


@dataclass(frozen=True)
class QuoteRow:
    """A training row: its candidates' `signals` [n, 4], `worth` [n] of each (token F1 with the
    answer; zeros where there is none), the `lead` of the library's closest chunk, whether retrieval
    alone refuses it already (`unfounded`)."""

    answerable: bool
    signals: Floats
    worth: Floats
    lead: float
    unfounded: bool = False


class QuoteFit(Part):
    """What the stage's receipt says of a fit. `f1_plain`, `f1_fitted`: the mean F1 of the plain
    weights, and of fitted ones on rows that these were not fitted on, where there were rows enough;
    `fitted`: whether the fitted weights ship. The rest is what the threshold refuses of the
    rows."""

    rows: int
    answerable: int
    fitted: bool
    f1_plain: float | None = None
    f1_fitted: float | None = None
    refuse_below: float | None = None
    refused_right: float | None = None
    refused_wrong: float | None = None
    separation: float | None = None


def fit(rows: Sequence[QuoteRow], *, max_wrong: float) -> tuple[QuoteSettings, QuoteFit]:
    """Return the settings to ship, and how they came about. `max_wrong`: the share of the
    answerable rows that may be refused."""
    import numpy as np

    plain = chosen = QuoteSettings()
    usable = [row for row in rows if row.answerable and len(row.signals)]
    facts = QuoteFit(rows=len(rows), answerable=sum(row.answerable for row in rows), fitted=False)
    if len(usable) >= MIN_ROWS:
        grid = [
            replace(plain, words=words, words_in_context=context, rank=rank)
            for words, context, rank in _GRID
        ]
        # [rows, grid]
        worth = np.array([[_worth(row, settings) for settings in grid] for row in usable])
        mine = np.array([_worth(row, plain) for row in usable])
        folds = np.arange(len(usable)) % FOLDS
        held_out = np.empty(len(usable))
        for fold in range(FOLDS):
            best = int(worth[folds != fold].mean(axis=0).argmax())
            held_out[folds == fold] = worth[folds == fold, best]
        gain = held_out - mine
        facts.fitted = float(gain.mean()) > _Z * float(gain.std(ddof=1)) / sqrt(len(gain))
        chosen = grid[int(worth.mean(axis=0).argmax())] if facts.fitted else plain
        facts.f1_plain = round(float(mine.mean()), 4)
        facts.f1_fitted = round(float(held_out.mean()), 4)
    chosen = replace(chosen, refuse_below=threshold(rows, chosen, max_wrong=max_wrong))
    _add_refusals(facts, rows, chosen)
    return chosen, facts


def threshold(
    rows: Sequence[QuoteRow], settings: QuoteSettings, *, max_wrong: float
) -> float | None:
    """Return the highest sufficiency to ask for, with which at most `max_wrong` of the answerable
    rows are refused, those that retrieval refuses counted in. None where one kind of row is
    missing, or where it would refuse the answerable as often as the others."""
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
    # Rounded down, so that it refuses no more.
    return floor(line * 1e4) / 1e4 if right > wrong else None


def sufficiency(row: QuoteRow, settings: QuoteSettings) -> float:
    """Return a row's sufficiency as the runtime sees it; minus infinity where there is no
    candidate."""
    import numpy as np

    if not len(row.signals):
        return float("-inf")
    return float((row.signals @ np.array(settings.weights)).max()) + settings.lead * row.lead


def _worth(row: QuoteRow, settings: QuoteSettings) -> float:
    import numpy as np

    return float(row.worth[int((row.signals @ np.array(settings.weights)).argmax())])


def _add_refusals(facts: QuoteFit, rows: Sequence[QuoteRow], settings: QuoteSettings) -> None:
    line = float("-inf") if settings.refuse_below is None else settings.refuse_below
    values = {
        kind: [
            (row.unfounded, sufficiency(row, settings)) for row in rows if row.answerable == kind
        ]
        for kind in (True, False)
    }
    shares = {
        kind: round(sum(unfounded or value < line for unfounded, value in of) / len(of), 4)
        if of
        else None
        for kind, of in values.items()
    }
    area = separation([v for _, v in values[True]], [v for _, v in values[False]])
    facts.refuse_below = settings.refuse_below
    facts.refused_right, facts.refused_wrong = shares[False], shares[True]
    facts.separation = None if area is None else round(area, 4)


def write_quoting(folder: Path, settings: QuoteSettings) -> None:
    """Write quoting.json: how passages are quoted."""
    (folder / QUOTING).write_text(json.dumps(asdict(settings), indent=1) + "\n", encoding="utf-8")
