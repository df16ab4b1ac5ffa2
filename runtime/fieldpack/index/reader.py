"""The knowledge of a bundle: chunks with words in SQLite (FTS5), vectors in a matrix, searched
together. The build writes it, the device reads it. Knows nothing of embedders, prompts or
documents' formats."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterable, Sequence
from contextlib import closing
from math import log
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import BundleCorrupt
from ..language import is_unspaced
from ..passages import Chunk, DocumentRecord, Filter, Passage, PassageContext, Place, StoredChunk
from ..untrusted import WrongValue, untrusted
from .bm25 import best_by_words
from .code_lookup import CodeLookup
from .compound_terms import compound_terms
from .document_names import NamingTerm, naming_terms
from .filters import allowed_ranges
from .graph import open_vectors
from .query_terms import forms_of, neighbour_phrases, search_terms, word_spans
from .schema import (
    CHUNK_COLUMNS,
    CHUNKS,
    CHUNKS_WITH_DOCUMENTS,
    RECORD_COLUMNS,
    check_documents,
    open_for_reading,
    read_meta,
    stored_languages,
    to_chunk,
    to_place,
    to_record,
)
from .surroundings import in_context, stored_passage
from .unknown_words import unknown_words

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["CHUNKS", "KnowledgeIndex", "StoredChunk", "library_documents", "library_size"]

_PLACE = "c.id, c.document_id, d.path, c.ordinal, c.page, t.duplicate_of"  # as in `Place`
_PAGE = 16  # chunks of a page before and after one of it
_CHUNKS_OF_PAGES = """
WITH spans AS MATERIALIZED (
  SELECT json_extract(value, '$[0]') AS document, json_extract(value, '$[1]') AS page,
         json_extract(value, '$[2]') AS low, json_extract(value, '$[3]') AS high FROM json_each(?))
SELECT s.document, s.page, c.id FROM spans s CROSS JOIN chunks c
ON c.id BETWEEN s.low AND s.high AND c.document_id = s.document AND c.page = s.page
"""
# Results beyond the count that is wanted, so that equal scores at the end of a list can be told apart by
# their place
_TIES = 32
_COUNTED = 50_000  # chunks with a word, beyond which it counts as common: a millisecond


class KnowledgeIndex:
    """A written index, opened in place (memory-mapped, read-only). Safe to use from several
    threads.

    Verify the bundle first: a damaged vector file can crash the process (usearch checks nothing).
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / CHUNKS
        self._local = threading.local()
        if not self._path.is_file():
            raise BundleCorrupt(f"{self._path} is missing; copy the bundle again")
        with untrusted(self._path):
            meta = read_meta(self._database, self._path)
            check_documents(self._database, self._path)
            live = allowed_ranges(self._database, Filter())
            self.languages = stored_languages(self._database, self._path)
        self.size = int(meta["chunks"])
        self._documents = int(meta["documents"])
        self._dim = int(meta["dim"])
        self._vectors = open_vectors(
            folder,
            meta["dim"],
            meta["dtype"],
            rows=int(meta["next_id"]),
            live=live,
            graph=bool(meta["graph"]),
        )

    @property
    def _database(self) -> sqlite3.Connection:
        """One connection a thread: SQLite's may not be shared."""
        if not hasattr(self._local, "database"):
            self._local.database = open_for_reading(self._path)
        database: sqlite3.Connection = self._local.database
        return database

    def documents(self) -> list[str]:
        """Return the paths of all documents that have chunks, sorted."""
        return [
            row[0]
            for row in self._database.execute(
                "SELECT path FROM documents WHERE chunks > 0 ORDER BY path"
            )
        ]

    def records(self, where: Filter | None = None) -> list[DocumentRecord]:
        """Return all documents by path, or those that a filter lets through and that hold text."""
        rows = self._database.execute(
            f"SELECT first, {RECORD_COLUMNS} FROM documents ORDER BY path"
        )
        if not where:
            return [to_record(row[1:]) for row in rows]
        ranges = allowed_ranges(self._database, where)
        return [
            to_record(row[1:])
            for row in rows
            if any(first <= row[0] < end for first, end in ranges)
        ]

    def sha256_of(self, document: str) -> str | None:
        """Return the SHA-256 of the file that a document was read from; None for one that the
        library does not hold."""
        row = self._database.execute(
            "SELECT sha256 FROM documents WHERE path = ?", (document,)
        ).fetchone()
        return str(row[0]) if row else None

    def chunks(self, document: str | None = None) -> list[tuple[int, Chunk]]:
        """Return all chunks, or one document's, with their ids, in reading order."""
        where = "" if document is None else "WHERE d.path = ?"
        rows = self._database.execute(
            f"SELECT c.id, {CHUNK_COLUMNS} FROM documents d JOIN chunks c ON c.id >= d.first AND "
            "c.id < d.first + d.chunks "
            f"{where} ORDER BY d.path, c.id",
            () if document is None else (document,),
        )
        return [(row[0], to_chunk(row[1:])) for row in rows]

    def rows(self, ids: Iterable[int]) -> list[StoredChunk]:
        """Return stored chunks in the order of `ids`; unknown ids are passed over."""
        numbers = [int(i) for i in ids]
        rows = self._of_chunks(f"{_PLACE}, {CHUNK_COLUMNS}", numbers)
        chunks = {}
        for row in rows:
            place, chunk = to_place(row[:6]), to_chunk(row[6:])
            chunks[place.id] = StoredChunk(
                place.id, chunk, place.duplicate_of, place.document_id, place.ordinal
            )
        return [chunks[i] for i in numbers if i in chunks]

    def passage(self, chunk_id: int) -> Passage:
        """Return one chunk as a passage of no question. Raises NoSuchPassage."""
        return stored_passage(self._database, chunk_id)

    def context(self, chunk_id: int, end: int | None = None, characters: int = 0) -> PassageContext:
        """Return a chunk, or what goes on to `end` on its page, with `characters` of the page
        around it. Raises NoSuchPassage."""
        return in_context(self._database, chunk_id, end, characters)

    def sample_vectors(self, count: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return at most `count` chunk ids [n], spread evenly over the library, and their unit
        vectors [n, dim]."""
        import numpy as np

        rows = self._database.execute(
            "SELECT first, chunks FROM documents WHERE chunks > 0 ORDER BY first"
        ).fetchall()
        firsts, chunks = np.array(rows, dtype=np.int64).reshape(-1, 2).T
        before = np.cumsum(chunks) - chunks
        places = np.linspace(0, max(self.size - 1, 0), min(count, self.size)).astype(np.int64)
        document = np.searchsorted(before, places, side="right") - 1
        ids = firsts[document] + places - before[document]
        return ids, self._vectors.get(ids)

    def places(self, ids: Iterable[int]) -> list[Place]:
        """Return where chunks stand, in the order of their ids; their texts are not read. Unknown
        ids are passed over."""
        return list(map(to_place, self._of_chunks(_PLACE, ids)))

    def _of_chunks(self, columns: str, ids: Iterable[int]) -> sqlite3.Cursor:
        """Select columns of chunks (c), their documents (d) and duplicates (t), in the order of
        their ids."""
        return self._database.execute(
            f"SELECT {columns} FROM {CHUNKS_WITH_DOCUMENTS} LEFT JOIN duplicates t ON t.id = c.id "
            "WHERE c.id IN (SELECT value FROM json_each(?)) ORDER BY c.id",
            (json.dumps([int(i) for i in ids]),),
        )

    def pages_around(self, places: Iterable[Place]) -> dict[tuple[int, int], list[int]]:
        """Return the ids of a page's chunks by (document id, page), for every page that one of
        `places` is on; a long page's as far as 16 chunks before and after."""
        bounds: dict[tuple[int, int], tuple[int, int]] = {}
        for place in places:
            if place.page is not None:
                low, high = bounds.get((place.document_id, place.page), (place.id, place.id))
                bounds[place.document_id, place.page] = min(low, place.id), max(high, place.id)
        pages: dict[tuple[int, int], list[int]] = {page: [] for page in bounds}
        spans = [(*page, low - _PAGE, high + _PAGE) for page, (low, high) in bounds.items()]
        for document, page, i in self._database.execute(_CHUNKS_OF_PAGES, (json.dumps(spans),)):
            pages[document, page].append(i)
        return pages

    def similarity(self, vector: NDArray[np.float32], ids: Sequence[int]) -> dict[int, float]:
        """Return the cosines of a unit vector [dim] and stored chunks', by id."""
        self._check_vector(vector)
        return dict(zip(ids, (self._vectors.get(ids) @ vector).tolist(), strict=True))

    def naming_terms(self, question: str) -> list[NamingTerm]:
        """Return the words by which the question names documents."""
        return naming_terms(
            self._database, question, self._documents, self._term_specificity, self.languages
        )

    def saying(self, phrase: str, ids: Iterable[int]) -> set[int]:
        """Return those of the chunks that say a phrase, in their text or headings."""
        # The plus keeps SQLite from asking FTS5 for each chunk apart.
        query = (
            "SELECT rowid FROM words WHERE words MATCH ? "
            "AND +rowid IN (SELECT value FROM json_each(?))"
        )
        numbers = json.dumps([int(i) for i in ids])
        return {row[0] for row in self._database.execute(query, (self._forms(phrase), numbers))}

    def _forms(self, phrase: str) -> str:
        """Return FTS5's query for a phrase in any of the forms in which documents have it."""
        return " OR ".join(f'"{form}"' for form in forms_of(phrase, self.languages))

    def _term_specificity(self, word: str, documents: Sequence[int]) -> float:
        """Return the share of the chunks with a word that are these documents'; 1 where no chunk
        has it, as with words written as one."""
        match = self._forms(word)
        (total,) = self._database.execute(
            "SELECT count(*) FROM words WHERE words MATCH ?", (match,)
        ).fetchone()
        query = (
            "SELECT count(*) FROM words, documents d WHERE words MATCH ? AND d.id = ? "
            "AND words.rowid >= d.first AND words.rowid < d.first + d.chunks"
        )
        theirs = sum(self._database.execute(query, (match, i)).fetchone()[0] for i in documents)
        return float(theirs / total) if total else 1.0

    def paths(self, documents: Iterable[int], where: Filter | None = None) -> list[str]:
        """Return paths of documents in the order of their ids; those that a filter keeps out are
        left away."""
        rows = [
            self._database.execute(
                "SELECT path, first FROM documents WHERE id = ?", (i,)
            ).fetchone()
            for i in documents
        ]
        ranges = allowed_ranges(self._database, where) if where else [(0, 1 << 62)]
        return [path for path, first in rows if any(low <= first < high for low, high in ranges)]

    def closest(
        self, vector: NDArray[np.float32], count: int, where: Filter | None = None
    ) -> dict[int, float]:
        """Return the cosines of the `count` chunks nearest to a unit vector [dim], by id."""
        self._check_vector(vector)
        ranges = allowed_ranges(self._database, where) if where else None
        cosines = self._vectors.closest(vector, count + _TIES, ranges)
        return {i: cosines[i] for i in self._best(cosines, count)}

    def matching(
        self,
        question: str,
        count: int,
        where: Filter | None = None,
        *,
        phrase_weight: float = 0.0,
    ) -> dict[int, float]:
        """Return the BM25 scores of the `count` best chunks for the question's words, by id; higher
        is better, headings count as much as text. `phrase_weight`: what two neighbouring words of
        the question count, where they are neighbours in a chunk, beside each by itself."""
        words = search_terms(question, self.languages)
        words += compound_terms(self._database, question, self.languages)
        if not words:
            return {}
        ranges = allowed_ranges(self._database, where) if where else None
        scores = best_by_words(
            self._database,
            words,
            count + _TIES,
            ranges,
            chunks=self.size,
            phrases=neighbour_phrases(question, self.languages),
            phrase_weight=phrase_weight,
        )
        return {i: scores[i] for i in self._best(scores, count)}

    def rarity(self, words: Sequence[str]) -> list[float]:
        """Return the inverse document frequency of words over the chunks, 0 for one that all have:
        log((N + 1) / (n + 0.5))."""
        query = "SELECT count(*) FROM (SELECT 1 FROM words WHERE words MATCH ? LIMIT ?)"
        counted = [
            int(self._database.execute(query, (self._forms(word), _COUNTED)).fetchone()[0])
            for word in words
        ]
        return [max(log((self.size + 1) / (count + 0.5)), 0.0) for count in counted]

    def unknown_words(self, question: str, words: Sequence[str]) -> list[str]:
        """Return those of a question's words that no document has in any form, nor in its file's
        name."""
        unknown = unknown_words(self._database, question, words, self.languages)
        if not unknown:
            return []
        named = {part for term in self.naming_terms(question) for part in term.phrase.split()}
        return [word for word in unknown if word.lower() not in named]

    def holds_words(self, question: str) -> bool:
        """Return whether all of a question's words, those left out that only ask, stand in some
        chunk or in its headings; scripts without blanks are not looked at."""
        words = [question[start:end] for start, end in word_spans(question, self.languages)]
        nowhere = log((self.size + 1) / 0.5)
        return nowhere not in self.rarity([word for word in words if not is_unspaced(word)])

    def code_lookup(self) -> CodeLookup:
        """Return what looks up one question's codes."""
        return CodeLookup(self._database)

    def allowed(self, ids: Iterable[int], where: Filter | None) -> list[int]:
        """Return those of the ids that a filter lets through, in their order."""
        ranges = allowed_ranges(self._database, where) if where else [(0, 1 << 62)]
        return [i for i in ids if any(first <= i < end for first, end in ranges)]

    def _check_vector(self, vector: NDArray[np.float32]) -> None:
        if vector.shape != (self._dim,):
            raise WrongValue(
                f"the library's vectors have {self._dim} dimensions, a question's {vector.shape}"
            )

    def _best(self, scores: dict[int, float], count: int) -> list[int]:
        """Return the ids of the `count` best. Equal scores go by document and place in it, not by id: an
        index that was changed in place has other ids than a fresh one, and must answer alike."""
        best = sorted(scores, key=lambda i: (-scores[i], i))
        values = [scores[i] for i in best]
        tied = [
            i
            for n, i in enumerate(best)
            if values[n] in (values[n - 1 : n] + values[n + 1 : n + 2])
        ]
        if not tied:
            return best[:count]
        place = {p.id: (p.document, p.ordinal) for p in self.places(tied)}
        return sorted(best, key=lambda i: (-scores[i], place.get(i, ("", 0))))[:count]


def library_documents(folder: Path) -> list[DocumentRecord]:
    """Return the documents of a written index by path, without opening its vectors. Raises
    BundleCorrupt."""
    with untrusted(folder / CHUNKS), closing(open_for_reading(folder / CHUNKS)) as database:
        read_meta(database, folder / CHUNKS)
        rows = database.execute(f"SELECT {RECORD_COLUMNS} FROM documents ORDER BY path")
        return [to_record(row) for row in rows]


def library_size(folder: Path) -> tuple[int, int]:
    """Return the numbers of documents and chunks of a written index, without opening its vectors.
    Raises BundleCorrupt."""
    with untrusted(folder / CHUNKS), closing(open_for_reading(folder / CHUNKS)) as database:
        meta = read_meta(database, folder / CHUNKS)
    return int(meta["documents"]), int(meta["chunks"])
