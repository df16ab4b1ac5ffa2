"""Makes the blobs of `postings` from FTS5's own index, and keeps them up with it. Knows nothing of
questions or ranking."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from fieldpack.index.postings import BLOCK_BITS, BLOCK_SIZE, WHOLE, unpack
from fieldpack.index.schema import TOKENIZER

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

COMMON = 64  # rows; reading so many from FTS5 takes 0.08 ms, from a blob 0.01
BLOCKED = 8192  # rows; a blob of a block costs 0.01 ms however few rows it has
_MOST = 255
_BATCH = 5_000  # rows
_Row = tuple[int, str, str]


def _pack(places: NDArray[Any], counts: NDArray[Any], *, whole: bool) -> bytes:
    import numpy as np

    packed: bytes = places.astype(np.uint32 if whole else np.uint16).tobytes()
    return packed + bytes(np.minimum(counts, _MOST).astype(np.uint8))


def write_postings(database: sqlite3.Connection) -> int:
    """Of all that `words` holds; the number of words (tokens) in it."""
    import numpy as np

    tokens = _change_lengths(database, _row_lengths(database))
    database.execute("CREATE VIRTUAL TABLE temp.vocabulary USING fts5vocab(main, words, row)")
    database.execute("CREATE VIRTUAL TABLE temp.instances USING fts5vocab(main, words, instance)")
    terms = database.execute(
        "SELECT term, doc FROM vocabulary WHERE doc >= ? ORDER BY term", (COMMON,)
    ).fetchall()
    database.executemany(
        "INSERT INTO common VALUES (?, ?, ?, ?)",
        ((t, i, rows, rows < BLOCKED) for i, (t, rows) in enumerate(terms)),
    )
    for number, (term, count) in enumerate(terms):
        # One text of all rows, made in C and read in C: 0.35 us a word, row by row through Python
        # 1.4 us.
        (text,) = database.execute(
            "SELECT group_concat(doc, ' ') FROM instances WHERE term = ?", (term,)
        ).fetchone()
        rows = np.fromstring(text, dtype=np.int64, sep=" ")
        starts = np.flatnonzero(np.diff(rows, prepend=-1))
        _append(
            database,
            number,
            rows[starts],
            np.diff(np.append(starts, len(rows))),
            whole=count < BLOCKED,
        )
    database.execute("DROP TABLE temp.vocabulary")
    database.execute("DROP TABLE temp.instances")
    return tokens


def _append(
    database: sqlite3.Connection,
    number: int,
    rows: NDArray[np.int64],
    counts: NDArray[np.int64],
    *,
    whole: bool,
) -> None:
    """Rows, ascending, behind those that the word has already."""
    import numpy as np

    for block, (start, end) in [(WHOLE, (0, len(rows)))] if whole else _cut(rows):
        key = number << BLOCK_BITS | block
        old = database.execute("SELECT data FROM postings WHERE id = ?", (key,)).fetchone()
        places, times = unpack(old[0] if old else b"", whole=whole)
        added = rows[start:end] if whole else rows[start:end] & (BLOCK_SIZE - 1)
        data = _pack(np.append(places, added), np.append(times, counts[start:end]), whole=whole)
        database.execute("INSERT OR REPLACE INTO postings VALUES (?, ?)", (key, data))


def _cut(rows: NDArray[np.int64]) -> Iterator[tuple[int, tuple[int, int]]]:
    import numpy as np

    blocks, starts = np.unique(rows >> BLOCK_BITS, return_index=True)
    ends = np.append(starts[1:], len(rows))
    yield from zip(blocks.tolist(), zip(starts.tolist(), ends.tolist(), strict=True), strict=True)


class PostingsUpdate:
    """After rows (id, context, text) left `words` and others came under higher ids: first all that
    left, then all that came. In batches: a batch rewrites the last blob of each of its words."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        rows = database.execute("SELECT term, number, whole FROM common")
        self._known = {term: (number, bool(whole)) for term, number, whole in rows}
        self._removed: list[_Row] = []
        self._added: list[_Row] = []
        self._tokens = 0

    def remove(self, rows: Iterable[_Row]) -> None:
        self._removed += rows
        self._flush(_BATCH)

    def add(self, rows: Iterable[_Row]) -> None:
        self._added += rows
        self._flush(_BATCH)

    def finish(self) -> int:
        """The tokens more in the library, or fewer."""
        self._flush(1)
        return self._tokens

    def _flush(self, size: int) -> None:
        for rows, sign in ((self._removed, -1), (self._added, 1)):
            if len(rows) >= size:
                self._apply(rows, sign)
                rows.clear()

    def _apply(self, rows: list[_Row], sign: int) -> None:
        import numpy as np

        lengths = {row[0]: 0 for row in sorted(rows)}
        changed = []
        for term, places, counts in _words_of(self._database, rows):
            for place, count in zip(places, counts, strict=True):
                lengths[place] += count
            if term in self._known:
                changed.append((sign * len(places), term))
                if sign > 0:
                    number, whole = self._known[term]
                    _append(self._database, number, np.array(places), np.array(counts), whole=whole)
        self._database.executemany("UPDATE common SET rows = rows + ? WHERE term = ?", changed)
        now = ((row, length if sign > 0 else 0) for row, length in lengths.items())
        self._tokens += _change_lengths(self._database, now)


def _words_of(
    database: sqlite3.Connection, rows: list[_Row]
) -> Iterator[tuple[str, list[int], list[int]]]:
    """Each word with its rows, ascending, and its count in each."""
    database.execute(
        "CREATE VIRTUAL TABLE temp.some USING fts5(context, text, content='', "
        f"tokenize='{TOKENIZER}')"
    )
    database.execute("CREATE VIRTUAL TABLE temp.instances USING fts5vocab(temp, some, instance)")
    database.executemany("INSERT INTO temp.some(rowid, context, text) VALUES (?, ?, ?)", rows)
    found: dict[str, tuple[list[int], list[int]]] = {}
    query = "SELECT term, doc, count(*) FROM temp.instances GROUP BY term, doc ORDER BY term, doc"
    for term, row, count in database.execute(query):
        places, counts = found.setdefault(term, ([], []))
        places.append(row)
        counts.append(count)
    database.execute("DROP TABLE temp.instances")
    database.execute("DROP TABLE temp.some")
    for term, (places, counts) in found.items():
        yield term, places, counts


def _row_lengths(database: sqlite3.Connection) -> Iterator[tuple[int, int]]:
    """Tokens of each row, from where FTS5 keeps them: a varint for each of the two columns."""
    for row, sizes in database.execute("SELECT id, sz FROM words_docsize ORDER BY id"):
        total = value = 0
        for byte in sizes:
            value = value << 7 | byte & 0x7F
            if byte < 0x80:
                total, value = total + value, 0
        yield row, total


def _change_lengths(database: sqlite3.Connection, lengths: Iterable[tuple[int, int]]) -> int:
    """Set the lengths of rows, given ascending; the tokens more, or fewer."""
    import numpy as np

    block, data, change = -1, np.zeros(0, dtype=np.uint16), 0

    def save() -> None:
        if block >= 0:
            database.execute(
                "INSERT OR REPLACE INTO lengths VALUES (?, ?)", (block, data.tobytes())
            )

    for row, length in lengths:
        if row >> BLOCK_BITS != block:
            save()
            block = row >> BLOCK_BITS
            old = database.execute("SELECT data FROM lengths WHERE block = ?", (block,)).fetchone()
            data = (
                np.frombuffer(old[0], dtype=np.uint16).copy()
                if old
                else np.zeros(BLOCK_SIZE, dtype=np.uint16)
            )
        place = row & (BLOCK_SIZE - 1)
        change += length - int(data[place])
        data[place] = length
    save()
    return change
