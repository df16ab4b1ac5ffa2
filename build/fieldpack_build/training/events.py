"""What a training says while it runs: in one process a function call, from one of several a line of
JSON. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias, TypedDict


class Note(TypedDict):
    """What the training is at now, where there is no total to count to."""

    event: Literal["note"]
    text: str


class Progress(TypedDict):
    """`done` of `total` steps; `left`: seconds to the end, at the pace so far."""

    event: Literal["progress"]
    done: int
    total: int
    note: str
    left: float


class PeakMemory(TypedDict):
    """The most memory of the GPU that was allocated, in MiB; None on a CPU."""

    event: Literal["peak"]
    gpu_mb: float | None


TrainingEvent: TypeAlias = Note | Progress | PeakMemory
OnEvent: TypeAlias = Callable[[TrainingEvent], None]
