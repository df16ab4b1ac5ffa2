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
_SHARE = (
    0.8  # of what is free: the estimate is no better, and allocators keep what they no longer use
)
# rows at once on a GPU; with fewer it waits for its own launches more than checkpointing costs (a
# third)
_ENOUGH = 4
_AT_ONCE_ON_CPU = (
    4  # rows, as all CPU figures of the README were measured; more takes memory that others use
)


@dataclass(frozen=True, slots=True)
class MicrobatchPlan:
    """`rows` at once on one device. `may_checkpoint`: the recipe leaves checkpointing to us.
    `lowered`: memory ran out before, so that this is the most there is."""

    rows: int
    checkpointing: bool
    may_checkpoint: bool = False
    lowered: bool = False

    def accumulation(self, effective: int, processes: int) -> int:
        """Batches a process works off for an update of `effective` rows."""
        return -(-effective // (self.rows * processes))

    @property
    def told(self) -> str:
        return (
            f"{self.rows} row{'s' * (self.rows > 1)} at once"
            + ", with gradient checkpointing" * self.checkpointing
        )

    def write(self, folder: Path) -> None:
        (folder / FILE).write_text(json.dumps(asdict(self)) + "\n", encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Shape:
    """A transformer's sizes, as far as its memory in training goes. `size`: bytes of a number it
    computes with."""

    hidden: int
    layers: int
    intermediate: int
    keys: int
    vocabulary: int
    size: int

    @classmethod
    def of(cls, config: Any, *, size: int) -> Shape:
        config = getattr(config, "text_config", None) or config
        heads = config.num_attention_heads
        head = getattr(config, "head_dim", None) or config.hidden_size // heads
        keys = (getattr(config, "num_key_value_heads", None) or heads) * head
        wide = getattr(config, "intermediate_size", None) or 4 * config.hidden_size
        return cls(
            config.hidden_size, config.num_hidden_layers, wide, keys, config.vocab_size, size
        )

    def bytes_of(self, tokens: int, supervised: int, *, checkpointing: bool) -> int:
        """What one row keeps until its gradient is there: a llama layer's saved tensors with LoRA
        on all its linear layers, and four copies of the logits, which are made of supervised tokens
        only."""
        layer = tokens * self.size * (12 * self.hidden + 4 * self.keys + 4 * self.intermediate)
        kept = (
            self.layers * tokens * self.size * self.hidden + layer
            if checkpointing
            else self.layers * layer
        )
        return kept + supervised * self.vocabulary * (self.size + 12)


def choose(
    train: Train,
    shape: Shape,
    lengths: Sequence[tuple[int, int]],
    *,
    free: int,
    processes: int,
    cuda: bool,
) -> MicrobatchPlan:
    """`lengths`: (tokens, supervised tokens) of each row; `free`: bytes for one process. A batch
    size in the recipe stands; what the recipe leaves open is chosen so that the longest rows fit.
    """
    share = -(-train.rows_an_update // processes)
    wanted = share if train.batch_size == "auto" else min(share, train.batch_size)
    tokens, supervised = max(t for t, _ in lengths), max(s for _, s in lengths)
    open_ = train.gradient_checkpointing == "auto"
    fits = {
        on: int(free * _SHARE) // shape.bytes_of(tokens, supervised, checkpointing=on)
        for on in (False, True)
    }
    enough = min(wanted, _ENOUGH if cuda else 1) if train.batch_size == "auto" else wanted
    checkpointing = fits[False] < enough if open_ else bool(train.gradient_checkpointing)
    rows = wanted if train.batch_size != "auto" else _evenly(share, fits[checkpointing], cuda)
    return MicrobatchPlan(rows, checkpointing, may_checkpoint=open_)


def _evenly(share: int, fit: int, cuda: bool) -> int:
    """At most `fit` rows at once, in batches of nearly the same size: 16 rows of which 10 fit are
    two batches of 8."""
    most = max(1, min(fit, share if cuda else _AT_ONCE_ON_CPU))
    return -(-share // -(-share // most))


def read(folder: Path) -> MicrobatchPlan | None:
    try:
        return MicrobatchPlan(**json.loads((folder / FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def lower(folder: Path) -> MicrobatchPlan | None:
    """Half the rows at once; with one row left checkpointing, where the recipe leaves it open; then
    None. Written down for the next try."""
    split = read(folder)
    if split is None:
        return None
    if split.rows > 1:
        lowered = replace(split, rows=split.rows // 2, lowered=True)
    elif split.may_checkpoint and not split.checkpointing:
        lowered = replace(split, checkpointing=True, lowered=True)
    else:
        return None
    lowered.write(folder)
    return lowered
