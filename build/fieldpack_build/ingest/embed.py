"""Puts documents into the index: chunks that it has no vector for are embedded in batches.

Meanwhile the batch before is written and the next is gathered. Knows nothing of files or processes.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING

from fieldpack_build.index.writer import IndexWriter, chunk_key

from .progress import ProgressEstimator
from .read import ReadDocument
from .vector_cache import VectorCache

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]
    Embed = Callable[[list[str]], Vectors]

_MOST = 8  # times as many chunks may be in a batch as are to be embedded: the others have a vector


@dataclass
class _Batch:
    """Documents with their chunks' keys.

    `known`: vectors the index has; `fresh`: key -> text to embed, in order; `made`: vectors of
    these; `before`: those made for the batch before.
    """

    documents: list[tuple[ReadDocument, list[bytes]]] = field(default_factory=list)
    known: dict[bytes, Vectors] = field(default_factory=dict)
    fresh: dict[bytes, str] = field(default_factory=dict)
    chunks: int = 0
    made: dict[bytes, Vectors] = field(default_factory=dict)
    before: dict[bytes, Vectors] = field(default_factory=dict)

    def vector(self, key: bytes) -> Vectors:
        for vectors in (self.made, self.known):
            if key in vectors:
                return vectors[key]
        return self.before[key]


class Indexer:
    """Embeds documents and puts them into the index, in the order in which they are taken.

    `with Indexer(...) as indexer: indexer.take(document) ...; indexer.finish()`. `written` is
    called right before a document goes into the index. `embed` runs in a thread of its own, one
    call at a time, with `step` texts or fewer of a batch of `batch` chunks or a little more.
    `cache`: vectors that an interrupted build had made, and where those of this one stay until
    their documents are in the index.
    """

    def __init__(
        self,
        writer: IndexWriter,
        embed: Embed,
        progress: ProgressEstimator,
        *,
        dim: int,
        batch: int,
        step: int,
        written: Callable[[ReadDocument], None],
        cache: VectorCache | None = None,
    ) -> None:
        self._writer, self._embed, self._progress, self._dim = writer, embed, progress, dim
        self._size, self._step, self._written, self._cache = batch, step, written, cache
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="embedding")
        self._batch = _Batch()
        self._ahead: tuple[_Batch, Future[None]] | None = None

    def __enter__(self) -> Indexer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._thread.shutdown(wait=True, cancel_futures=True)

    def take(self, read: ReadDocument, size: int) -> None:
        """Gather a document whose file has `size` bytes; embed and write when a batch is full."""
        batch = self._batch
        keys = [chunk_key(chunk) for chunk in read.chunks]
        texts = {key: chunk.embedded for key, chunk in zip(keys, read.chunks, strict=True)}
        missing = [key for key in texts if key not in batch.known and key not in batch.fresh]
        batch.known |= self._writer.known(missing)
        if self._cache is not None and self._cache.vectors:
            cached = self._cache.vectors
            batch.known |= {key: cached[key] for key in missing if key in cached}
        under_way = self._ahead[0].fresh if self._ahead else {}
        new = {
            key: texts[key] for key in missing if key not in batch.known and key not in under_way
        }
        batch.fresh |= new
        batch.documents.append((read, keys))
        batch.chunks += len(keys)
        self._progress.read(read.record.path, size, len(new))
        if len(batch.fresh) >= self._size or batch.chunks >= _MOST * self._size:
            self._next_batch()

    def finish(self) -> None:
        """Embed and write what was gathered: then everything taken is in the index."""
        self._next_batch()
        self._write_ahead()
        self._progress.end()

    def _next_batch(self) -> None:
        """The batch that was embedded is written; the one that was gathered is embedded."""
        batch, self._batch = self._batch, _Batch()
        batch.before = self._write_ahead()
        if batch.documents:
            self._ahead = batch, self._thread.submit(self._embed_batch, batch)

    def _write_ahead(self) -> dict[bytes, Vectors]:
        """Gives the vectors that were made, for chunks of the next batch that are the same."""
        import numpy as np

        if self._ahead is None:
            return {}
        batch, future = self._ahead
        future.result()
        self._ahead = None
        for read, keys in batch.documents:
            self._written(read)
            vectors = np.zeros((len(keys), self._dim), dtype=np.float32)
            for row, key in enumerate(keys):
                vectors[row] = batch.vector(key)
            self._writer.add(read.record, read.chunks, vectors)
        if self._cache is not None:
            self._cache.clear()
        return batch.made

    def _embed_batch(self, batch: _Batch) -> None:
        keys = list(batch.fresh)
        for at in range(0, len(keys), self._step):
            self._progress.embedding()
            some = keys[at : at + self._step]
            vectors = self._embed([batch.fresh[key] for key in some])
            batch.made.update(zip(some, vectors, strict=True))
            if self._cache is not None and len(keys) > self._step:
                self._cache.add(some, vectors)
            self._progress.embed(len(some))
