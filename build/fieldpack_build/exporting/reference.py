"""What the model in full precision says of the held-out texts: its logits at the answers' positions, of the right answers
and of its own. Written down once; every candidate is held against it.

reference.json     the texts as tokens, and the model's own greedy answers
NN.npy             float32 logits, a row for each token of the right answer, then one for each of its own
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

from .. import models
from ..torch_cache import TorchCache
from .held_out import Sample

FILE = "reference.json"


def write_reference(
    source: Path, samples: Sequence[Sample], folder: Path, *, ends: Collection[int], longest: int,
    told: Callable[[int, int], None] = lambda done, total: None,
) -> None:  # fmt: skip
    """`ends`: tokens that close an answer; `longest`: tokens of its own answers at most."""
    import numpy as np
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    # float32 whatever the files hold: in bfloat16 a CPU without it needs forty times as long.
    model = models.load_model(source, dtype=torch.float32).eval()
    rows = []
    for number, sample in enumerate(samples):
        with torch.inference_mode():
            logits, own = _read(model, sample, ends, longest)
        np.save(folder / f"{number:02}.npy", logits)
        rows.append({"text": sample.text, "prompt": sample.prompt, "answer": sample.answer, "own": own})
        told(number + 1, len(samples))
    (folder / FILE).write_text(json.dumps(rows), encoding="utf-8")


def _read(model: Any, sample: Sample, ends: Collection[int], longest: int) -> tuple[Any, list[int]]:
    """The prompt is read once; the right answer and the model's own both go on from there."""
    import torch

    *before, last = sample.prompt
    past = TorchCache(model)
    if before:
        past.append(before, last_only=True)
    mine = past.copy()
    given = past.append([last, *sample.answer[:-1]])
    steps, own = [], [last]
    while len(own) <= longest and (len(own) == 1 or own[-1] not in ends):
        steps.append(mine.append(own[-1:])[-1])
        own.append(int(steps[-1].argmax()))
    return torch.cat([given, torch.stack(steps)]).float().numpy(), own[1:]
