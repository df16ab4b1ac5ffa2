"""Holds an opened model against the reference in full precision, whatever engine opened it. Knows
nothing of engines: the caller says how logits are read."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .agreement import compare, log_softmax
from .facts import ProbeFigures
from .reference_logits import ReferenceRow

ReadLogits = Callable[[Sequence[int], Sequence[int]], Any]


def read_rows(reference: Path) -> list[ReferenceRow]:
    """Return the reference's texts as tokens, as `reference_logits` wrote them."""
    rows: list[ReferenceRow] = json.loads((reference / "reference.json").read_text("utf-8"))
    return rows


def figures_against(
    read: ReadLogits, rows: Sequence[ReferenceRow], reference: Path
) -> ProbeFigures:
    """Return how far a model is from the reference: the perplexity of the right answers by both
    models; over all positions, also of the full model's own answers, the mean KL(full || this) in
    nats and how often the best next token is the same; the share of the full model's own answers that
    this model, answering greedily, gives to the letter. `kl` is None, and the rest absent, where a
    logit is not a number.

    `read(prompt, answer)`: the logits that predict each token of `answer`, [len(answer), vocabulary].
    """
    mine, theirs, same_answers = [], [], []

    def pairs() -> Iterator[tuple[Any, Any]]:
        for number, row in enumerate(rows):
            full = np.load(reference / f"{number:02}.npy")
            this = np.concatenate(
                [read(row["prompt"], answer) for answer in (row["answer"], row["own"])]
            )
            given = len(row["answer"])
            places = np.arange(given), np.array(row["answer"], dtype=int)
            mine.append(log_softmax(this[:given])[places])
            theirs.append(log_softmax(full[:given])[places])
            best, theirs_best = this[given:].argmax(axis=-1), full[given:].argmax(axis=-1)
            same_answers.append(bool((theirs_best == best).all()))
            yield full, this

    seen = compare(pairs())
    if not seen.finite:
        return {"kl": None}
    perplexity = [float(np.exp(-np.concatenate(part).mean())) for part in (theirs, mine)]
    return {
        "perplexity_torch": round(perplexity[0], 3),
        "perplexity_onnx": round(perplexity[1], 3),
        "perplexity_ratio": round(perplexity[1] / perplexity[0], 4),
        "kl": float(f"{seen.kl:.4g}"),
        "same_next_token": round(seen.same_next_token, 6),
        "same_answers": round(float(np.mean(same_answers)), 4),
        "texts": len(rows),
        "positions": seen.positions,
    }
