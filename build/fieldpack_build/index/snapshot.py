"""A finished index as the writer sees it: what is in it, and the vectors that need not be made
again. Knows nothing of questions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from fieldpack.errors import BundleError
from fieldpack.index.schema import CHUNKS, RECORD_COLUMNS, open_for_reading, read_meta, to_record
from fieldpack.index.vectors import DType, FlatVectors
from fieldpack.passages import DocumentRecord

from .minhash import SKETCH

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class IndexSnapshot:
    """The index as last finished: its facts, and what a rebuild reads of it."""

    def __init__(self, folder: Path, dim: int, dtype: DType) -> None:
        """Read the index of `folder`. Raises BundleError for what is no index of this schema."""
        self.database = open_for_reading(folder / CHUNKS)
        self._folder, self._dim, self._dtype = folder, dim, dtype
        meta = read_meta(self.database, folder / CHUNKS)
        self.generation, self.chunks = int(meta["generation"]), int(meta["chunks"])
        self.graph = bool(meta["graph"])
        self.removed, self.next_id = int(meta["removed"]), int(meta["next_id"])
        self.words = str(meta["words"])
        self.usable = (meta["dim"], meta["dtype"]) == (dim, dtype)

    @classmethod
    def open(cls, folder: Path, dim: int, dtype: DType) -> IndexSnapshot | None:
        """Open the index of `folder`; None where there is nothing that can be built on: no index of
        this schema, `dim` and `dtype`."""
        if not (folder / CHUNKS).is_file():
            return None
        try:
            snapshot = cls(folder, dim, dtype)
        except BundleError:
            return None
        if snapshot.usable:
            return snapshot
        snapshot.close()
        return None

    @cached_property
    def vectors(self) -> FlatVectors:
        """The stored vectors by chunk id; to read, not to search."""
        return FlatVectors(self._folder, self._dim, self._dtype, rows=self.next_id, live=())

    def documents(self) -> Iterator[tuple[int, int, DocumentRecord]]:
        """First id, number of chunks and record of each, by path."""
        for row in self.database.execute(
            f"SELECT first, chunks, {RECORD_COLUMNS} FROM documents ORDER BY path"
        ):
            yield row[0], row[1], to_record(row[2:])

    def count(self, path: str) -> int | None:
        """Return how many chunks a document has; None if it is not there."""
        row = self.database.execute(
            "SELECT chunks FROM documents WHERE path = ?", (path,)
        ).fetchone()
        return None if row is None else int(row[0])

    def sketches(self, path: str) -> NDArray[np.uint32]:
        """Return the sketches [n, SKETCH] of a document's chunks, as `minhash.sketch` makes them."""
        import numpy as np

        query = "SELECT s.data FROM sketches s JOIN documents d ON d.id = s.document_id WHERE d.path = ?"
        data = self.database.execute(query, (path,)).fetchone()[0]
        return np.frombuffer(data, dtype=np.uint32).reshape(-1, SKETCH)

    def known(self, keys: Sequence[bytes]) -> dict[bytes, NDArray[np.float32]]:
        """Return the vectors [dim] of the chunks that are stored, by `chunk_key`."""
        ids = {}
        for key in keys:
            row = self.database.execute(
                "SELECT id FROM chunks WHERE key = ? LIMIT 1", (key,)
            ).fetchone()
            if row is not None:
                ids[key] = int(row[0])
        return dict(zip(ids, self.vectors.get(list(ids.values())), strict=True)) if ids else {}

    def close(self) -> None:
        """Close the database."""
        self.database.close()
