"""What a stage says while it works and when it ends: in one process a function call, from a child a
line of JSON (`child_process`). Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, NotRequired, TypeAlias, TypedDict

# What a stage says of itself in its receipt: what JSON can hold. Each stage's own is in its module.
StageResult: TypeAlias = Mapping[str, object]


class ProgressEvent(TypedDict):
    """`done` of `total`, of what `note` says. `guess`: the total is one, and will change. `count`:
    what is to be shown for the two, where not they themselves. `left`: seconds to the end, where
    the stage knows better than its pace so far tells."""

    event: Literal["progress"]
    done: float
    total: float
    note: str
    guess: NotRequired[bool]
    count: NotRequired[str]
    left: NotRequired[float | None]


class NoteEvent(TypedDict):
    """What the stage is at now, where there is no total to count to."""

    event: Literal["note"]
    text: str


class LineEvent(TypedDict):
    """A line that stays on the screen and in the log ("say"), or a warning, which the receipt keeps
    too."""

    event: Literal["say", "warning"]
    text: str


class DoneEvent(TypedDict):
    """The stage has ended well. `peak_rss_mb`: the most memory that its process, or the largest
    that it started, has held, in MiB."""

    event: Literal["done"]
    result: StageResult
    warnings: list[str]
    peak_rss_mb: float


StageEvent: TypeAlias = ProgressEvent | NoteEvent | LineEvent
OnEvent: TypeAlias = Callable[[StageEvent], None]
