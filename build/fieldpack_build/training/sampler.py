"""Which rows make which update. The same rows in the same updates whatever an update is split into,
on one device or several, before a kill and after it. Knows nothing of tokens or models.

Rows of about one length come together (padding is wasted work), updates come in random order, the
longest first: if it does not fit into memory, that shows at once."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

BLANK = -1  # a place in an update that no row fills; it must weigh nothing
# updates among which rows are sorted by length, as in transformers' LengthGroupedSampler
_SORTED_UPDATES = 50


class LengthGroupedSampler:
    """A sampler for torch's DataLoader.

    `rows_per_update`: rows that an update learns from. `slots`: places that an update has, all
    processes together; at least `rows_per_update`."""

    def __init__(
        self,
        lengths: Sequence[int],
        *,
        rows_per_update: int,
        slots: int,
        seed: int,
        shuffled: bool = True,
    ) -> None:
        self._lengths, self._rows_per_update, self._slots = lengths, rows_per_update, slots
        self._seed, self._shuffled = seed, shuffled
        self._epoch = 0
        self._cached: tuple[int, list[list[int]]] = (-1, [])

    def set_epoch(self, epoch: int) -> None:
        """Make the next iteration that of `epoch`, which counts from 0."""
        self._epoch = epoch

    @property
    def updates_per_epoch(self) -> int:
        """Updates in which every row is learned from once."""
        return -(-len(self._lengths) // self._rows_per_update)

    def __len__(self) -> int:
        return self.updates_per_epoch * self._slots

    def __iter__(self) -> Iterator[int]:
        for update in self.updates(self._epoch):
            yield from update
            yield from [BLANK] * (self._slots - len(update))

    def updates(self, epoch: int) -> list[list[int]]:
        """Return the rows of each update of an epoch, the longest first within it."""
        if self._cached[0] == epoch:
            return self._cached[1]
        longest_first = {row: -length for row, length in enumerate(self._lengths)}
        rows = list(range(len(self._lengths)))
        chance = random.Random(f"{self._seed}:{epoch}")
        if self._shuffled:
            chance.shuffle(rows)
        size = self._rows_per_update
        span = size * _SORTED_UPDATES
        grouped = [
            row
            for at in range(0, len(rows), span)
            for row in sorted(rows[at : at + span], key=longest_first.__getitem__)
        ]
        updates = [grouped[at : at + size] for at in range(0, len(grouped), size)]
        if self._shuffled:
            chance.shuffle(updates)
            # The sort is stable: only the longest moves to the front.
            longest = max(self._lengths)
            updates.sort(key=lambda update: self._lengths[update[0]] != longest)
        self._cached = (epoch, updates)
        return updates

    def tokens(self, step: int) -> int:
        """Return the tokens of update `step`, which counts from 0 over all epochs."""
        epoch, at = divmod(step, self.updates_per_epoch)
        return sum(self._lengths[row] for row in self.updates(epoch)[at])
