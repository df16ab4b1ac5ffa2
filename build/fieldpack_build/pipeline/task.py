"""What a stage is given, and what it may say while it works. The same in a child process and in a
test."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..recipe.schema import Recipe
from .store import Store

Send = Callable[[dict[str, Any]], None]


def _silent(event: dict[str, Any]) -> None:
    pass


@dataclass(frozen=True)
class Task:
    """`inputs`: the finished folders of the stages it needs, by name. `out`: the folder to fill
    (the stage's partial one). `keys`: the inputs' keys, for what a stage wants to write down.
    `earlier`: a folder of this stage from other files, finished or interrupted, to be brought up to
    date; not to be changed. `lineage`: what all folders share that can be brought up to date into
    each other; a stage that wants to be found when it was interrupted writes it down."""

    recipe: Recipe
    inputs: Mapping[str, Path]
    out: Path
    store: Store
    keys: Mapping[str, str] = field(default_factory=dict)
    send: Send = _silent
    warnings: list[str] = field(default_factory=list)
    earlier: Path | None = None
    lineage: str = ""

    def progress(self, done: float, total: float, note: str = "", guess: bool = False) -> None:
        """`guess`: the total is one, and will change."""
        self.send({"event": "progress", "done": done, "total": total, "note": note, "guess": guess})

    def note(self, text: str) -> None:
        """What the stage is at now, where there is no total to count to."""
        self.send({"event": "note", "text": text})

    def say(self, text: str) -> None:
        """A line that stays on the screen and in the log, and is no warning."""
        self.send({"event": "say", "text": text})

    def warn(self, text: str) -> None:
        """Shown now, kept in the receipt."""
        self.warnings.append(text)
        self.send({"event": "warning", "text": text})
