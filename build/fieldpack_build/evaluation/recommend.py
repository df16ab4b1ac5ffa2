"""Which arm to ship, by the recipe's own weights: a score for each arm with its 95% interval, and
of those that noise cannot tell from the best the simplest. Knows nothing of words or pages.

A score is the weighted sum of an arm's figures: shares from 0 to 1 as they are, times in seconds,
sizes in hundreds of megabytes. What an arm does not have (citations without retrieval) counts 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from .arms import simplicity
from .bootstrap import PairedBootstrap, between
from .report_file import Choice, Interval

UNITS = {"first_token_ms": 1000.0, "total_ms": 1000.0, "peak_mb": 100.0, "size_mb": 100.0}


def choose(
    bootstrap: PairedBootstrap, arms: Sequence[str], shipped: str, weights: Mapping[str, float]
) -> Choice:
    """Score the arms, and recommend one: the simplest of those that noise cannot tell from the
    best. `shipped`: the arm that the others are set against; none of `arms`, and there are no
    gaps."""
    scores = {arm: bootstrap.weighted_sum(arm, weights, UNITS) for arm in arms}
    best = max(arms, key=lambda arm: (scores[arm][0], arm == shipped))

    def gap(one: str, other: str) -> Interval:
        return between(scores[one][0] - scores[other][0], scores[one][1] - scores[other][1])

    ties = [arm for arm in arms if arm == best or not gap(best, arm).low > 0]
    rivals = [arm for arm in arms if arm != shipped]
    return Choice(
        weights=dict(weights),
        best=best,
        recommended=min(ties, key=lambda arm: simplicity(arm, bootstrap.value(arm, "size_mb"))),
        ties=ties,
        rival=max(rivals, key=lambda arm: scores[arm][0], default=None),
        scores={arm: between(*score).rounded() for arm, score in scores.items()},
        gaps={arm: gap(shipped, arm).rounded() for arm in rivals} if shipped in arms else {},
    )


def pick(
    bootstrap: PairedBootstrap,
    arms: Sequence[str],
    weights: Mapping[str, float],
    misses: Callable[[str], Sequence[str]],
) -> str:
    """Return the arm that ships by itself: the recommended one; where it misses a gate, the best of
    the arms that reach them all, again the simplest of those that noise cannot tell from it. Where
    every arm misses one, the recommended one, with which the build then fails. `misses`: the gates
    that an arm, if it shipped, would miss."""
    reach = [arm for arm in arms if not misses(arm)]
    return choose(bootstrap, reach or arms, "", weights).recommended
