"""Whether a model that is being trained refuses held-out questions: a tuned model that learned the
refusal too well says it to questions that the passages answer, and the loss hardly shows that.

The refusal is written behind each prompt and read in one pass. Greedy decoding would write it if,
and only if, each of its tokens is the model's first choice behind the ones before it. Knows nothing
of trainers or recipes."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..data.prompts import IGNORED, Tokenized
from .loss import supervised_logits


@dataclass(frozen=True, slots=True)
class RefusalRows:
    """Held-out prompts with the refusal behind each of them, apart by whether the right answer is
    another (`answerable`) or the refusal itself (`unanswerable`)."""

    answerable: list[Tokenized]
    unanswerable: list[Tokenized]


def refusal_rows(rows: Sequence[Tokenized], refusal: Sequence[int]) -> RefusalRows:
    """Make the rows of a held-out set that tell whether a model refuses. `refusal`: the tokens of
    the refusal, without those that end an answer; without any nothing is asked."""
    parts = RefusalRows([], [])
    for row in rows if refusal else ():
        prompt = next(place for place, label in enumerate(row.labels) if label != IGNORED)
        with_refusal = replace(
            row,
            ids=[*row.ids[:prompt], *refusal],
            labels=[IGNORED] * prompt + list(refusal),
        )
        (parts.unanswerable if refuses(row, refusal) else parts.answerable).append(with_refusal)
    return parts


def refuses(row: Tokenized, refusal: Sequence[int]) -> bool:
    """Return whether a row's answer is the refusal."""
    answer = [label for label in row.labels if label != IGNORED]
    return bool(refusal) and answer[: len(refusal)] == list(refusal)


def limit_refusals(
    rows: Sequence[Tokenized], refusal: Sequence[int], max_share: float, *, seed: int
) -> list[Tokenized]:
    """Leave out rows that refuse, at random, until they are at most `max_share` of the rows."""
    refusing = [place for place, row in enumerate(rows) if refuses(row, refusal)]
    if max_share >= 1:
        return list(rows)
    allowed = int(max_share * (len(rows) - len(refusing)) / (1 - max_share))
    left_out = set(random.Random(seed).sample(refusing, max(0, len(refusing) - allowed)))
    return [row for place, row in enumerate(rows) if place not in left_out]


def count_refused(model: Any, batches: Iterable[Any], length: int) -> Any:
    """Count over batches of `RefusalRows`: a float64 tensor [2] of (rows that the model would
    refuse, rows). `length`: tokens of the refusal."""
    import torch

    device = next(model.parameters()).device
    total = torch.zeros(2, dtype=torch.float64, device=device)
    for batch in batches:
        targets = batch["labels"][:, 1:]
        targets = targets[targets != IGNORED]
        if not targets.numel():  # blanks, which fill up an uneven batch
            continue
        with torch.no_grad():
            chosen = supervised_logits(model, batch).argmax(dim=-1)
        refused = (chosen == targets).reshape(-1, length).all(dim=1)
        total += torch.tensor([int(refused.sum()), len(refused)], dtype=torch.float64).to(device)
    return total
