"""What a quote is judged by: names and years that its passage has not, an amount that it does not
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


def far(question: str) -> dict[str, float]:
    """A passage that comes near to none of a question's words."""
    return dict.fromkeys(question.lower().strip("?.").split(), 0.0)


@pytest.mark.parametrize(
    ("question", "count"),
    [
        ("What does the Calderfield Bond Fund cost?", 0),
        ("What does CSBF cost in 2025?", 0),
        ("What does CSBF cost in 2019?", 1),
        ("Which Sharpe ratio does CSBF have?", 1),
        ("Is the sum 1250 pounds? Then who pays?", 0),  # a sentence's first word is no name
        ("Do Anna and Berta and Carla and Doris pay?", 3),
        ("What do Calderfields cost?", 0),
        ("Was kostet der Fonds?", 1),
        ("Does Dr. Novak hold CSBF?", 1),  # a name, though behind a full stop
    ],
)
def test_names_and_years_that_a_passage_has_not(question: str, count: int) -> None:
    assert missing(question, PASSAGE, far(question)) == count


def test_the_asker_s_own_amounts_need_not_stand_in_the_passage() -> None:
    question = "May I keep a gift of GBP 32, or 2,000 pounds?"
    assert missing(question, PASSAGE, {**far(question), "gbp": 1.0}) == 0


def test_a_name_in_other_words_is_missing_by_how_far_the_passage_is_from_it() -> None:
    question = "What did it cost in Q3?"
    assert missing(question, PASSAGE, {"q3": 0.7}) == pytest.approx(0.3)
    assert missing(question, PASSAGE, {"q3": -0.2}) == 1.0
    assert missing("What did CSBF cost?", PASSAGE, {"csbf": 0.1}) == 0, "it stands there"


@pytest.mark.parametrize(
    ("question", "quote", "lacks"),
    [
        ("What fee does the vendor charge?", "The vendor sends notices.", True),
        ("What fee does the vendor charge?", "The vendor charges GBP 12.", False),
        ("Who is the vendor?", "The vendor sends notices.", False),
        ("cost of a paper statement", "Paper statements are sent.", True),
        ("Who decides on a fee waiver?", "The committee does.", False),
        ("Why is there a limit?", "Because of the risk.", False),
        ("Can she approve an exception to a limit?", "She may.", False),
        ("Can he say how much it is?", "He may.", True),
        ("I paid the fee in May. Who repays it?", "The firm does.", False),
        ("Wie viele Tage sind es?", "Es sind einige Tage.", True),
        ("Wer zahlt die Kosten?", "Die Firma zahlt.", False),
        ("Combien de jours ?", "Quelques jours.", True),
        ("¿Es alto el precio?", "Es alto.", False),
        ("¿Cuántos días son?", "Unos días.", True),
        # a number in words
        ("Wie viele sind es?", "Es sind zweiundzwanzig.", False),
        ("Wann kostet es wie viel?", "Bis sieben Uhr dreißig Euro.", False),
        ("Wie lange dauert es?", "Ein Jahrhundert.", True),
        ("Combien de jours ?", "Deux jours.", False),
        ("¿Cuántos días son?", "Veintidós días.", False),
        ("Koľko sa platí za neúčasť?", "Účtuje sa poplatok desať eur.", False),
        ("Do koľkých dní odpovieme?", "Vybavuje sa do tridsiatich dní.", False),
        ("Koľko stojí miesto?", "To je pekné miesto.", True),
        ("Скільки тонн робить за добу?", "Дає п’ять тонн.", False),
        ("Скільки людей у сім’ї?", "Сім’я велика.", True),
        # a full stop that ends no sentence
        ("Who pays approx. 5 % of the fee?", "The firm does.", False),
        ("What is the fee of form No. 12?", "It is charged.", True),
        ("Wer zahlt nach Nr. 5 die Kosten?", "Die Firma zahlt.", False),
        ("i paid the fee in may. who repays it?", "The firm does.", False),
        ("The fee is high. “Who pays it?”", "The firm does.", False),
    ],
)
def test_an_amount_that_a_quote_does_not_give(question: str, quote: str, lacks: bool) -> None:
    assert lacks_figure(question, quote) is lacks


def test_features_stand_in_their_order() -> None:
    features = features_of(
        "How much is it in Leith?",
        "It is free.",
        "It is free.",
        scores=[0.5, 0.9, 0.8],
        margin=0.2,
        near={"leith": 0.0},
    )
    assert dict(zip(FEATURES, features, strict=True)) == pytest.approx(
        {"score": 0.9, "margin": 0.2, "gap": 0.1, "missing": 1.0, "no_figure": 1.0}
    )
    assert features_of("Who?", "Anna.", "Anna.", scores=[0.5], margin=0.0, near={})[2] == 0.0


def test_what_is_lacking_speaks_against_an_answer() -> None:
    good = weigh((1.0, 0.2, 0.1, 0.0, 0.0), ANSWERABLE)
    assert weigh((1.0, 0.2, 0.1, 1.0, 0.0), ANSWERABLE) < good
    assert weigh((1.0, 0.2, 0.1, 0.0, 1.0), ANSWERABLE) < good
    assert probability(-1e9) == pytest.approx(0) and probability(0.0) == 0.5


def test_a_longer_question_is_no_better_one() -> None:
    short = features_of("What cost?", "Cost 3.", PASSAGE, scores=[0.9], margin=0.1, near={})
    long = features_of(
        "What would it in general and on the whole then cost?",
        "Cost 3.",
        PASSAGE,
        scores=[0.9],
        margin=0.1,
        near={},
    )
    assert short == long
