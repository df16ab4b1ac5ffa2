"""Writes search results as JSON. Knows nothing of terminals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

from fieldpack import DocumentRecord, Passage

from .highlight import Span, question_spans


class SearchResult(TypedDict):
    """A passage in the JSON of `fieldpack search`, with its document's date and tags;
    `highlights`: [start, end] of the question's words in the text."""

    document: str
    title: str
    date: str | None
    tags: tuple[str, ...]
    page: int | None
    heading: tuple[str, ...]
    text: str
    start: int
    end: int
    score: float
    similarity: float
    highlights: Sequence[Span]


def to_dicts(
    passages: Sequence[Passage], question: str, documents: Sequence[DocumentRecord]
) -> list[SearchResult]:
    """Return each passage as JSON, in their order."""
    records = {record.path: record for record in documents}
    languages = {records[passage.document].language for passage in passages}
    spans = question_spans([passage.text for passage in passages], question, languages)
    return [
        {
            "document": passage.document,
            "title": passage.title,
            "date": records[passage.document].date,
            "tags": records[passage.document].tags,
            "page": passage.page,
            "heading": passage.heading,
            "text": passage.text,
            "start": passage.start,
            "end": passage.end,
            "score": passage.score,
            "similarity": passage.similarity,
            "highlights": highlights,
        }
        for passage, highlights in zip(passages, spans, strict=True)
    ]
