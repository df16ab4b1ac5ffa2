"""How a quote reads: the columns of a row that a question names, and the clause that is near to its
words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from fieldpack.retrieval.embedder import TokenVectors
from fieldpack.retrieval.late_interaction import QuestionWords, question_words
from fieldpack.retrieval.quote_text import (
    Shown,
    columns_asked_for,
    nearest_clause,
    with_heads,
)
from fieldpack.retrieval.quoting import Candidate, shorten

FEES = "Fund | A class, 2025 | I class, 2025 | Form"
ROW = "Global Equity | 0.75% | 0.55% | Income"


class Letters:
    """Embeds each word as its letters' counts: the same word has cosine 1, others less."""

    def embed_tokens(self, texts: Sequence[str], *, query: bool = False) -> list[TokenVectors]:
        return [self._embed(text) for text in texts]

    def _embed(self, text: str) -> TokenVectors:
        spans, at = [], 0
        for word in text.split():
            start = text.index(word, at)
            at = start + len(word)
            spans.append((start, at))
        tokens = np.zeros((len(spans), 256), dtype=np.float32)
        for row, (start, end) in zip(tokens, spans, strict=True):
            for letter in text[start:end].lower():
                row[ord(letter) % 256] += 1
        tokens /= np.maximum(np.linalg.norm(tokens, axis=1, keepdims=True), 1e-9)
        return TokenVectors(np.ones(1, dtype=np.float32), tokens, tuple(spans))


def asks(question: str, *languages: str) -> QuestionWords:
    return question_words(question, Letters(), lambda words: [1.0] * len(words), languages)


@pytest.mark.parametrize(
    ("question", "heads", "row", "columns"),
    [
        ("Form of Global Equity?", FEES, ROW, {0, 3}),
        # "class" names both: the last column has no such word.
        ("Fee of the I class of Global Equity?", FEES, ROW, {0, 1, 2}),
        ("A class and I class of Global Equity?", FEES, ROW, {0, 1, 2}),
        ("Which classes in 2025?", FEES, ROW, {0, 1, 2}),
        ("What does Global Equity cost?", FEES, ROW, None),
        # All columns are named.
        ("I class, A class, and which form?", FEES, ROW, None),
        # The word that a cell has says which row it is.
        ("Weight in India?", "Company | Country | Weight", "Suryanet | India | 3%", None),
        (
            "Weight in India?",
            "Company | Country | Weight | Size",
            "Suryanet | India | 3% | 9",
            {0, 1, 2},
        ),
        # The row's own name in its first cell is no reason for a column.
        (
            "Amber of Red Leaf?",
            "Fund | Amber | Red | Owner",
            "Red Leaf | 1% | 2% | Leaf",
            {0, 1, 2},
        ),
        ("Deferred assets in 2018?", "| | 2019 | 2018 |", "| Deferred assets | 35 | 31 |", {0, 2}),
        # A head over two columns stands above the first of them.
        ("Cost in March?", "| | March | | April |", "| Cost | 1 | 2 | 3 |", {0, 1, 2}),
        ("Cost in March?", "| | March | April |", "| Cost | 1 | |", None),
        ("Cost in March?", "| | March |", "| Cost | 1 |", None),
        ("Cost in March?", "| | March | April |", "| Cost | 1 | 2 | 3 |", None),
    ],
)
def test_columns_that_a_question_names(
    question: str, heads: str, row: str, columns: set[int] | None
) -> None:
    assert columns_asked_for(asks(question), heads, row) == columns


def test_columns_are_named_in_the_forms_of_the_library_s_languages() -> None:
    heads, row = "Prüfung | Gebühren | Dauer", "Stapler | 40 Euro | zwei Tage"
    question = "Wie hoch ist die Gebühr?"
    assert columns_asked_for(asks(question, "de"), heads, row) == {0, 1}
    assert columns_asked_for(asks(question), heads, row) is None


def test_a_row_is_shown_with_the_columns_asked_for() -> None:
    assert with_heads(FEES, ROW, {0, 2}) == "Fund: Global Equity; I class, 2025: 0.55%"
    assert with_heads(FEES, "one | two", {0}) == "one | two", "of another width: whole"


def clause(question: str, quote: str, context: str = "") -> str | None:
    text, title = Letters().embed_tokens([" ".join(quote.split()), context])
    return nearest_clause(asks(question), quote, text, title)


def test_the_clause_that_has_the_question_s_words_is_an_exact_slice() -> None:
    quote = "The amber desk is open\nfrom nine; the red desk\nis open from ten; others from noon."
    assert clause("amber desk", quote) == "The amber desk is open\nfrom nine"
    assert clause("red desk", quote) == "the red desk\nis open from ten"
    assert clause("red desk and amber desk", quote) is None, "each has a part of it"
    assert clause("red desk", "the red desk is open from ten.") is None
    assert clause("desk", quote) == "The amber desk is open\nfrom nine", "the first of equals"


def test_words_of_the_title_count_for_each_clause() -> None:
    quote = "Orders close at noon; refunds take a week."
    assert clause("Leith refunds", quote, "Desk in Leith") == "refunds take a week."
    assert clause("Leith refunds", quote) == "refunds take a week."
    assert clause("noon refunds", quote, "noon") == "refunds take a week."
    assert clause("noon refunds", quote) is None


def test_a_clause_without_the_question_s_code_is_not_shown_alone() -> None:
    quote = "AB-1234-X is a spare part; the valve pump filter stays shut"
    question = question_words(
        "valve pump filter shut AB-1234-X",
        Letters(),
        lambda words: [float(word in ("valve", "pump", "filter", "shut")) for word in words],
    )
    vectors, context = Letters().embed_tokens([quote, ""])
    assert nearest_clause(question, quote, vectors, context) == "the valve pump filter stays shut"
    assert shorten(question, Candidate(quote, "", 1), vectors, context) == Shown(quote, quote)


def test_a_row_without_heads_is_shown_whole() -> None:
    row = Candidate("amber | nine; red | ten", "", 1)
    vectors, context = Letters().embed_tokens([row.text, ""])
    shown = shorten(asks("red ten"), row, vectors, context)
    assert shown == Shown("amber | nine; red | ten", "amber | nine; red | ten")
