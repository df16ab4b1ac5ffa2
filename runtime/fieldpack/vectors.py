"""The vectors of an index: how they are stored, opened memory-mapped and searched. Knows nothing of text."""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from .errors import BundleCorrupt

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

VECTORS = "vectors.usearch"
DType = Literal["f16", "i8"]
EXACT_BELOW = 50_000  # vectors; under it a full scan is exact and takes 6 ms in f16 and 3 in i8, at 384 dimensions

# cos for i8: every vector has its own scale there (see `encode`), which a cosine takes out again.
_METRICS = {"f16": "ip", "i8": "cos"}
_SCALARS = {"f16": "float16", "i8": "int8"}


def encode(vectors: NDArray[np.float32], dtype: DType) -> NDArray[Any]:
    """Unit vectors [n, dim] as they are stored. i8: each one scaled so that its largest component is 127; unit vectors of
    384 dimensions have components around 0.05, for which a common scale of 127 would leave 13 of the 255 levels."""
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


def new_index(dim: int, dtype: DType, *, lookups: bool = True) -> Any:
    """An empty usearch index. onnxruntime comes first: imported after usearch 2.26 (its numkong), onnxruntime 1.31 ends
    the process with SIGSEGV, each time; the other way round both work."""
    import onnxruntime  # noqa: F401
    from usearch.index import Index

    return Index(ndim=dim, metric=_METRICS[dtype], dtype=dtype, enable_key_lookups=lookups)


class Vectors:
    """Written vectors, opened in place. Safe to use from several threads."""

    def __init__(self, folder: Path, dim: int, dtype: DType) -> None:
        path = folder / VECTORS
        if not path.is_file():
            raise BundleCorrupt(f"{path} is missing; copy the bundle again")
        with path.open("rb") as file:
            self._mapping = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._dtype, self._dim = dtype, dim
        self._index = new_index(dim, dtype)
        self._index.view(self._mapping)
        self.size = len(self._index)

    def closest(
        self, vector: NDArray[np.float32], count: int, ranges: Sequence[tuple[int, int]] | None = None
    ) -> dict[int, float]:
        """Cosine of the nearest `count`; of those in `ranges`, each [first, end), where there are some."""
        if not self.size or count < 1:
            return {}
        if ranges is not None:
            return self._closest_among(vector, count, ranges)
        query = encode(vector.reshape(1, -1), self._dtype)[0]
        found = self._index.search(query, min(count, self.size), exact=self.size < EXACT_BELOW)
        if not query.any():
            return dict.fromkeys(map(int, found.keys), 0.0)
        return {int(key): 1.0 - float(d) for key, d in zip(found.keys, found.distances, strict=True)}

    def _closest_among(self, vector: NDArray[np.float32], count: int, ranges: Sequence[tuple[int, int]]) -> dict[int, float]:
        import numpy as np

        if not ranges:
            return {}
        ids = np.concatenate([np.arange(first, end) for first, end in ranges])
        similarity = self.get(ids) @ vector
        best = np.argsort(-similarity, kind="stable")[:count]
        return dict(zip(ids[best].tolist(), similarity[best].tolist(), strict=True))

    def get_stored(self, ids: Sequence[int] | NDArray[np.int64]) -> NDArray[Any]:
        """Vectors [n, dim] of stored ids, as they are stored."""
        import numpy as np

        if not len(ids):
            return stored(b"", self._dim, self._dtype)
        return np.vstack(self._index.get(np.asarray(ids, dtype=np.uint64)))

    def get(self, ids: Sequence[int] | NDArray[np.int64]) -> NDArray[np.float32]:
        """Unit vectors [n, dim] of stored ids."""
        return decode(self.get_stored(ids))

    def close(self) -> None:
        self._index.reset()
        self._mapping.close()
