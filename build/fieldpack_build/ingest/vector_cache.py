"""Vectors of chunks that are embedded and not yet in the index, in a file.

A document of 100,000 chunks goes into the index as a whole, and what was embedded of it before
Ctrl-C or a crash must not be embedded again. Knows nothing of documents.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

VECTOR_CACHE = "embedded.bin"
_KEY = "V16"  # as long as fieldpack.index.schema.chunk_key


class VectorCache:
    """Appends records of a chunk's key and its float32 vector of `dim` figures.

    `vectors`: those that an earlier build had written, each [dim]. Half a record at the end, which
    a killed build leaves, is dropped.
    """

    def __init__(self, path: Path, dim: int) -> None:
        import numpy as np

        self._record = np.dtype([("key", _KEY), ("vector", "<f4", (dim,))])
        self._path = path
        data = path.read_bytes() if path.exists() else b""
        whole = data[: len(data) // self._record.itemsize * self._record.itemsize]
        records = np.frombuffer(whole, dtype=self._record)
        self.vectors: dict[bytes, NDArray[np.float32]] = {
            bytes(row["key"]): row["vector"] for row in records
        }
        if len(whole) < len(data):
            path.write_bytes(whole)
        self._file = path.open("ab")

    def add(self, keys: Sequence[bytes], vectors: NDArray[np.float32]) -> None:
        """Write vectors [n, dim] of n keys.

        On return they are on disk, as far as the system is concerned.
        """
        import numpy as np

        records = np.empty(len(keys), dtype=self._record)
        records["key"] = np.frombuffer(b"".join(keys), dtype=_KEY)
        records["vector"] = vectors
        self._file.write(records.tobytes())
        self._file.flush()

    def clear(self) -> None:
        """Drop what was added: all of it is in the index."""
        self._file.truncate(0)

    def close(self, *, remove: bool = False) -> None:
        """Close the file. `remove`: delete it too."""
        self._file.close()
        if remove:
            self._path.unlink(missing_ok=True)
