"""Rows kept out of training to see whether it helps: whole documents and whole questions, so that
what is asked there was not learned here. Knows nothing of models."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ..data import Example
from ..data.prompts import Tokenized


@dataclass(frozen=True, slots=True)
class TrainValidationSplit:
    """`by`: what is whole on each side."""

    train: list[Tokenized]
    validation: list[Tokenized]
    by: Literal["document", "question"] = "document"


def split_rows(
    rows: Sequence[Tokenized], examples: Sequence[Example], size: float, *, seed: int
) -> TrainValidationSplit:
    """Split rows into training and validation at random.

    `examples`: one for each row. `size`: of the validation, as a share under 1 or a count. Rows of
    one document stay together; where documents are so large that whole ones do not make about as
    many rows, those of one question."""
    if not size:
        return TrainValidationSplit(list(rows), [])
    count = min(len(rows) - 1, max(1, round(size * len(rows)) if size < 1 else int(size)))
    by: Literal["document", "question"] = "document"
    chosen = _draw(_linked_rows(examples, by_document=True), count, seed)
    if len(chosen) < count / 2:
        by = "question"
        chosen = _draw(_linked_rows(examples, by_document=False), count, seed)
    return TrainValidationSplit(
        [row for i, row in enumerate(rows) if i not in chosen],
        [row for i, row in enumerate(rows) if i in chosen],
        by,
    )


def _linked_rows(examples: Sequence[Example], *, by_document: bool) -> list[list[int]]:
    """Return the places of rows that must stay on one side, in groups: those that ask the same
    words, and with `by_document` those of one document, and what these link in turn (union-find).
    """
    by_key: dict[str, list[int]] = {}
    for place, example in enumerate(examples):
        keys = [f"asks {' '.join(example.question.casefold().split())}"]
        if by_document and example.document:
            keys.append(f"in {example.document}")
        for key in keys:
            by_key.setdefault(key, []).append(place)
    parent = list(range(len(examples)))

    def root(place: int) -> int:
        while parent[place] != place:
            parent[place] = parent[parent[place]]
            place = parent[place]
        return place

    for places in by_key.values():
        for place in places[1:]:
            parent[root(place)] = root(places[0])
    groups: dict[int, list[int]] = {}
    for place in range(len(examples)):
        groups.setdefault(root(place), []).append(place)
    return list(groups.values())


def _draw(groups: Sequence[Sequence[int]], count: int, seed: int) -> set[int]:
    """Take groups in random order until `count` rows are out; one that would go far over is passed
    by."""
    shuffled = list(groups)
    random.Random(seed).shuffle(shuffled)
    chosen: set[int] = set()
    for group in shuffled:
        if len(chosen) < count and len(chosen) + len(group) <= max(count * 1.5, count + 1):
            chosen.update(group)
    return chosen
