"""What a build has added and removed since the index was last finished: a file beside it that does
not ship. Each document is safe on disk when `add` returns, so that a killed build goes on after it.
Knows nothing of words or usearch."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fieldpack.index.schema import RECORD_COLUMNS, chunk_key, from_record, to_json, to_record
from fieldpack.index.vectors import DType, decode, encode, stored
from fieldpack.passages import Chunk, DocumentRecord

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PENDING = "pending.sqlite"
_TABLES = """
CREATE TABLE IF NOT EXISTS target (generation INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS removed (path TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS documents (id INTEGER PRIMARY KEY, path TEXT NOT NULL UNIQUE, title TEXT NOT NULL,
                                      sha256 TEXT NOT NULL, pages INTEGER NOT NULL, date TEXT, tags TEXT NOT NULL,
                                      language TEXT NOT NULL, chunks INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS chunks (document_id INTEGER NOT NULL, ordinal INTEGER NOT NULL, title TEXT NOT NULL,
                                   page INTEGER, heading TEXT NOT NULL, start INTEGER NOT NULL, end INTEGER NOT NULL,
                                   key BLOB NOT NULL, text TEXT NOT NULL, gap TEXT NOT NULL,
                                   vector BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS chunks_by_document ON chunks (document_id, ordinal);
CREATE INDEX IF NOT EXISTS chunks_by_key ON chunks (key);
"""


class StagingArea:
    """Holds the documents added and removed since the index was last finished, safe on disk.
    `generation` is what the index becomes when this is applied; a file for another one is begun
    anew."""

    def __init__(self, folder: Path, *, generation: int, dim: int, dtype: DType) -> None:
        self._folder, self._dim, self._dtype = folder, dim, dtype
        self._open()
        (stored_generation,) = self._database.execute(
            "SELECT max(generation) FROM target"
        ).fetchone()
        if stored_generation not in (None, generation):
            self.close()
            discard_pending(folder)
            self._open()
        with self._database:
            self._database.execute("DELETE FROM target")
            self._database.execute("INSERT INTO target VALUES (?)", (generation,))

    def _open(self) -> None:
        self._database = sqlite3.connect(self._folder / PENDING)
        # A killed process loses nothing with a write-ahead log that is not flushed for each
        # document; a power cut may lose the last documents, never the file.
        self._database.executescript(
            f"PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; {_TABLES}"
        )

    def documents(self) -> Iterator[tuple[int, DocumentRecord]]:
        """Yield the id and the record of each pending document, by path."""
        for row in self._database.execute(
            f"SELECT id, {RECORD_COLUMNS} FROM documents ORDER BY path"
        ):
            yield row[0], to_record(row[1:])

    @property
    def size(self) -> int:
        """Return how many chunks are pending."""
        return int(
            self._database.execute("SELECT coalesce(sum(chunks), 0) FROM documents").fetchone()[0]
        )

    def removed(self) -> set[str]:
        """Return the paths of finished documents that go."""
        return {row[0] for row in self._database.execute("SELECT path FROM removed")}

    @property
    def empty(self) -> bool:
        """Return whether no document is pending and none goes."""
        query = "SELECT NOT EXISTS (SELECT 1 FROM documents) AND NOT EXISTS (SELECT 1 FROM removed)"
        return bool(self._database.execute(query).fetchone()[0])

    def add(
        self,
        record: DocumentRecord,
        chunks: Sequence[Chunk],
        vectors: NDArray[np.float32],
        *,
        finished: bool,
    ) -> None:
        """Add a document and its chunks' unit vectors [n, dim]. `finished`: a finished document of
        this path is replaced."""
        data = encode(vectors, self._dtype)
        with self._database:
            self.remove(record.path, finished=finished)
            row = self._database.execute(
                f"INSERT INTO documents ({RECORD_COLUMNS}, chunks) VALUES (?,?,?,?,?,?,?,?)",
                (*from_record(record), len(chunks)),
            )
            rows = (
                (
                    row.lastrowid,
                    ordinal,
                    c.title,
                    c.page,
                    to_json(c.heading),
                    c.start,
                    c.end,
                    chunk_key(c),
                    c.text,
                    c.gap,
                    vector.tobytes(),
                )
                for ordinal, (c, vector) in enumerate(zip(chunks, data, strict=True))
            )
            self._database.executemany("INSERT INTO chunks VALUES (?,?,?,?,?,?,?,?,?,?,?)", rows)

    def remove(self, path: str, *, finished: bool) -> int:
        """Forget a document that is pending, and note that a finished one goes. Return how many
        pending chunks went. Safe on disk after `commit`."""
        if finished:
            self._database.execute("INSERT OR IGNORE INTO removed VALUES (?)", (path,))
        row = self._database.execute(
            "SELECT id, chunks FROM documents WHERE path = ?", (path,)
        ).fetchone()
        if row is None:
            return 0
        self._database.execute("DELETE FROM chunks WHERE document_id = ?", (row[0],))
        self._database.execute("DELETE FROM documents WHERE id = ?", (row[0],))
        return int(row[1])

    def known(self, keys: Iterable[bytes]) -> dict[bytes, NDArray[np.float32]]:
        """Return the vectors [dim] of the pending chunks, by `chunk_key`."""
        vectors = {}
        for key in keys:
            row = self._database.execute(
                "SELECT vector FROM chunks WHERE key = ? LIMIT 1", (key,)
            ).fetchone()
            if row is not None:
                vectors[key] = decode(stored(row[0], self._dim, self._dtype))[0]
        return vectors

    def chunks(self, document_id: int, path: str) -> tuple[list[Chunk], list[bytes], NDArray[Any]]:
        """Return a document's chunks, keys and vectors [n, dim] as stored, in reading order."""
        rows = self._database.execute(
            "SELECT key, vector, title, page, heading, start, end, text, gap FROM chunks "
            "WHERE document_id = ? ORDER BY ordinal",
            (document_id,),
        ).fetchall()
        chunks = [Chunk(path, r[2], r[3], tuple(json.loads(r[4])), *r[5:]) for r in rows]
        return (
            chunks,
            [r[0] for r in rows],
            stored(b"".join(r[1] for r in rows), self._dim, self._dtype),
        )

    def vectors(self) -> Iterator[NDArray[Any]]:
        """Yield the vectors [n, dim] as stored, a document at a time, by path."""
        for number, _ in self.documents():
            query = "SELECT vector FROM chunks WHERE document_id = ? ORDER BY ordinal"
            data = b"".join(row[0] for row in self._database.execute(query, (number,)))
            yield stored(data, self._dim, self._dtype)

    def close(self) -> None:
        """Close the database; what was added stays on disk."""
        self._database.close()

    def commit(self) -> None:
        """Bring removals to the disk."""
        self._database.commit()


def pending_generation(folder: Path) -> int | None:
    """Return the generation that what is pending leads to; None if nothing is."""
    if not (folder / PENDING).is_file():
        return None
    with closing(sqlite3.connect(folder / PENDING)) as database, suppress(sqlite3.OperationalError):
        row = database.execute("SELECT max(generation) FROM target").fetchone()
        return None if row[0] is None else int(row[0])
    return None


def discard_pending(folder: Path) -> None:
    """Remove the file of pending documents and what SQLite has put beside it."""
    for suffix in ("-wal", "-shm", ""):
        (folder / f"{PENDING}{suffix}").unlink(missing_ok=True)
