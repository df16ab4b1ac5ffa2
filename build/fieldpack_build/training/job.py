"""What is trained, and where: all that a training process must know besides the rows. Imports
nothing heavy."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ..data.prompts import Tokenized
from ..recipe.schema import Recipe, Train

ROWS, SPEC = "rows.json", "job.json"


@dataclass(frozen=True)
class Job:
    """`base`: the model's folder. `out`: where checkpoints are kept and the adapter will stand.
    `steps`: updates to make, None for `train.epochs`. `processes`: of all hosts together."""

    recipe: Recipe
    base: Path
    out: Path
    device: str
    pad: int
    steps: int | None
    processes: int = 1

    @property
    def train(self) -> Train:
        return self.recipe.train

    @property
    def sharded(self) -> bool:
        return self.processes > 1 and self.train.launch.strategy == "fsdp"

    def write(self, folder: Path, learned: Sequence[Tokenized], held: Sequence[Tokenized]) -> None:
        """For processes of their own."""
        folder.mkdir(parents=True, exist_ok=True)
        rows = {"learned": [asdict(row) for row in learned], "held": [asdict(row) for row in held]}
        (folder / ROWS).write_text(json.dumps(rows), encoding="utf-8")
        spec = {
            "recipe": self.recipe.model_dump(),
            "base": str(self.base),
            "out": str(self.out),
            "device": self.device,
            "pad": self.pad,
            "steps": self.steps,
            "processes": self.processes,
        }
        (folder / SPEC).write_text(json.dumps(spec), encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> tuple[Job, list[Tokenized], list[Tokenized]]:
        spec = json.loads((folder / SPEC).read_text(encoding="utf-8"))
        rows = json.loads((folder / ROWS).read_text(encoding="utf-8"))
        places = {name: Path(spec[name]) for name in ("base", "out")}
        job = cls(**{**spec, **places, "recipe": Recipe.model_validate(spec["recipe"])})
        learned, held = ([Tokenized(**row) for row in rows[name]] for name in ("learned", "held"))
        return job, learned, held
