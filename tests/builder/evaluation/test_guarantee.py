"""A promise with a probability holds in at least that share of samples, and is not made idly."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldpack_build.evaluation.guarantee import (
    Judged,
    card,
    control_risk,
    fewest,
    least_share,
    passages_needed,
    right_answers_missing,
)


def sample(seed: int, count: int, *, slope: float = 1.0) -> list[Judged]:
    """Answers that are right the more often the surer they are; a tenth are refusals."""
    rng = random.Random(seed)
    rows = []
    for _ in range(count):
        confidence = rng.random()
        answered = rng.random() > 0.1
        rows.append(Judged(confidence, answered, rng.random() < confidence**slope))
    return rows


def true_risk(threshold: float, slope: float = 1.0) -> float:
    """Share of wrong answers above the threshold: 1 less the mean of c^slope over [threshold, 1]."""
    mean = (1 - threshold ** (slope + 1)) / (slope + 1) / (1 - threshold)
    return 1 - mean


def test_a_risk_that_was_promised_holds() -> None:
    kept = broken = 0
    for seed in range(300):
        control = control_risk(sample(seed, 400, slope=0.2), wrong=0.1, sure=0.9)
        if control.threshold is not None:
            kept += 1
            broken += true_risk(control.threshold, 0.2) > 0.1
    assert kept > 200  # it does promise something
    assert broken <= 0.1 * 300 + 3 * (300 * 0.1 * 0.9) ** 0.5


def test_too_few_questions_promise_nothing_and_say_how_many_are_missing() -> None:
    assert fewest(0.05, 0.95) == 59
    needed = fewest(0.05, 0.99)  # five starting points share the probability of error
    few = [Judged(0.9, True, True)] * 20
    assert control_risk(few, wrong=0.05, sure=0.95).missing == needed - 20
    enough = control_risk([Judged(0.9, True, True)] * needed, wrong=0.05, sure=0.95)
    assert (enough.threshold, enough.answered, enough.missing) == (0.9, 1.0, 0)
    assert control_risk([], wrong=0.05, sure=0.95).threshold is None


def test_answers_of_one_confidence_stand_or_fall_together() -> None:
    rows = [Judged(0.9, True, True)] * 100 + [Judged(0.5, True, n % 2 == 0) for n in range(40)]
    control = control_risk(rows, wrong=0.05, sure=0.95)
    assert (control.threshold, control.answered) == (0.9, 100 / 140)


def test_one_early_mistake_is_not_the_end() -> None:
    rows = [Judged(1 - n / 1000, True, n != 3) for n in range(400)]
    control = control_risk(rows, wrong=0.05, sure=0.95)
    assert control.threshold is not None and control.answered == 1


def test_refusals_are_no_answers() -> None:
    rows = [Judged(0.9, True, True)] * 100 + [Judged(1.0, False, False)] * 100
    assert control_risk(rows, wrong=0.05, sure=0.95).answered == 0.5


def test_the_card_s_bounds_hold() -> None:
    broken = 0
    for seed in range(300):
        promised = card(sample(seed, 100))
        # 90% are answered, half of the answers are right
        broken += promised.answered_of_100 > 90 or promised.right_of_100 > 50
    assert broken <= 0.05 * 300 + 3 * (300 * 0.05 * 0.95) ** 0.5
    assert "100 questions asked" in card(sample(0, 100)).sentence()
    with pytest.raises(ValueError, match="no question"):
        card([])


@given(st.integers(0, 200), st.integers(0, 200), st.floats(0.5, 0.999))
def test_a_bound_is_below_what_was_counted(hits: int, misses: int, sure: float) -> None:
    low = least_share(hits, hits + misses, sure=sure)
    assert 0 <= low <= (hits / (hits + misses) if hits + misses else 0)


def test_choosing_among_arms_by_the_same_questions_is_allowed_for() -> None:
    """The best of eight arms that are all right in half of their answers looks better than it is."""
    broken, naive = 0, 0
    for seed in range(300):
        arms = [
            [
                Judged(0.0, True, random.Random(f"{seed} {arm} {n}").random() < 0.5)
                for n in range(60)
            ]
            for arm in range(8)
        ]
        best = max(arms, key=lambda rows: sum(one.right for one in rows))
        broken += card(best, arms=8).right_of_100 > 50
        naive += card(best).right_of_100 > 50
    assert broken <= 0.05 * 300 + 3 * (300 * 0.05 * 0.95) ** 0.5
    assert naive > broken


def test_how_many_right_answers_are_missing() -> None:
    assert right_answers_missing(0, 0, wrong=0.05, sure=0.95) == fewest(0.05, 0.95) == 59
    assert right_answers_missing(40, 40, wrong=0.05, sure=0.95) == 19
    assert right_answers_missing(59, 59, wrong=0.05, sure=0.95) == 0
    # one mistake: 93 answers, the sample size of the tables for 95% and 95%
    assert right_answers_missing(39, 40, wrong=0.05, sure=0.95) == 93 - 40


def test_a_bound_is_not_rounded_up_in_the_sentence() -> None:
    promised = card([Judged(0.0, True, n < 80) for n in range(100)])
    assert promised.right_of_100 % 1 > 0.5
    assert f"at least {int(promised.right_of_100)} are right" in promised.sentence()


def test_how_many_passages_must_be_shown() -> None:
    ranks: list[int | None] = [1] * 90 + [2] * 9 + [None]
    assert passages_needed(ranks, share=0.8, sure=0.95) == 1
    assert passages_needed(ranks, share=0.95, sure=0.9) == 2
    assert passages_needed(ranks, share=0.99, sure=0.95) is None
