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
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, TypedDict

from ..errors import StageError
from ..models import causal_lm
from ..models.precision import Candidate
from ..models.torch_cache import TorchCache
from .agreement import allowed, compare
from .facts import RoundingCost
from .held_out import Sample
from .rounding import round_model

FILE, _ROUNDED = "reference.json", "rounded.json"


class ReferenceRow(TypedDict):
    """A text of `reference.json`: the prompt as text, and as tokens the prompt, its right answer
    and the model's own."""

    text: str
    prompt: list[int]
    answer: list[int]
    own: list[int]


def write_reference(
    source: Path,
    samples: Sequence[Sample],
    folder: Path,
    *,
    ends: Collection[int],
    max_own_tokens: int,
    candidates: Sequence[Candidate] = (),
    on_progress: Callable[[int, int, str], None] = lambda done, total, what: None,
) -> None:
    """Write what the model in `source` says of the samples, and what rounding it costs.

    `ends`: tokens that close an answer; `max_own_tokens`: of its own answers; `candidates`: whose
    rounding is measured in torch, each that is rounded alike once."""
    import numpy as np
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    # float32 whatever the files hold: in bfloat16 a CPU without it needs forty times as long.
    model = causal_lm.load_model(source, dtype=torch.float32).eval()
    rows: list[ReferenceRow] = []
    for number, sample in enumerate(samples):
        with torch.inference_mode():
            logits, own = _answer(model, sample, ends, max_own_tokens)
        np.save(folder / f"{number:02}.npy", logits)
        rows.append(
            {"text": sample.text, "prompt": sample.prompt, "answer": sample.answer, "own": own}
        )
        on_progress(number + 1, len(samples), "questions answered in full precision")
    del model
    kinds = sorted(
        {candidate.rounded_alike for candidate in candidates}, key=lambda kind: kind.name
    )
    costs: dict[str, RoundingCost | None] = {}
    for number, kind in enumerate(kinds, 1):
        costs[kind.name] = _measure_rounding(source, kind, rows, folder)
        on_progress(number, len(kinds), "precisions rounded in torch")
    (folder / _ROUNDED).write_text(json.dumps(costs, indent=1), encoding="utf-8")
    (folder / FILE).write_text(json.dumps(rows), encoding="utf-8")


def cost_of_rounding(folder: Path, candidate: Candidate) -> RoundingCost:
    """Read what rounding the weights as `candidate` does costs in torch, and what an export may
    have at most and at least. Raises StageError where torch itself overflows in this precision."""
    costs: dict[str, RoundingCost | None] = json.loads(
        (folder / _ROUNDED).read_text(encoding="utf-8")
    )
    if not (cost := costs[candidate.rounded_alike.name]):
        raise StageError(
            f"rounded to {candidate.precision} in torch, the model gives logits that are not "
            "numbers; use another precision"
        )
    return cost


def _measure_rounding(
    source: Path, kind: Candidate, rows: Sequence[ReferenceRow], folder: Path
) -> RoundingCost | None:
    """Compare the rounded model with the reference in `folder`; None where its logits are not
    numbers."""
    import numpy as np
    import torch

    model = causal_lm.load_model(source, dtype=torch.float32).eval()
    round_model(model, kind)
    with torch.inference_mode():
        pairs = (
            (np.load(folder / f"{number:02}.npy"), _logits(model, row))
            for number, row in enumerate(rows)
        )
        agreement = compare(pairs, expect=True)
    if not agreement.finite:
        return None
    return {
        "kl": float(f"{agreement.kl:.4g}"),
        "same_next_token": round(agreement.same_next_token, 6),
        **allowed(agreement),
    }


def _answer(
    model: Any, sample: Sample, ends: Collection[int], max_own_tokens: int
) -> tuple[Any, list[int]]:
    """Return (float32 logits [positions, vocabulary] of the right answer and of the model's own,
    the tokens of its own). The prompt is read once, both go on from there."""
    import torch

    *before, last = sample.prompt
    cache = TorchCache(model)
    if before:
        cache.append(before, last_only=True)
    own_cache = cache.copy()
    logits = cache.append([last, *sample.answer[:-1]])
    steps, own = [], [last]
    while len(own) <= max_own_tokens and (len(own) == 1 or own[-1] not in ends):
        steps.append(own_cache.append(own[-1:])[-1])
        own.append(int(steps[-1].argmax()))
    return torch.cat([logits, torch.stack(steps)]).float().numpy(), own[1:]


def _logits(model: Any, row: ReferenceRow) -> Any:
    """Return float32 logits [positions, vocabulary] at the positions of `_answer`, of both answers
    as they stand in `row`."""
    import torch

    *before, last = row["prompt"]
    cache, logits = TorchCache(model), []
    if before:
        cache.append(before, last_only=True)
    for answer in (row["answer"], row["own"]):
        logits.append(cache.copy().append([last, *answer[:-1]]))
    return torch.cat(logits).float().numpy()
