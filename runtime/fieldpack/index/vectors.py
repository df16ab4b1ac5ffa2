"""The vectors of an index: how they are stored, opened memory-mapped and searched. Knows nothing of
text."""

from __future__ import annotations

import mmap
import os
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..errors import BundleCorrupt
from .graph_check import NO_SLOT, check_graph

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DType = Literal["f16", "i8"]
# vectors; under it a full scan is exact and takes 6 ms in f16 and 3 in i8, at 384 dimensions
EXACT_BELOW = 50_000
# Ids of a filter that are scanned rather than looked for in the graph: 8 ms in i8, 14 in f16, at
# 384 dimensions.
_SCANNED = 50_000
# Candidates kept while the graph is searched. Real questions lie farther from chunks than chunks
# from each other, and are harder to answer: recall@10 of 61 questions (FinanceBench) on 100,000
# chunks in i8, milliseconds of processor time;
# of 100 noisy chunks it is 0.993 throughout.  64: 0.884, 0.4   96: 0.928, 0.5   128: 0.962, 0.7
#                                         192: 0.975, 1.0
# 256: 0.979, 1.3   512: 0.985, 2.5, which is what i8 leaves.
_EXPANSION = 192
_DEEPEST = 5_000  # results asked of the graph for a filter
# Bytes of mapped files. 1,000,000 vectors in i8, 20 to 30 MB touched by a search, milliseconds of
# processor time at p50 on a busy machine: 32 MB 7.3, 64 MB 5.7, 96 MB 4.4, without a limit 1.6.
_MOST_RESIDENT = 96 << 20

# cos for i8: every vector has its own scale there (see `encode`), which a cosine takes out again.
_METRICS = {"f16": "ip", "i8": "cos"}
_SCALARS = {"f16": "float16", "i8": "int8"}
_KINDS = {
    "f16": (ord("i"), 12),
    "i8": (ord("c"), 23),
}  # usearch's numbers for metric and scalar, as its files have them


def encode(vectors: NDArray[np.float32], dtype: DType) -> NDArray[Any]:
    """Unit vectors [n, dim] as they are stored. i8: each one scaled so that its largest component
    is 127; unit vectors of 384 dimensions have components around 0.05, for which a common scale of
    127 would leave 13 of the 255 levels."""
    import numpy as np

    if dtype == "f16":
        return vectors.astype(np.float16)
    largest = np.abs(vectors).max(axis=1, keepdims=True, initial=1e-12)
    scaled: NDArray[np.int8] = np.rint(vectors * (127 / largest)).astype(np.int8)
    return scaled


def decode(data: NDArray[Any]) -> NDArray[np.float32]:
    """Unit vectors again; a zero vector stays one."""
    import numpy as np

    vectors = data.astype(np.float32)
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: NDArray[np.float32] = vectors / np.maximum(length, np.float32(1e-12))
    return unit


def stored(data: bytes, dim: int, dtype: DType) -> NDArray[Any]:
    """The array [n, dim] that `encode` made, from its bytes."""
    import numpy as np

    return np.frombuffer(data, dtype=_SCALARS[dtype]).reshape(-1, dim)


def graph_file(number: int) -> str:
    """The file of a shard; a library of one has no number in its name."""
    return f"vectors.{number}.usearch" if number else "vectors.usearch"


def slots_file(number: int) -> str:
    return f"vectors.{number}.slots" if number else "vectors.slots"


def new_index(dim: int, dtype: DType, *, lookups: bool = True, **settings: Any) -> Any:
    """An empty usearch index. onnxruntime comes first: imported after usearch 2.26 (its numkong),
    onnxruntime 1.31 ends the process with SIGSEGV, each time; the other way round both work."""
    import onnxruntime  # noqa: F401
    from usearch.index import Index

    return Index(
        ndim=dim, metric=_METRICS[dtype], dtype=dtype, enable_key_lookups=lookups, **settings
    )


def keys_by_slot(path: Path) -> NDArray[np.uint64]:
    """The id of each vector in a usearch file, FREE where it is removed: several threads add in any
    order.

    The format of usearch 2.x: rows and bytes a row, the vectors, 64 bytes of head, five 64-bit
    facts of the graph, the level of each node, then the nodes, each with its key first."""
    import numpy as np

    data = np.memmap(path, dtype=np.uint8, mode="r")
    rows, width = data[:8].view(np.uint32).tolist()
    head = 8 + rows * width + 64
    size, links, base_links, _, _ = np.frombuffer(
        data[head : head + 40].tobytes(), dtype=np.uint64
    ).tolist()
    levels = np.frombuffer(data[head + 40 : head + 40 + 2 * size].tobytes(), dtype=np.int16).astype(
        np.int64
    )
    widths = 10 + 4 * (base_links + 1) + levels * 4 * (links + 1)
    starts = head + 40 + 2 * size + np.cumsum(widths) - widths
    if size != rows or (size and starts[-1] + widths[-1] != len(data)):
        raise RuntimeError(
            f"{path}: not as usearch 2.26 writes it; pin usearch to the version in constraints.txt"
        )
    keys: NDArray[np.uint64] = data[starts[:, None] + np.arange(8)].view(np.uint64)[:, 0]
    return keys


class _Shard:
    """One graph, mapped; its vectors as a matrix by slot, and the slot of each id from `first` on."""

    def __init__(self, folder: Path, number: int, first: int, dim: int, dtype: DType) -> None:
        import numpy as np

        graph, slots = folder / graph_file(number), folder / slots_file(number)
        for path in (graph, slots):
            if not path.is_file():
                raise BundleCorrupt(f"{path} is missing; copy the bundle again")
        if not graph.stat().st_size or slots.stat().st_size % 4:
            raise BundleCorrupt(f"{graph} or its slots are cut off; copy the bundle again")
        with graph.open("rb") as file:
            self.mapping = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._slots = (
            np.memmap(slots, dtype=np.uint32, mode="r")
            if slots.stat().st_size
            else np.zeros(0, dtype=np.uint32)
        )
        width = dim * np.dtype(_SCALARS[dtype]).itemsize
        check_graph(
            self.mapping,
            graph,
            width=width,
            dim=dim,
            kinds=_KINDS[dtype],
            slots=self._slots,
            first=first,
        )
        # Without usearch's own table of keys: 40 bytes a vector. `slots` is 4, and mapped.
        self.index = new_index(dim, dtype, lookups=False)
        self.index.view(self.mapping)
        self.index.expansion_search = _EXPANSION
        rows = int(np.frombuffer(self.mapping, dtype=np.uint32, count=1)[0])
        data = np.frombuffer(self.mapping, dtype=_SCALARS[dtype], count=rows * dim, offset=8)
        self.first, self.matrix, self._path = first, data.reshape(rows, dim), graph

    def get(self, ids: NDArray[np.int64]) -> NDArray[Any]:
        """Vectors as stored. Raises BundleCorrupt for an id that has none."""
        at = ids - self.first
        if len(at) and (
            at.min() < 0 or at.max() >= len(self._slots) or (self._slots[at] == NO_SLOT).any()
        ):
            raise BundleCorrupt(
                f"{self._path}: has no vector of a chunk in its library; copy the bundle again"
            )
        return self.matrix[self._slots[at]]


class Vectors:
    """Written vectors, opened in place. Safe to use from several threads.

    `size`: how many there are; `end`: above all their ids; `shard`: ids a shard."""

    def __init__(
        self, folder: Path, dim: int, dtype: DType, *, size: int, end: int, shard: int
    ) -> None:
        self._folder, self._dim, self._dtype, self._shard, self.size = (
            folder,
            dim,
            dtype,
            shard,
            size,
        )
        self._shards = [
            _Shard(folder, n, first, dim, dtype)
            for n, first in enumerate(range(0, max(end, 1), shard))
        ]
        self._resident = _Resident([shard.mapping for shard in self._shards])
        self._resident.drop()  # opening read the head of every node

    def closest(
        self,
        vector: NDArray[np.float32],
        count: int,
        ranges: Sequence[tuple[int, int]] | None = None,
    ) -> dict[int, float]:
        """Cosine of the nearest `count`; of those in `ranges`, each [first, end), where there are
        some.

        A full scan below EXACT_BELOW; and where the ranges hold fewer than _SCANNED ids."""
        if not self.size or count < 1:
            return {}
        found = (
            self._search(vector, count)
            if ranges is None
            else self._closest_among(vector, count, ranges)
        )
        self._resident.limit()
        return found

    def _search(self, vector: NDArray[np.float32], count: int) -> dict[int, float]:
        query = encode(vector.reshape(1, -1), self._dtype)[0]
        found: dict[int, float] = {}
        for shard in self._shards:
            hits = shard.index.search(
                query, min(count, len(shard.matrix)), exact=self.size < EXACT_BELOW, threads=1
            )
            cosines = 1.0 - hits.distances if query.any() else hits.distances * 0
            found |= zip(hits.keys.tolist(), cosines.tolist(), strict=True)
        return found if len(self._shards) == 1 else _best(found, count)

    def _closest_among(
        self, vector: NDArray[np.float32], count: int, ranges: Sequence[tuple[int, int]]
    ) -> dict[int, float]:
        """By a scan of the ids, or by looking deeper into the graph until enough of what it finds
        is among them."""
        allowed = sum(end - first for first, end in ranges)
        depth = 2 * count
        while allowed >= _SCANNED and depth < _DEEPEST:
            kept = {
                i: cosine for i, cosine in self._search(vector, depth).items() if _is_in(ranges, i)
            }
            if len(kept) >= count:
                return _best(kept, count)
            depth *= 4
        return self._scan(vector, count, ranges)

    def _scan(
        self, vector: NDArray[np.float32], count: int, ranges: Sequence[tuple[int, int]]
    ) -> dict[int, float]:
        from usearch.index import MetricKind, search

        query = encode(vector.reshape(1, -1), self._dtype)[0]
        metric = MetricKind.Cos if self._dtype == "i8" else MetricKind.IP
        found: dict[int, float] = {}
        for ids in _pieces(ranges):
            hits = search(
                self.get_stored(ids),
                query,
                min(count, len(ids)),
                metric=metric,
                exact=True,
                threads=1,
            )
            cosines = 1.0 - hits.distances if query.any() else hits.distances * 0
            found = _best(
                found
                | dict(zip(ids[hits.keys.astype(int)].tolist(), cosines.tolist(), strict=True)),
                count,
            )
        return found

    def get_stored(self, ids: Sequence[int] | NDArray[np.int64]) -> NDArray[Any]:
        """Vectors [n, dim] of stored ids, as they are stored."""
        import numpy as np

        wanted = np.asarray(ids, dtype=np.int64)
        data = np.empty((len(wanted), self._dim), dtype=_SCALARS[self._dtype])
        if len(wanted) and (wanted.min() < 0 or wanted.max() >= len(self._shards) * self._shard):
            raise BundleCorrupt(
                f"{self._folder}: has no vector of a chunk in its library; copy the bundle again"
            )
        for number, shard in enumerate(self._shards):
            mine = np.flatnonzero(wanted // self._shard == number)
            if len(mine):
                data[mine] = shard.get(wanted[mine])
        self._resident.limit()
        return data

    def get(self, ids: Sequence[int] | NDArray[np.int64]) -> NDArray[np.float32]:
        """Unit vectors [n, dim] of stored ids."""
        return decode(self.get_stored(ids))


class _Resident:
    """Keeps the mapped pages that are in memory few: what searches have touched is given back to
    the system's cache when it has grown by _MOST_RESIDENT; the next search maps its pages again."""

    def __init__(self, mappings: Sequence[mmap.mmap]) -> None:
        self._mappings = mappings
        self._statm: Any = None
        with suppress(OSError):
            self._statm = Path("/proc/self/statm").open("rb", buffering=0)  # noqa: SIM115  (read at each search)
        self._before = self._shared()

    def limit(self) -> None:
        if self._shared() - self._before > _MOST_RESIDENT:
            self.drop()

    def drop(self) -> None:
        for mapping in self._mappings:
            if hasattr(mmap, "MADV_DONTNEED"):
                mapping.madvise(mmap.MADV_DONTNEED)
        self._before = self._shared()

    def _shared(self) -> int:
        """Bytes of files that this process has in memory; 0 where the system does not say."""
        if self._statm is None:
            return 0
        return int(os.pread(self._statm.fileno(), 256, 0).split()[2]) * mmap.PAGESIZE


def _best(found: dict[int, float], count: int) -> dict[int, float]:
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0]))[:count])


def _is_in(ranges: Sequence[tuple[int, int]], i: int) -> bool:
    place = bisect_right(ranges, i, key=lambda r: r[0]) - 1
    return place >= 0 and i < ranges[place][1]


def _pieces(ranges: Sequence[tuple[int, int]]) -> Iterator[NDArray[np.int64]]:
    """The ids of `ranges`, ascending, _SCANNED at a time: 20 MB of vectors in i8 at 384 dimensions."""
    import numpy as np

    ids = np.concatenate(
        [np.zeros(0, dtype=np.int64), *(np.arange(first, end) for first, end in ranges)]
    )
    yield from (ids[i : i + _SCANNED] for i in range(0, len(ids), _SCANNED))
