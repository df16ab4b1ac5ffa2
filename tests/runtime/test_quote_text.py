"""How a quote reads: the clause of a sentence that is near to the question's words, rows whole."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fieldpack.retrieval.embedder import TokenVectors
from fieldpack.retrieval.late_interaction import QuestionWords, question_words
from fieldpack.retrieval.quote_text import Shown, nearest_clause
from fieldpack.retrieval.quoting import Candidate, shorten


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


def clause(question: str, quote: str, context: str = "") -> str | None:
    text, title = Letters().embed_tokens([" ".join(quote.split()), context])
    return nearest_clause(asks(question), quote, text, title)


def test_the_clause_that_has_the_question_s_words_is_an_exact_slice() -> None:
    quote = "The amber desk is open\nfrom nine; the red desk\nis open from ten; others from noon."
    assert clause("amber desk", quote) == "The amber desk is open\nfrom nine"
    assert clause("red desk", quote) == "the red desk\nis open from ten"
    assert clause("red desk and amber desk", quote) is None, "each has a part of it"
    assert clause("red desk", "the red desk is open from ten.") is None
    assert clause("desk", quote) is None, "two have it"


def test_words_of_the_title_count_for_each_clause() -> None:
    quote = "Orders close at noon; refunds take a week."
    assert clause("Leith refunds", quote, "Desk in Leith") == "refunds take a week."
    assert clause("Leith refunds", quote) == "refunds take a week."
    assert clause("noon refunds", quote, "noon") == "refunds take a week."
    assert clause("noon refunds", quote) is None
    assert clause("Leith", quote, "Desk in Leith") is None, "no clause has more of it than another"


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


def test_dots_stand_where_clauses_were_left_out() -> None:
    vectors_of = Letters().embed_tokens
    sentence = "The amber desk opens at nine; the red\ndesk opens at ten; others open at noon."
    for asked, clause, text in (
        ("amber desk", "The amber desk opens at nine", "The amber desk opens at nine …"),
        ("red desk", "the red\ndesk opens at ten", "… the red desk opens at ten …"),
        ("others noon", "others open at noon.", "… others open at noon."),
    ):
        vectors, context = vectors_of([" ".join(sentence.split()), ""])
        assert shorten(asks(asked), Candidate(sentence, "", 1), vectors, context) == Shown(
            text, clause
        )


def test_a_row_is_shown_whole() -> None:
    for row, text in (
        (Candidate("amber | nine; red | ten", "", 1), "amber | nine; red | ten"),
        (
            Candidate("| CSBF | nine; ten |", "| Fund | Opens; closes |", 1),
            "Fund: CSBF; Opens; closes: nine; ten",
        ),
    ):
        vectors, context = Letters().embed_tokens([row.text, ""])
        assert shorten(asks("red ten closes"), row, vectors, context) == Shown(text, row.quote)
