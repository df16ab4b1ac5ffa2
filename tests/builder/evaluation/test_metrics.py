"""What an answer is worth: the field's figures, on answers made by hand."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldpack.answers import Answer, Timings
from fieldpack.passages import Citation, Passage
from fieldpack_build import data
from fieldpack_build.evaluation import metrics

STORED = {
    ("fees.pdf", 1): "The A class costs 0.85%.\0The I class costs 0.40%.",
    ("pump.md", None): "Every 400 hours.",
}
CITED = Citation("fees.pdf", 1, "The A class costs 0.85%.", 1)


def asked(
    answer: str | None, *, value: str | None = None, document: str | None = None
) -> data.TestQuestion:
    return data.TestQuestion("What does it cost?", answer, value, document, 1)


def said(
    text: str, *citations: Citation, refused: bool = False, ms: float = 100.0, speed: float = 50.0
) -> Answer:
    timings = Timings(
        5.0, 0.0 if refused else ms / 2, ms, 0 if refused else 8, 0.0 if refused else speed, 60
    )
    return Answer("What does it cost?", text, refused, citations, (), timings)


def passage(document: str, text: str, heading: tuple[str, ...] = ()) -> Passage:
    return Passage(1, document, "Title", None, heading, text, 1.0, 0.9)


@pytest.mark.parametrize(
    ("got", "wanted", "expected"),
    [
        ("The fund costs 0.85%", "the fund costs 0.85%.", 1.0),
        ("A fund costs 0.85%", "The fund costs 0.85%", 1.0),  # articles do not count
        ("It costs 1,250.00 pounds", "It costs 1250 pounds", 1.0),  # nor do a figure's separators
        ("costs 4", "costs 5", 0.5),
        (
            "0.85",
            "0.85% a year for the A class",
            0.4,
        ),  # one word of one; of 0.85, year, for, class too
        ("red", "blue", 0.0),
        ("", "blue", 0.0),
        ("", "", 1.0),
    ],
)
def test_token_f1(got: str, wanted: str, expected: float) -> None:
    assert metrics.token_f1(got, wanted) == pytest.approx(expected)


PIECES = st.sampled_from(["fund", "the", "0.85", "1,250.00", "1250", "A", "year", "?!", "東"])
WORDS = st.lists(PIECES).map(" ".join) | st.text()


@given(WORDS, WORDS)
def test_f1_is_a_share_and_has_no_sides(a: str, b: str) -> None:
    assert 0 <= metrics.token_f1(a, b) == metrics.token_f1(b, a) <= 1
    assert metrics.token_f1(a, a) == 1


@pytest.mark.parametrize(
    ("text", "value", "expected"),
    [
        ("It is GBP 1,250.50 a year.", "1250.50", True),
        ("It is 1250.5.", "GBP 1,250.50", False),  # the currency is part of the value
        ("It costs 1,250.00.", "1250", True),
        ("It costs 10.75%.", "0.75%", False),
        ("It costs 0.75 per cent.", "0.75%", True),
        ("It costs 100.", "1", False),
        ("On 31 March 2025, early.", "31 March 2025", True),
        ("In March, on day 31 of 2025.", "31 March 2025", False),  # in a row
        ("Samuel ACHTERBERG decides.", "samuel achterberg", True),
        ("Der Satz ist 125 Euro", "12,5", False),
        ("Der Satz ist 12,5 Euro", "12,50", True),
        ("Das sind 1.250 Euro.", "1250", True),
        ("Das sind 1.250 Euro bei 2,5 %.", "1,25", False),
        ("Das sind 1.250,50 Euro.", "1250,5", True),
        ("Cela fait 1\u202f250,50 euros.", "1250,5", True),
        ("Cela fait 1 250,50 euros.", "250,5", False),
        ("Das macht CHF 1'250.50.", "CHF 1250.50", True),
        ("Am 12.05.2024 um acht", "12.05.2024", True),
        ("Part 007 of 12.50", "007", True),
        ("Part 7 of 12.50", "007", False),  # a code, not a number
        ("Anything", "", False),
        ("Anything", "?!", False),
        ("", "4", False),
    ],
)
def test_contains(text: str, value: str, expected: bool) -> None:
    assert metrics.contains(text, value) is expected


@given(st.integers(0, 10**9), st.integers(0, 99))
def test_a_figure_is_the_same_with_and_without_separators(whole: int, cents: int) -> None:
    assert metrics.contains(f"It is {whole:,}.{cents:02d} now.", f"{whole}.{cents:02d}")
    assert not metrics.contains(f"It is {whole + 1:,} now.", f"{whole}")


@pytest.mark.parametrize("group", [".", " ", "\u00a0", "\u202f", ""])
@given(number=st.integers(1000, 10**9), cents=st.integers(0, 99), other=st.integers(0, 10**9))
def test_a_figure_with_a_decimal_comma_is_the_same_however_it_is_grouped(
    group: str, number: int, cents: int, other: int
) -> None:
    text = f"Es sind {number:,}".replace(",", group) + f",{cents:02d} Euro."
    assert metrics.contains(text, f"{number},{cents:02d}")
    assert metrics.token_f1(text, f"Es sind {number},{cents:02d} Euro") == 1
    assert metrics.contains(text, f"{other},{cents:02d}") is (number == other)
    assert not metrics.contains(text, f"{number}{cents:02d}")


def test_a_citation_is_valid_if_its_quote_stands_there() -> None:
    assert metrics.is_valid(CITED, STORED)
    assert metrics.is_valid(Citation("pump.md", None, "400 hours", 2), STORED)
    assert not metrics.is_valid(Citation("fees.pdf", 2, CITED.quote, 1), STORED)
    assert not metrics.is_valid(Citation("fees.pdf", 1, "The A class costs 0.95%.", 1), STORED)
    assert not metrics.is_valid(
        Citation("fees.pdf", 1, "0.85%. The I class", 1), STORED
    )  # across two chunks
    assert not metrics.is_valid(Citation("fees.pdf", 1, "", 1), STORED)


def test_a_right_answer() -> None:
    found = metrics.score(
        said("The A class costs 0.85% [1].", CITED),
        asked("The A class costs 0.85%.", value="0.85%", document="fees.pdf"),
        STORED,
    )
    assert (
        found.f1,
        found.value_match,
        found.cites_right,
        found.citations,
        found.citations_valid,
    ) == (1, True, True, 1, 1)


def test_without_a_value_an_answer_is_right_that_says_what_is_expected() -> None:
    question = data.TestQuestion(
        "What does a flu vaccination cost?", "It costs 25 euros.", None, None, 1
    )
    right = metrics.score(said("A flu vaccination costs 25 euros. [1]"), question, {})
    wrong = metrics.score(said("A flu vaccination costs 52 euros. [1]"), question, {})
    refused = metrics.score(said("The documents do not say.", refused=True), question, {})
    assert (right.value_match, wrong.value_match, refused.value_match) == (True, False, False)
    assert (right.numeric_match, wrong.numeric_match) == (True, False)


def test_an_answer_that_cannot_be_judged_counts_neither_way() -> None:
    question = data.TestQuestion("Kdo?", "Jana Nová.", None, None, 1)
    scores = [
        metrics.score(said("Jana Nová.", refused=refused), question, {}, languages=("cs",))
        for refused in (False, True)
    ]
    assert [one.value_match for one in scores] == [None, None]
    assert metrics.summarize(scores)["value_match"] is None


def test_a_question_with_a_value_is_judged_by_it_alone() -> None:
    question = asked("It costs 25 euros, paid by Ann.", value="25 euros")
    assert metrics.score(said("Bo pays 25 euros."), question, {}).value_match
    assert not metrics.score(said("It costs EUR 25, paid by Ann."), question, {}).value_match


def test_the_library_s_language_tells_how_figures_are_read() -> None:
    question = asked("It costs 1250.", value="1250")
    for languages, right in (("", False), ("de", True)):
        one = metrics.score(said("It costs 1.250."), question, {}, languages=(languages,))
        assert (one.value_match, one.numeric_match, one.f1 == 1) == (right, right, right)


def test_a_refusal_of_what_can_be_answered_counts_as_nothing_found() -> None:
    refused = metrics.score(
        said("The documents do not say.", refused=True),
        asked("The documents do.", document="a"),
        {},
    )
    right = metrics.score(said("The documents do."), asked("The documents do."), {})
    assert (refused.f1, refused.value_match, refused.cites_right) == (0, False, None)
    figures = metrics.summarize([refused, right])
    assert (figures["f1"], figures["value_match"], figures["refused_wrong"]) == (0.5, 0.5, 0.5)
    assert figures["refused_right"] is None


def test_an_arms_figures() -> None:
    answers: list[tuple[Answer, data.TestQuestion]] = [
        (said("0.85 [1]", CITED, CITED, ms=100), asked("0.85", document="fees.pdf")),
        (
            said("0.95 [1]", Citation("fees.pdf", 1, "made up", 1), ms=300),
            asked("0.85", document="pump.md"),
        ),
        (said("Certainly.", ms=200), asked(None)),
        (said("No.", refused=True, ms=10), asked(None)),
    ]
    figures: dict[str, Any] = metrics.summarize([metrics.score(a, q, STORED) for a, q in answers])
    assert figures == {
        "questions": 4,
        "f1": 0.5,
        "exact_match": 0.5,
        "value_match": 0.5,
        "numeric_match": 0.5,
        "perplexity": None,
        "refused_right": 0.5,
        "refused_wrong": 0.0,
        "citations_valid": 0.6667,
        "citations_right": 0.5,
        "total_ms": 150.0,
        "first_token_ms": 100.0,
        "tokens_per_s": 50.0,
    }


def test_perplexity_is_over_all_tokens_and_exact_match_over_words() -> None:
    assert metrics.perplexity([(0.0, 1), (4.0, 3), (None, 0)]) == 2.718
    assert metrics.perplexity([(None, 0)]) is None
    assert metrics.is_exact(
        "The fund costs 1,250.00.", ["fund costs 1250", None]
    ) and not metrics.is_exact("", [""])


def test_nothing_asked_gives_no_figures() -> None:
    assert set(metrics.summarize([]).values()) == {0, None}
    assert set(metrics.retrieval_figures([]).values()) == {None}


def test_retrieval_figures() -> None:
    assert metrics.retrieval_figures([1, 2, None, 7]) == {
        "recall_at_1": 0.25,
        "recall_at_5": 0.5,
        "recall_at_10": 0.75,
        "mrr": round((1 + 1 / 2 + 1 / 7) / 4, 4),
    }


def test_rank_of() -> None:
    found = [
        passage("b.md", "It costs 4."),
        passage("a.md", "Nothing."),
        passage("a.md", "Free.", ("Costs 4",)),
    ]
    question = asked("It costs 4.", value="4", document="a.md")
    assert metrics.rank_of(question, found, with_value=False) == 2
    assert metrics.rank_of(question, found, with_value=True) == 3  # its heading is read too
    assert metrics.rank_of(asked("x", document="c.md"), found, with_value=False) is None
