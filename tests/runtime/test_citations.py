"""An answer's marks become citations that can be checked letter by letter."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldpack.citations import (
    best_quote,
    cite,
    headings_of,
    place,
    strip_marks,
    support,
    unsupported,
)
from fieldpack.passages import Passage


def passage(text: str, document: str = "d") -> Passage:
    return Passage(0, document, "", 7, (), text, 1.0, 1.0)


FEES = passage("The A class costs 0.85% a year.\nThe I class costs 0.40%. Paid monthly!", "fees")
PUMP = passage("Change the filter after 400 hours. The valve stays shut.", "pump")

common = st.sampled_from(
    ["the", "A", "0.85%", "cost", ".", "!", "?", "\n", " ", "[1]", "[2, 9]", "[0]", "[x]"]
)
words = st.lists(common | st.text(max_size=5)).map(" ".join)


@given(answer=words, texts=st.lists(words, max_size=4))
def test_a_quote_is_a_substring_and_a_mark_points_to_a_passage(
    answer: str, texts: list[str]
) -> None:
    passages = [passage(text) for text in texts]
    text, citations = cite(answer, passages)
    for citation in citations:
        assert 1 <= citation.passage <= len(passages)
        assert citation.quote and citation.quote in passages[citation.passage - 1].text
    assert len({c.passage for c in citations}) == len(citations)
    marked = {
        int(n)
        for mark in re.findall(r"\[(\d{1,3}(?:\s*,\s*\d{1,3})*)\]", text)
        for n in mark.split(",")
    }
    assert all(1 <= n <= len(passages) for n in marked)


def test_the_sentence_that_carries_the_answer_is_quoted() -> None:
    text, citations = cite("It costs 0.40% in the I class [1].", [FEES, PUMP])
    assert text == "It costs 0.40% in the I class [1]."
    assert [(c.document, c.page, c.passage, c.quote) for c in citations] == [
        ("fees", 7, 1, "The I class costs 0.40%.")
    ]


def test_marks_that_point_nowhere_go_and_the_others_stay() -> None:
    text, citations = cite("A [2]. B [9]. C [1, 7]. D [0].", [FEES, PUMP])
    assert text == "A [2]. B. C [1]. D."
    assert [c.passage for c in citations] == [2, 1]


def test_an_unmarked_answer_is_attributed_when_a_passage_holds_half_its_words() -> None:
    assert [c.passage for c in cite("The filter is changed after 400 hours", [FEES, PUMP])[1]] == [
        2
    ]
    assert cite("Elephants sing in opera houses", [FEES, PUMP])[1] == ()
    assert cite("Yes", [])[1] == ()


def test_a_figure_is_one_word() -> None:
    assert support("0.85%", FEES.text) == 1.0
    assert support("85%", FEES.text) == 0.0
    assert strip_marks("a [1] b [2,3].") == "a b."


def test_long_punctuation_takes_no_time() -> None:
    started = time.process_time()
    best_quote("the", "." * 20_000 + "!? " * 20_000 + "a.b" * 20_000)
    assert time.process_time() - started < 10


@pytest.mark.parametrize(
    ("text", "marked"),
    [
        ("It costs 0.85% a year [1].", []),
        ("It costs 0.58% a year [1].", ["0.58"]),
        ("1250.5 of 1,250.50 and 1.250,50 in 2025 [2]", []),
        ("12 of 1,250", ["12", "1,250"]),
        ("no figures [7]", []),
        ("To open it:\n1. Wait 400 hours.\n2. Turn 3 times.\n 3) Stop.", ["3"]),
        ("(1) Wait.\n(2) Go.\n85. That is it.\n12.", ["85", "12"]),
        ("7. That is it.\n1. And that.", ["7", "1"]),
        ("0400 hours, 400.0 hours, 401 hours", ["401"]),
    ],
)
def test_figures_that_stand_in_no_passage(text: str, marked: list[str]) -> None:
    texts = ("The A class costs 0.85% a year.", "1,250.50 EUR after 400 hours")
    found = [Passage(i, "a.md", "Fees 2025", None, (), t, 1.0, 1.0) for i, t in enumerate(texts)]
    assert [text[a:b] for a, b in unsupported(text, found)] == marked


@pytest.mark.parametrize(
    ("text", "passage", "language", "marked"),
    [
        ("125% a year", "0.125% a year", None, ["125"]),
        ("0.125% a year", "125% a year", None, ["0.125"]),
        ("5 mm", "at most .5 mm", None, ["5"]),
        ("1250 Euro", "1.250 Euro bei 2,5 %", None, []),
        ("1,25 Euro", "1.250 Euro bei 2,5 %", None, ["1,25"]),
        ("1.250 Euro", "1,25 Euro", None, ["1.250"]),  # read as the passage is
        ("1.250 Euro", "1.25 Euro", None, []),
        ("1.25 Euro", "1.250 Euro", None, []),  # nothing tells
        ("1.25 Euro", "1.250 Euro", ",", ["1.25"]),
        ("1,25 pounds", "1,250 pounds", ".", ["1,25"]),
        ("1250 francs", "1'250.- francs", None, []),
        ("1 250 euros", "1250 euros, 5,5 %", None, []),
        ("1250 euros", "1 250 euros, 5,5 %", None, []),
        ("1 350 euros", "1250 euros, 1 %, 5,5 %", None, ["350"]),
        ("250", "Umsatz 120 250 130; 5,5 %", None, []),  # columns
    ],
)
def test_figures_are_compared_as_their_language_writes_them(
    text: str, passage: str, language: str | None, marked: list[str]
) -> None:
    found = [Passage(1, "a.md", "Fees", None, (), passage, 1.0, 1.0)]
    assert [text[a:b] for a, b in unsupported(text, found, language)] == marked


def test_a_sheet_is_named_and_headings_are_without_column_heads() -> None:
    heading = ("Paediatric", "Dose by weight", "Columns: Drug | Dose")
    assert place("a/doses.xlsx", 1, heading) == "a/doses.xlsx, sheet Paediatric"
    assert place("a/doses.XLSX", 1) == "a/doses.XLSX, sheet 1"
    assert headings_of("a/doses.ods", heading) == ("Dose by weight",)
    assert place("doses.pdf", 1, heading) == "doses.pdf, page 1"
    assert headings_of("doses.pdf", heading) == heading[:2]
    assert place("plan.odp", 3, heading) == "plan.odp, slide 3"
    assert place("doses.docx", None, heading) == "doses.docx"
