"""Drafts the next tokens of a text by looking them up in the text so far: an answer that quotes its
passages repeats them. Also chooses how many tokens to draft, from what a step costs on this machine
and how often drafts were right. Knows nothing of models or text.

This is prompt lookup decoding (Saxena, 2023): the last three tokens are looked up, then the last
two, then the last one; what followed the latest occurrence is the draft.
"""

from __future__ import annotations

from collections.abc import Sequence

MAX_DRAFT = 8  # tokens: a longer step on a CPU costs more than it can bring
_ORDERS = (3, 2, 1)  # lengths of the n-grams that are looked up, longest first
# Share of drafted tokens that are taken to be right before any was tried, by the n-gram's length.
_INITIAL_ACCEPTANCE = {3: 0.8, 2: 0.5, 1: 0.25}
_SMOOTHING = 0.15  # weight of the latest observation in the running means


class NgramIndex:
    """The tokens of a prompt and of the answer so far, indexed by the n-grams they follow."""

    def __init__(self, ids: Sequence[int]) -> None:
        self._ids: list[int] = []
        self._positions: dict[int, dict[tuple[int, ...], int]] = {order: {} for order in _ORDERS}
        for token in ids:
            self.add(token)

    def add(self, token: int) -> None:
        """Append a token to the text."""
        end = len(self._ids)
        for order in _ORDERS:
            if end >= order:
                self._positions[order][tuple(self._ids[end - order : end])] = end
        self._ids.append(token)

    def find(self) -> tuple[int, int]:
        """Return the length of the longest n-gram at the end of the text that occurred before, and
        the position that followed its latest occurrence; (0, 0) if there is none."""
        for order in _ORDERS:
            position = self._positions[order].get(tuple(self._ids[-order:]), 0)
            if position:
                return order, position
        return 0, 0

    def draft(self, position: int, count: int) -> list[int]:
        """Return at most `count` tokens of the text from `position` on."""
        return self._ids[position : position + count]


class DraftLengthController:
    """Chooses how many tokens to draft. A step that reads n tokens is taken to cost `base + n *
    slope` milliseconds."""

    def __init__(self) -> None:
        self._acceptance = dict(_INITIAL_ACCEPTANCE)
        # Until steps were timed: a machine on which reading is cheaper than writing.
        self._base, self._slope = 1.0, 0.15
        self._timed = False

    def record_prefill(self, tokens: int, ms: float) -> None:
        """Take the cost of one more token in a step from a long step of a prompt."""
        self._slope = ms / tokens

    def record_step(self, tokens: int, ms: float) -> None:
        """Take the fixed cost of a step from a decoding step that read `tokens` tokens."""
        base = max(ms - tokens * self._slope, 0.1 * ms)
        self._base = base if not self._timed else self._base + _SMOOTHING * (base - self._base)
        self._timed = True

    def record_acceptance(self, order: int, drafted: int, accepted: int) -> None:
        """Record that of a draft behind an n-gram of length `order` the first `accepted` tokens were
        right and the next one, if there was one, was wrong."""
        for right in (1.0,) * accepted + (0.0,) * (accepted < drafted):
            self._acceptance[order] += _SMOOTHING * (right - self._acceptance[order])

    def length(self, order: int) -> int:
        """Return how many tokens, 1 to MAX_DRAFT, to draft behind an n-gram of length `order`: the
        number with the most expected tokens for the time of a step."""
        acceptance = self._acceptance[order]
        best, best_speed, expected_tokens, all_right = 1, 0.0, 1.0, 1.0
        for count in range(1, MAX_DRAFT + 1):
            all_right *= acceptance
            expected_tokens += all_right
            speed = expected_tokens / (self._base + (1 + count) * self._slope)
            if speed > best_speed:
                best, best_speed = count, speed
        return best
