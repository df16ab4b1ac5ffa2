"""A stored chunk where it stands: its page's text around it, put together again from the chunks.
Knows nothing of questions, vectors or words."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from ..errors import NoSuchPassage
from ..passages import MAX_CHUNK_ID, Chunk, Passage, PassageContext
from .schema import CHUNK_COLUMNS, CHUNKS_WITH_DOCUMENTS, to_chunk

_NEIGHBOURS = 24  # chunks before and after one that are looked at: more than fill any view
_ROW = f"SELECT c.document_id, c.id, {CHUNK_COLUMNS} FROM {CHUNKS_WITH_DOCUMENTS} "


def stored_passage(database: sqlite3.Connection, chunk_id: int) -> Passage:
    """Return a chunk as a passage of no question: score and similarity 0. Raises NoSuchPassage."""
    _, c = _read_chunk(database, chunk_id)
    return Passage(
        chunk_id, c.document, c.title, c.page, c.heading, c.text, 0.0, 0.0, c.start, c.end
    )


def in_context(
    database: sqlite3.Connection, chunk_id: int, end: int | None, characters: int
) -> PassageContext:
    """Return the text from the chunk's start to `end` (the chunk's, or where a passage of joined
    chunks ends), with at most `characters` of the page on each side. Raises NoSuchPassage."""
    document_id, chunk = _read_chunk(database, chunk_id)
    rows = database.execute(
        _ROW + "WHERE c.id BETWEEN ? AND ? AND c.document_id = ? AND c.page IS ? ORDER BY c.id",
        (chunk_id - _NEIGHBOURS, chunk_id + _NEIGHBOURS, document_id, chunk.page),
    )
    text, start = page_text([to_chunk(row[2:]) for row in rows])
    first = chunk.start - start
    last = max((chunk.end if end is None else end) - start, first)
    return PassageContext(
        chunk.document,
        chunk.title,
        chunk.page,
        chunk.heading,
        text[max(first - characters, 0) : first],
        text[first:last],
        text[last : last + characters],
        chunk.start,
        start + last,
    )


def page_text(chunks: Sequence[Chunk]) -> tuple[str, int]:
    """Return the text that neighbouring chunks of one page cover, and the place on the page where
    it begins."""
    text, end = "", chunks[0].start
    for chunk in chunks:
        if chunk.start < end:
            text += chunk.text[end - chunk.start :]
        else:
            text += (chunk.gap if text else "") + chunk.text
        end = max(end, chunk.end)
    return text, chunks[0].start


def _read_chunk(database: sqlite3.Connection, chunk_id: int) -> tuple[int, Chunk]:
    row = None
    if 0 <= chunk_id < MAX_CHUNK_ID:
        row = database.execute(_ROW + "WHERE c.id = ?", (chunk_id,)).fetchone()
    if row is None:
        raise NoSuchPassage(
            f"no passage {chunk_id} in this bundle; search again, the bundle may have been replaced"
        )
    return row[0], to_chunk(row[2:])
