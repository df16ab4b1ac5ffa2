"""How a quote reads: a table's row with its column heads, and no longer than what was asked for.
Shows of a row the columns that the question names, and of a sentence the clause between semicolons
that has all that the question's words are near to. What is shown of a sentence stays an exact slice.
Takes texts and their vectors; knows nothing of passages or scores."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

    from .embedder import TokenVectors
    from .late_interaction import QuestionWords

_CLAUSE = re.compile(r"[;；]\s+")
# How much less near to the question's words a clause may come than its whole sentence, of 1. On the
# finance recipe's training rows 0, 0.005 and 0.02 shorten 12, 20 and 26 of 279 quoted sentences;
# F1 rises by 0.004, 0.008 and 0.010, and no clause lacks a figure of the answer that its sentence
# has. Commas and colons are no such places: of 135 sentences 13 lose it, in TAT-QA 75 of 168.
_LESS_NEAR = 0.02


@dataclass(frozen=True, slots=True)
class Shown:
    """What is shown of a candidate. `text`: as a person reads it; `quote`: the exact slice of its
    passage."""

    text: str
    quote: str


def with_heads(heads: str, row: str, columns: Collection[int] | None = None) -> str:
    """Return a table's row as words: "Fund: CGEF; VaR, amber: 14%". Rows of another width than
    `heads` stay as they are. `columns`: only these, by number from 0."""
    names, cells = _cells(heads), _cells(row)
    if len(names) != len(cells):
        return " | ".join(cell for cell in cells if cell)
    pairs = (
        (" ".join(name.split()), cell)
        for number, (name, cell) in enumerate(zip(names, cells, strict=True))
        if cell and (columns is None or number in columns)
    )
    return "; ".join(f"{name}: {cell}" if name else cell for name, cell in pairs)


def columns_asked_for(question: QuestionWords, heads: str, row: str) -> set[int] | None:
    """Return the numbers, from 0, of the columns that a question is about: the first, which says
    what the row is of, those that it names, and those whose cell it has a word of. None where it
    names none, all of them, or the row is narrower than three cells or of another width than
    `heads`. A column is named by a word of its head that not all columns share; a blank head belongs
    to the one before it, which stands over both."""
    names, cells = _cells(heads), _cells(row)
    columns = [number for number, cell in enumerate(cells) if number and cell]
    if len(names) != len(cells) or len(columns) < 2:
        return None
    for number in range(2, len(names)):
        names[number] = names[number] or names[number - 1]
    named = {number: question.words_in(names[number]) for number in columns}
    shared = set.intersection(*named.values())
    asked = {number for number in columns if named[number] - shared}
    if not asked:
        return None
    known = shared | question.words_in(names[0]) | question.words_in(cells[0])
    asked |= {number for number in columns if question.words_in(cells[number]) - known}
    return None if len(asked) == len(columns) else {0, *asked}


def nearest_clause(
    question: QuestionWords, quote: str, vectors: TokenVectors, context: TokenVectors
) -> str | None:
    """Return the clause of a sentence that comes nearest to the question's words, as a slice of
    `quote`; None where the sentence is one clause or comes nearer than each. `vectors`: those of the
    sentence with its blanks made one; `context`: of its passage's title and headings, which count
    for both."""
    import numpy as np

    clauses = [clause.strip() for clause in _CLAUSE.split(quote)]
    if len(clauses) < 2:
        return None
    in_context = question.nearness(context.tokens)

    def nearness(start: int, end: int) -> float:
        within = [n for n, (a, b) in enumerate(vectors.spans) if a >= start and b <= end]
        near = np.maximum(question.nearness(vectors.tokens[within]), in_context)
        return float(near @ question.weights)

    text = " ".join(quote.split())
    best, most, at = "", nearness(0, len(text)) - _LESS_NEAR, 0
    for clause in clauses:
        words = " ".join(clause.split())
        start = text.index(words, at)
        at = start + len(words)
        if (near := nearness(start, at)) > most:
            best, most = clause, near
    return best or None


def _cells(row: str) -> list[str]:
    return [cell.strip() for cell in row.strip().removeprefix("|").removesuffix("|").split("|")]
