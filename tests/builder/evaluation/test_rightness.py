"""Whether an answer is right by its expected answer alone."""

from __future__ import annotations

import pytest

from fieldpack_build.evaluation.rightness import says

COST = "What does a flu vaccination cost?"
DOGS = "Are dogs allowed in the hall?"


@pytest.mark.parametrize(
    ("question", "expected", "said", "right"),
    [
        # figures, with their units
        (COST, "It costs 25 euros.", "A flu vaccination costs 25 euros.", True),
        (COST, "It costs 25 euros.", "€25", True),
        (COST, "It costs 25 euros.", "EUR 25.00", True),
        (COST, "It costs 25 euros.", "It costs 35 euros.", False),
        (COST, "It costs 25 euros.", "It takes 25 days.", False),
        (COST, "It costs 25 euros.", "It takes 25 days and costs 30 euros.", False),
        (COST, "It costs 25 euros.", "It costs 25.", False),  # of what?
        ("How many euros does it cost?", "25 euros", "It costs 25.", True),
        (COST, "25 euros, 10 euros for children", "25 euros", False),  # all of them
        (COST, "25 euros, 10 euros for children", "Children pay 10 euros, others 25 euros.", True),
        ("What is the fee of 2025?", "In 2025 the fee is 0.5%.", "It is 0.5 per cent.", True),
        ("What is the fee of 2025?", "In 2025 the fee is 0.5%.", "In 2025 it was 0.9%.", False),
        ("How long is the notice?", "Thirty minutes.", "At least thirty minutes.", True),
        ("How far is it?", "1,250 km", "1250 km", True),
        ("How far is it?", "1,250 km", "1.25 km", False),
        # words beyond those of the question
        (
            "How often is a hive inspected?",
            "Every seven days.",
            "Inspect it every seven days",
            True,
        ),
        ("Who pays the fee?", "The depositary pays the fee.", "The fee is paid by clients.", False),
        ("Who pays the fee?", "The depositary pays the fee.", "The depositary.", True),
        ("Who pays the fee?", "The depositary pays the fee.", "Clients pay the fee.", False),
        ("Who signs?", "Ann Weir and Bo Li sign.", "Ann Weir signs.", False),
        # yes and no
        (DOGS, "Yes.", "Yes, on a lead.", True),
        (DOGS, "Yes.", "No, they are not.", False),
        (DOGS, "No.", "No, they are not.", True),
        (DOGS, "Yes.", "Dogs are allowed in the hall.", False),  # in doubt
        (DOGS, "Yes, up to 10 kg.", "No, above 10 kg.", False),
        (DOGS, "Yes, on a lead.", "On a lead.", True),
        (DOGS, "Yes, on a lead.", "Yes.", False),
        # a sentence and its opposite
        (DOGS, "Dogs are not allowed.", "Dogs are allowed.", False),
        (DOGS, "Dogs are allowed.", "Dogs aren't allowed.", False),
        (DOGS, "Dogs are allowed.", "Dogs are allowed. Cats are not.", True),
        (DOGS, "Dogs are not allowed.", "No, dogs are never allowed.", True),
        (DOGS, "Dogs are not allowed.", "No.", True),
        (DOGS, "Dogs are not allowed.", "Yes.", False),
        ("What of dogs?", "They may enter the hall.", "They may not enter the hall.", False),
        # a full stop that ends no sentence
        ("Who opens the safe?", "Nobody but Mr. Al Novak.", "Nobody else than Mr. Al Novak.", True),
        ("Who opens the safe?", "Mr. Novak opens it.", "Never Mr. Novak.", False),
        ("How much is kept?", "approx. 5 %", "It is approx. 5 per cent.", True),
        ("Which form?", "Form No. 12 of the list.", "Use No. 12.", True),
        # nothing to judge by
        ("Who?", "Ann Weir.", "", False),
        ("Which?", "It is.", "", None),
        ("Which?", "It is.", "It is.", None),
    ],
)
def test_english(question: str, expected: str, said: str, right: bool | None) -> None:
    assert says(said, question, expected, languages=("",)) is right
    assert says(said, question, expected) is right  # a bundle without documents


@pytest.mark.parametrize(
    ("language", "question", "expected", "said", "right"),
    [
        ("de", "Was kostet es?", "Es kostet 1.250 Euro.", "Das kostet 1250 Euro.", True),
        ("de", "Was kostet es?", "Es kostet 12,50 Euro.", "Das kostet 1250 Euro.", False),
        ("de", "Was kostet es?", "Es kostet 0,5 Prozent.", "0,9 Prozent", False),
        ("de", "Was kostet es?", "Es kostet 0,5 Prozent.", "Genau 0,50 %.", True),
        ("de", "Wie lange?", "Die Frist beträgt 30 Tage.", "Innerhalb von 30 Tagen.", True),
        ("de", "Sind Hunde erlaubt?", "Hunde sind nicht erlaubt.", "Hunde sind erlaubt.", False),
        ("de", "Sind Hunde erlaubt?", "Nein.", "Nein, Hunde sind verboten.", True),
        ("de", "Wer zahlt?", "Die Verwahrstelle.", "Das zahlt die Verwahrstelle.", True),
        ("de", "Bis wann?", "Bis zum 12. Mai 2026.", "Am 12. Mai 2026.", True),
        ("de", "Bis wann?", "Bis zum 12. Mai 2026.", "Am 12. Juni 2026.", False),
        ("de", "Welche Zeile?", "Nr. 5 der Liste.", "Das steht in Nr. 5.", True),
        ("sk", "Dokedy?", "Do 5. decembra 2026.", "Do 5. januára 2026.", False),
        ("fr", "Combien ?", "1 250,50 euros", "Il faut payer 1\u202f250,5 €.", True),
        ("fr", "Est-ce permis ?", "Ce n'est pas permis.", "C'est permis.", False),
        ("it", "È permesso?", "Sì.", "No, mai.", False),
        ("cs", "Kolik?", "25 eur", "Stojí to 25 eur.", True),
        # Czech negates inside a word: without a figure nothing can be told
        ("cs", "Smí tam psi?", "Psi tam smí.", "Psi tam nesmí.", None),
        ("ja", "いくらですか", "¥1,250", "¥1250 です", True),
        ("ja", "誰ですか", "田中さんです", "田中さんです", None),
    ],
)
def test_other_languages(
    language: str, question: str, expected: str, said: str, right: bool | None
) -> None:
    assert says(said, question, expected, languages=(language,)) is right


def test_a_library_of_two_languages_is_judged_by_both() -> None:
    both = ("de", "")
    assert says("Dogs are allowed.", DOGS, "Dogs are not allowed.", languages=both) is False
    assert says("Nein.", "Sind Hunde erlaubt?", "Ja.", languages=both) is False
    assert says("Psi.", "Kdo?", "Psi.", languages=("cs", "de")) is None
