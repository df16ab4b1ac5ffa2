"""What a stage is given, and what it may say while it works. The same in a child process and in a
test."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..recipe.schema import Recipe
from .events import OnEvent, StageEvent
from .store import Store


def _ignore(event: StageEvent) -> None:
    pass


@dataclass(frozen=True)
class Task:
    """`inputs`: the finished folders of the stages it needs, by name. `out`: the folder to fill
    (the stage's partial one). `keys`: the inputs' keys, for what a stage wants to write down.
    `previous_output`: a folder of this stage from other files, finished or interrupted, to be
    brought up to date; not to be changed. `lineage`: what all folders share that can be brought up
    to date into each other; a stage that wants to be found when it was interrupted writes it
    down."""

    recipe: Recipe
    inputs: Mapping[str, Path]
    out: Path
    store: Store
    keys: Mapping[str, str] = field(default_factory=dict)
    send: OnEvent = _ignore
    warnings: list[str] = field(default_factory=list)
    previous_output: Path | None = None
    lineage: str = ""

    def progress(
        self,
        done: float,
        total: float,
        note: str = "",
        guess: bool = False,
        *,
        count: str = "",
        left: float | None = None,
    ) -> None:
        """Say how far the stage is; see `ProgressEvent`."""
        self.send(
            {
                "event": "progress",
                "done": done,
                "total": total,
                "note": note,
                "guess": guess,
                "count": count,
                "left": left,
            }
        )

    def note(self, text: str) -> None:
        """Say what the stage is at now, where there is no total to count to."""
        self.send({"event": "note", "text": text})

    def say(self, text: str) -> None:
        """Say a line that stays on the screen and in the log, and is no warning."""
        self.send({"event": "say", "text": text})

    def warn(self, text: str) -> None:
        """Say a warning now, and keep it for the receipt."""
        self.warnings.append(text)
        self.send({"event": "warning", "text": text})
