"""Writes the vectors of an index: graphs built anew, or changed. Knows nothing of text.

A shard holds the vectors of a million consecutive ids: a build's memory is one shard's graph (0.5
GB in i8, 0.9 in f16 at 384 dimensions), however large the library, and a change rewrites the shards
it touches."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fieldpack.index.graph_check import FREE, NO_SLOT
from fieldpack.index.vectors import (
    DType,
    decode,
    graph_file,
    keys_by_slot,
    new_index,
    slots_file,
    stored,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SHARD = 1_000_000
NEW = ".new"  # complete, and in its place once chunks.sqlite is
_BATCH = 10_000  # vectors added between two reports of progress
# Where every search is a full scan the links are only what the format asks for: 10,000 vectors in
# 0.5 s, not 5. 200,000 made from 24,107 chunks of filings, i8, recall@10 of 61 real questions at
# 128, 192 and 256 candidates of a search: usearch's own 128: 0.969, 0.970, 0.982; 256: 0.980,
# 0.982, 0.987, the graph in about twice the time; 32 links instead of 16 on top: 0.987, 0.992,
# 0.992, in 660 bytes a vector instead of 533.
_SEARCHED: dict[str, Any] = {"expansion_add": 256}
_SCANNED: dict[str, Any] = {"connectivity": 4, "expansion_add": 4}


def write_graphs(
    folder: Path,
    raw: Path,
    dim: int,
    dtype: DType,
    *,
    shard: int,
    scanned: bool,
    progress: Callable[[int], None],
) -> None:
    """The vectors in `raw`, one after the other as `encode` made them, under their numbers from 0
    on.

    `scanned`: searches will be full scans; one thread then, so that the same input gives the same
    bytes. Else all cores, and the graph depends on their race."""
    import numpy as np

    row = stored(b"", dim, dtype)
    size = raw.stat().st_size // (row.dtype.itemsize * dim)
    data = np.memmap(raw, dtype=row.dtype, mode="r", shape=(size, dim)) if size else row
    for number, start in enumerate(range(0, max(size, 1), shard)):
        part = data[start : start + shard]
        order = np.arange(len(part)) if scanned else _by_neighbourhood(part)
        index = new_index(dim, dtype, **(_SCANNED if scanned else _SEARCHED))
        for first in range(0, len(part), _BATCH):
            places = order[first : first + _BATCH]
            index.add((start + places).astype(np.uint64), part[places], threads=1 if scanned else 0)
            progress(start + first + len(places))
        _save(index, folder, number, start)


def _by_neighbourhood(data: NDArray[Any]) -> NDArray[np.int64]:
    """An order in which near vectors stand together: each goes to the nearest of sqrt(n) of them,
    those form a chain, and so again inside each one's share.

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
    """Of sqrt(n) vectors, each the nearest to the one before it that is left: which is nearest to
    each of `data`."""
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


def change_graphs(
    folder: Path,
    dim: int,
    dtype: DType,
    *,
    shard: int,
    removed: Sequence[int],
    first: int,
    added: Iterable[NDArray[Any]],
) -> None:
    """The graphs without the ids `removed`, and with `added` under ids from `first` on, beside the
    old ones."""
    import numpy as np

    gone: dict[int, list[int]] = {}
    loaded: dict[int, Any] = {}
    for i in removed:
        gone.setdefault(i // shard, []).append(i)
    for start, data in _pieces(added, first, shard):
        number = start // shard
        if number not in loaded:
            _save_all(loaded, folder, shard)
            loaded[number] = _load(folder, number, dim, dtype, gone.pop(number, []))
        loaded[number].add(np.arange(start, start + len(data), dtype=np.uint64), data)
    _save_all(loaded, folder, shard)
    for number, ids in sorted(gone.items()):
        _save(_load(folder, number, dim, dtype, ids), folder, number, number * shard)


def _save_all(loaded: dict[int, Any], folder: Path, shard: int) -> None:
    """And forget them: one is in memory at a time."""
    for number, index in loaded.items():
        _save(index, folder, number, number * shard)
    loaded.clear()


def _pieces(
    added: Iterable[NDArray[Any]], first: int, shard: int
) -> Iterator[tuple[int, NDArray[Any]]]:
    """Id of the first vector, and vectors that all go into one shard."""
    for data in added:
        while len(data):
            room = shard - first % shard
            yield first, data[:room]
            first, data = first + len(data[:room]), data[room:]


def _load(folder: Path, number: int, dim: int, dtype: DType, removed: Sequence[int]) -> Any:
    import numpy as np

    index = new_index(dim, dtype, **_SEARCHED)
    if (folder / graph_file(number)).is_file():
        index.load(str(folder / graph_file(number)))
    if removed:
        index.remove(np.array(removed, dtype=np.uint64))
    return index


def _save(index: Any, folder: Path, number: int, first: int) -> None:
    import numpy as np

    path = folder / f"{graph_file(number)}{NEW}"
    index.save(str(path))
    keys = keys_by_slot(path)
    used = np.flatnonzero(keys != FREE)
    slots = np.full(int(keys[used].max()) - first + 1 if len(used) else 0, NO_SLOT, dtype=np.uint32)
    slots[(keys[used] - np.uint64(first)).astype(np.int64)] = used
    (folder / f"{slots_file(number)}{NEW}").write_bytes(slots.tobytes())
