"""What everything that embeds a library has in common. Knows nothing of the engines there are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# texts sent at once: 5 to 15 s of work for a core, so that sending costs nothing and a lost one
# little
WINDOW = 512


class Engine(Protocol):
    """`block`: how many texts to give `embed` at once, a multiple of WINDOW; fewer leave cores
    idle."""

    block: int

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """n passages -> [n, dim], unit length, in order; the passage prefix is put before each."""

    def describe(self) -> dict[str, Any]:
        """What embedded, for the receipt: never part of a key."""

    def close(self) -> None: ...


def windows(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    """Cut `texts` into windows of WINDOW texts, the last one shorter."""
    for at in range(0, len(texts), WINDOW):
        yield texts[at : at + WINDOW]
