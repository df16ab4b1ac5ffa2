"""The finished files made from what is finished and what is pending: anew, or in place. Both write
beside the files they replace. Knows nothing of questions."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from heapq import merge
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fieldpack.index.document_names import write_names
from fieldpack.index.graph import GRAPH
from fieldpack.index.schema import (
    CHUNKS,
    INDEXES,
    SCHEMA_VERSION,
    TABLES,
    chunk_key,
    document_chunks,
    from_record,
    to_json,
    write_meta,
)
from fieldpack.index.vectors import SCALARS, VECTORS, DType
from fieldpack.language import analysis_version, analyzer
from fieldpack.passages import Chunk, DocumentRecord

from .hnsw import change_graph, write_graph
from .minhash import SKETCH, find_duplicates, sketch
from .snapshot import IndexSnapshot
from .staging import StagingArea

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# No journal: the file is thrown away if the build is killed.
_FAST = "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -64000;"
PART = ".part"  # being written
NEW = ".new"  # complete, and in its place once chunks.sqlite is
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """Says what is to be made: `base` is the finished index, if there is one; `gone` are paths in
    it that go; `graph_from`: chunks from which on there is a graph."""

    folder: Path
    dim: int
    dtype: DType
    base: IndexSnapshot | None
    pending: StagingArea
    gone: frozenset[str]
    generation: int
    graph_from: int

    @property
    def size(self) -> int:
        """Return how many chunks there will be."""
        kept = self.base.chunks - self.removed if self.base else 0
        return kept + self.pending.size

    @property
    def removed(self) -> int:
        """Return how many chunks of the finished index go."""
        return sum(self.base.count(path) or 0 for path in self.gone) if self.base else 0

    @property
    def graph(self) -> bool:
        """Return whether the library will have a graph."""
        return self.size >= self.graph_from


@dataclass(frozen=True, slots=True)
class _Document:
    """`vectors` as stored; `sketches` as `duplicates.sketch` makes them."""

    record: DocumentRecord
    chunks: list[Chunk]
    keys: list[bytes]
    vectors: NDArray[Any]
    sketches: NDArray[np.uint32]


def build_anew(plan: Plan, progress: Progress) -> None:
    """Write the vectors beside their places, then chunks.sqlite in its place: documents by path,
    ids from 0, the files without gaps."""
    path, vectors = plan.folder / f"{CHUNKS}{PART}", plan.folder / f"{VECTORS}{NEW}"
    path.unlink(missing_ok=True)
    database = sqlite3.connect(path, isolation_level=None)
    database.executescript(f"{_FAST} {TABLES}")
    database.execute("BEGIN")
    total, done = plan.size * (1 + plan.graph), 0
    with vectors.open("wb") as file:
        # All that will be there, by path, one document in memory at a time.
        by_path = merge(_finished(plan), _pending(plan), key=lambda item: item[0])
        for number, (_, load) in enumerate(by_path):
            document = load()
            _insert(database, number, done, document)
            file.write(document.vectors.tobytes())
            done += len(document.chunks)
            progress(done, total)
    database.execute("INSERT INTO words(words) VALUES ('optimize')")
    write_names(database)
    facts = {
        "dim": plan.dim,
        "dtype": plan.dtype,
        "generation": plan.generation,
        "chunks": done,
        "next_id": done,
        "graph": int(plan.graph),
    }
    write_meta(
        database,
        schema=SCHEMA_VERSION,
        documents=_count(database, "documents"),
        words=analysis_version(),
        removed=0,
        duplicates=mark_duplicates(database),
        **facts,
    )
    database.execute("COMMIT")
    database.executescript(f"{INDEXES} VACUUM;")
    database.close()
    if plan.graph and done:
        import numpy as np

        matrix = np.memmap(vectors, dtype=SCALARS[plan.dtype], mode="r").reshape(done, plan.dim)
        target = plan.folder / f"{GRAPH}{NEW}"
        write_graph(target, matrix, plan.dtype, lambda n: progress(done + n, total))
    path.replace(plan.folder / CHUNKS)


def _count(database: sqlite3.Connection, table: str) -> int:
    return int(database.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


def _finished(plan: Plan) -> Iterator[tuple[str, Callable[[], _Document]]]:
    base = plan.base
    if base is None:
        return
    for first, count, record in base.documents():
        if record.path not in plan.gone:

            def load(
                first: int = first, count: int = count, record: DocumentRecord = record
            ) -> _Document:
                rows = list(document_chunks(base.database, first, count))
                chunks = [chunk for _, _, chunk in rows]
                vectors = base.vectors.get_stored([i for i, _, _ in rows])
                keys = [chunk_key(chunk) for chunk in chunks]
                return _Document(record, chunks, keys, vectors, base.sketches(record.path))

            yield record.path, load


def _pending(plan: Plan) -> Iterator[tuple[str, Callable[[], _Document]]]:
    for number, record in plan.pending.documents():

        def load(number: int = number, record: DocumentRecord = record) -> _Document:
            chunks, keys, vectors = plan.pending.chunks(number, record.path)
            return _Document(
                record, chunks, keys, vectors, sketch([chunk.text for chunk in chunks])
            )

        yield record.path, load


def _insert(database: sqlite3.Connection, number: int, first: int, document: _Document) -> None:
    record, chunks = document.record, document.chunks
    row = (number, *from_record(record), first, len(chunks))
    database.execute("INSERT INTO documents VALUES (?,?,?,?,?,?,?,?,?,?)", row)
    database.execute("INSERT INTO sketches VALUES (?,?)", (number, document.sketches.tobytes()))
    rows = (
        (
            first + i,
            number,
            i,
            None if c.title == record.title else c.title,
            c.page,
            to_json(c.heading),
            c.start,
            c.end,
            key,
            c.text,
            c.gap,
        )
        for i, (c, key) in enumerate(zip(chunks, document.keys, strict=True))
    )
    database.executemany("INSERT INTO chunks VALUES (?,?,?,?,?,?,?,?,?,?,?)", rows)
    words = ((first + i, *_words(c, record)) for i, c in enumerate(chunks))
    database.executemany("INSERT INTO words(rowid, context, text) VALUES (?,?,?)", words)


def _words(chunk: Chunk, record: DocumentRecord) -> tuple[str, str]:
    """Return a chunk's context and text as they go into the index of words."""
    analyze = analyzer(record.language).text
    return analyze(chunk.context), analyze(chunk.text)


def mark_duplicates(database: sqlite3.Connection) -> int:
    """Mark the chunks that say what an earlier document's chunk says, and return how many there
    are. Over the whole library each time, so that the marks are those of a fresh build: 20 bytes a
    chunk in memory, the texts of likely pairs only."""
    import numpy as np

    rows = database.execute(
        "SELECT d.first, d.chunks, s.data FROM documents d JOIN sketches s ON s.document_id = d.id "
        "ORDER BY d.path"
    ).fetchall()
    sketches = np.frombuffer(b"".join(data for _, _, data in rows), dtype=np.uint32).reshape(
        -1, SKETCH
    )
    counts = np.array([count for _, count, _ in rows], dtype=np.int64)
    ids = np.concatenate(
        [np.arange(0), *(np.arange(first, first + count) for first, count, _ in rows)]
    )
    documents = np.repeat(np.arange(len(rows)), counts)

    def text_of(place: int) -> str:
        return str(
            database.execute("SELECT text FROM chunks WHERE id = ?", (int(ids[place]),)).fetchone()[
                0
            ]
        )

    originals = find_duplicates(sketches, documents, text_of)
    database.execute("DELETE FROM duplicates")
    pairs = ((int(ids[later]), int(ids[first])) for later, first in sorted(originals.items()))
    database.executemany("INSERT INTO duplicates VALUES (?, ?)", pairs)
    return len(originals)


def update_in_place(plan: Plan, progress: Progress) -> bool:
    """Change the finished files: rows and words in one transaction of chunks.sqlite, the vectors
    beside their places. Return False, with nothing done, where the index cannot be changed so: a
    chunk's context is made otherwise now, and its words could not be taken out."""
    base = plan.base
    assert base
    documents = [(first, count, r) for first, count, r in base.documents() if r.path in plan.gone]
    removed = []
    for first, count, _ in documents:
        rows = list(document_chunks(base.database, first, count))
        if any(chunk_key(chunk) != key for _, key, chunk in rows):
            return False
        removed += [i for i, _, _ in rows]
    _change_matrix(plan, removed)
    if plan.graph:
        change_graph(
            plan.folder,
            plan.folder / f"{GRAPH}{NEW}",
            plan.dim,
            plan.dtype,
            removed=removed,
            first=base.next_id,
            added=plan.pending.vectors(),
        )
    progress(1, 2)
    database = sqlite3.connect(plan.folder / CHUNKS)
    with database:
        for first, count, record in documents:
            _delete(database, first, count, record)
        (number,) = database.execute("SELECT coalesce(max(id), -1) + 1 FROM documents").fetchone()
        first = base.next_id
        for _, load in _pending(plan):
            document = load()
            _insert(database, number, first, document)
            number, first = number + 1, first + len(document.chunks)
        write_names(database)
        facts = {"generation": plan.generation, "chunks": plan.size, "next_id": first}
        write_meta(
            database,
            documents=_count(database, "documents"),
            removed=base.removed + len(removed),
            duplicates=mark_duplicates(database),
            **facts,
        )
    database.close()
    progress(2, 2)
    return True


def _change_matrix(plan: Plan, removed: Sequence[int]) -> None:
    """Write vectors.bin.new: the old rows, zeros in place of the removed ones, and the new rows."""
    import numpy as np

    target = plan.folder / f"{VECTORS}{NEW}"
    shutil.copyfile(plan.folder / VECTORS, target)
    if removed:
        scalar = np.dtype(SCALARS[plan.dtype])
        np.memmap(target, dtype=scalar, mode="r+").reshape(-1, plan.dim)[list(removed)] = 0
    with target.open("ab") as file:
        for data in plan.pending.vectors():
            file.write(data.tobytes())


def _delete(database: sqlite3.Connection, first: int, count: int, record: DocumentRecord) -> None:
    rows = [(i, *_words(c, record)) for i, _, c in document_chunks(database, first, count)]
    database.executemany(
        "INSERT INTO words(words, rowid, context, text) VALUES ('delete', ?, ?, ?)", rows
    )
    database.execute("DELETE FROM chunks WHERE id >= ? AND id < ?", (first, first + count))
    database.execute(
        "DELETE FROM sketches WHERE document_id = (SELECT id FROM documents WHERE path = ?)",
        (record.path,),
    )
    database.execute("DELETE FROM documents WHERE path = ?", (record.path,))
