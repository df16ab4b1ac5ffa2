"""Rows kept out of training to see whether it helps: whole documents and whole questions, so that
what is asked there was not learned here. Knows nothing of models."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..data import Example
from ..data.prompts import Tokenized


@dataclass(frozen=True, slots=True)
class TrainValidationSplit:
    """`by`: what is whole on each side."""

    learned: list[Tokenized]
    held: list[Tokenized]
    by: str = "document"


def part(
    rows: Sequence[Tokenized], examples: Sequence[Example], wanted: float, *, seed: int
) -> TrainValidationSplit:
    """`examples`: one for each row. `wanted`: a share under 1 or a count. Rows of one document stay
    together; where documents are so large that whole ones do not make about as many rows, those of
    one question."""
    if not wanted:
        return TrainValidationSplit(list(rows), [])
    count = min(len(rows) - 1, max(1, round(wanted * len(rows)) if wanted < 1 else int(wanted)))
    by = "document"
    held = _draw(_groups(examples, by), count, seed)
    if len(held) < count / 2:
        by = "question"
        held = _draw(_groups(examples, by), count, seed)
    return TrainValidationSplit(
        [r for i, r in enumerate(rows) if i not in held],
        [r for i, r in enumerate(rows) if i in held],
        by,
    )


def _groups(examples: Sequence[Example], by: str) -> list[list[int]]:
    """Places of rows that must stay on one side: linked by their document (if so wanted) or by the
    words they ask."""
    names: dict[str, list[int]] = {}
    for place, example in enumerate(examples):
        keys = [f"asks {' '.join(example.question.casefold().split())}"]
        if by == "document" and example.document:
            keys.append(f"in {example.document}")
        for key in keys:
            names.setdefault(key, []).append(place)
    return _joined(names, len(examples))


def _joined(names: Mapping[str, Sequence[int]], count: int) -> list[list[int]]:
    """Union by shared names."""
    leader = list(range(count))

    def find(place: int) -> int:
        while leader[place] != place:
            leader[place] = leader[leader[place]]
            place = leader[place]
        return place

    for places in names.values():
        for place in places[1:]:
            leader[find(place)] = find(places[0])
    groups: dict[int, list[int]] = {}
    for place in range(count):
        groups.setdefault(find(place), []).append(place)
    return list(groups.values())


def _draw(groups: Sequence[Sequence[int]], count: int, seed: int) -> set[int]:
    """Groups in random order until `count` rows are out; one that would go far over is passed by."""
    shuffled = list(groups)
    random.Random(seed).shuffle(shuffled)
    held: set[int] = set()
    for group in shuffled:
        if len(held) < count and len(held) + len(group) <= max(count * 1.5, count + 1):
            held.update(group)
    return held
