"""Intervals cover what they should, pairs cancel what both arms share, and noise is never called a
gain."""

from __future__ import annotations

import random
from typing import Any

import pytest

from fieldpack.passages import Citation
from fieldpack_build.evaluation.bootstrap import PairedBootstrap, wilson
from fieldpack_build.evaluation.metrics import Score, summarize
from fieldpack_build.evaluation.recommend import choose, pick
from fieldpack_build.evaluation.report_file import QuestionRow

ARMS = ("base", "rag", "tuned", "tuned+rag")


def said(f1: float, *, refused: bool = False, **more: Any) -> dict[str, Any]:
    return {"f1": f1, "refused": refused, "value_match": f1 > 0.5, **more}


def asked(
    *arms: dict[str, Any], expected: str | None = "x", names: tuple[str, ...] = ("rag", "tuned+rag")
) -> QuestionRow:
    return QuestionRow.model_validate(
        {"expected": expected, "arms": dict(zip(names, arms, strict=True))}
    )


def test_what_both_arms_find_hard_cancels_out() -> None:
    """Each arm's F1 is anywhere, the difference is 0.1 throughout."""
    chance = random.Random(0)
    rows = [
        asked(said(hard), said(hard + 0.1)) for hard in (chance.random() * 0.9 for _ in range(40))
    ]
    drawn = PairedBootstrap(rows, ("rag", "tuned+rag"))
    gap, own = drawn.difference("tuned+rag", "rag", "f1"), drawn.interval("rag", "f1")
    assert gap and own
    assert (gap.low, gap.high) == pytest.approx((0.1, 0.1)) and gap.clear
    assert own.high - own.low > 0.1


def test_noise_is_no_gain() -> None:
    chance = random.Random(1)
    rows = [asked(said(chance.random()), said(chance.random())) for _ in range(60)]
    gap = PairedBootstrap(rows, ("rag", "tuned+rag")).difference("tuned+rag", "rag", "f1")
    assert gap and not gap.clear and gap.low < 0 < gap.high


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    chance = random.Random(2)
    hits = 0
    for seed in range(100):
        rows = [asked(said(0.0), said(float(chance.random() < 0.4))) for _ in range(50)]
        found = PairedBootstrap(rows, ("rag", "tuned+rag"), resamples=400, seed=seed).interval(
            "tuned+rag", "f1"
        )
        hits += found is not None and found.low <= 0.4 <= found.high
    assert 86 <= hits <= 99


def test_none_of_ten_is_not_never() -> None:
    rows = [
        asked(said(0.0, refused=False), said(0.0, refused=True), expected=None) for _ in range(10)
    ]
    drawn = PairedBootstrap(rows, ("rag", "tuned+rag"))
    none, gap = (
        drawn.interval("rag", "refused_right"),
        drawn.difference("tuned+rag", "rag", "refused_right"),
    )
    assert none and gap
    assert (none.low, none.high) == pytest.approx(wilson(0, 10)) and none.high > 0.25
    assert gap.value == 1 and 0.5 < gap.low < 0.8


def test_the_same_answers_everywhere_are_nearly_no_difference() -> None:
    rows = [asked(said(0.7 if n % 3 else 0.2), said(0.7 if n % 3 else 0.2)) for n in range(100)]
    gap = PairedBootstrap(rows, ("rag", "tuned+rag")).difference("tuned+rag", "rag", "value_match")
    assert gap and (gap.value, gap.high) == (0, pytest.approx(0.037, abs=1e-3)) and not gap.clear


def test_wilson() -> None:
    assert wilson(0.5, 100) == pytest.approx((0.4038, 0.5962), abs=1e-4)
    assert wilson(0, 10)[0] == 0.0 and wilson(1, 10)[1] == pytest.approx(1.0)


def test_figures_are_those_of_the_scores() -> None:
    """The bootstrap reads rows of report.json; what it makes of all of them is what `summarize`
    makes of the scores."""
    chance = random.Random(3)
    scores = [
        Score(
            answerable=n % 3 > 0,
            refused=chance.random() < 0.3,
            f1=chance.random() if n % 3 else 0.0,
            exact_match=chance.random() < 0.2 if n % 3 else None,
            value_match=chance.random() < 0.5 if n % 3 else None,
            numeric_match=None if n % 2 else chance.random() < 0.5,
            citations=n % 3,
            citations_valid=min(n % 3, 1),
            cites_right=chance.random() < 0.5 if n % 3 else None,
            total_ms=chance.random() * 1000,
            first_token_ms=chance.random() * 500,
            tokens_per_s=20 + n,
            loss=chance.random() * 40,
            loss_tokens=12,
        )
        for n in range(41)
    ]
    cited = Citation("fees.pdf", 1, "The A class costs 0.85%.", 1)
    rows = [
        QuestionRow(
            expected="x" if s.answerable else None,
            arms={"rag": s.to_row("", [cited] * s.citations)},
        )
        for s in scores
    ]
    drawn, figures = PairedBootstrap(rows, ("rag",), resamples=200), summarize(scores)
    for key in (
        "f1",
        "exact_match",
        "value_match",
        "refused_right",
        "refused_wrong",
        "citations_valid",
        "citations_right",
        "perplexity",
        "first_token_ms",
        "total_ms",
        "tokens_per_s",
    ):
        found = drawn.interval("rag", key)
        assert found and found.value == pytest.approx(figures[key], rel=1e-3, abs=1e-3), key
        assert found.low <= found.value <= found.high and found.low < found.high, key


def test_the_same_seed_gives_the_same_intervals() -> None:
    chance = random.Random(4)
    rows = [asked(said(chance.random()), said(chance.random())) for _ in range(30)]
    one, other = (
        PairedBootstrap(rows, ("rag", "tuned+rag")).interval("rag", "f1") for _ in range(2)
    )
    assert one == other


def test_of_arms_that_noise_cannot_tell_apart_the_smallest_is_recommended() -> None:
    chance = random.Random(5)
    rows = []
    for number in range(80):
        rag = 0.2 + chance.random() / 2
        tuned = rag + (0.11 if number % 2 else -0.1)
        rows.append(asked(said(0.05), said(rag), said(0.05), said(tuned), names=ARMS))
    sizes = {"base": 110.0, "rag": 205.0, "tuned": 110.0, "tuned+rag": 205.0}
    drawn = PairedBootstrap(
        rows, ARMS, fixed={arm: {"size_mb": size} for arm, size in sizes.items()}
    )
    found = choose(drawn, ARMS, "tuned+rag", {"f1": 1.0})
    assert set(found.ties) == {"rag", "tuned+rag"} and found.recommended == "rag"
    assert found.rival == "rag" and found.gaps["rag"].low < 0 < found.gaps["rag"].high
    assert found.gaps["base"].low > 0
    heavy = choose(drawn, ARMS, "tuned+rag", {"f1": 1.0, "size_mb": -1.0})
    assert heavy.best in ("base", "tuned"), "95 MB more cost 0.95, which no F1 makes good"


def test_the_best_arm_ships_and_of_equal_ones_the_untuned_one_with_sources() -> None:
    """Tuning that brings nothing does not ship, even where its bundle is the smaller one; a clear
    gain does."""
    chance = random.Random(6)
    equal, better = [], []
    for _ in range(80):
        rag = 0.2 + chance.random() / 2
        noise = chance.uniform(-0.2, 0.2)
        equal.append(asked(said(0.05), said(rag), said(rag + noise), said(rag - noise), names=ARMS))
        better.append(asked(said(0.05), said(rag), said(0.05), said(rag + 0.1), names=ARMS))
    sizes = {arm: {"size_mb": 110.0 if arm in ("base", "tuned") else 205.0} for arm in ARMS}
    shipped = [
        pick(PairedBootstrap(rows, ARMS, fixed=sizes), ARMS, {"f1": 1.0}, lambda arm: ())
        for rows in (equal, better)
    ]
    assert shipped == ["rag", "tuned+rag"]


def test_an_arm_that_misses_a_gate_ships_only_if_all_do() -> None:
    rows = [asked(said(0.1), said(0.4), said(0.2), said(0.9), names=ARMS) for _ in range(20)]
    drawn = PairedBootstrap(rows, ARMS)
    assert (
        pick(drawn, ARMS, {"f1": 1.0}, lambda arm: ["a gate"] if arm == "tuned+rag" else [])
        == "rag"
    )
    assert pick(drawn, ARMS, {"f1": 1.0}, lambda arm: ["a gate"]) == "tuned+rag"
