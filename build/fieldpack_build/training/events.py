"""What a training says while it runs: in one process a function call, from one of several a line of
JSON. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias, TypedDict

from ..pipeline.events import NoteEvent, ProgressEvent


class PeakMemory(TypedDict):
    """The most memory of the GPU that was allocated, in MiB; None on a CPU."""

    event: Literal["peak"]
    gpu_mb: float | None


TrainingEvent: TypeAlias = ProgressEvent | NoteEvent | PeakMemory
OnEvent: TypeAlias = Callable[[TrainingEvent], None]
