"""Rows of tokens: the dataset, packing, and how rows become a batch. Knows nothing of models or recipes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..examples import IGNORED, Tokenized
from .order import BLANK

Item = dict[str, list[int]]


class Rows:
    """The map-style dataset a DataLoader wants. `BLANK` is one token that nothing is learned from."""

    def __init__(self, rows: Sequence[Tokenized]) -> None:
        self._items: list[Item] = [item([row]) for row in rows]

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
        return [(len(one["input_ids"]), sum(label != IGNORED for label in one["labels"])) for one in self._items]

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


def pack(rows: Sequence[Tokenized], width: int) -> list[list[Tokenized]]:
    """Groups of rows of at most `width` tokens: the longest row first, each into the fullest group that still takes it
    (best fit decreasing, at most a fifth over the fewest groups possible). No row is cut."""
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

    `packed`: no attention mask, but positions that begin again with each row, padding as a row of its own: from these
    transformers makes the mask that keeps rows apart."""

    def __init__(self, pad: int, *, packed: bool = False) -> None:
        self._pad, self._packed = pad, packed

    def __call__(self, rows: Sequence[Item]) -> dict[str, Any]:
        import torch

        rows = [row for row in rows if any(label != IGNORED for label in row["labels"])] or rows[:1]
        width = max(len(row["input_ids"]) for row in rows)
        ids = torch.full((len(rows), width), self._pad)
        labels = torch.full((len(rows), width), IGNORED)
        mask = torch.zeros((len(rows), width), dtype=torch.long)
        positions = torch.arange(width).repeat(len(rows), 1) if self._packed else torch.zeros_like(mask)
        for i, row in enumerate(rows):
            at = width - len(row["input_ids"])
            ids[i, at:] = torch.tensor(row["input_ids"])
            labels[i, at:] = torch.tensor(row["labels"])
            mask[i, at:] = 1
            positions[i, at:] = torch.tensor(row.get("position_ids") or range(width - at))
        batch = {"input_ids": ids, "labels": labels, "position_ids": positions}
        return batch if self._packed else {**batch, "attention_mask": mask}
