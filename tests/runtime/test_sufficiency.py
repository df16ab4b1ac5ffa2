"""What a quote is judged by: names and figures that its passage has not, an amount that it does not
give, and the weights of these."""

from __future__ import annotations

import pytest

from fieldpack.retrieval.sufficiency import (
    ANSWERABLE,
    FEATURES,
    features_of,
    lacks_figure,
    missing,
    probability,
    weigh,
)

PASSAGE = "Fees > Funds\nThe Calderfield Bond Fund (CSBF) cost 0.40% in 2025 and 1,250 pounds."


@pytest.mark.parametrize(
    ("question", "count"),
    [
        ("What does the Calderfield Bond Fund cost?", 0),
        ("What does CSBF cost in 2025?", 0),
        ("What does CSBF cost in 2019?", 1),
        ("Which Sharpe ratio does CSBF have?", 1),
        ("Is the sum 1250 pounds? Then who pays?", 0),  # a sentence's first word is no name
        ("Do Anna, Berta, Carla and Doris pay?", 3),
        ("What do Calderfields cost?", 0),
        ("Was kostet der Fonds?", 1),
    ],
)
def test_names_and_figures_that_a_passage_has_not(question: str, count: int) -> None:
    assert missing(question, PASSAGE) == count


@pytest.mark.parametrize(
    ("question", "quote", "lacks"),
    [
        ("What fee does the vendor charge?", "The vendor sends notices.", True),
        ("What fee does the vendor charge?", "The vendor charges GBP 12.", False),
        ("Who is the vendor?", "The vendor sends notices.", False),
        ("Wie viele Tage sind es?", "Es sind einige Tage.", True),
        ("Combien de jours ?", "Quelques jours.", True),
    ],
)
def test_an_amount_that_a_quote_does_not_give(question: str, quote: str, lacks: bool) -> None:
    assert lacks_figure(question, quote) is lacks


def test_features_stand_in_their_order() -> None:
    features = features_of(
        "How much is it in Leith?", "It is free.", "It is free.", scores=[0.5, 0.9, 0.8], margin=0.2
    )
    assert dict(zip(FEATURES, features, strict=True)) == pytest.approx(
        {"score": 0.9, "margin": 0.2, "gap": 0.1, "missing": 1.0, "no_figure": 1.0}
    )
    assert features_of("Who?", "Anna.", "Anna.", scores=[0.5], margin=0.0)[2] == 0.0


def test_what_is_lacking_speaks_against_an_answer() -> None:
    good = weigh((1.0, 0.2, 0.1, 0.0, 0.0), ANSWERABLE)
    assert weigh((1.0, 0.2, 0.1, 1.0, 0.0), ANSWERABLE) < good
    assert weigh((1.0, 0.2, 0.1, 0.0, 1.0), ANSWERABLE) < good
    assert probability(-1e9) == pytest.approx(0) and probability(0.0) == 0.5


def test_a_longer_question_is_no_better_one() -> None:
    short = features_of("What cost?", "Cost 3.", PASSAGE, scores=[0.9], margin=0.1)
    long = features_of(
        "What would it in general and on the whole then cost?",
        "Cost 3.",
        PASSAGE,
        scores=[0.9],
        margin=0.1,
    )
    assert short == long
