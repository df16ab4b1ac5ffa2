"""Which rows make which update. The same rows in the same updates whatever an update is split into,
on one device or several, before a kill and after it. Knows nothing of tokens or models.

Rows of about one length come together (padding is wasted work), updates come in random order, the
longest first: if it does not fit into memory, that shows at once."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

BLANK = -1  # a place in an update that no row fills; it must weigh nothing
_GROUP = (
    50  # updates among which rows are sorted by length, as in transformers' LengthGroupedSampler
)


class LengthGroupedSampler:
    """A sampler for torch's DataLoader. `slots`: places an update has, all processes together; at
    least `effective`."""

    def __init__(
        self,
        lengths: Sequence[int],
        *,
        effective: int,
        slots: int,
        seed: int,
        shuffled: bool = True,
    ) -> None:
        self._lengths, self._effective, self._slots = lengths, effective, slots
        self._seed, self._shuffled = seed, shuffled
        self._epoch = 0
        self._made: tuple[int, list[list[int]]] = (-1, [])

    def set_epoch(self, epoch: int) -> None:
        self._epoch = epoch

    @property
    def per_epoch(self) -> int:
        """Updates."""
        return -(-len(self._lengths) // self._effective)

    def __len__(self) -> int:
        return self.per_epoch * self._slots

    def __iter__(self) -> Iterator[int]:
        for update in self.updates(self._epoch):
            yield from update
            yield from [BLANK] * (self._slots - len(update))

    def updates(self, epoch: int) -> list[list[int]]:
        """The rows of each update, the longest first within it."""
        if self._made[0] != epoch:
            self._made = (epoch, self._make(epoch))
        return self._made[1]

    def _make(self, epoch: int) -> list[list[int]]:
        rows = list(range(len(self._lengths)))
        chance = random.Random(f"{self._seed}:{epoch}")
        if self._shuffled:
            chance.shuffle(rows)
        wide = self._effective * _GROUP
        grouped = [
            row
            for at in range(0, len(rows), wide)
            for row in sorted(rows[at : at + wide], key=self._longest)
        ]
        found = [
            grouped[at : at + self._effective] for at in range(0, len(grouped), self._effective)
        ]
        if self._shuffled:
            chance.shuffle(found)
            found.sort(
                key=lambda update: self._longest(update[0]) != -max(self._lengths)
            )  # stable: one moves to the front
        return found

    def tokens(self, step: int) -> int:
        """Of update `step`, which counts from 0 over all epochs."""
        epoch, at = divmod(step, self.per_epoch)
        return sum(self._lengths[row] for row in self.updates(epoch)[at])

    def _longest(self, row: int) -> int:
        return -self._lengths[row]
