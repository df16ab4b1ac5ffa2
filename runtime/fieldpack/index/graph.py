"""An HNSW graph beside the matrix of vectors, for libraries too large to scan at every question.
Knows nothing of text.

The graph is usearch's file with copies of the vectors in it, its keys the chunk ids. usearch follows
every number of the file, and a neighbour that does not exist ends the process (of 86 damaged files
21 did), so the file is checked before it is mapped.
"""

from __future__ import annotations

import mmap
from bisect import bisect_right
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import BundleCorrupt
from .graph_check import check_graph
from .vectors import DType, FlatVectors, Ranges, VectorIndex, best_first, encode

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

GRAPH = "vectors.usearch"
# Candidates kept while the graph is searched. Real questions lie farther from chunks than chunks
# from each other, and are harder to answer: recall@10 of 61 questions (FinanceBench) on 100,000
# chunks in i8, milliseconds of processor time; of 100 noisy chunks it is 0.993 throughout.
# 64: 0.884, 0.4   96: 0.928, 0.5   128: 0.962, 0.7   192: 0.975, 1.0
# 256: 0.979, 1.3   512: 0.985, 2.5, which is what i8 leaves.
_EXPANSION = 192
# Ids of a filter that are scanned rather than looked for in the graph: 8 ms in i8, 14 in f16, at
# 384 dimensions.
_SCANNED = 50_000
_MAX_DEPTH = 5_000  # results looked at in the graph for a filter

_METRICS = {"f16": "ip", "i8": "cos"}


def new_graph(dim: int, dtype: DType, *, lookups: bool = True, **settings: Any) -> Any:
    """Return an empty usearch index. onnxruntime comes first: imported after usearch 2.26 (its
    numkong), onnxruntime 1.31 ends the process with SIGSEGV, each time; the other way round both
    work."""
    import onnxruntime  # noqa: F401
    from usearch.index import Index

    return Index(
        ndim=dim, metric=_METRICS[dtype], dtype=dtype, enable_key_lookups=lookups, **settings
    )


class GraphVectors(FlatVectors):
    """A `VectorIndex` that finds neighbours in a graph, and scans where a filter leaves few chunks."""

    def __init__(self, folder: Path, dim: int, dtype: DType, *, rows: int, live: Ranges) -> None:
        """Raises BundleCorrupt for files that are missing, cut or damaged."""
        super().__init__(folder, dim, dtype, rows=rows, live=live)
        path = folder / GRAPH
        if not path.is_file() or not path.stat().st_size:
            raise BundleCorrupt(f"{path} is missing or empty; copy the bundle again")
        with path.open("rb") as file:
            mapping = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        check_graph(mapping, path, dim=dim, dtype=dtype, end=rows)
        # Without usearch's own table of keys: 40 bytes a vector.
        self._graph = new_graph(dim, dtype, lookups=False)
        self._graph.view(mapping)
        self._graph.expansion_search = _EXPANSION
        self._resident.watch(mapping)

    def closest(
        self, vector: NDArray[np.float32], count: int, ranges: Ranges | None = None
    ) -> dict[int, float]:
        """Return the cosines of the `count` chunks nearest by the graph, by id, best first.

        With `ranges` of many ids it looks deeper into the graph until enough of what it finds is
        among them; few ids, and ids that the graph does not lead to, are scanned."""
        if ranges is None:
            return self._search(vector, count)
        starts, ends = [first for first, _ in ranges], [end for _, end in ranges]
        allowed = sum(ends) - sum(starts)
        depth = 2 * count
        while allowed >= _SCANNED and depth < _MAX_DEPTH:
            cosines = {
                i: cosine
                for i, cosine in self._search(vector, depth).items()
                if i < ends[max(bisect_right(starts, i) - 1, 0)] and i >= starts[0]
            }
            if len(cosines) >= count:
                return best_first(cosines, count)
            depth *= 4
        return super().closest(vector, count, ranges)

    def _search(self, vector: NDArray[np.float32], count: int) -> dict[int, float]:
        query = encode(vector.reshape(1, -1), self._dtype)[0]
        hits = self._graph.search(query, min(count, len(self._graph)), threads=1)
        cosines = 1.0 - hits.distances if query.any() else hits.distances * 0
        self._resident.enforce()
        return best_first(dict(zip(hits.keys.tolist(), cosines.tolist(), strict=True)), count)


def open_vectors(
    folder: Path, dim: int, dtype: DType, *, rows: int, live: Ranges, graph: bool
) -> VectorIndex:
    """Open the vectors of an index in place, with its graph where it has one. Raises BundleCorrupt
    for files that are missing, cut or damaged."""
    kind = GraphVectors if graph else FlatVectors
    return kind(folder, dim, dtype, rows=rows, live=live)
