"""The rows of common words, and every row's length, as blobs that numpy reads. The build makes
them. Knows nothing of questions or ranking.

Rows are cut into blocks of 65,536, so that a place in one is 16 bits: a word's blob of a block is
its places, then how often it is in each (255 at most). A word in fewer than BLOCKED rows has one
blob for all blocks, its rows in 32 bits; one in fewer than COMMON stays in FTS5 alone. A removed
row's length is 0: its places stay, and count for nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

WHOLE = 0xFFFF  # the block of a blob for all blocks
BLOCK_BITS = 16
BLOCK_SIZE = 1 << BLOCK_BITS


def unpack(data: bytes, *, whole: bool = False) -> tuple[NDArray[Any], NDArray[np.uint8]]:
    """Places in the block (rows, if it is for all blocks), ascending, and how often the word is in
    each."""
    import numpy as np

    width = 4 if whole else 2
    size = len(data) // (width + 1)
    places = np.frombuffer(data, dtype=np.uint32 if whole else np.uint16, count=size)
    return places, np.frombuffer(data, dtype=np.uint8, offset=width * size)
