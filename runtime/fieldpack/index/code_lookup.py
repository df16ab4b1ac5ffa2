"""Chunks that may hold a code ("AB-1234-X", "AB1234X"), through FTS5's phrases. Knows nothing of
questions; whether a chunk does hold it, its text says.

FTS5 splits a text at every mark, so a code stands there as a phrase of its parts, "ab 1234 x",
whatever is between them. Where the parts are not known ("47110815" for 4711.08.15), those pieces of
the code are tried that the library has as words.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from itertools import islice

_MOST_PIECES = 5
_MOST_PHRASES = 64  # of a code, the fewest pieces first
# A piece that more rows have is not counted further. A phrase takes as long as its rarest piece has
# rows; all phrases of a code together may take so many.
_MOST_ROWS = 5_000
_PHRASE_ROWS = 50_000
_MOST_COUNTED = 2_000  # pieces of all codes of a question: some 20 us each


class CodeLookup:
    """Looks up the codes of one question; counts each piece of them once."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self._counts: dict[str, int] = {}

    def rows(self, parts: Sequence[str], max_rows: int) -> list[int] | None:
        """Return the ids of chunks that may hold a code, ascending; None where more than `max_rows`
        may. `parts`: the code as the question writes it."""
        glued = "".join(parts)
        phrases = dict.fromkeys(
            [tuple(parts), (glued,), *islice(self._splits(glued), _MOST_PHRASES)]
        )
        rows: set[int] = set()
        budget = _PHRASE_ROWS
        for pieces in phrases:
            rarest = min(map(self._count, pieces))
            if not rarest or rarest > budget:
                continue
            budget -= rarest
            query = "SELECT rowid FROM words WHERE words MATCH ? LIMIT ?"
            matches = self._database.execute(query, (f'"{" ".join(pieces)}"', max_rows + 1))
            rows.update(row[0] for row in matches)
            if len(rows) > max_rows:
                return None
        return sorted(rows)

    def _count(self, piece: str) -> int:
        """Return how many rows have a piece as a word, `_MOST_ROWS` at most; 0 once as many pieces
        were counted as a question may cost."""
        if piece not in self._counts:
            if len(self._counts) >= _MOST_COUNTED:
                return 0
            query = "SELECT count(*) FROM (SELECT 1 FROM words WHERE words MATCH ? LIMIT ?)"
            row = self._database.execute(query, (f'"{piece}"', _MOST_ROWS)).fetchone()
            self._counts[piece] = int(row[0])
        return self._counts[piece]

    def _splits(self, glued: str) -> Iterator[tuple[str, ...]]:
        """Yield the ways to cut a code into words of the library, the fewest pieces first."""
        size = len(glued)
        words = {
            start: [end for end in range(start + 1, size + 1) if self._count(glued[start:end])]
            for start in range(size)
        }
        # The numbers of pieces in which the rest of the code can be cut, by where the rest begins.
        ways: dict[int, set[int]] = {size: {0}}
        for start in reversed(range(size)):
            ways[start] = {pieces + 1 for end in words[start] for pieces in ways[end]}

        def cuts(start: int, pieces: int) -> Iterator[tuple[str, ...]]:
            if not pieces:
                yield ()
                return
            for end in words[start]:
                if pieces - 1 in ways[end]:
                    for rest in cuts(end, pieces - 1):
                        yield (glued[start:end], *rest)

        for pieces in range(1, _MOST_PIECES + 1):
            if pieces in ways[0]:
                yield from cuts(0, pieces)
