"""The tables of chunks.sqlite: documents, their chunks, the words to search, and a few facts about all of it.
Knows nothing of vectors, and not how a question is answered."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from .errors import BundleCorrupt, BundleError, BundleUnsupported
from .passages import Chunk, DocumentRecord

CHUNKS = "chunks.sqlite"
SCHEMA_VERSION = 2
# Words by their stems, accents aside. A superscript is no part of the word or figure before it: "482¹" is found by 482.
TOKENIZER = "porter unicode61 remove_diacritics 2 separators ''⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ⁱⁿ''"

# A document's chunks have consecutive ids from `first` on; a chunk's title is NULL where it is the document's.
# words has no content of its own: the text is in chunks already. SQLite before 3.43 has no contentless_delete (Debian 12
# ships 3.40), so a row is deleted by giving its words again.
TABLES = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE documents (id INTEGER PRIMARY KEY, path TEXT NOT NULL UNIQUE, title TEXT NOT NULL, sha256 TEXT NOT NULL,
                        pages INTEGER NOT NULL, date TEXT, tags TEXT NOT NULL, first INTEGER NOT NULL,
                        chunks INTEGER NOT NULL);
CREATE TABLE chunks (id INTEGER PRIMARY KEY, document_id INTEGER NOT NULL, ordinal INTEGER NOT NULL, title TEXT,
                     page INTEGER, heading TEXT NOT NULL, start INTEGER NOT NULL, end INTEGER NOT NULL,
                     key BLOB NOT NULL, text TEXT NOT NULL, gap TEXT NOT NULL);
CREATE TABLE sketches (document_id INTEGER PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE duplicates (id INTEGER PRIMARY KEY, duplicate_of INTEGER NOT NULL);
CREATE TABLE common (term TEXT PRIMARY KEY, number INTEGER NOT NULL, rows INTEGER NOT NULL,
                     whole INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE postings (id INTEGER PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE lengths (block INTEGER PRIMARY KEY, data BLOB NOT NULL);
CREATE VIRTUAL TABLE words USING fts5(context, text, content='', tokenize='@TOKENIZER@');
""".replace("@TOKENIZER@", TOKENIZER)
# After the rows: building it once is faster than keeping it up to date.
INDEXES = "CREATE INDEX chunks_by_key ON chunks (key);"

CHUNK_COLUMNS = "d.path, coalesce(c.title, d.title), c.page, c.heading, c.start, c.end, c.text, c.gap"
CHUNKS_WITH_DOCUMENTS = "chunks c JOIN documents d ON d.id = c.document_id"
RECORD_COLUMNS = "path, title, sha256, pages, date, tags"


def chunk_key(chunk: Chunk) -> bytes:
    """What a chunk's vector depends on, in 16 bytes: its text and context."""
    return sha256(chunk.in_context.encode("utf-8", "surrogatepass")).digest()[:16]


def to_chunk(row: tuple[Any, ...]) -> Chunk:
    """A row of CHUNK_COLUMNS."""
    path, title, page, heading, start, end, text, gap = row
    return Chunk(path, title, page, _heading(heading), start, end, text, gap)


@lru_cache(10_000)
def _heading(text: str) -> tuple[str, ...]:
    return tuple(json.loads(text))


def to_record(row: tuple[Any, ...]) -> DocumentRecord:
    """A row of RECORD_COLUMNS."""
    path, title, digest, pages, date, tags = row
    return DocumentRecord(path, title, digest, pages, date, tuple(json.loads(tags)))


def from_record(record: DocumentRecord) -> tuple[Any, ...]:
    return (record.path, record.title, record.sha256, record.pages, record.date, to_json(record.tags))


def to_json(parts: tuple[str, ...]) -> str:
    return json.dumps(parts, ensure_ascii=False)


def open_for_reading(path: Path, *, cache_kb: int = 2000) -> sqlite3.Connection:
    """`immutable` writes no journal beside the bundle. Usable from another thread than the one that opened it."""
    uri = f"{path.resolve().as_uri()}?mode=ro&immutable=1"
    database = sqlite3.connect(uri, uri=True, check_same_thread=False, isolation_level=None)
    database.execute(f"PRAGMA cache_size = -{cache_kb}")
    database.execute("PRAGMA temp_store = MEMORY")
    with suppress(sqlite3.DatabaseError):  # `read_meta` says what is wrong
        database.execute("CREATE VIRTUAL TABLE temp.instances USING fts5vocab(main, words, instance)")
    return database


def read_meta(database: sqlite3.Connection, path: Path) -> dict[str, Any]:
    """Raises BundleUnsupported for an index of another schema, BundleCorrupt for a file that is none."""
    try:
        meta = dict(database.execute("SELECT name, value FROM meta"))
    except sqlite3.OperationalError:
        meta = {}
    except sqlite3.DatabaseError as error:
        raise BundleCorrupt(f"{path}: {error}; copy the bundle again") from None
    if meta.get("schema") != SCHEMA_VERSION:
        found = meta.get("schema", 1)
        raise BundleUnsupported(
            f"{path}: the index has schema {found}, this version reads {SCHEMA_VERSION}; build the bundle again"
        )
    return meta


def finished_generation(path: Path) -> int | None:
    """How often a folder was finished; None where there is no index of this schema. Opened for writing once: rolls back
    what a killed update left."""
    if not path.is_file():
        return None
    with closing(sqlite3.connect(path)) as database, suppress(BundleError):
        return int(read_meta(database, path)["generation"])
    return None


def write_meta(database: sqlite3.Connection, **facts: Any) -> None:
    database.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", sorted(facts.items()))


def document_chunks(database: sqlite3.Connection, first: int, count: int) -> Iterator[tuple[int, bytes, Chunk]]:
    """Id, key and chunk of one document, in reading order."""
    rows = database.execute(
        f"SELECT c.id, c.key, {CHUNK_COLUMNS} FROM {CHUNKS_WITH_DOCUMENTS} WHERE c.id >= ? AND c.id < ? ORDER BY c.id",
        (first, first + count),
    )
    for row in rows:
        yield row[0], row[1], to_chunk(row[2:])
