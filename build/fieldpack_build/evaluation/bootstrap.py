"""How sure a figure is, and a difference between two arms: the paired bootstrap (Efron & Tibshirani
1993; for systems on one test set Koehn 2004) over the questions, answerable and unanswerable
resampled each among themselves.

Every arm was asked the same questions, so one resample of questions serves all arms: what makes a
question hard for both cancels out of their difference. Reads the rows of report.json; knows nothing
of models or of how answers came about.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import exp, sqrt
from typing import TYPE_CHECKING

from .report_file import ArmAnswer, Difference, Interval, QuestionRow

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

RESAMPLES, SEED = 10_000, 17
_TAIL = 2.5  # per cent left out on either side: a 95% interval
MAX_NATS = 50.0  # a token: beyond it a perplexity is a row of digits
Terms = tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class Metric:
    """A figure that questions add up to. `terms`: what a question adds to its sums, (numerator,
    denominator), None where the question has no say. `kind`: share (of yes and no), mean,
    perplexity (exp of the ratio) or median (of the numerators). `better`: which end is good."""

    key: str
    kind: str
    better: str
    terms: Callable[[QuestionRow, ArmAnswer], Terms]


def _if_answerable(name: str) -> Callable[[QuestionRow, ArmAnswer], Terms]:
    def terms(row: QuestionRow, answer: ArmAnswer) -> Terms:
        value = getattr(answer, name)
        return None if row.expected is None or value is None else (float(value), 1.0)

    return terms


def _refused(*, answerable: bool) -> Callable[[QuestionRow, ArmAnswer], Terms]:
    return lambda row, answer: (
        (float(answer.refused), 1.0) if (row.expected is not None) == answerable else None
    )


def _citations_valid(row: QuestionRow, answer: ArmAnswer) -> Terms:
    if not answer.citations or answer.citations_valid is None:
        return None
    return float(answer.citations_valid), float(len(answer.citations))


def _loss(row: QuestionRow, answer: ArmAnswer) -> Terms:
    if answer.loss is None or not answer.loss_tokens:
        return None
    return answer.loss, answer.loss_tokens


def _speed(name: str, *, generated: bool) -> Callable[[QuestionRow, ArmAnswer], Terms]:
    """`generated`: refusals made before the model was asked have no say."""

    def terms(row: QuestionRow, answer: ArmAnswer) -> Terms:
        value = getattr(answer, name)
        if value is None or (generated and not answer.tokens_per_s):
            return None
        return value, 1.0

    return terms


METRICS: tuple[Metric, ...] = (
    Metric("f1", "mean", "max", _if_answerable("f1")),
    Metric("exact_match", "share", "max", _if_answerable("exact_match")),
    Metric("numeric_match", "share", "max", _if_answerable("numeric_match")),
    Metric("value_match", "share", "max", _if_answerable("value_match")),
    Metric("refused_right", "share", "max", _refused(answerable=False)),
    Metric("refused_wrong", "share", "min", _refused(answerable=True)),
    Metric("citations_valid", "share", "max", _citations_valid),
    Metric("citations_right", "share", "max", _if_answerable("cites_right")),
    Metric("perplexity", "perplexity", "min", _loss),
    Metric("first_token_ms", "median", "min", _speed("first_token_ms", generated=True)),
    Metric("total_ms", "median", "min", _speed("total_ms", generated=False)),
    Metric("tokens_per_s", "median", "max", _speed("tokens_per_s", generated=True)),
)
BY_KEY = {metric.key: metric for metric in METRICS}
FIXED = {"peak_mb": "min", "size_mb": "min"}  # measured once: no question has a say in them


class PairedBootstrap:
    """The figures of all arms, and what they would have been on other questions like these.

    `rows`: as in report.json; only those that all `arms` were asked count. `fixed`: {arm: {figure:
    value}}, the same in every resample."""

    def __init__(
        self,
        rows: Sequence[QuestionRow],
        arms: Sequence[str],
        *,
        fixed: Mapping[str, Mapping[str, float]] | None = None,
        resamples: int = RESAMPLES,
        seed: int = SEED,
    ) -> None:
        self.arms = tuple(arms)
        self._rows = [row for row in rows if all(arm in row.arms for arm in arms)]
        self._fixed = fixed or {}
        self._resamples, self._seed = resamples, seed
        self._known: dict[tuple[str, str], tuple[float, Floats] | None] = {}

    def value(self, arm: str, key: str) -> float | None:
        """Return an arm's figure over all questions; None where no question gives one."""
        known = self._estimate(arm, key)
        return None if known is None else known[0]

    def resampled(self, arm: str, key: str) -> Floats | None:
        """Return the figure in every resample, [resamples]."""
        known = self._estimate(arm, key)
        return None if known is None else known[1]

    def interval(self, arm: str, key: str) -> Interval | None:
        """Return the interval of an arm's own figure. A share that is the same in every resample
        (none of ten) has Wilson's interval: the questions that were not asked may come out
        otherwise."""
        known = self._estimate(arm, key)
        if known is None or key in FIXED:
            return None
        value, resampled = known
        if _is_share(key) and resampled.min() == resampled.max():
            low, high = wilson(value, self._questions(arm, key))
            return Interval(value=value, low=low, high=high)
        return between(value, resampled)

    def difference(self, arm: str, other: str, key: str) -> Interval | None:
        """Return the figure of `arm` less that of `other`; None where either has no such figure."""
        mine, theirs = self._estimate(arm, key), self._estimate(other, key)
        if mine is None or theirs is None:
            return None
        value, resampled = mine[0] - theirs[0], mine[1] - theirs[1]
        if not _is_share(key) or resampled.min() != resampled.max():
            return between(value, resampled)
        # The bootstrap has nothing to draw from: all of one and none of the other, or no question
        # that tells the two apart. Then as few as none of so many may.
        mine_of, theirs_of = self._questions(arm, key), self._questions(other, key)
        if mine[0] == theirs[0]:
            reach = wilson(0.0, min(mine_of, theirs_of))[1]
            return Interval(value=0.0, low=-reach, high=reach)
        return newcombe(mine[0], mine_of, theirs[0], theirs_of)

    def intervals(self) -> dict[str, dict[str, tuple[float, float]]]:
        """Return (low, high) of each arm's figures that have an interval, as a report has them."""
        return {
            arm: {
                metric.key: (round(interval.low, 4), round(interval.high, 4))
                for metric in METRICS
                if (interval := self.interval(arm, metric.key))
            }
            for arm in self.arms
        }

    def differences(self) -> list[Difference]:
        """Return the difference of every two arms in each figure, the later arm less the
        earlier."""
        return [
            Difference(arm=arm, against=other, figure=metric.key, **gap.rounded().model_dump())
            for at, arm in enumerate(self.arms)
            for other in self.arms[:at]
            for metric in METRICS
            if (gap := self.difference(arm, other, metric.key))
        ]

    def weighted_sum(
        self, arm: str, weights: Mapping[str, float], units: Mapping[str, float]
    ) -> tuple[float, Floats]:
        """Return the weighted sum of an arm's figures, each in its unit, and the same in every
        resample, [resamples]. A figure that the arm does not have counts 0."""
        import numpy as np

        total, resampled = 0.0, np.zeros(self._resamples)
        for key, weight in weights.items():
            known = self._estimate(arm, key)
            if known is not None:
                scale = weight / units.get(key, 1.0)
                total, resampled = total + scale * known[0], resampled + scale * known[1]
        return total, resampled

    def _terms(self, arm: str, key: str) -> dict[int, tuple[float, float]]:
        """By place of the question, those that have a say."""
        terms = {i: BY_KEY[key].terms(row, row.arms[arm]) for i, row in enumerate(self._rows)}
        return {i: pair for i, pair in terms.items() if pair is not None}

    def _questions(self, arm: str, key: str) -> float:
        """The denominator of a share."""
        return float(sum(denominator for _, denominator in self._terms(arm, key).values()))

    def _estimate(self, arm: str, key: str) -> tuple[float, Floats] | None:
        """(the figure, the figure in every resample [resamples]), computed once."""
        if (arm, key) not in self._known:
            self._known[arm, key] = self._resample(arm, key)
        return self._known[arm, key]

    def _resample(self, arm: str, key: str) -> tuple[float, Floats] | None:
        import numpy as np

        if key in FIXED:
            fixed = self._fixed.get(arm, {}).get(key)
            return None if fixed is None else (fixed, np.full(self._resamples, fixed))
        if arm not in self.arms:
            return None
        terms = self._terms(arm, key)
        if not terms:
            return None
        places = sorted(terms)
        tops, weights = np.array([terms[i] for i in places], dtype=np.float64).T
        counts = self._counts[:, places]
        if BY_KEY[key].kind == "median":
            return float(np.median(tops)), _medians(tops, counts)
        value = float(tops.sum() / weights.sum())
        sums = counts @ np.stack([tops, weights], axis=1)
        resampled = np.where(sums[:, 1] > 0, sums[:, 0] / np.maximum(sums[:, 1], 1e-12), value)
        if BY_KEY[key].kind == "perplexity":
            return exp(min(value, MAX_NATS)), np.exp(np.minimum(resampled, MAX_NATS))
        return value, resampled

    @cached_property
    def _counts(self) -> NDArray[np.float32]:
        """How often each question is in each resample, [resamples, questions]."""
        import numpy as np

        random = np.random.default_rng(self._seed)
        counts = np.zeros((self._resamples, len(self._rows)), dtype=np.float32)
        for answerable in (True, False):
            mine = [
                i for i, row in enumerate(self._rows) if (row.expected is not None) == answerable
            ]
            if mine:
                even = np.full(len(mine), 1 / len(mine))
                counts[:, mine] = random.multinomial(len(mine), even, size=self._resamples)
        return counts


def _is_share(key: str) -> bool:
    return key in BY_KEY and BY_KEY[key].kind == "share"


def between(value: float, resampled: Floats) -> Interval:
    """Return the percentile interval of a value from its resamples, [resamples]."""
    import numpy as np

    low, high = np.percentile(resampled, (_TAIL, 100 - _TAIL))
    return Interval(value=value, low=float(low), high=float(high))


def wilson(share: float, of: float) -> tuple[float, float]:
    """Return the 95% interval of a share of `of` > 0 questions (Wilson 1927)."""
    z = 1.96
    middle = share + z * z / (2 * of)
    half = z * sqrt(share * (1 - share) / of + z * z / (4 * of * of))
    scale = 1 + z * z / of
    return max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)


def newcombe(one: float, of_one: float, other: float, of_other: float) -> Interval:
    """Return the 95% interval of a difference of shares from both Wilson intervals (Newcombe 1998,
    method 10)."""
    (low1, high1), (low2, high2) = wilson(one, of_one), wilson(other, of_other)
    gap = one - other
    below = sqrt((one - low1) ** 2 + (high2 - other) ** 2)
    above = sqrt((high1 - one) ** 2 + (other - low2) ** 2)
    return Interval(value=gap, low=gap - below, high=gap + above)


def _medians(values: Floats, counts: NDArray[np.float32]) -> Floats:
    """Weighted medians of `values` [n] by each row of `counts` [resamples, n]."""
    import numpy as np

    order = np.argsort(values)
    sums = counts[:, order].cumsum(axis=1)
    middle = (sums * 2 >= sums[:, -1:]).argmax(axis=1)
    return np.asarray(values[order][middle], dtype=np.float64)
