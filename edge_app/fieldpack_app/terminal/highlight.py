"""Finds a question's words in a text. Words are stemmed as the index does it, by SQLite's own
tokenizer, so that what is highlighted is what the search matched. Knows nothing of terminals or of
how a passage was chosen."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Collection, Sequence
from contextlib import closing

from fieldpack.index.query_terms import content_words, left_out
from fieldpack.index.schema import TOKENIZER
from fieldpack.language import PLAIN, analyzer

Span = tuple[int, int]  # start and end in characters, end exclusive

_BEGIN, _END = "\x02", "\x03"
# SQLite stores no lone surrogate and its highlight() stops at a NUL; one space each, so that all
# offsets stay.
_MARKED = re.compile(f"{_BEGIN}.*?{_END}", re.DOTALL)
_UNSAFE = re.compile(f"[\0{_BEGIN}{_END}\ud800-\udfff]")


def question_spans(
    texts: Sequence[str], question: str, languages: Collection[str] = ()
) -> list[list[Span]]:
    """Return for each text the spans of the words that share a stem with one of the question's, in
    order. Words that every question has ("what", "does", "the") are not highlighted. `languages`:
    those of the library's documents."""
    others = [language for language in languages if language != PLAIN]
    leave_out = left_out(question, languages)
    spans = _english_spans(texts, content_words(_UNSAFE.sub(" ", question), leave_out))
    for language in others:
        words = analyzer(language)
        terms = frozenset(words.terms(question, leave_out))
        for i, text in enumerate(texts):
            spans[i] = _joined([*spans[i], *words.spans(text, terms)])
    return spans


def _joined(spans: Sequence[Span]) -> list[Span]:
    """Return spans in order, those that overlap as one."""
    joined: list[Span] = []
    for start, end in sorted(spans):
        if joined and start < joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((start, end))
    return joined


def _english_spans(texts: Sequence[str], words: Sequence[str]) -> list[list[Span]]:
    """Return the spans of words that SQLite's own tokenizer, with its English stems, finds."""
    spans: list[list[Span]] = [[] for _ in texts]
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
