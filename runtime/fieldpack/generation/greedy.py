"""Greedy decoding on a kept cache, with drafts that the model confirms several at a time. The
tokens are the same with drafts and without. Knows nothing of text or prompts.

Every step reads two tokens at least, the second one a guess: a step of one goes through other
kernels and rounds otherwise (see `KVCache.advance`), which changed the words of 8 of 30 answers of
the finance expert. Steps of two and more agree to the bit, so that what is said depends neither on
how long a draft happened to be nor on how busy the machine was. A cache that cannot be set back
(`KVCache.can_rewind`) takes a token a step and no drafts.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING

from .kv_cache import KVCache, check
from .prompt_lookup import DraftLengthController, NgramIndex

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(slots=True)
class Drafts:
    """Tokens guessed for an answer, and how many of them the model would have said."""

    drafted: int = 0
    accepted: int = 0


class GreedySampler:
    """The best next token; `penalty` divides the score of tokens that were there before (Keskar et
    al. 2019), 1 does not."""

    def __init__(self, ids: Sequence[int], vocabulary: int, penalty: float) -> None:
        import numpy as np

        self._penalty = penalty
        self._seen = np.zeros(vocabulary if penalty != 1 else 0, dtype=bool)
        if penalty != 1:
            self._seen[list(ids)] = True

    def of(self, logits: NDArray[np.float32]) -> int:
        if self._penalty == 1:
            return int(logits.argmax())
        import numpy as np

        scores = logits.copy()
        seen = scores[self._seen]
        scores[self._seen] = np.where(seen > 0, seen / self._penalty, seen * self._penalty)
        token = int(scores.argmax())
        self._seen[token] = True
        return token


def answer_tokens(
    kept: KVCache,
    ids: Sequence[int],
    *,
    ends: frozenset[int],
    most: int,
    penalty: float = 1.0,
    pace: DraftLengthController | None = None,
    drafts: Drafts | None = None,
    cancel: threading.Event | None = None,
) -> Iterator[int]:
    """Tokens behind `ids`, which `kept` has read, until one of `ends` (which is given too) or
    `most` of them. With `pace` drafts are looked up, as long as it finds that they gain."""
    logits = kept.logits()
    best = GreedySampler(ids, len(logits), penalty)
    ngrams = NgramIndex(ids) if pace else None
    drafts = drafts if drafts is not None else Drafts()
    token, made = best.of(logits), 1
    yield token
    while token not in ends and made < most:
        check(cancel)
        order, draft = _draft(ngrams, pace, token, most - made - 1) if kept.can_rewind else (0, [])
        if (few := kept.before_switch) is not None and len(draft) >= few:
            draft = draft[
                : few - 1
            ]  # to guess past the switch would be to read all of the text for a guess
            order = order if draft else 0
        kept.fit(kept.count + 1, cancel)
        started, before = perf_counter(), kept.count
        rows = kept.advance([token, *draft])
        spent_ms = (perf_counter() - started) * 1000
        accepted = 0
        for row, guess in zip(rows, (*draft, None), strict=True):
            token = best.of(row)
            made += 1
            yield token
            if token != guess or token in ends or made == most:
                break
            accepted += 1
            if ngrams:
                ngrams.add(token)
        kept.trim(before + 1 + accepted)
        if pace:
            pace.record_step(1 + len(draft), spent_ms)
            if order:
                pace.record_acceptance(order, len(draft), accepted)
                drafts.drafted += len(draft)
                drafts.accepted += accepted


def _draft(
    ngrams: NgramIndex | None, pace: DraftLengthController | None, token: int, most: int
) -> tuple[int, list[int]]:
    """(tokens matched, the draft) behind `token`, which joins the text. Without a match the token
    itself is the guess."""
    if ngrams is None or pace is None:
        return 0, [token]
    ngrams.add(token)
    order, at = ngrams.find()
    if not order:
        return 0, [token]
    return order, ngrams.draft(at, max(min(pace.length(order), most), 1))
