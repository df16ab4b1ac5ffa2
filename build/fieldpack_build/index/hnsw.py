"""Makes the graph of a large library's vectors, and changes it. Knows nothing of text.

The whole graph is in memory while it is made or changed: 0.5 GB for a million vectors in i8, 0.9 in
f16, at 384 dimensions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fieldpack.index.graph import GRAPH, new_graph
from fieldpack.index.vectors import DType, decode

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_BATCH = 10_000  # vectors added between two reports of progress
# 200,000 made from 24,107 chunks of filings, i8, recall@10 of 61 real questions at 128, 192 and 256
# candidates of a search: usearch's own 128: 0.969, 0.970, 0.982; 256: 0.980, 0.982, 0.987, the
# graph in about twice the time; 32 links instead of 16 on top: 0.987, 0.992, 0.992, in 660 bytes a
# vector instead of 533.
_EXPANSION_ADD = 256


def write_graph(
    target: Path, matrix: NDArray[Any], dtype: DType, progress: Callable[[int], None]
) -> None:
    """Save the graph of stored vectors [n, dim] under their numbers from 0 on. All cores add to it,
    so that it depends on their race."""
    import numpy as np

    order = _order_by_neighbourhood(matrix)
    graph = new_graph(matrix.shape[1], dtype, expansion_add=_EXPANSION_ADD)
    for first in range(0, len(order), _BATCH):
        rows = order[first : first + _BATCH]
        graph.add(rows.astype(np.uint64), matrix[rows])
        progress(first + len(rows))
    graph.save(str(target))


def change_graph(
    folder: Path,
    target: Path,
    dim: int,
    dtype: DType,
    *,
    removed: Sequence[int],
    first: int,
    added: Iterable[NDArray[Any]],
) -> None:
    """Save the graph of `folder` without the ids `removed`, and with the vectors `added`, arrays
    [n, dim] as stored, under ids from `first` on."""
    import numpy as np

    graph = new_graph(dim, dtype, expansion_add=_EXPANSION_ADD)
    graph.load(str(folder / GRAPH))
    if removed:
        graph.remove(np.array(removed, dtype=np.uint64))
    for data in added:
        graph.add(np.arange(first, first + len(data), dtype=np.uint64), data)
        first += len(data)
    graph.save(str(target))


def _order_by_neighbourhood(data: NDArray[Any]) -> NDArray[np.int64]:
    """Return the numbers of vectors [n, dim] in an order in which near ones stand together: each
    goes to the nearest of sqrt(n) of them, those form a chain, and so again inside each one's share.

    200,000 made of filings, i8, the outer order alone: the graph takes 77 s of processor time
    instead of 128, and a search touches 17 MB of pages instead of 40 (the system maps 16 at a
    time), at the same recall."""
    import numpy as np

    near = _nearest_in_chain(data)
    order = np.argsort(near, kind="stable")
    shares = np.split(order, np.flatnonzero(np.diff(near[order])) + 1)
    inner = [
        share[np.argsort(_nearest_in_chain(data[share]), kind="stable")]
        for share in map(np.sort, shares)
    ]
    joined: NDArray[np.int64] = np.concatenate(inner)
    return joined


def _nearest_in_chain(data: NDArray[Any]) -> NDArray[np.int64]:
    """Choose sqrt(n) of the vectors [n, dim], chain them up (each the nearest to the one before it
    that is left), and return the place in that chain of the one nearest to each vector, [n]."""
    import numpy as np

    count = math.isqrt(len(data))
    centres = decode(
        data[np.sort(np.random.default_rng(17).choice(len(data), count, replace=False))]
    )
    near = [
        (decode(data[i : i + _BATCH]) @ centres.T).argmax(axis=1)
        for i in range(0, len(data), _BATCH)
    ]
    rank = np.empty(count, dtype=np.int64)
    cosines, here = centres @ centres.T, 0
    for place in range(count):
        rank[here] = place
        cosines[:, here] = -2
        here = int(cosines[here].argmax())
    ranks: NDArray[np.int64] = rank[np.concatenate(near)]
    return ranks
