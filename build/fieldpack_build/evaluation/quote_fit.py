"""How passages are quoted, fitted on training rows: which weights pick the sentence that says most
of a row's answer, by which figures a quote is judged to answer, and under which sufficiency it is
no answer; or, where there are no training rows, that threshold alone, on questions made of the
library. Knows nothing of files but its own, of bundles or of test questions.

A few weights on a coarse grid around the plain ones, judged by cross-validation: where the fit is
not better than the plain weights by more than noise, the plain ones stay, as a fit that gains
nothing on these rows loses on others. What judges a quote is a logistic regression on a handful of
figures; its threshold is chosen on rows that it was not fitted on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import product
from math import floor, sqrt
from pathlib import Path
from typing import TYPE_CHECKING

from fieldpack.retrieval.quoting import QuoteSettings
from fieldpack.retrieval.sufficiency import FEATURES, weigh

from ..recipe.runtime_settings import QUOTING
from .calibration import separation
from .report_file import Part

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

MIN_ROWS = 40  # answerable: below it a fold of five has under eight rows, whose mean is noise
MIN_REFUSALS = 40  # unanswerable: likewise
FOLDS = 5
_GRID = tuple(
    product((0.0, 0.3, 0.6), (0.0, 0.1, 0.3), (0.0, 0.2), (0.0, -0.05, -0.1), (0.0, 0.5, 1.0, 2.0))
)  # cosine, words, words in context, rank, tokens
_Z = 1.96
# With which probability no more than `max_wrong` of questions like the rows' are refused wrongly.
_SURE = 0.9
# The threshold that `fit` found on the finance recipe's 447 training rows, with the weights that
# `sufficiency.ANSWERABLE` has from them. With today's search it finds 0.6092 and weights of its own,
# which are no better on any other questions (docs/benchmarks.md).
CARRIED_OVER = 0.4084
# Of the squared weights of standardised figures, for each row: log-likelihoods of some hundred rows
# hardly feel it, and a figure that tells the rows apart without a mistake gets no endless weight.
_PENALTY = 0.005
# The signs that the figures must have: a missing name cannot speak for an answer.
_SIGNS = dict(zip(FEATURES, (1, 1, 1, -1, -1), strict=True))


@dataclass(frozen=True)
class QuoteRow:
    """A training row: its candidates' `signals` [n, 5], `worth` [n] of each (token F1 of what is
    shown of it with the answer; zeros where there is none), the similarity `margin`; `lacking` [n,
    2]: the figures `missing` and `no_figure` of each; whether retrieval alone refuses it already
    (`unfounded`), and `group`, the document of its first passage: rows of one group stay in one
    fold. `says` [n]: whether what is shown of each says the answer (`rightness.says`), 1 or 0, NaN
    where that cannot be told."""

    answerable: bool
    signals: Floats
    worth: Floats
    margin: float
    lacking: Floats
    unfounded: bool = False
    group: str = ""
    says: Floats = field(kw_only=True)


class QuoteFit(Part):
    """What the stage's receipt says of a fit. `f1_plain`, `f1_fitted`: the mean F1 of the plain
    weights, and of fitted ones on rows that these were not fitted on, where there were rows enough;
    `fitted`: whether the fitted weights ship; `judged`: whether what judges a quote was fitted,
    which takes rows of both kinds. The rest is what the threshold refuses of the rows, judged by
    weights that were not fitted on them; `says_it`: the share of the answerable rows whose quote
    says the answer, of those where that can be told. `made_up`: the questions were made of the
    library, and nothing but the threshold comes from them; each is answerable, and once more not,
    without its source. The shares are then those of the threshold that would be carried over,
    whether it ships or not."""

    rows: int
    answerable: int
    fitted: bool
    judged: bool = False
    f1_plain: float | None = None
    f1_fitted: float | None = None
    refuse_below: float | None = None
    refused_right: float | None = None
    refused_wrong: float | None = None
    separation: float | None = None
    says_it: float | None = None
    made_up: bool = False


def fit(rows: Sequence[QuoteRow], *, max_wrong: float) -> tuple[QuoteSettings, QuoteFit]:
    """Return the settings to ship, and how they came about. `max_wrong`: the share of answerable
    questions that may be refused."""
    facts = QuoteFit(rows=len(rows), answerable=sum(row.answerable for row in rows), fitted=False)
    settings = _pick_weights(rows, facts)
    settings, held_out = _judge(rows, settings, facts)
    line = threshold(rows, held_out, max_wrong=max_wrong)
    _add_refusals(facts, rows, held_out, line)
    return replace(settings, refuse_below=line), facts


def carry_over(
    made: Sequence[QuoteRow], masked: Sequence[QuoteRow], *, max_wrong: float
) -> tuple[QuoteSettings, QuoteFit]:
    """Return the plain settings with the finance recipe's threshold, if questions made of the
    library do not speak against it, and how that came about. Else, or where there are too few of
    them to tell, there is none.

    `made`: answerable rows of such questions (`made_questions`); `masked`: rows of the same ones in
    the library without their source. What refuses more than `max_wrong` of the former (with 90%
    certainty, as in `threshold`) refuses more of real ones, for which a quote is harder to find.
    Nothing but that is taken from them: a threshold fitted on them refused up to nine of ten real
    questions, or one of five where it came out below this one (docs/benchmarks.md)."""
    settings = QuoteSettings()
    rows = [*made, *masked]
    values = [
        weigh(features_of_row(row, settings), settings.answerable)
        if len(row.signals)
        else float("-inf")
        for row in rows
    ]
    highest = threshold(rows, values, max_wrong=max_wrong)
    line = None if highest is None or highest < CARRIED_OVER else CARRIED_OVER
    facts = QuoteFit(rows=len(rows), answerable=len(made), fitted=False, made_up=True)
    _add_refusals(facts, rows, values, CARRIED_OVER)
    facts.refuse_below = line
    return replace(settings, refuse_below=line), facts


def _pick_weights(rows: Sequence[QuoteRow], facts: QuoteFit) -> QuoteSettings:
    """Return settings with the weights that pick a candidate."""
    import numpy as np

    plain = QuoteSettings()
    usable = [row for row in rows if row.answerable and len(row.signals)]
    if len(usable) < MIN_ROWS:
        return plain
    grid = [
        replace(
            plain,
            cosine=cosine,
            words=words,
            words_in_context=context,
            rank=rank,
            tokens=tokens,
        )
        for cosine, words, context, rank, tokens in _GRID
        if cosine or words or context or tokens
    ]
    # [rows, grid]
    worth = np.array([[_worth(row, settings) for settings in grid] for row in usable])
    mine = np.array([_worth(row, plain) for row in usable])
    folds = folds_of(usable)
    held_out = np.empty(len(usable))
    for fold in range(FOLDS):
        best = int(worth[folds != fold].mean(axis=0).argmax())
        held_out[folds == fold] = worth[folds == fold, best]
    gain = held_out - mine
    facts.fitted = float(gain.mean()) > _Z * float(gain.std(ddof=1)) / sqrt(len(gain))
    facts.f1_plain = round(float(mine.mean()), 4)
    facts.f1_fitted = round(float(held_out.mean()), 4)
    return grid[int(worth.mean(axis=0).argmax())] if facts.fitted else plain


def _judge(
    rows: Sequence[QuoteRow], settings: QuoteSettings, facts: QuoteFit
) -> tuple[QuoteSettings, list[float]]:
    """Return the settings with what judges a quote, and each row's sufficiency under weights that
    were not fitted on it; minus infinity for a row without a candidate."""
    import numpy as np

    usable = [row for row in rows if len(row.signals)]
    features = np.array([features_of_row(row, settings) for row in usable]).reshape(
        len(usable), len(FEATURES)
    )
    answerable = np.array([row.answerable for row in usable], dtype=bool)
    says = np.array([row.says[_best(row, settings)] if row.answerable else 0.0 for row in usable])
    known = ~np.isnan(says)
    if (known & answerable).any():
        facts.says_it = round(float(says[known & answerable].mean()), 4)
    facts.judged = int(answerable.sum()) >= MIN_ROWS and int((~answerable).sum()) >= MIN_REFUSALS
    if facts.judged:
        folds = folds_of(usable)
        values = np.empty(len(usable))
        for fold in range(FOLDS):
            weights = logistic(features[folds != fold], answerable[folds != fold])
            values[folds == fold] = [
                weigh(one, weights) for one in features[folds == fold].tolist()
            ]
        settings = replace(
            settings,
            answerable=logistic(features, answerable),
            says_it=logistic(features[known], says[known] == 1)
            if 0 < says[known].sum() < known.sum()
            else settings.says_it,
        )
    else:
        values = np.array([weigh(one, settings.answerable) for one in features.tolist()])
    left = iter(values.tolist())
    return settings, [next(left) if len(row.signals) else float("-inf") for row in rows]


def logistic(features: Floats, labels: NDArray[np.bool_]) -> tuple[float, ...]:
    """Return the weights of a logistic regression on figures [n, len(FEATURES)], the constant term
    last: the largest likelihood of labels [n], less a penalty on squared weights, with each weight
    of the sign that its figure must have."""
    import numpy as np
    from scipy.optimize import minimize

    mean, spread = features.mean(axis=0), np.maximum(features.std(axis=0), 1e-9)
    scaled = np.column_stack([(features - mean) / spread, np.ones(len(features))])
    signs = np.where(labels, 1.0, -1.0)

    def loss(weights: Floats) -> tuple[float, Floats]:
        odds = signs * (scaled @ weights)
        wrong = 1 / (1 + np.exp(np.clip(odds, -500, 500)))  # probability of the other label
        slope = -(scaled.T @ (signs * wrong)) / len(labels)
        slope[:-1] += 2 * _PENALTY * weights[:-1]
        return float(np.logaddexp(0, -odds).mean() + _PENALTY * (weights[:-1] ** 2).sum()), slope

    bounds = [(0, None) if _SIGNS[name] > 0 else (None, 0) for name in FEATURES]
    start = np.zeros(len(FEATURES) + 1)
    fitted = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[*bounds, (None, None)]).x
    slopes = fitted[:-1] / spread
    weights = [*slopes.tolist(), float(fitted[-1] - slopes @ mean)]
    return tuple(round(weight, 4) for weight in weights)


def folds_of(rows: Sequence[QuoteRow]) -> NDArray[np.int64]:
    """Return the fold of each row, [rows]: rows of a document stay together, and the folds are
    about as large as each other."""
    import numpy as np

    sizes: dict[str, int] = {}
    for number, row in enumerate(rows):
        group = row.group or str(number)
        sizes[group] = sizes.get(group, 0) + 1
    full = [0] * FOLDS
    fold_of: dict[str, int] = {}
    for group in sorted(sizes, key=lambda name: (-sizes[name], name)):
        fold_of[group] = full.index(min(full))
        full[fold_of[group]] += sizes[group]
    return np.array([fold_of[row.group or str(number)] for number, row in enumerate(rows)])


def threshold(
    rows: Sequence[QuoteRow], sufficiency: Sequence[float], *, max_wrong: float
) -> float | None:
    """Return the highest sufficiency to ask for, with which at most `max_wrong` of such answerable
    questions are refused, with 90% certainty, those that retrieval refuses counted in (Learn then
    Test: Angelopoulos et al. 2021, arXiv:2110.01052, with the exact binomial). None where one kind
    of row is missing or too few are answerable, or where it would refuse the answerable as often as
    the others. `sufficiency`: each row's."""
    yes, no = _by_kind(rows, sufficiency)
    spare = most_refused(len(yes), max_wrong) - sum(unfounded for unfounded, _ in yes)
    left = sorted(value for unfounded, value in yes if not unfounded)
    if not no or not left or spare < 1:
        return None
    line = left[min(spare, len(left) - 1)]
    wrong = sum(value < line for value in left) / len(left)
    others = [value for unfounded, value in no if not unfounded]
    right = sum(value < line for value in others) / len(others) if others else 0.0
    # Rounded down, so that it refuses no more.
    return floor(line * 1e4) / 1e4 if right > wrong and line > float("-inf") else None


def most_refused(rows: int, max_wrong: float) -> int:
    """Return how many of some answerable rows may be refused: the largest count that would be seen
    in fewer than one of ten such sets if `max_wrong` of all such questions were refused; -1 where
    even none would not be that rare."""
    from scipy.stats import binom

    return int(binom.ppf(1 - _SURE, rows, max_wrong)) - 1


def features_of_row(row: QuoteRow, settings: QuoteSettings) -> list[float]:
    """Return the figures of a row's best candidate as the runtime has them
    (`sufficiency.features_of`)."""
    scores = _scores(row, settings)
    best = int(scores.argmax())
    gap = float(
        scores[best] - max((s for i, s in enumerate(scores) if i != best), default=scores[best])
    )
    return [float(scores[best]), row.margin, gap, *map(float, row.lacking[best])]


def _scores(row: QuoteRow, settings: QuoteSettings) -> Floats:
    import numpy as np

    return np.asarray(row.signals @ np.array(settings.weights))


def _best(row: QuoteRow, settings: QuoteSettings) -> int:
    return int(_scores(row, settings).argmax())


def _worth(row: QuoteRow, settings: QuoteSettings) -> float:
    return float(row.worth[_best(row, settings)])


def _by_kind(
    rows: Sequence[QuoteRow], sufficiency: Sequence[float]
) -> tuple[list[tuple[bool, float]], list[tuple[bool, float]]]:
    """(refused by retrieval, sufficiency) of the answerable rows, and of the others."""
    pairs = [(row.answerable, row.unfounded, v) for row, v in zip(rows, sufficiency, strict=True)]
    yes, no = ([(un, value) for kind, un, value in pairs if kind is want] for want in (True, False))
    return yes, no


def _add_refusals(
    facts: QuoteFit, rows: Sequence[QuoteRow], sufficiency: Sequence[float], line: float | None
) -> None:
    yes, no = _by_kind(rows, sufficiency)
    threshold = float("-inf") if line is None else line

    def share(of: Sequence[tuple[bool, float]]) -> float | None:
        refused = sum(unfounded or value < threshold for unfounded, value in of)
        return round(refused / len(of), 4) if of else None

    area = separation([value for _, value in yes], [value for _, value in no])
    facts.refuse_below = line
    facts.refused_right, facts.refused_wrong = share(no), share(yes)
    facts.separation = None if area is None else round(area, 4)


def write_quoting(folder: Path, settings: QuoteSettings) -> None:
    """Write quoting.json: how passages are quoted."""
    (folder / QUOTING).write_text(json.dumps(asdict(settings), indent=1) + "\n", encoding="utf-8")
