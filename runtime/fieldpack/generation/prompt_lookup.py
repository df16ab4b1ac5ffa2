"""Guesses how a text goes on from what stands in it already: an answer that quotes its passages
says what they say. And how far to guess, from what this machine's steps cost and how often guesses
were right. Knows nothing of models or text.

After prompt lookup decoding (Saxena, 2023): the longest of the last three tokens, two, or one that
occurred before tells what came next then.
"""

from __future__ import annotations

from collections.abc import Sequence

LONGEST = 8  # tokens of a draft: beyond that a step on a CPU costs more than it can bring
_ORDERS = (3, 2, 1)  # tokens that must match
_RIGHT = {
    3: 0.8,
    2: 0.5,
    1: 0.25,
}  # share of drafted tokens that were right before any was seen, by tokens matched
_STEADY = 0.15  # weight of what was seen last


class NgramIndex:
    """The tokens of a prompt and of the answer so far, by what they follow."""

    def __init__(self, ids: Sequence[int]) -> None:
        self._ids: list[int] = []
        self._after: dict[int, dict[tuple[int, ...], int]] = {order: {} for order in _ORDERS}
        for token in ids:
            self.add(token)

    def add(self, token: int) -> None:
        end = len(self._ids)
        for order in _ORDERS:
            if end >= order:
                self._after[order][tuple(self._ids[end - order : end])] = end
        self._ids.append(token)

    def find(self) -> tuple[int, int]:
        """(tokens that match the end of the text, where the text goes on behind the match); (0, 0)
        without a match."""
        for order in _ORDERS:
            at = self._after[order].get(tuple(self._ids[-order:]), 0)
            if at:
                return order, at
        return 0, 0

    def draft(self, at: int, count: int) -> list[int]:
        """At most `count` tokens from place `at` on."""
        return self._ids[at : at + count]


class DraftLengthController:
    """How long drafts are to be. Costs are milliseconds of a step that reads n tokens: `base + n *
    slope`."""

    def __init__(self) -> None:
        self._right = dict(_RIGHT)
        self._base, self._slope = (
            1.0,
            0.15,
        )  # until steps were timed: a machine that reads cheaper than it writes
        self._timed = False

    def read(self, tokens: int, ms: float) -> None:
        """A long step, of a prompt: what one more token costs."""
        self._slope = ms / tokens

    def record_step(self, tokens: int, ms: float) -> None:
        base = max(ms - tokens * self._slope, 0.1 * ms)
        self._base = base if not self._timed else self._base + _STEADY * (base - self._base)
        self._timed = True

    def record_acceptance(self, order: int, drafted: int, accepted: int) -> None:
        """Of a draft the first `accepted` tokens were right, and the next one, if there is one, was
        wrong."""
        for right in (1.0,) * accepted + (0.0,) * (accepted < drafted):
            self._right[order] += _STEADY * (right - self._right[order])

    def length(self, order: int) -> int:
        """Tokens to draft behind a match of `order` tokens, 1 at least: where a step brings most
        tokens for its time."""
        right = self._right[order]
        best, best_speed, expected, power = 1, 0.0, 1.0, 1.0
        for count in range(1, LONGEST + 1):
            power *= right
            expected += power
            speed = expected / (self._base + (1 + count) * self._slope)
            if speed > best_speed:
                best, best_speed = count, speed
        return best
