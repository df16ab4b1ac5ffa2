"""Writes vectors.usearch: a graph built anew, or one changed. Knows nothing of text."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .vectors import EXACT_BELOW, DType, new_index, stored

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BATCH = 10_000  # vectors added between two reports of progress


def write_graph(path: Path, raw: Path, dim: int, dtype: DType, progress: Callable[[int], None]) -> None:
    """The vectors in `raw`, one after the other as `encode` made them, under their numbers from 0 on."""
    import numpy as np

    row = stored(b"", dim, dtype).dtype.itemsize * dim
    size = raw.stat().st_size // row
    index = new_index(dim, dtype)
    with raw.open("rb") as file:
        for first in range(0, size, _BATCH):
            data = stored(file.read(row * _BATCH), dim, dtype)
            keys = np.arange(first, first + len(data), dtype=np.uint64)
            index.add(keys, data, threads=1 if size < EXACT_BELOW else 0)
            progress(first + len(data))
    index.save(str(path))


def change_graph(
    path: Path, new: Path, dim: int, dtype: DType, *, removed: Sequence[int], first: int, added: Iterator[NDArray[Any]]
) -> None:
    """`path` without the ids `removed`, and with `added` under ids from `first` on, as `new`."""
    import numpy as np

    index = new_index(dim, dtype)
    index.load(str(path))
    if removed:
        index.remove(np.array(removed, dtype=np.uint64))
    for data in added:
        if len(data):
            index.add(np.arange(first, first + len(data), dtype=np.uint64), data)
            first += len(data)
    index.save(str(new))
