"""How an update's rows are worked off: how many at once, whether activations are computed twice
(checkpointing). Changes the memory and the time, not what is learned. Imports nothing heavy: the
build's own process reads it after a kill."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ..recipe.schema import Train

FILE = "split.json"
# of what is free: the estimate is no better, and allocators keep what they no longer use
_USABLE = 0.8
# rows at once on a GPU; with fewer it waits for its own launches more than checkpointing costs (a
# third)
_ENOUGH_ON_GPU = 4
# rows, as all CPU figures of the README were measured; more takes memory that others use
_MAX_ROWS_ON_CPU = 4


@dataclass(frozen=True, slots=True)
class MicrobatchPlan:
    """`rows` at once on one device. `may_checkpoint`: the recipe leaves checkpointing to us.
    `lowered`: memory ran out before, so that this is the most there is."""

    rows: int
    checkpointing: bool
    may_checkpoint: bool = False
    lowered: bool = False

    def accumulation(self, rows_per_update: int, processes: int) -> int:
        """Return the batches that one process works off for an update."""
        return -(-rows_per_update // (self.rows * processes))

    @property
    def description(self) -> str:
        """The plan in words, for the one who builds."""
        rows = f"{self.rows} row{'s' * (self.rows > 1)} at once"
        return rows + ", with gradient checkpointing" * self.checkpointing

    def write(self, folder: Path) -> None:
        """Write the plan into a training's folder, for the next try."""
        (folder / FILE).write_text(json.dumps(asdict(self)) + "\n", encoding="utf-8")


@dataclass(frozen=True, slots=True)
class ModelShape:
    """A transformer's sizes, as far as its memory in training goes. `key_width`: of the keys of all
    heads together. `number_bytes`: bytes of a number it computes with."""

    hidden: int
    layers: int
    intermediate: int
    key_width: int
    vocabulary: int
    number_bytes: int

    @classmethod
    def of(cls, config: Any, *, number_bytes: int) -> ModelShape:
        """Read the sizes from transformers' configuration of a model."""
        config = getattr(config, "text_config", None) or config
        heads = config.num_attention_heads
        head_size = getattr(config, "head_dim", None) or config.hidden_size // heads
        return cls(
            hidden=config.hidden_size,
            layers=config.num_hidden_layers,
            intermediate=getattr(config, "intermediate_size", None) or 4 * config.hidden_size,
            key_width=(getattr(config, "num_key_value_heads", None) or heads) * head_size,
            vocabulary=config.vocab_size,
            number_bytes=number_bytes,
        )

    def bytes_of(self, tokens: int, supervised: int, *, checkpointing: bool) -> int:
        """Return what one row keeps until its gradient is there: a llama layer's saved tensors with
        LoRA on all its linear layers, and four copies of the logits, which are made of supervised
        tokens only."""
        numbers = 12 * self.hidden + 4 * self.key_width + 4 * self.intermediate
        layer = tokens * self.number_bytes * numbers
        activations = (
            self.layers * tokens * self.number_bytes * self.hidden + layer
            if checkpointing
            else self.layers * layer
        )
        return activations + supervised * self.vocabulary * (self.number_bytes + 12)


def choose(
    train: Train,
    shape: ModelShape,
    sizes: Sequence[tuple[int, int]],
    *,
    free: int,
    processes: int,
    cuda: bool,
) -> MicrobatchPlan:
    """Choose what the recipe leaves open so that the longest rows fit; a batch size in the recipe
    stands.

    `sizes`: (tokens, supervised tokens) of each row; `free`: bytes for one process."""
    share = -(-train.rows_an_update // processes)
    tokens, supervised = max(size[0] for size in sizes), max(size[1] for size in sizes)
    fits = {
        checkpointing: int(free * _USABLE)
        // shape.bytes_of(tokens, supervised, checkpointing=checkpointing)
        for checkpointing in (False, True)
    }
    auto_batch = _ENOUGH_ON_GPU if cuda else 1
    enough = min(share, auto_batch if train.batch_size == "auto" else train.batch_size)
    may_checkpoint = train.gradient_checkpointing == "auto"
    checkpointing = fits[False] < enough if may_checkpoint else bool(train.gradient_checkpointing)
    rows = enough
    if train.batch_size == "auto":
        # Batches of nearly the same size: 16 rows of which 10 fit are two batches of 8.
        max_rows = max(1, min(fits[checkpointing], share if cuda else _MAX_ROWS_ON_CPU))
        rows = -(-share // -(-share // max_rows))
    return MicrobatchPlan(rows, checkpointing, may_checkpoint=may_checkpoint)


def read(folder: Path) -> MicrobatchPlan | None:
    """Read the plan of a training's folder; None where there is none that can be read."""
    try:
        return MicrobatchPlan(**json.loads((folder / FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def lower(folder: Path) -> MicrobatchPlan | None:
    """Halve the rows at once, or with one row left take up checkpointing where the recipe leaves it
    open, and write that down for the next try. Returns None where nothing can be lowered."""
    plan = read(folder)
    if plan is None:
        return None
    if plan.rows > 1:
        lowered = replace(plan, rows=plan.rows // 2, lowered=True)
    elif plan.may_checkpoint and not plan.checkpointing:
        lowered = replace(plan, checkpointing=True, lowered=True)
    else:
        return None
    lowered.write(folder)
    return lowered
