"""What everything that embeds a library has in common. Knows nothing of the engines there are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Protocol, TypedDict

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# texts sent at once: 5 to 15 s of work for a core, so that sending costs nothing and a lost one
# little
WINDOW = 512


class EngineFacts(TypedDict, total=False):
    """What embedded a library, for the receipt: never part of a key. `cosine_to_onnx`: the least of
    the canary texts, against the device's own embedder."""

    engine: str
    threads: int
    device: str
    precision: str
    most_in_a_batch: int
    address: str
    workers: int
    hosts: list[str]
    cosine_to_onnx: float | None


class Engine(Protocol):
    """Embeds passages. `block`: how many texts to give `embed` at once, a multiple of WINDOW; fewer leave cores
    idle."""

    block: int

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return the vectors of n passages in their order, float32 [n, dim], of unit length; the
        passage prefix is put before each."""

    def describe(self) -> EngineFacts:
        """Return what embeds."""

    def close(self) -> None:
        """Give back what the engine holds; it is of no use afterwards."""


def windows(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    """Cut `texts` into windows of WINDOW texts, the last one shorter."""
    for at in range(0, len(texts), WINDOW):
        yield texts[at : at + WINDOW]
