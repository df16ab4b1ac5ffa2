"""Holds an opened model against the reference in full precision, whatever engine opened it. Knows
nothing of engines: the caller says how logits are read."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from .agreement import compare, log_softmax
from .facts import ProbeFigures
from .reference_logits import FILE, ReferenceRow

# From a prompt and an answer, as tokens, to the logits that predict each token of the answer.
ReadLogits: TypeAlias = Callable[[Sequence[int], Sequence[int]], NDArray[np.float32]]


def read_rows(reference: Path) -> list[ReferenceRow]:
    """Return the reference's texts as tokens, as `reference_logits` wrote them."""
    rows: list[ReferenceRow] = json.loads((reference / FILE).read_text(encoding="utf-8"))
    return rows


def figures_against(
    read_logits: ReadLogits, rows: Sequence[ReferenceRow], reference: Path
) -> ProbeFigures:
    """Return how far a model is from the reference: the perplexity of the right answers by both
    models; over all positions, also of the full model's own answers, the mean KL(full || this) in
    nats and how often the best next token is the same; the share of the full model's own answers
    that this model, answering greedily, gives to the letter. `kl` is None, and the rest absent,
    where a logit is not a number.

    `read_logits(prompt, answer)`: the logits that predict each token of `answer`, [len(answer),
    vocabulary]."""
    mine, theirs, same_answers = [], [], []

    def pairs() -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        for number, row in enumerate(rows):
            full = np.load(reference / f"{number:02}.npy")
            answers = (row["answer"], row["own"])
            this = np.concatenate([read_logits(row["prompt"], answer) for answer in answers])
            right = len(row["answer"])
            places = np.arange(right), np.array(row["answer"], dtype=int)
            mine.append(log_softmax(this[:right])[places])
            theirs.append(log_softmax(full[:right])[places])
            best, full_best = this[right:].argmax(axis=-1), full[right:].argmax(axis=-1)
            same_answers.append(bool((full_best == best).all()))
            yield full, this

    agreement = compare(pairs())
    if not agreement.finite:
        return {"kl": None}
    perplexity = [float(np.exp(-np.concatenate(part).mean())) for part in (theirs, mine)]
    return {
        "perplexity_torch": round(perplexity[0], 3),
        "perplexity_onnx": round(perplexity[1], 3),
        "perplexity_ratio": round(perplexity[1] / perplexity[0], 4),
        "kl": float(f"{agreement.kl:.4g}"),
        "same_next_token": round(agreement.same_next_token, 6),
        "same_answers": round(float(np.mean(same_answers)), 4),
        "texts": len(rows),
        "positions": agreement.positions,
    }
