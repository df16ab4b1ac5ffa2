"""How sure a figure is, and a difference between two arms: the paired bootstrap (Efron & Tibshirani
1993; for systems on one test set Koehn 2004) over the questions, answerable and unanswerable drawn
each among themselves.

Every arm was asked the same questions, so one draw of questions serves all arms: what makes a
question hard for both cancels out of their difference. Reads the rows of report.json; knows nothing
of models or of how answers came about.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import exp, sqrt
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Draws = NDArray[np.float64]

RESAMPLES, SEED = 10_000, 17
_TAIL = 2.5  # per cent left out on either side: a 95% interval
_MOST_NATS = 50.0
_Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Interval:
    """`low` and `high` bound the 95% interval of `value`."""

    value: float
    low: float
    high: float

    @property
    def clear(self) -> bool:
        """Of a difference: more than noise."""
        return self.low > 0 or self.high < 0

    def to_dict(self) -> dict[str, float]:
        return {name: round(getattr(self, name), 4) for name in ("value", "low", "high")}


@dataclass(frozen=True, slots=True)
class Figure:
    """`terms`: what a question adds to the figure's sums, (numerator, denominator), None where it
    has no say. `kind`: share (of yes and no), mean, perplexity (exp of the ratio) or median (of the
    numerators). `better`: which end is good."""

    key: str
    kind: str
    better: str
    terms: Callable[[_Row, _Row], tuple[float, float] | None]


def _of_answerable(name: str) -> Callable[[_Row, _Row], tuple[float, float] | None]:
    def terms(row: _Row, said: _Row) -> tuple[float, float] | None:
        value = said.get(name)
        return None if row["expected"] is None or value is None else (float(value), 1.0)

    return terms


def _refused(*, answerable: bool) -> Callable[[_Row, _Row], tuple[float, float] | None]:
    return lambda row, said: (
        (float(said["refused"]), 1.0) if (row["expected"] is not None) == answerable else None
    )


def _valid(row: _Row, said: _Row) -> tuple[float, float] | None:
    count, valid = said.get("citations"), said.get("citations_valid")
    count = len(count) if isinstance(count, list) else count
    return (float(valid), float(count)) if count and valid is not None else None


def _loss(row: _Row, said: _Row) -> tuple[float, float] | None:
    return (
        (said["loss"], said["loss_tokens"])
        if said.get("loss") is not None and said.get("loss_tokens")
        else None
    )


def _time(name: str, *, generated: bool) -> Callable[[_Row, _Row], tuple[float, float] | None]:
    def terms(row: _Row, said: _Row) -> tuple[float, float] | None:
        if said.get(name) is None or (generated and not said.get("tokens_per_s")):
            return None
        return said[name], 1.0

    return terms


FIGURES: tuple[Figure, ...] = (
    Figure("f1", "mean", "max", _of_answerable("f1")),
    Figure("exact_match", "share", "max", _of_answerable("exact_match")),
    Figure("numeric_match", "share", "max", _of_answerable("numeric_match")),
    Figure("value_match", "share", "max", _of_answerable("value_match")),
    Figure("refused_right", "share", "max", _refused(answerable=False)),
    Figure("refused_wrong", "share", "min", _refused(answerable=True)),
    Figure("citations_valid", "share", "max", _valid),
    Figure("citations_right", "share", "max", _of_answerable("cites_right")),
    Figure("perplexity", "perplexity", "min", _loss),
    Figure("first_token_ms", "median", "min", _time("first_token_ms", generated=True)),
    Figure("total_ms", "median", "min", _time("total_ms", generated=False)),
    Figure("tokens_per_s", "median", "max", _time("tokens_per_s", generated=True)),
)
BY_KEY = {figure.key: figure for figure in FIGURES}
FIXED = {"peak_mb": "min", "size_mb": "min"}  # measured once: no question has a say in them


class Resampled:
    """The figures of all arms, and what they would have been on other questions like these.

    `rows`: as in report.json, each with the arms that were asked. `fixed`: {arm: {figure: value}},
    the same in every draw."""

    def __init__(
        self,
        rows: Sequence[_Row],
        arms: Sequence[str],
        *,
        fixed: Mapping[str, Mapping[str, float]] | None = None,
        resamples: int = RESAMPLES,
        seed: int = SEED,
    ) -> None:
        self.arms = tuple(arms)
        self._rows = [row for row in rows if all(arm in row["arms"] for arm in arms)]
        self._fixed = fixed or {}
        self._resamples, self._seed = resamples, seed
        self._known: dict[tuple[str, str], tuple[float, Draws] | None] = {}

    def figure(self, arm: str, key: str) -> float | None:
        found = self._find(arm, key)
        return None if found is None else found[0]

    def draws(self, arm: str, key: str) -> Draws | None:
        """The figure in every resample, [resamples]."""
        found = self._find(arm, key)
        return None if found is None else found[1]

    def interval(self, arm: str, key: str) -> Interval | None:
        """Of an arm's own figure. A share that is the same in every draw (none of ten) has Wilson's
        interval: the questions that were not asked may come out otherwise."""
        found = self._find(arm, key)
        if found is None or key in FIXED:
            return None
        value, draws = found
        if self._is_share(key) and draws.min() == draws.max():
            return Interval(value, *wilson(value, self._weight(arm, key)))
        return between(value, draws)

    def difference(self, arm: str, other: str, key: str) -> Interval | None:
        """`arm` less `other`; None where either has no such figure."""
        mine, theirs = self._find(arm, key), self._find(other, key)
        if mine is None or theirs is None:
            return None
        value, draws = mine[0] - theirs[0], mine[1] - theirs[1]
        if self._is_share(key) and draws.min() == draws.max():
            return _of_equals(mine[0], self._weight(arm, key), theirs[0], self._weight(other, key))
        return between(value, draws)

    def combined(
        self, arm: str, weights: Mapping[str, float], units: Mapping[str, float]
    ) -> tuple[float, Draws]:
        """Weighted sum of an arm's figures, each in its unit; one that the arm does not have counts
        0."""
        import numpy as np

        total, draws = 0.0, np.zeros(self._resamples)
        for key, weight in weights.items():
            found = self._find(arm, key)
            if found is not None:
                scale = weight / units.get(key, 1.0)
                total, draws = total + scale * found[0], draws + scale * found[1]
        return total, draws

    def _is_share(self, key: str) -> bool:
        return key in BY_KEY and BY_KEY[key].kind == "share"

    def _weight(self, arm: str, key: str) -> float:
        return float(sum(den for _, den in self._terms(arm, key).values()))

    def _terms(self, arm: str, key: str) -> dict[int, tuple[float, float]]:
        found = {i: BY_KEY[key].terms(row, row["arms"][arm]) for i, row in enumerate(self._rows)}
        return {i: terms for i, terms in found.items() if terms is not None}

    def _find(self, arm: str, key: str) -> tuple[float, Draws] | None:
        if (arm, key) not in self._known:
            self._known[arm, key] = self._draw(arm, key)
        return self._known[arm, key]

    def _draw(self, arm: str, key: str) -> tuple[float, Draws] | None:
        import numpy as np

        if key in FIXED:
            value = self._fixed.get(arm, {}).get(key)
            return None if value is None else (value, np.full(self._resamples, value))
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
        draws = np.where(sums[:, 1] > 0, sums[:, 0] / np.maximum(sums[:, 1], 1e-12), value)
        if BY_KEY[key].kind == "perplexity":
            return exp(min(value, _MOST_NATS)), np.exp(np.minimum(draws, _MOST_NATS))
        return value, draws

    @cached_property
    def _counts(self) -> NDArray[np.float32]:
        """How often each question is in each draw, [resamples, questions]."""
        import numpy as np

        random = np.random.default_rng(self._seed)
        counts = np.zeros((self._resamples, len(self._rows)), dtype=np.float32)
        for answerable in (True, False):
            mine = [
                i for i, row in enumerate(self._rows) if (row["expected"] is not None) == answerable
            ]
            if mine:
                even = np.full(len(mine), 1 / len(mine))
                counts[:, mine] = random.multinomial(len(mine), even, size=self._resamples)
        return counts


def between(value: float, draws: Draws) -> Interval:
    import numpy as np

    low, high = np.percentile(draws, (_TAIL, 100 - _TAIL))
    return Interval(value, float(low), float(high))


def wilson(share: float, of: float) -> tuple[float, float]:
    """95% interval of a share (Wilson 1927); `of` > 0."""
    z = 1.96
    middle, half = (
        share + z * z / (2 * of),
        z * sqrt(share * (1 - share) / of + z * z / (4 * of * of)),
    )
    scale = 1 + z * z / of
    return max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)


def _of_equals(one: float, of_one: float, other: float, of_other: float) -> Interval:
    """Where a bootstrap has nothing to draw from. No question tells the two apart: as few as none
    of so many may; all of one and none of the other: Newcombe's."""
    if one == other:
        most = wilson(0.0, min(of_one, of_other))[1]
        return Interval(0.0, -most, most)
    return newcombe(one, of_one, other, of_other)


def newcombe(one: float, of_one: float, other: float, of_other: float) -> Interval:
    """95% interval of a difference of shares from both Wilson intervals (Newcombe 1998, method 10)."""
    (low1, high1), (low2, high2) = wilson(one, of_one), wilson(other, of_other)
    gap = one - other
    below, above = (
        sqrt((one - low1) ** 2 + (high2 - other) ** 2),
        sqrt((high1 - one) ** 2 + (other - low2) ** 2),
    )
    return Interval(gap, gap - below, gap + above)


def _medians(values: Draws, counts: NDArray[np.float32]) -> Draws:
    """Weighted medians of `values` [n] by each row of `counts` [draws, n]."""
    import numpy as np

    order = np.argsort(values)
    sums = counts[:, order].cumsum(axis=1)
    middle = (sums * 2 >= sums[:, -1:]).argmax(axis=1)
    return np.asarray(values[order][middle], dtype=np.float64)
