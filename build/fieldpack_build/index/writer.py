"""Writes the knowledge of a bundle: a document at a time, safe on disk each, then finished into
what ships. Knows nothing of embedders or of documents' formats."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fieldpack.index.graph import GRAPH
from fieldpack.index.schema import (
    CHUNKS,
    chunk_key,
    finished_generation,
    open_for_reading,
    read_meta,
)
from fieldpack.index.vectors import GRAPH_FROM, VECTORS, DType
from fieldpack.language import analysis_version
from fieldpack.passages import Chunk, DocumentRecord

from .rebuild import NEW, PART, Plan, build_anew, update_in_place
from .snapshot import IndexSnapshot
from .staging import StagingArea, discard_pending, pending_generation

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["IndexFacts", "IndexWriter", "chunk_key", "write_index"]

MAX_STALE = 0.2  # share of removed vectors; beyond it the index is built anew


@dataclass(frozen=True, slots=True)
class IndexFacts:
    """What a finish has made. `added` and `removed` are chunks; `in_place`: whether the finished
    index was changed rather than built anew."""

    documents: int
    chunks: int
    duplicates: int
    added: int
    removed: int
    in_place: bool


class IndexWriter:
    """Opens what `folder` holds (a finished index, or one that a killed build left), or begins an
    empty one.

    `dim`: the embedder's; `dtype`: how vectors are stored; `graph_from`: chunks from which on the
    vectors have a graph. A finished index of another kind or schema is begun anew."""

    def __init__(
        self, folder: Path, *, dim: int, dtype: DType = "f16", graph_from: int = GRAPH_FROM
    ) -> None:
        self._folder, self._dim, self._dtype, self._graph_from = folder, dim, dtype, graph_from
        folder.mkdir(parents=True, exist_ok=True)
        _settle(folder)
        self._base = IndexSnapshot.open(folder, dim, dtype)
        generation = 1 + (self._base.generation if self._base else 0)
        self._pending = StagingArea(folder, generation=generation, dim=dim, dtype=dtype)

    def documents(self) -> dict[str, DocumentRecord]:
        """Return the documents that are in, by path: finished or safe on disk."""
        gone = self._pending.removed()
        finished = (record for _, _, record in self._base.documents()) if self._base else ()
        kept = {record.path: record for record in finished if record.path not in gone}
        return kept | {record.path: record for _, record in self._pending.documents()}

    def known(self, keys: Sequence[bytes]) -> dict[bytes, NDArray[np.float32]]:
        """Return the vectors [dim] of the chunks that are stored already, by `chunk_key`; as
        stored, so f16 or i8 deep."""
        vectors = self._pending.known(keys)
        if self._base:
            vectors |= self._base.known([key for key in dict.fromkeys(keys) if key not in vectors])
        return vectors

    def add(
        self, record: DocumentRecord, chunks: Sequence[Chunk], vectors: NDArray[np.float32]
    ) -> None:
        """Add a document and its chunks' unit vectors [n, dim], in place of one of the same path.
        Safe on disk on return. Raises ValueError for vectors of another shape."""
        if vectors.shape != (len(chunks), self._dim):
            raise ValueError(
                f"{record.path}: {len(chunks)} chunks of {self._dim} dimensions, vectors "
                f"{vectors.shape}"
            )
        self._pending.add(
            record,
            chunks,
            vectors,
            finished=bool(self._base and self._base.count(record.path) is not None),
        )

    def remove(self, paths: Iterable[str]) -> int:
        """Forget documents and return how many chunks went; paths that are not there are passed
        over."""
        gone, count = self._pending.removed(), 0
        for path in paths:
            finished = None if path in gone or not self._base else self._base.count(path)
            count += self._pending.remove(path, finished=finished is not None) + (finished or 0)
        self._pending.commit()
        return count

    @property
    def stale(self) -> float:
        """Return the share of the stored vectors that are removed, or will be at the next
        finish."""
        if not self._base:
            return 0.0
        removed = self._base.removed + sum(
            self._base.count(path) or 0 for path in self._pending.removed()
        )
        return removed / max(self._base.chunks + self._base.removed, 1)

    def finish(self, progress: Callable[[int, int], None] | None = None) -> IndexFacts:
        """Write all that is in as chunks.sqlite and vectors.bin, with a graph where the library is
        large; `progress` is called with the steps done and in all.

        A fresh build gives the same bytes for the same documents in any order, but for the graph:
        usearch adds to it with all cores, and it depends on their race."""
        plan = Plan(
            self._folder,
            self._dim,
            self._dtype,
            self._base,
            self._pending,
            frozenset(self._pending.removed()),
            1 + (self._base.generation if self._base else 0),
            self._graph_from,
        )
        added, removed, in_place = plan.pending.size, plan.removed, False
        if not self._base or not self._pending.empty:
            on_progress = progress or (lambda done, total: None)
            # A library that grows past `graph_from`, or shrinks below it, is built anew.
            may_change = (
                bool(self._base and self._base.chunks and plan.size)
                and self.stale <= MAX_STALE
                and self._base is not None
                and self._base.graph == plan.graph
                # its rows are taken out by giving their words again
                and self._base.words == analysis_version()
            )
            in_place = may_change and update_in_place(plan, on_progress)
            if not in_place:
                build_anew(plan, on_progress)
        self.close()
        _settle(self._folder)
        discard_pending(self._folder)  # also where there was nothing to do
        with closing(open_for_reading(self._folder / CHUNKS)) as database:
            meta = read_meta(database, self._folder / CHUNKS)
        return IndexFacts(
            meta["documents"], meta["chunks"], meta["duplicates"], added, removed, in_place
        )

    def close(self) -> None:
        """End without finishing: what was added is safe, and the next writer of this folder goes
        on with it."""
        self._pending.close()
        if self._base:
            self._base.close()


def _settle(folder: Path) -> None:
    """Put the files in order after a finish, also one that was killed: chunks.sqlite decides. Once
    it has the generation that the pending documents lead to, the files beside it are complete and
    take their places; before that they go."""
    target = pending_generation(folder)
    done = target is not None and finished_generation(folder / CHUNKS) == target
    for path in sorted(folder.glob(f"*{NEW}")):
        if done:
            path.replace(path.with_suffix(""))
        else:
            path.unlink()
    if done:
        with closing(open_for_reading(folder / CHUNKS)) as database:
            graph = read_meta(database, folder / CHUNKS)["graph"]
        for path in folder.glob("vectors*"):  # of an older schema, or of a library that shrank
            if path.name not in (VECTORS, GRAPH if graph else VECTORS):
                path.unlink()
    for path in folder.glob(f"*{PART}"):
        path.unlink()
    if done:
        discard_pending(folder)


def write_index(
    folder: Path,
    chunks: Sequence[Chunk],
    vectors: NDArray[np.float32],
    *,
    dtype: DType = "f16",
    graph_from: int = GRAPH_FROM,
) -> None:
    """Write n chunks and their unit vectors [n, dim] in one go. A document's record is made from
    its first chunk."""
    rows: dict[str, list[int]] = {}
    for i, chunk in enumerate(chunks):
        rows.setdefault(chunk.document, []).append(i)
    writer = IndexWriter(folder, dim=vectors.shape[1], dtype=dtype, graph_from=graph_from)
    for path, places in rows.items():
        own = [chunks[i] for i in places]
        pages = len({chunk.page for chunk in own})
        writer.add(DocumentRecord(path, own[0].title, "", pages), own, vectors[places])
    writer.finish()
