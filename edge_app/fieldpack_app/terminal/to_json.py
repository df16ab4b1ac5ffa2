"""Found passages as a JSON reader wants them. Knows nothing of terminals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from fieldpack import DocumentRecord, Passage

from .highlight import question_spans

_ORDER = (
    "document",
    "title",
    "date",
    "tags",
    "page",
    "heading",
    "text",
    "start",
    "end",
    "also_in",
    "score",
    "similarity",
)


def to_dicts(
    found: Sequence[Passage], question: str, documents: Sequence[DocumentRecord]
) -> list[dict[str, Any]]:
    """Each passage with its document's date and tags, and `highlights`: [start, end] of the
    question's words in text."""
    records = {record.path: record for record in documents}
    spans = question_spans([passage.text for passage in found], question)
    rows = []
    for passage, lit in zip(found, spans, strict=True):
        record = records[passage.document]
        row = {**asdict(passage), "date": record.date, "tags": record.tags}
        rows.append({**{key: row[key] for key in _ORDER if key in row}, "highlights": lit})
    return rows
