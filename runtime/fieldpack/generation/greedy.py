"""Greedy decoding on a KV cache, with drafts that the model confirms several at a time. The tokens
are the same with drafts and without. Knows nothing of text or prompts.

Every step reads at least two tokens, the second one a guess: a step of one token goes through other
kernels and rounds otherwise (see `KVCache.forward`), which changed the words of 8 of 30 answers of
the finance expert. Steps of two and more agree to the bit, so the answer depends neither on how
long a draft happened to be nor on how busy the machine was. A cache that cannot be rewound
(`KVCache.can_rewind`) takes one token a step and no drafts.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING

from .kv_cache import KVCache, raise_if_cancelled
from .prompt_lookup import DraftLengthController, NgramIndex

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(slots=True)
class Drafts:
    """How many tokens were drafted for an answer, and how many of them the model confirmed."""

    drafted: int = 0
    accepted: int = 0


class GreedySampler:
    """Picks the best next token. `penalty` divides the score of tokens that occurred before (Keskar
    et al. 2019, CTRL); 1 leaves scores as they are."""

    def __init__(self, ids: Sequence[int], vocabulary: int, penalty: float) -> None:
        import numpy as np

        self._penalty = penalty
        self._occurred = np.zeros(vocabulary if penalty != 1 else 0, dtype=bool)
        if penalty != 1:
            self._occurred[list(ids)] = True

    def sample(self, logits: NDArray[np.float32]) -> int:
        """Return the token with the highest score of `logits`, [vocabulary], and note that it
        occurred."""
        if self._penalty == 1:
            return int(logits.argmax())
        import numpy as np

        scores = logits.copy()
        repeated = scores[self._occurred]
        scores[self._occurred] = np.where(
            repeated > 0, repeated / self._penalty, repeated * self._penalty
        )
        token = int(scores.argmax())
        self._occurred[token] = True
        return token


def answer_tokens(
    cache: KVCache,
    ids: Sequence[int],
    *,
    end_tokens: frozenset[int],
    max_tokens: int,
    penalty: float = 1.0,
    draft_length: DraftLengthController | None = None,
    drafts: Drafts | None = None,
    cancel: threading.Event | None = None,
) -> Iterator[int]:
    """Yield the tokens that follow `ids`, which `cache` holds, up to one of `end_tokens` (which is
    yielded too) or `max_tokens` of them.

    With `draft_length`, drafts are looked up in the text, as long as it finds that they gain time;
    `drafts` counts them. Raises Cancelled, and EngineFailed where the engine gives up."""
    logits = cache.logits()
    sampler = GreedySampler(ids, len(logits), penalty)
    ngrams = NgramIndex(ids) if draft_length else None
    drafts = drafts if drafts is not None else Drafts()
    token, count = sampler.sample(logits), 1
    yield token
    while token not in end_tokens and count < max_tokens:
        raise_if_cancelled(cancel)
        order, draft = 0, [token] if cache.can_rewind else []  # without a match: the token again
        if cache.can_rewind and ngrams and draft_length:
            ngrams.add(token)
            order, position = ngrams.find()
            if order:
                length = max(min(draft_length.length(order), max_tokens - count - 1), 1)
                draft = ngrams.draft(position, length)
        left = cache.tokens_before_switch
        if left is not None and len(draft) >= left:
            # To guess past the switch of rotary factors would be to read all of the text for a
            # guess.
            draft = draft[: left - 1]
            order = order if draft else 0
        cache.use_factors_for(cache.count + 1, cancel)
        started, before = perf_counter(), cache.count
        rows = cache.forward([token, *draft])
        step_ms = (perf_counter() - started) * 1000
        accepted = 0
        for row, guess in zip(rows, (*draft, None), strict=True):
            token = sampler.sample(row)
            count += 1
            yield token
            if token != guess or token in end_tokens or count == max_tokens:
                break
            accepted += 1
            if ngrams:
                ngrams.add(token)
        cache.trim(before + 1 + accepted)
        if draft_length:
            draft_length.record_step(1 + len(draft), step_ms)
            if order:
                draft_length.record_acceptance(order, len(draft), accepted)
                drafts.drafted += len(draft)
                drafts.accepted += accepted
