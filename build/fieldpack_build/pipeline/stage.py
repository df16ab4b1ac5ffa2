"""What a stage is to the pipeline: its name, what goes into its key, what it reads. Knows no stage."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..recipe.schema import Recipe


@dataclass(frozen=True)
class Stage:
    """One row of the table of stages. `code`: raise it when the stage's work changes; it is part of
    the key (a hash of the source would make every comment retrain a model). `needs`: stages whose
    keys are part of this one's; one that is not active is left out. `needs_too`: more of them,
    where the recipe decides. `sees`: stages it may read that do not make it run again. `settings`:
    what of the recipe shapes the result. `updates`: what of a key's parts an earlier folder of this
    stage must share to be brought up to date; None where a stage always begins with nothing.
    `after_kill`: given the folder of a stage whose process was killed, gets it ready for another
    try and says how; None where there is none. Memory that runs out ends a process on Linux, it
    raises nothing."""

    name: str
    code: int
    does: str
    settings: Callable[[Recipe], object]
    needs: tuple[str, ...] = ()
    needs_too: Callable[[Recipe], tuple[str, ...]] = lambda recipe: ()
    sees: Callable[[Recipe], tuple[str, ...]] = lambda recipe: ()
    files: Callable[[Recipe], Sequence[Path]] = lambda recipe: ()
    tools: tuple[str, ...] = ()
    active: Callable[[Recipe], bool] = lambda recipe: True
    resumes: bool = False
    updates: Callable[[Mapping[str, Any]], object] | None = None
    after_kill: Callable[[Path], str | None] = lambda folder: None
    locks: tuple[str, ...] = ()

    @property
    def function(self) -> str:
        """The function that does its work, as `module:name`."""
        return f"fieldpack_build.stages.{self.name}:run"
