"""Documents into the index: chunks that it has no vector for are embedded in windows, while the
window before is written and the next is gathered. Knows nothing of files or processes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING

from fieldpack_build.index.writer import IndexWriter, chunk_key

from .kept import KeptVectors
from .progress import ProgressEstimator
from .read import ReadDocument

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]
    Embed = Callable[[list[str]], Vectors]

_MOST = 8  # times as many chunks may be in a window as are to be embedded: the others have a vector


@dataclass
class _Window:
    """Documents with their chunks' keys; `known`: vectors the index has; `fresh`: key -> text to
    embed, in order."""

    documents: list[tuple[ReadDocument, list[bytes]]] = field(default_factory=list)
    known: dict[bytes, Vectors] = field(default_factory=dict)
    fresh: dict[bytes, str] = field(default_factory=dict)
    chunks: int = 0
    made: dict[bytes, Vectors] = field(default_factory=dict)
    before: dict[bytes, Vectors] = field(default_factory=dict)

    def vector(self, key: bytes) -> Vectors:
        found = self.made.get(key)
        if found is None:
            found = self.known.get(key)
        return self.before[key] if found is None else found


class Indexer:
    """`with Indexer(...) as indexer: indexer.take(document) ...; indexer.finish()`. Documents go
    into the index in the order in which they are taken. `written` is called right before one does.
    `embed` runs in a thread of its own, one call at a time, with `step` texts or fewer of a window
    of `window` chunks or a little more. `kept`: vectors that an interrupted build had made, and
    where those of this one are kept until their documents are in the index."""

    def __init__(
        self,
        writer: IndexWriter,
        embed: Embed,
        meter: ProgressEstimator,
        *,
        dim: int,
        window: int,
        step: int,
        written: Callable[[ReadDocument], None],
        kept: KeptVectors | None = None,
    ) -> None:
        self._writer, self._embed, self._meter, self._dim = writer, embed, meter, dim
        self._size, self._step, self._written, self._kept = window, step, written, kept
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="embedding")
        self._window = _Window()
        self._ahead: tuple[_Window, Future[None]] | None = None

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
        """`size`: of its file in bytes, for the meter."""
        window = self._window
        keys = [chunk_key(chunk) for chunk in read.chunks]
        texts = {key: chunk.embedded for key, chunk in zip(keys, read.chunks, strict=True)}
        asked = [key for key in texts if key not in window.known and key not in window.fresh]
        window.known |= self._writer.known(asked)
        if self._kept is not None and self._kept.found:
            window.known |= {key: self._kept.found[key] for key in asked if key in self._kept.found}
        under_way = self._ahead[0].fresh if self._ahead else {}
        new = {key: texts[key] for key in asked if key not in window.known and key not in under_way}
        window.fresh |= new
        window.documents.append((read, keys))
        window.chunks += len(keys)
        self._meter.read(size, len(new))
        if len(window.fresh) >= self._size or window.chunks >= _MOST * self._size:
            self._turn()

    def finish(self) -> None:
        """Everything taken is in the index."""
        self._turn()
        self._write_ahead()
        self._meter.end()

    def _turn(self) -> None:
        """The window that was embedded is written; the one that was gathered is embedded."""
        window, self._window = self._window, _Window()
        window.before = self._write_ahead()
        if window.documents:
            self._ahead = window, self._thread.submit(self._make, window)

    def _write_ahead(self) -> dict[bytes, Vectors]:
        """Gives the vectors that were made, for chunks of the next window that are the same."""
        if self._ahead is None:
            return {}
        window, future = self._ahead
        future.result()
        self._ahead = None
        for read, keys in window.documents:
            self._written(read)
            self._writer.add(
                read.record, read.chunks, self._stack([window.vector(key) for key in keys])
            )
        if self._kept is not None:
            self._kept.forget()
        return window.made

    def _make(self, window: _Window) -> None:
        keys = list(window.fresh)
        for at in range(0, len(keys), self._step):
            self._meter.embedding()
            some = keys[at : at + self._step]
            vectors = self._embed([window.fresh[key] for key in some])
            window.made.update(zip(some, vectors, strict=True))
            if self._kept is not None and len(keys) > self._step:
                self._kept.add(some, vectors)
            self._meter.embed(len(some))

    def _stack(self, vectors: Sequence[Vectors]) -> Vectors:
        import numpy as np

        return np.stack(vectors) if vectors else np.zeros((0, self._dim), dtype=np.float32)
