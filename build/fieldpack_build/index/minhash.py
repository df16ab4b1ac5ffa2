"""Chunks of different documents that say the same, found at the build: the same words but for case,
white space and punctuation, nine of ten runs of three words shared, and the same numbers in the
same order (two years' fee schedules differ in a figure and are no duplicates). Knows nothing of
files.

A chunk's sketch is five 32-bit numbers: a hash of all its words, and four MinHash bands of four
values each (Broder 1997; Leskovec et al., Mining of Massive Datasets, 3.4). Every one of them is
mixed with the chunk's numbers, so that chunks with other figures never meet. Two chunks that share
0.9 of their runs share a band with probability 1 - (1 - 0.9^4)^4 = 0.986; whether they are alike is
then decided on the words."""

from __future__ import annotations

import heapq
import re
from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING
from zlib import crc32

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SIMILARITY = 0.9
SKETCH = 5
_RUN = 3  # words
_BANDS, _ROWS = 4, 4
_MIN_WORDS = 8  # words; below, headings and page numbers would be called copies of each other

_MIX = (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9)  # odd, for runs as sums
_WORD = re.compile(r"[^\W_]+")
_NUMBER = re.compile(r"[^\W\d_]*\d[^\W_]*")


def words_of(text: str) -> list[str]:
    """Return the words of a text as they are compared: case-folded, without punctuation."""
    return _WORD.findall(text.casefold())


def numbers_of(words: Sequence[str]) -> list[str]:
    """Return the words with a digit in them, in order: figures, years, form numbers."""
    return _NUMBER.findall(" ".join(words))


def sketch(texts: Sequence[str]) -> NDArray[np.uint32]:
    """Return the sketches [n, SKETCH] of texts; all 0 for one too short to be compared."""
    import numpy as np

    sketches = np.zeros((len(texts), SKETCH), dtype=np.uint32)
    for i, text in enumerate(texts):
        words = words_of(text)
        if len(words) >= _MIN_WORDS:
            sketches[i, 0] = crc32(" ".join(words).encode())
            sketches[i, 1:] = _bands(words)
    return sketches


def _bands(words: Sequence[str]) -> NDArray[np.uint32]:
    import numpy as np

    multipliers, offsets = _permutations()
    hashes = np.fromiter(
        (crc32(word.encode()) for word in words), dtype=np.uint64, count=len(words)
    )
    runs = np.zeros(len(words) - _RUN + 1, dtype=np.uint64)
    for i in range(_RUN):
        runs += hashes[i : len(runs) + i] * np.uint64(_MIX[i])
    runs = (runs ^ (runs >> np.uint64(32))) & np.uint64(0xFFFFFFFF)
    # 32-bit values times odd 64-bit multipliers, upper half kept: multiply-shift (Dietzfelbinger et
    # al. 1997)
    lowest = (
        ((runs[:, None] * multipliers + offsets) >> np.uint64(32)).min(axis=0).astype(np.uint32)
    )
    numbers = " ".join(numbers_of(words)).encode()
    bands = (
        crc32(numbers + bytes([i]) + lowest[i * _ROWS : (i + 1) * _ROWS].tobytes())
        for i in range(_BANDS)
    )
    return np.fromiter(bands, dtype=np.uint32)


@cache
def _permutations() -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    import numpy as np

    numbers = np.random.default_rng(1997).integers(
        0, 1 << 63, size=(2, _BANDS * _ROWS), dtype=np.uint64
    )
    return (numbers[0] << np.uint64(1)) | np.uint64(1), numbers[1]


def alike(text: str, other: str) -> bool:
    """Return whether two texts say the same, by their words."""
    a, b = words_of(text), words_of(other)
    if a == b:
        return True
    if numbers_of(a) != numbers_of(b):
        return False
    runs, others = ({tuple(w[i : i + _RUN]) for i in range(len(w) - _RUN + 1)} for w in (a, b))
    return len(runs & others) >= SIMILARITY * len(runs | others) > 0


def find_duplicates(
    sketches: NDArray[np.uint32], documents: NDArray[np.int64], text_of: Callable[[int], str]
) -> dict[int, int]:
    """Return, by the place of a chunk, the place of the first chunk in an earlier document that
    says the same; that one is no duplicate itself. Places count through the library, document by document;
    `documents` [n] says which one each belongs to."""
    original: dict[int, int] = {}
    exact = _pairs(sketches[:, :1], documents)
    near = _pairs(sketches[:, 1:], documents)
    for later, earlier in heapq.merge(exact, near):
        first = original.get(earlier, earlier)
        if later in original or documents[first] == documents[later]:
            continue
        if sketches[later, 0] == sketches[first, 0] or alike(text_of(later), text_of(first)):
            original[later] = first
    return original


def _pairs(columns: NDArray[np.uint32], documents: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Return the (later, earlier) places that share a value in a column, ascending: each chunk with
    the first that has the value, and with the one before it. All pairs would be a square of the copies."""
    import numpy as np

    pairs = [np.zeros(0, dtype=np.int64)]
    for column in columns.T:
        order = np.argsort(column, kind="stable")
        order = order[column[order] != 0]
        starts = np.flatnonzero(np.diff(column[order], prepend=np.uint32(0)))
        sizes = np.diff(np.append(starts, len(order)))
        first, before = np.repeat(order[starts], sizes), np.roll(order, 1)
        for earlier in (first, before):
            kept = (
                (earlier < order)
                & (column[earlier] == column[order])
                & (documents[earlier] != documents[order])
            )
            pairs.append((order[kept].astype(np.int64) << 32) | earlier[kept])
    unique = np.unique(np.concatenate(pairs))
    return list(zip((unique >> 32).tolist(), (unique & 0xFFFFFFFF).tolist(), strict=True))
