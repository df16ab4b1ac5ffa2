"""What the model in full precision says of the held-out texts: its logits at the answers'
positions, of the right answers and of its own. Written down once; every candidate is held against
it. Beside it, what each precision costs in torch alone: what an exported graph differs by beyond
that, it computes wrongly.

reference.json     the texts as tokens, and the model's own greedy answers
NN.npy             float32 logits, a row for each token of the right answer, then one for each of
                   its own
rounded.json       candidate as it is rounded in torch -> its KL and same next tokens, and what an
                   export may have
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import StageError
from ..models import causal_lm
from ..models.precision import Candidate
from ..models.torch_cache import TorchCache
from .agreement import allowed, compare
from .held_out import Sample
from .rounding import round_model

FILE, _ROUNDED = "reference.json", "rounded.json"
Row = dict[str, Any]


def write_reference(
    source: Path,
    samples: Sequence[Sample],
    folder: Path,
    *,
    ends: Collection[int],
    longest: int,
    candidates: Sequence[Candidate] = (),
    told: Callable[[int, int, str], None] = lambda done, total, what: None,
) -> None:
    """`ends`: tokens that close an answer; `longest`: tokens of its own answers at most;
    `candidates`: whose rounding is measured in torch, each that is rounded alike once."""
    import numpy as np
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    # float32 whatever the files hold: in bfloat16 a CPU without it needs forty times as long.
    model = causal_lm.load_model(source, dtype=torch.float32).eval()
    rows: list[Row] = []
    for number, sample in enumerate(samples):
        with torch.inference_mode():
            logits, own = _read(model, sample, ends, longest)
        np.save(folder / f"{number:02}.npy", logits)
        rows.append(
            {"text": sample.text, "prompt": sample.prompt, "answer": sample.answer, "own": own}
        )
        told(number + 1, len(samples), "questions answered in full precision")
    del model
    kinds = sorted(
        {candidate.rounded_alike for candidate in candidates}, key=lambda kind: kind.name
    )
    rounded = {}
    for number, kind in enumerate(kinds, 1):
        rounded[kind.name] = _cost_of_rounding(source, kind, rows, folder)
        told(number, len(kinds), "precisions rounded in torch")
    (folder / _ROUNDED).write_text(json.dumps(rounded, indent=1), encoding="utf-8")
    (folder / FILE).write_text(json.dumps(rows), encoding="utf-8")


def cost_of_rounding(folder: Path, candidate: Candidate) -> Mapping[str, Any]:
    """What rounding the weights as `candidate` does costs in torch: `kl`, `same_next_token`, and
    what an export may have at most and at least, `max_kl` and `min_same_next_token`. Raises
    StageError where torch itself overflows in this precision."""
    rounded: dict[str, dict[str, Any]] = json.loads((folder / _ROUNDED).read_text(encoding="utf-8"))
    if not (cost := rounded[candidate.rounded_alike.name]):
        raise StageError(
            f"rounded to {candidate.precision} in torch, the model gives logits that are not "
            "numbers; use another precision"
        )
    return cost


def _cost_of_rounding(
    source: Path, kind: Candidate, rows: Sequence[Row], folder: Path
) -> dict[str, float]:
    import numpy as np
    import torch

    model = causal_lm.load_model(source, dtype=torch.float32).eval()
    round_model(model, kind)
    with torch.inference_mode():
        pairs = (
            (np.load(folder / f"{number:02}.npy"), _read_again(model, row))
            for number, row in enumerate(rows)
        )
        seen = compare(pairs, expect=True)
    if not seen.finite:
        return {}
    return {
        "kl": float(f"{seen.kl:.4g}"),
        "same_next_token": round(seen.same_next_token, 6),
        **allowed(seen),
    }


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


def _read_again(model: Any, row: Row) -> Any:
    """Logits at the same positions as `_read` gives, of both answers as they stand in `row`."""
    import torch

    *before, last = row["prompt"]
    past, logits = TorchCache(model), []
    if before:
        past.append(before, last_only=True)
    for answer in (row["answer"], row["own"]):
        logits.append(past.copy().append([last, *answer[:-1]]))
    return torch.cat(logits).float().numpy()
