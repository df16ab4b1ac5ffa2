"""An index without some of its chunks, to ask a question of a library that has no answer to it any
more. Knows nothing of questions or of how they are judged."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

from fieldpack.index.reader import KnowledgeIndex
from fieldpack.passages import COLUMNS, Chunk, Filter

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class MaskedIndex(KnowledgeIndex):
    """A written index that searches as if the chunks in `masked` were not there. How rare a word is,
    and which documents a question names, is still counted over the whole library."""

    masked: Collection[int] = frozenset()

    def source_of(self, chunk_id: int) -> frozenset[int]:
        """Return the ids of the chunks to mask so that the library no longer says what a chunk says:
        its document's, and those of documents that have copies of one of these. Where most of the
        library is this document, the chunks under the same heading alone."""
        (row,) = self.rows([chunk_id])
        own = self.chunks(row.chunk.document)
        if 2 * len(own) > self.size:
            section = _section(row.chunk)
            return frozenset(number for number, chunk in own if _section(chunk) == section)
        documents = {row.chunk.document, *self._with_copies([number for number, _ in own])}
        return frozenset(number for document in documents for number, _ in self.chunks(document))

    def _with_copies(self, ids: Iterable[int]) -> list[str]:
        """The documents that hold copies of chunks, or what these are copies of."""
        query = (
            "WITH own AS (SELECT value AS id FROM json_each(?)), firsts AS (SELECT id FROM own UNION "
            "SELECT duplicate_of FROM duplicates WHERE id IN (SELECT id FROM own)) "
            "SELECT id FROM firsts UNION "
            "SELECT id FROM duplicates WHERE duplicate_of IN (SELECT id FROM firsts)"
        )
        rows = self._database.execute(query, (json.dumps(list(ids)),)).fetchall()
        return [place.document for place in self.places(number for (number,) in rows)]

    def closest(
        self, vector: NDArray[np.float32], count: int, where: Filter | None = None
    ) -> dict[int, float]:
        """As the whole index does, without the masked chunks."""
        return self._without(super().closest(vector, count + len(self.masked), where), count)

    def matching(
        self,
        question: str,
        count: int,
        where: Filter | None = None,
        *,
        phrase_weight: float = 0.0,
    ) -> dict[int, float]:
        """As the whole index does, without the masked chunks."""
        more = count + len(self.masked)
        scores = super().matching(question, more, where, phrase_weight=phrase_weight)
        return self._without(scores, count)

    def allowed(self, ids: Iterable[int], where: Filter | None) -> list[int]:
        """As the whole index does, without the masked chunks."""
        return [i for i in super().allowed(ids, where) if i not in self.masked]

    def _without(self, scores: dict[int, float], count: int) -> dict[int, float]:
        left = [(i, score) for i, score in scores.items() if i not in self.masked]
        return dict(left[:count])


def _section(chunk: Chunk) -> tuple[str, ...]:
    return tuple(part for part in chunk.heading if not part.startswith(COLUMNS))
