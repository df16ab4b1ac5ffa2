"""Which arm to ship, by the recipe's own weights: a score for each arm with its 95% interval, and
of those that noise cannot tell from the best the simplest. Knows nothing of words or pages.

A score is the weighted sum of an arm's figures: shares from 0 to 1 as they are, times in seconds,
sizes in hundreds of megabytes. What an arm does not have (citations without retrieval) counts 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .arms import simplicity
from .bootstrap import Interval, Resampled, between

UNITS = {"first_token_ms": 1000.0, "total_ms": 1000.0, "peak_mb": 100.0, "size_mb": 100.0}


def choose(
    drawn: Resampled, arms: Sequence[str], shipped: str, weights: Mapping[str, float]
) -> dict[str, Any]:
    """For the report: `scores` of each arm; the `best` one; the `recommended` one; `gap`, by which
    the shipped arm leads the strongest other one (or trails it); `ties`, the arms that noise cannot
    tell from the best."""
    scores = {arm: drawn.combined(arm, weights, UNITS) for arm in arms}
    best = max(arms, key=lambda arm: (scores[arm][0], arm == shipped))

    def gap(one: str, other: str) -> Interval:
        return between(scores[one][0] - scores[other][0], scores[one][1] - scores[other][1])

    ties = [arm for arm in arms if arm == best or not gap(best, arm).low > 0]
    recommended = min(ties, key=lambda arm: simplicity(arm, drawn.figure(arm, "size_mb")))
    rivals = [arm for arm in arms if arm != shipped]
    rival = max(rivals, key=lambda arm: scores[arm][0], default=None)
    return {
        "weights": dict(weights),
        "best": best,
        "recommended": recommended,
        "ties": ties,
        "rival": rival,
        "scores": {arm: between(value, draws).to_dict() for arm, (value, draws) in scores.items()},
        "gaps": {arm: gap(shipped, arm).to_dict() for arm in rivals} if shipped in arms else {},
    }


def pick(
    drawn: Resampled,
    arms: Sequence[str],
    weights: Mapping[str, float],
    misses: Callable[[str], Sequence[str]],
) -> str:
    """The arm that ships by itself: the recommended one; where it misses a gate, the best of the
    arms that reach them all, again the simplest of those that noise cannot tell from it. `misses`:
    the gates that an arm, if it shipped, would miss. Where every arm misses one, the recommended
    one, with which the build then fails."""
    reach = [arm for arm in arms if not misses(arm)]
    chosen: str = choose(drawn, reach or arms, "", weights)["recommended"]
    return chosen
