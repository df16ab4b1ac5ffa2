"""Checks a usearch file before usearch maps it: usearch follows every number in it, and a neighbour
that does not exist ends the process (of 86 damaged files 21 did). Knows nothing of searching."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import BundleCorrupt

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_FREE = (1 << 64) - 1  # the key of a removed vector
# usearch's numbers for metric and scalar, and bytes a component, as its files have them
_KINDS = {"f16": (ord("i"), 12), "i8": (ord("c"), 23)}
_WIDTHS = {"f16": 2, "i8": 1}
_HEAD, _FACTS = 64, 40  # bytes: of what is stored; of the graph
_NODE = 10  # bytes before a node's neighbours: its key and its level
_MAX_LEVELS = 64
_BLOCK = 65_536  # nodes looked at in one go: 9 MB of neighbours at 32 a node


def check_graph(data: Any, path: Path, *, dim: int, dtype: str, end: int) -> None:
    """Raise BundleCorrupt unless the usearch file `data` (a buffer) can be searched: sizes that add
    up, neighbours and levels that are there, and keys below `end`.

    The format of usearch 2.x: rows and bytes a row, the vectors, 64 bytes of head, five 64-bit
    facts of the graph, the level of each node, then the nodes: key, level, and for each level the
    number of neighbours and room for the most there may be."""
    import numpy as np

    raw = np.frombuffer(data, dtype=np.uint8)
    _require(len(raw) >= 8, path, "is cut off")
    width, kinds = dim * _WIDTHS[dtype], _KINDS[dtype]
    rows, stored_width = raw[:8].view("<u4").tolist()
    facts = 8 + rows * stored_width + _HEAD
    _require(
        stored_width == width or not rows, path, f"has vectors of {stored_width} bytes, not {width}"
    )
    _require(len(raw) >= facts + _FACTS, path, "is cut off")
    head = raw[facts - _HEAD : facts]
    _require(head[:7].tobytes() == b"usearch", path, "is no file of usearch")
    size, links, base_links, top, entry = np.frombuffer(
        raw[facts : facts + _FACTS].tobytes(), dtype="<u8"
    ).tolist()
    present, deleted, dimensions = np.frombuffer(head[17:41].tobytes(), dtype="<u8").tolist()
    same = (
        size == rows
        and present + deleted == size
        and dimensions == dim
        and tuple(head[13:15].tolist()) == kinds
    )
    _require(same and not head[41], path, "is of another shape than its library")
    _require(
        len(raw) >= facts + _FACTS + 2 * size and 0 < links < 4096 and 0 < base_links < 4096,
        path,
        "is cut off",
    )
    if not size:
        return
    levels = np.frombuffer(
        raw[facts + _FACTS : facts + _FACTS + 2 * size].tobytes(), dtype="<i2"
    ).astype(np.int64)
    _require(
        bool((levels >= 0).all()) and levels.max() <= _MAX_LEVELS,
        path,
        "has levels that do not exist",
    )
    widths = _NODE + 4 * (base_links + 1) + levels * 4 * (links + 1)
    starts = facts + _FACTS + 2 * size + np.cumsum(widths) - widths
    _require(int(starts[-1] + widths[-1]) == len(raw), path, "is cut off")
    _require(entry < size and levels[entry] == top == levels.max(), path, "begins nowhere")
    words = np.ndarray(
        (len(raw) - 3,), dtype="<u4", buffer=raw, strides=(1,)
    )  # the number at each byte, aligned or not
    for at in range(0, size, _BLOCK):
        block, high = starts[at : at + _BLOCK], levels[at : at + _BLOCK]
        _require(
            bool((words[block + 8] & 0xFFFF == high).all()), path, "has levels that do not agree"
        )
        _check_links(words, path, block + _NODE, base_links, levels, 0)
        for level in range(1, int(high.max()) + 1):
            mine = (
                block[high >= level] + _NODE + 4 * (base_links + 1) + (level - 1) * 4 * (links + 1)
            )
            _check_links(words, path, mine, links, levels, level)
        keys = words[block].astype(np.uint64) | words[block + 4].astype(np.uint64) << np.uint64(32)
        _require(
            bool((keys[keys != np.uint64(_FREE)] < np.uint64(end)).all()),
            path,
            "has vectors of another library",
        )


def _check_links(
    words: NDArray[np.uint32],
    path: Path,
    lists: NDArray[np.int64],
    max_links: int,
    levels: NDArray[np.int64],
    level: int,
) -> None:
    """Raise BundleCorrupt unless all neighbours of one level are nodes that reach this level.
    `lists` [n]: the bytes at which each node's neighbours begin, their number first."""
    import numpy as np

    count = words[lists]
    _require(bool((count <= max_links).all()), path, "has more neighbours than room for them")
    used = np.arange(max_links) < count[:, None]
    neighbours = words[lists[:, None] + 4 + 4 * np.arange(max_links)][used]
    there = neighbours < len(levels)
    _require(
        bool(there.all()) and bool((levels[neighbours] >= level).all()),
        path,
        "has neighbours that do not exist",
    )


def _require(held: bool, path: Path, what: str) -> None:
    if not held:
        raise BundleCorrupt(
            f"{path}: the graph of vectors {what}; copy the bundle again, and if it stays, do not "
            "use it"
        )
