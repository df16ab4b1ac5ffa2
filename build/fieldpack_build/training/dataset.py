"""Rows of tokens: the dataset, packing, sharing, and how rows become a batch. Knows nothing of
models or recipes.

Rows that share their passages become one sequence: the tokens they begin with once, then the rest
of each, which sees these and itself alone and counts its positions from them. The loss is that of
the rows apart, for the price of one prompt.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..data.prompts import IGNORED, Tokenized
from .sampler import BLANK

Item = dict[str, list[int]]


class Rows:
    """The map-style dataset a DataLoader wants. `BLANK` is one token that nothing is learned from."""

    def __init__(self, rows: Sequence[Tokenized]) -> None:
        groups: dict[object, list[Tokenized]] = {}
        for at, row in enumerate(rows):
            groups.setdefault(("alone", at) if row.group is None else row.group, []).append(row)
        self._items: list[Item] = [
            shared(group) if len(group) > 1 else item(group) for group in groups.values()
        ]

    @classmethod
    def packed(cls, rows: Sequence[Tokenized], width: int) -> Rows:
        packed = cls([])
        packed._items = [item(group) for group in pack(rows, width)]
        return packed

    @property
    def lengths(self) -> list[int]:
        return [len(one["input_ids"]) for one in self._items]

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """(tokens, supervised tokens) of each."""
        return [
            (len(one["input_ids"]), sum(label != IGNORED for label in one["labels"]))
            for one in self._items
        ]

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: int) -> Item:
        if index == BLANK:
            return {"input_ids": [0], "labels": [IGNORED], "position_ids": [0]}
        return self._items[index]


def item(rows: Sequence[Tokenized]) -> Item:
    """Rows end to end, each counting its positions from 0."""
    return {
        "input_ids": [token for row in rows for token in row.ids],
        "labels": [label for row in rows for label in row.labels],
        "position_ids": [place for row in rows for place in range(len(row.ids))],
    }


def shared(rows: Sequence[Tokenized]) -> Item:
    """Rows that begin alike as one. `segments`: 0 what they share, then 1 for the rest of the first
    row, 2 ..."""
    same = _same(rows)
    whole = item([Tokenized(row.ids[same:], row.labels[same:]) for row in rows])
    return {
        "input_ids": rows[0].ids[:same] + whole["input_ids"],
        "labels": [IGNORED] * same + whole["labels"],
        "position_ids": [*range(same), *(same + place for place in whole["position_ids"])],
        "segments": [0] * same
        + [number for number, row in enumerate(rows, 1) for _ in row.ids[same:]],
    }


def _same(rows: Sequence[Tokenized]) -> int:
    """How many tokens the rows begin with alike; each keeps the last token of its prompt, which
    foretells its answer."""
    prompts = [next(at for at, label in enumerate(row.labels) if label != IGNORED) for row in rows]
    most = max(min(prompts) - 1, 0)
    first = rows[0].ids
    return next((at for at in range(most) if any(row.ids[at] != first[at] for row in rows)), most)


def pack(rows: Sequence[Tokenized], width: int) -> list[list[Tokenized]]:
    """Groups of rows of at most `width` tokens: the longest row first, each into the fullest group
    that still takes it (best fit decreasing, at most a fifth over the fewest groups possible). No
    row is cut."""
    groups: list[list[Tokenized]] = []
    room: dict[int, list[int]] = {}  # tokens left -> groups that have as many
    for row in sorted(rows, key=lambda row: -len(row.ids)):
        size = len(row.ids)
        left = next((left for left in range(size, width + 1) if room.get(left)), None)
        if left is None:
            groups.append([])
            place, left = len(groups) - 1, max(width, size)
        else:
            place = room[left].pop()
        groups[place].append(row)
        room.setdefault(left - size, []).append(place)
    return groups


class Collator:
    """Rows -> a batch, padded on the left so that the answers stand together at the end.

    `packed`: no attention mask, but positions that begin again with each row, padding as a row of
    its own: from these transformers makes the mask that keeps rows apart. Where rows share tokens
    the mask says who sees whom, [rows, 1, width, width], True for seen; else it is [rows, width].
    """

    def __init__(self, pad: int, *, packed: bool = False) -> None:
        self._pad, self._packed = pad, packed

    def __call__(self, rows: Sequence[Item]) -> dict[str, Any]:
        import torch

        rows = [row for row in rows if any(label != IGNORED for label in row["labels"])] or rows[:1]
        width = max(len(row["input_ids"]) for row in rows)
        ids = torch.full((len(rows), width), self._pad)
        labels = torch.full((len(rows), width), IGNORED)
        mask = torch.zeros((len(rows), width), dtype=torch.long)
        positions = (
            torch.arange(width).repeat(len(rows), 1) if self._packed else torch.zeros_like(mask)
        )
        for i, row in enumerate(rows):
            at = width - len(row["input_ids"])
            ids[i, at:] = torch.tensor(row["input_ids"])
            labels[i, at:] = torch.tensor(row["labels"])
            mask[i, at:] = 1
            positions[i, at:] = torch.tensor(row.get("position_ids") or range(width - at))
        batch = {"input_ids": ids, "labels": labels, "position_ids": positions}
        if self._packed:
            return batch
        if any("segments" in row for row in rows):
            mask = who_sees_whom(mask, [row.get("segments", []) for row in rows])
        return {**batch, "attention_mask": mask}


def who_sees_whom(mask: Any, segments: Sequence[Sequence[int]]) -> Any:
    """`mask` [rows, width], 1 where there is a token -> bool [rows, 1, width, width]. A padded
    place sees itself, as a softmax over nothing is no number."""
    import torch

    rows, width = mask.shape
    numbers = torch.zeros_like(mask)
    for i, segment in enumerate(segments):
        if segment:
            numbers[i, width - len(segment) :] = torch.tensor(segment)
    here, there = numbers[:, :, None], numbers[:, None, :]
    seen = (
        ((there == 0) | (here == there))
        & (mask[:, None, :] == 1)
        & torch.ones(width, width, dtype=torch.bool).tril()
    )
    return (seen | torch.eye(width, dtype=torch.bool)).reshape(rows, 1, width, width)
