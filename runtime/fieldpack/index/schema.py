"""The tables of chunks.sqlite: documents, their chunks, the words to search, and a few facts about
all of it. Knows nothing of vectors, and not how a question is answered."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from functools import cache, lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from ..errors import BundleCorrupt, BundleError, BundleUnsupported, QuestionError
from ..language import LANGUAGES, PLAIN, same_analysis
from ..passages import Chunk, DocumentRecord, Place
from ..untrusted import WrongValue, limit, untrusted

CHUNKS = "chunks.sqlite"
SCHEMA_VERSION = 4  # 2: common words in blobs, vectors in a graph; 3: documents without languages
# Words by their stems, accents aside. A superscript is no part of the word or figure before it:
# "482¹" is found by 482.
TOKENIZER = "porter unicode61 remove_diacritics 2 separators ''⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ⁱⁿ''"

# A document's chunks have consecutive ids from `first` on; a chunk's title is NULL where it is the
# document's. words has no content of its own: the text is in chunks already. SQLite before 3.43 has
# no contentless_delete (Debian 12 ships 3.40), so a row is deleted by giving its words again.
TABLES = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE documents (id INTEGER PRIMARY KEY, path TEXT NOT NULL UNIQUE, title TEXT NOT NULL, sha256 TEXT NOT NULL,
                        pages INTEGER NOT NULL, date TEXT, tags TEXT NOT NULL, language TEXT NOT NULL,
                        first INTEGER NOT NULL, chunks INTEGER NOT NULL);
CREATE TABLE chunks (id INTEGER PRIMARY KEY, document_id INTEGER NOT NULL, ordinal INTEGER NOT NULL, title TEXT,
                     page INTEGER, heading TEXT NOT NULL, start INTEGER NOT NULL, end INTEGER NOT NULL,
                     key BLOB NOT NULL, text TEXT NOT NULL, gap TEXT NOT NULL);
CREATE TABLE sketches (document_id INTEGER PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE duplicates (id INTEGER PRIMARY KEY, duplicate_of INTEGER NOT NULL);
CREATE VIRTUAL TABLE words USING fts5(context, text, content='', tokenize='@TOKENIZER@');
""".replace("@TOKENIZER@", TOKENIZER)
# After the rows: building it once is faster than keeping it up to date.
INDEXES = "CREATE INDEX chunks_by_key ON chunks (key);"

# Facts, and the least of each.
_COUNTS = {"chunks": 0, "documents": 0, "next_id": 0, "dim": 1, "graph": 0}
_TOKENIZED = re.compile("tokenize='porter unicode61(?:[^']|'')*'")
_NUMBER_OR_NONE = {int, type(None)}
_MOST_TABLES = 64  # a library has 20, indexes among them
_STEPS = 1_000_000  # of SQLite's, between two looks: 20 to 50 ms
_LEAST_STEPS = 50_000_000

CHUNK_COLUMNS = (
    "d.path, coalesce(c.title, d.title), c.page, c.heading, c.start, c.end, c.text, c.gap"
)
CHUNKS_WITH_DOCUMENTS = "chunks c JOIN documents d ON d.id = c.document_id"
RECORD_COLUMNS = "path, title, sha256, pages, date, tags, language"


def chunk_key(chunk: Chunk) -> bytes:
    """What a chunk's vector depends on, in 16 bytes: its text and context."""
    return sha256(chunk.in_context.encode("utf-8", "surrogatepass")).digest()[:16]


def to_chunk(row: tuple[Any, ...]) -> Chunk:
    """Return a row of CHUNK_COLUMNS as a chunk. Raises WrongValue where a value is of another kind
    than its column's: SQLite stores any."""
    path, title, page, heading, start, end, text, gap = row
    if not (
        type(path) is type(title) is type(text) is type(gap) is str
        and type(start) is type(end) is int
    ):
        raise WrongValue("a chunk's values are of other kinds than its columns")
    if page is not None and type(page) is not int:
        raise WrongValue("a chunk's page is no number")
    return Chunk(path, title, page, _heading(heading), start, end, text, gap)


@lru_cache(10_000)
def _heading(text: str) -> tuple[str, ...]:
    return to_texts(text)


def to_texts(stored: object) -> tuple[str, ...]:
    """Return the texts of a column that stores a JSON list of them. Raises WrongValue."""
    try:
        parts = json.loads(stored)  # type: ignore[arg-type]
    except (TypeError, ValueError, RecursionError):
        parts = None
    if not isinstance(parts, list) or not all(isinstance(part, str) for part in parts):
        raise WrongValue(f"{stored!r:.80} is no list of texts")
    return tuple(parts)


def to_place(row: tuple[Any, ...]) -> Place:
    """Return the columns of a chunk that a `Place` has. Raises WrongValue; a document's id and path
    were looked at when the index was opened."""
    place = Place._make(row)
    kinds = {type(place.page), type(place.duplicate_of)}
    if type(place.ordinal) is not int or not kinds <= _NUMBER_OR_NONE:
        raise WrongValue("a chunk's place is no number")
    return place


def to_record(row: tuple[Any, ...]) -> DocumentRecord:
    """Return a row of RECORD_COLUMNS as a document's record. Raises WrongValue."""
    path, title, digest, pages, date, tags, language = row
    named = to_texts(tags)
    texts = (path, title, digest, date or "", language)
    if not all(isinstance(part, str) for part in texts) or type(pages) is not int:
        raise WrongValue("a document's values are of other kinds than its columns")
    return DocumentRecord(path, title, digest, pages, date, named, language)


def from_record(record: DocumentRecord) -> tuple[Any, ...]:
    """Return a document's record as a row of RECORD_COLUMNS."""
    return (
        record.path,
        record.title,
        record.sha256,
        record.pages,
        record.date,
        to_json(record.tags),
        record.language,
    )


def to_json(parts: tuple[str, ...]) -> str:
    """Return texts as the JSON list that a column stores."""
    return json.dumps(parts, ensure_ascii=False)


class _Reader(sqlite3.Connection):
    """A connection whose statements end: each may take so many of SQLite's steps, and Ctrl-C is
    heard between them."""

    most_steps = _LEAST_STEPS
    _left = 0

    def execute(self, *arguments: Any) -> sqlite3.Cursor:
        self._left = self.most_steps // _STEPS
        try:
            return super().execute(*arguments)
        except UnicodeEncodeError:
            raise QuestionError(
                "the name of a document, a folder or a tag is no text: no library has it"
            ) from None

    def watch(self, size: int) -> None:
        """Allow each statement the steps that reading a file of `size` bytes takes: fewer than it
        has bytes."""
        self.most_steps = _LEAST_STEPS + size
        self.set_progress_handler(self._go_on, _STEPS)

    def _go_on(self) -> int:
        """Whether to stop. A KeyboardInterrupt here stops it too."""
        self._left -= 1
        limit.reached = self._left < 0
        return int(limit.reached)


def open_for_reading(path: Path, *, cache_kb: int = 2000) -> sqlite3.Connection:
    """`immutable` writes no journal beside the bundle. Usable from another thread than the one that
    opened it.

    The file is data: no function or virtual table is run because its schema says so, no statement
    takes for ever."""
    uri = f"{path.resolve().as_uri()}?mode=ro&immutable=1"
    database = sqlite3.connect(
        uri, uri=True, check_same_thread=False, isolation_level=None, factory=_Reader
    )
    database.watch(path.stat().st_size)
    for setting in (f"cache_size = -{cache_kb}", "temp_store = MEMORY", "trusted_schema = OFF"):
        database.execute(f"PRAGMA {setting}")
    return database


def read_meta(database: sqlite3.Connection, path: Path) -> dict[str, Any]:
    """Raises BundleUnsupported for an index of another schema, BundleCorrupt for a file that is
    none, or that holds other tables than ours: a view would be run in the place of a table."""
    tables = _tables(database, path)
    if any(kind not in ("table", "index") for kind, *_ in tables):
        raise BundleCorrupt(
            f"{path}: holds views or triggers, which a library has none of; do not use this bundle"
        )
    try:
        meta = dict(database.execute("SELECT name, value FROM meta"))
    except sqlite3.OperationalError:
        meta = {}
    except sqlite3.DatabaseError as error:
        raise BundleCorrupt(f"{path}: {error}; copy the bundle again") from None
    if meta.get("schema") != SCHEMA_VERSION:
        version = meta.get("schema", 1)
        raise BundleUnsupported(
            f"{path}: the index has schema {version}, this version reads {SCHEMA_VERSION}; build the "
            "bundle again"
        )
    if tables != _our_tables():
        raise BundleCorrupt(
            f"{path}: its tables are not those of a library; copy the bundle again, or build it "
            "again"
        )
    check_meta(meta, path)
    return meta


def _tables(database: sqlite3.Connection, path: Path) -> frozenset[tuple[str, ...]]:
    """Kind, name, table and definition of all that a database holds. How words are split may differ
    among versions of ours, as long as one of SQLite's own tokenizers does it."""
    query = (
        "SELECT type, name, tbl_name, coalesce(sql, '') FROM main.sqlite_master LIMIT "
        f"{_MOST_TABLES}"
    )
    with untrusted(path):
        rows = [
            [*map(str, row[:3]), " ".join(str(row[3]).split())] for row in database.execute(query)
        ]
    return frozenset((*row[:3], _TOKENIZED.sub("", row[3])) for row in rows)


@cache
def _our_tables() -> frozenset[tuple[str, ...]]:
    from .document_names import NAMES

    with closing(sqlite3.connect(":memory:")) as database:
        database.executescript(TABLES + NAMES + INDEXES)
        return _tables(database, Path(CHUNKS))


def check_meta(meta: Mapping[str, Any], path: Path) -> None:
    """Raise BundleCorrupt unless the facts of an index are of their kinds, and BundleUnsupported
    where its words are stemmed otherwise than here."""
    for name, least in _COUNTS.items():
        if type(meta.get(name)) is not int or not least <= meta[name] < 1 << 48:
            raise BundleCorrupt(
                f"{path}: {name} is {meta.get(name)!r:.80}, which is no count; copy the bundle "
                "again"
            )
    words = meta.get("words")
    if not isinstance(words, str) or not same_analysis(words):
        raise BundleUnsupported(
            f"{path}: its words were indexed by another version ({words!r:.80}), in which a "
            "question's would not be found; build the bundle again, or bring this device's runtime "
            "up to date"
        )
    if meta.get("dtype") not in ("f16", "i8"):
        raise BundleCorrupt(
            f"{path}: vectors of dtype {meta.get('dtype')!r:.80}; copy the bundle again"
        )


def finished_generation(path: Path) -> int | None:
    """How often a folder was finished; None where there is no index of this schema. Opened for
    writing once: rolls back what a killed update left."""
    if not path.is_file():
        return None
    with closing(sqlite3.connect(path)) as database, suppress(BundleError):
        return int(read_meta(database, path)["generation"])
    return None


def check_documents(database: sqlite3.Connection, path: Path) -> None:
    """Raise BundleCorrupt where a document's path or ids are of other kinds than the columns, or
    numbers that cannot be added."""
    ids = " OR ".join(
        f"typeof({name}) <> 'integer' OR abs({name}) > {1 << 48}"
        for name in ("id", "first", "chunks")
    )
    wrong = f"SELECT 1 FROM documents WHERE typeof(path) <> 'text' OR {ids} LIMIT 1"
    if database.execute(wrong).fetchone():
        raise BundleCorrupt(
            f"{path}: a document's values are of other kinds than its columns; copy the bundle "
            "again, and if it stays, do not use it"
        )


def write_meta(database: sqlite3.Connection, **facts: Any) -> None:
    """Write facts into the table `meta`, in the order of their names: the same facts give the same
    bytes."""
    database.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", sorted(facts.items()))


def stored_languages(database: sqlite3.Connection, path: Path) -> tuple[str, ...]:
    """Return the languages of the documents, sorted. Raises BundleUnsupported for one that this
    version does not know."""
    query = "SELECT DISTINCT language FROM documents ORDER BY language LIMIT ?"
    languages = [row[0] for row in database.execute(query, (len(LANGUAGES) + 2,))]
    for language in languages:
        if language not in (PLAIN, *LANGUAGES):
            raise BundleUnsupported(
                f"{path}: has documents in {language!r:.40}, whose words this version cannot search; "
                "bring this device's runtime up to date, or copy the bundle again"
            )
    return tuple(languages)


def document_chunks(
    database: sqlite3.Connection, first: int, count: int
) -> Iterator[tuple[int, bytes, Chunk]]:
    """Id, key and chunk of one document, in reading order."""
    rows = database.execute(
        f"SELECT c.id, c.key, {CHUNK_COLUMNS} FROM {CHUNKS_WITH_DOCUMENTS} WHERE c.id >= ? AND "
        "c.id < ? ORDER BY c.id",
        (first, first + count),
    )
    for row in rows:
        yield row[0], row[1], to_chunk(row[2:])
