"""The vectors of an index: one matrix in a file, memory-mapped and scanned. Knows nothing of text.

Row i of the file is the vector of chunk i. A scan is exact and takes 2.5 ms of processor time at
24,000 chunks and 8 ms at 100,000 (384 dimensions, i8); docs/decisions/vectors.md has the figures.
A library of `GRAPH_FROM` chunks and more has a graph beside the matrix, see `graph`.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from ..errors import BundleCorrupt

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DType = Literal["f16", "i8"]
Ranges = Sequence[tuple[int, int]]  # of chunk ids, each [first, end), ascending, without overlap
VECTORS = "vectors.bin"
# Chunks; below, a scan costs less than the first milliseconds of an answer do (20 ms in i8).
GRAPH_FROM = 250_000
_BATCH = 50_000  # rows gathered for one scan of many ranges: 20 MB in i8 at 384 dimensions
# Bytes of mapped files that stay in memory between searches. 1,000,000 vectors in i8 with a graph,
# 20 to 30 MB touched by a search, milliseconds of processor time at p50 on a busy machine:
# 32 MB 7.3, 64 MB 5.7, 96 MB 4.4, without a limit 1.6.
_MAX_RESIDENT = 96 << 20
SCALARS = {"f16": "float16", "i8": "int8"}


class VectorIndex(Protocol):
    """The stored vectors of a library, by chunk id. Safe to use from several threads."""

    def closest(
        self, vector: NDArray[np.float32], count: int, ranges: Ranges | None = None
    ) -> dict[int, float]:
        """Return the cosines of the `count` chunks nearest to a unit vector [dim], by id, best
        first; of those in `ranges` where there are some."""

    def get(self, ids: Sequence[int] | NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the unit vectors [n, dim] of chunks. Raises BundleCorrupt for an unknown id."""


def encode(vectors: NDArray[np.float32], dtype: DType) -> NDArray[Any]:
    """Return unit vectors [n, dim] as they are stored. i8: each one scaled so that its largest
    component is 127; unit vectors of 384 dimensions have components around 0.05, for which a common
    scale of 127 would leave 13 of the 255 levels."""
    import numpy as np

    if dtype == "f16":
        return vectors.astype(np.float16)
    largest = np.abs(vectors).max(axis=1, keepdims=True, initial=1e-12)
    scaled: NDArray[np.int8] = np.rint(vectors * (127 / largest)).astype(np.int8)
    return scaled


def decode(data: NDArray[Any]) -> NDArray[np.float32]:
    """Return stored vectors [n, dim] as unit vectors again; a zero vector stays one."""
    import numpy as np

    vectors = data.astype(np.float32)
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: NDArray[np.float32] = vectors / np.maximum(length, np.float32(1e-12))
    return unit


def stored(data: bytes, dim: int, dtype: DType) -> NDArray[Any]:
    """Return the array [n, dim] that `encode` made, from its bytes."""
    import numpy as np

    return np.frombuffer(data, dtype=SCALARS[dtype]).reshape(-1, dim)


class FlatVectors:
    """A `VectorIndex` that compares a question with every stored vector. Opened in place.

    `rows`: how many the file has. `live`: the ranges of ids that chunks have; the rows between them
    belonged to documents that were removed. Raises BundleCorrupt for a missing or cut file.
    """

    def __init__(self, folder: Path, dim: int, dtype: DType, *, rows: int, live: Ranges) -> None:
        import numpy as np

        path = folder / VECTORS
        self._path, self._dtype, self._live = path, dtype, live
        size = rows * dim * np.dtype(SCALARS[dtype]).itemsize
        if not path.is_file():
            raise BundleCorrupt(f"{path} is missing; copy the bundle again")
        if path.stat().st_size != size:
            raise BundleCorrupt(
                f"{path}: {path.stat().st_size:,} bytes, its library wants {size:,}; copy the "
                "bundle again"
            )
        self._matrix: NDArray[Any] = np.zeros((0, dim), dtype=SCALARS[dtype])
        self._resident = ResidentLimit()
        if size:
            with path.open("rb") as file:
                mapping = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            self._matrix = np.frombuffer(mapping, dtype=SCALARS[dtype]).reshape(rows, dim)
            self._resident.watch(mapping)

    def closest(
        self, vector: NDArray[np.float32], count: int, ranges: Ranges | None = None
    ) -> dict[int, float]:
        """Return the cosines of the `count` nearest chunks by id, best first; exact but for the
        rounding of the stored vectors."""
        import onnxruntime  # noqa: F401  (imported after usearch it ends the process: SIGSEGV)
        from usearch.index import MetricKind, search

        query = encode(vector.reshape(1, -1), self._dtype)[0]
        # Cosine for i8: every vector has its own scale there, which a cosine takes out again.
        metric = MetricKind.Cos if self._dtype == "i8" else MetricKind.IP
        best: dict[int, float] = {}
        for ids, rows in self._batches(self._live if ranges is None else ranges):
            hits = search(rows, query, min(count, len(rows)), metric=metric, exact=True, threads=1)
            cosines = 1.0 - hits.distances if query.any() else hits.distances * 0
            near = zip(ids[hits.keys.astype(int)].tolist(), cosines.tolist(), strict=True)
            best = best_first(best | dict(near), count)
            self._resident.enforce()
        return best

    def _batches(self, ranges: Ranges) -> Iterator[tuple[NDArray[np.int64], NDArray[Any]]]:
        """Yield the ids [n] and the rows [n, dim] of ranges: a long range as it lies in the file,
        short ones copied together."""
        import numpy as np

        bounds = np.array([(0, 0), *ranges, (len(self._matrix),) * 2], dtype=np.int64).ravel()
        if (np.diff(bounds) < 0).any():
            raise self._unknown()
        batch: list[tuple[int, int]] = []
        for i, (first, end) in enumerate(ranges):
            batch.append((first, end))
            rows = sum(end - first for first, end in batch)
            if rows >= _BATCH or i == len(ranges) - 1:
                ids = np.concatenate([np.arange(*one) for one in batch])
                parts = [self._matrix[slice(*one)] for one in batch]
                if rows:
                    yield ids, parts[0] if len(parts) == 1 else np.concatenate(parts)
                batch = []

    def get_stored(self, ids: Sequence[int] | NDArray[np.int64]) -> NDArray[Any]:
        """Return the vectors [n, dim] of chunks as they are stored. Raises BundleCorrupt for an id
        that has none."""
        import numpy as np

        rows = np.asarray(ids, dtype=np.int64)
        if len(rows) and not 0 <= rows.min() <= rows.max() < len(self._matrix):
            raise self._unknown()
        data: NDArray[Any] = self._matrix[rows]
        self._resident.enforce()
        return data

    def get(self, ids: Sequence[int] | NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the unit vectors [n, dim] of chunks. Raises BundleCorrupt for an id that has
        none."""
        return decode(self.get_stored(ids))

    def _unknown(self) -> BundleCorrupt:
        return BundleCorrupt(
            f"{self._path}: has no vector of a chunk in its library; copy the bundle again"
        )


class ResidentLimit:
    """Keeps the mapped pages that are in memory few: what searches have touched is given back to
    the system's cache when it has grown by _MAX_RESIDENT; the next search maps its pages again."""

    def __init__(self) -> None:
        self._mappings: list[mmap.mmap] = []
        self._statm: Any = None
        with suppress(OSError):
            self._statm = Path("/proc/self/statm").open("rb", buffering=0)  # noqa: SIM115  (read at each search)
        self._before = self._mapped_bytes()

    def watch(self, mapping: mmap.mmap) -> None:
        """Count the pages of one more mapping, and give back those that opening it has read."""
        self._mappings.append(mapping)
        self._release()

    def enforce(self) -> None:
        """Give the pages back if they have grown past the limit."""
        if self._mapped_bytes() - self._before > _MAX_RESIDENT:
            self._release()

    def _release(self) -> None:
        for mapping in self._mappings:
            if hasattr(mmap, "MADV_DONTNEED"):
                mapping.madvise(mmap.MADV_DONTNEED)
        self._before = self._mapped_bytes()

    def _mapped_bytes(self) -> int:
        """Return the bytes of files that this process has in memory; 0 where the system does not
        say."""
        if self._statm is None:
            return 0
        return int(os.pread(self._statm.fileno(), 256, 0).split()[2]) * mmap.PAGESIZE


def best_first(cosines: dict[int, float], count: int) -> dict[int, float]:
    """Return the `count` best of cosines by id, equal ones by id."""
    return dict(sorted(cosines.items(), key=lambda item: (-item[1], item[0]))[:count])
