"""Finds a question's words in a text. Words are stemmed as the index does it, by SQLite's own
tokenizer, so that what is highlighted is what the search matched. Knows nothing of terminals or of
how a passage was chosen."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Sequence
from contextlib import closing

from fieldpack.index.query_terms import content_words
from fieldpack.index.schema import TOKENIZER

Span = tuple[int, int]  # start and end in characters, end exclusive

_BEGIN, _END = "\x02", "\x03"
# SQLite stores no lone surrogate and its highlight() stops at a NUL; one space each, so that all
# offsets stay.
_MARKED = re.compile(f"{_BEGIN}.*?{_END}", re.DOTALL)
_UNSAFE = re.compile(f"[\0{_BEGIN}{_END}\ud800-\udfff]")


def question_spans(texts: Sequence[str], question: str) -> list[list[Span]]:
    """Return for each text the spans of the words that share a stem with one of the question's, in
    order. Words that every question has ("what", "does", "the") are not highlighted."""
    spans: list[list[Span]] = [[] for _ in texts]
    words = content_words(_UNSAFE.sub(" ", question))
    if not words:
        return spans
    query = " OR ".join(f'"{word}"' for word in words)
    with closing(sqlite3.connect(":memory:")) as database:
        database.execute(f"CREATE VIRTUAL TABLE texts USING fts5(text, tokenize='{TOKENIZER}')")
        rows = ((number, _UNSAFE.sub(" ", text)) for number, text in enumerate(texts))
        database.executemany("INSERT INTO texts(rowid, text) VALUES (?, ?)", rows)
        select = f"SELECT rowid, highlight(texts, 0, '{_BEGIN}', '{_END}') FROM texts WHERE texts MATCH ?"
        for number, text in database.execute(select, (query,)):
            # Offsets into the text without its marks: each span before has put two in front.
            spans[number] = [
                (match.start() - 2 * before, match.end() - 2 * before - 2)
                for before, match in enumerate(_MARKED.finditer(text))
            ]
    return spans


def shifted(spans: Sequence[Span], start: int, end: int) -> list[Span]:
    """Return the spans that touch text[start:end], as offsets into that slice."""
    return [(max(a, start) - start, min(b, end) - start) for a, b in spans if a < end and b > start]
