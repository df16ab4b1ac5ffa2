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
    `pad`: the token that fills up a batch. `steps`: updates to make, None for `train.epochs`.
    `processes`: of all hosts together. `refusal`: the tokens of a refusal, without those that
    end an answer; none where no row refuses."""

    recipe: Recipe
    base: Path
    out: Path
    device: str
    pad: int
    steps: int | None
    processes: int = 1
    refusal: tuple[int, ...] = ()

    @property
    def train(self) -> Train:
        """The recipe's section `train`."""
        return self.recipe.train

    @property
    def sharded(self) -> bool:
        """Whether the model is sharded over several processes (FSDP)."""
        return self.processes > 1 and self.train.launch.strategy == "fsdp"

    def write(
        self, folder: Path, train_rows: Sequence[Tokenized], validation_rows: Sequence[Tokenized]
    ) -> None:
        """Write the job and its rows down for processes of their own, which `read` them."""
        folder.mkdir(parents=True, exist_ok=True)
        rows = {
            "train": [asdict(row) for row in train_rows],
            "validation": [asdict(row) for row in validation_rows],
        }
        (folder / ROWS).write_text(json.dumps(rows), encoding="utf-8")
        spec = {
            "recipe": self.recipe.model_dump(),
            "base": str(self.base),
            "out": str(self.out),
            "device": self.device,
            "pad": self.pad,
            "steps": self.steps,
            "processes": self.processes,
            "refusal": self.refusal,
        }
        (folder / SPEC).write_text(json.dumps(spec), encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> tuple[Job, list[Tokenized], list[Tokenized]]:
        """Read what `write` wrote: (the job, its training rows, its validation rows)."""
        spec = json.loads((folder / SPEC).read_text(encoding="utf-8"))
        rows = json.loads((folder / ROWS).read_text(encoding="utf-8"))
        paths = {name: Path(spec[name]) for name in ("base", "out")}
        typed = {"recipe": Recipe.model_validate(spec["recipe"]), "refusal": (*spec["refusal"],)}
        job = cls(**{**spec, **paths, **typed})
        train_rows, validation_rows = (
            [Tokenized(**row) for row in rows[name]] for name in ("train", "validation")
        )
        return job, train_rows, validation_rows
