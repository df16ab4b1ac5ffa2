"""Rows of tokens: the dataset, packing, shared prompts, and how rows become a batch. Knows nothing
of models or recipes.

Rows that share their passages become one sequence: the tokens they begin with once, then the rest
of each, which sees these and itself alone and counts its positions from them. The loss is that of
the rows apart, for the price of one prompt.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from ..data.prompts import IGNORED, Tokenized
from .sampler import BLANK

# "input_ids", "labels" and "position_ids" of one sequence, with shared prompts "segments" too
TokenSequence: TypeAlias = dict[str, list[int]]


class SequenceDataset:
    """The map-style dataset that a DataLoader wants: sequences of one or more rows. Index `BLANK`
    is one token that nothing is learned from."""

    def __init__(self, sequences: Sequence[TokenSequence]) -> None:
        self._sequences = sequences

    @classmethod
    def with_shared_prompts(cls, rows: Sequence[Tokenized]) -> SequenceDataset:
        """Make one sequence of the rows of each group, and one of each row without a group."""
        groups: dict[object, list[Tokenized]] = {}
        for at, row in enumerate(rows):
            groups.setdefault(("alone", at) if row.group is None else row.group, []).append(row)
        return cls(
            [
                share_prompt(group) if len(group) > 1 else concatenate(group)
                for group in groups.values()
            ]
        )

    @classmethod
    def packed(cls, rows: Sequence[Tokenized], width: int) -> SequenceDataset:
        """Pack the rows into sequences of at most `width` tokens."""
        return cls([concatenate(group) for group in pack(rows, width)])

    @property
    def lengths(self) -> list[int]:
        """The tokens of each sequence."""
        return [len(sequence["input_ids"]) for sequence in self._sequences]

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """(tokens, supervised tokens) of each sequence."""
        return [
            (len(sequence["input_ids"]), sum(label != IGNORED for label in sequence["labels"]))
            for sequence in self._sequences
        ]

    def __len__(self) -> int:
        return len(self._sequences)

    def __getitem__(self, index: int) -> TokenSequence:
        if index == BLANK:
            return {"input_ids": [0], "labels": [IGNORED], "position_ids": [0]}
        return self._sequences[index]


def concatenate(rows: Sequence[Tokenized]) -> TokenSequence:
    """Put rows end to end, each counting its positions from 0."""
    return {
        "input_ids": [token for row in rows for token in row.ids],
        "labels": [label for row in rows for label in row.labels],
        "position_ids": [place for row in rows for place in range(len(row.ids))],
    }


def share_prompt(rows: Sequence[Tokenized]) -> TokenSequence:
    """Make one sequence of rows that begin alike: the tokens they share once, then the rest of each.

    `segments` holds 0 for what they share, then 1 for the rest of the first row, 2 for that of the
    second, and so on. Each row keeps the last token of its prompt, whose logits predict its answer.
    """
    prompts = [next(at for at, label in enumerate(row.labels) if label != IGNORED) for row in rows]
    longest = max(min(prompts) - 1, 0)
    first = rows[0].ids
    length = next(
        (at for at in range(longest) if any(row.ids[at] != first[at] for row in rows)), longest
    )
    rest = concatenate([Tokenized(row.ids[length:], row.labels[length:]) for row in rows])
    return {
        "input_ids": first[:length] + rest["input_ids"],
        "labels": [IGNORED] * length + rest["labels"],
        "position_ids": [*range(length), *(length + place for place in rest["position_ids"])],
        "segments": [0] * length
        + [number for number, row in enumerate(rows, 1) for _ in row.ids[length:]],
    }


def pack(rows: Sequence[Tokenized], width: int) -> list[list[Tokenized]]:
    """Group rows into sequences of at most `width` tokens: the longest row first, each into the
    fullest group that still takes it (best fit decreasing, at most a fifth over the fewest groups
    possible). No row is cut."""
    groups: list[list[Tokenized]] = []
    by_capacity: dict[int, list[int]] = {}  # tokens left -> groups that have as many
    for row in sorted(rows, key=lambda row: -len(row.ids)):
        size = len(row.ids)
        left = next((left for left in range(size, width + 1) if by_capacity.get(left)), None)
        if left is None:
            groups.append([])
            place, left = len(groups) - 1, max(width, size)
        else:
            place = by_capacity[left].pop()
        groups[place].append(row)
        by_capacity.setdefault(left - size, []).append(place)
    return groups


class Collator:
    """Makes a batch of sequences, padded on the left so that the answers stand together at the end.

    With `packed` there is no attention mask, but positions that begin again with each row, and
    padding is a row of its own: from these transformers makes the mask that keeps rows apart. Where
    rows share tokens the mask is `attention_mask`'s, [rows, 1, width, width]; else [rows, width].
    """

    def __init__(self, pad: int, *, packed: bool = False) -> None:
        self._pad, self._packed = pad, packed

    def __call__(self, rows: Sequence[TokenSequence]) -> dict[str, Any]:
        """Return int64 tensors [rows, width] of tokens, labels and positions, and the mask."""
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
            mask = attention_mask(mask, [row.get("segments", []) for row in rows])
        return {**batch, "attention_mask": mask}


def attention_mask(mask: Any, segments: Sequence[Sequence[int]]) -> Any:
    """Return which token sees which, bool [rows, 1, width, width], True where the one in the third
    place sees the one in the fourth.

    `mask` is [rows, width], 1 where there is a token; `segments` as `share_prompt` numbers them. A
    padded place sees itself, as a softmax over nothing is not a number."""
    import torch

    rows, width = mask.shape
    numbers = torch.zeros_like(mask)
    for i, segment in enumerate(segments):
        if segment:
            numbers[i, width - len(segment) :] = torch.tensor(segment)
    query, key = numbers[:, :, None], numbers[:, None, :]
    visible = (
        ((key == 0) | (query == key))
        & (mask[:, None, :] == 1)
        & torch.ones(width, width, dtype=torch.bool).tril()
    )
    return (visible | torch.eye(width, dtype=torch.bool)).reshape(rows, 1, width, width)
