"""What transformers says behind a text, read at once, and what the device says behind the same, for
models whose answer depends on a text's length: two sets of rotary factors, layers with a window."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fieldpack.generation.greedy import answer_tokens
from fieldpack.generation.kv_cache import KVCache
from fieldpack.generation.longrope import LongRope
from fieldpack.generation.prompt_lookup import DraftLengthController
from fieldpack_build.models import causal_lm

TOKENS = 24
IDS = [
    20 + (i * 7 + i * i // 5) % 300 for i in range(600)
]  # of a text that repeats itself, so that drafts are found

Logits = Callable[[Sequence[int]], Any]


def torch_logits(source: Path) -> Logits:
    """A function: ids -> the logits behind the last of them, [vocabulary], by transformers in
    float32."""
    import torch

    model = causal_lm.load_model(source, dtype=torch.float32, attn_implementation="eager").eval()

    def logits(ids: Sequence[int]) -> Any:
        with torch.no_grad():
            return model(torch.tensor([list(ids)])).logits[0, -1].numpy()

    return logits


def torch_tokens(logits: Logits, ids: Sequence[int], count: int = TOKENS) -> list[int]:
    """The next tokens, each of a text that is read at once: what a cache does cannot show in them."""
    text = list(ids)
    for _ in range(count):
        text.append(int(logits(text).argmax()))
    return text[len(ids) :]


def open_cache(folder: Path) -> KVCache:
    import onnxruntime_genai as og

    return KVCache(og.Model(str(folder)), LongRope.read(folder))


def read(cache: KVCache, ids: Sequence[int]) -> Any:
    """The logits behind `ids`, which the cache reads in slices or has read."""
    cache.prefill(ids, capacity=len(ids) + TOKENS, max_capacity=900)
    return cache.logits()


def tokens(
    cache: KVCache, ids: Sequence[int], *, speculate: bool = True, count: int = TOKENS
) -> list[int]:
    """The device's answer behind `ids`."""
    cache.prefill(ids, capacity=len(ids) + count, max_capacity=900)
    return list(
        answer_tokens(
            cache,
            ids,
            end_tokens=frozenset(),
            max_tokens=count,
            draft_length=DraftLengthController() if speculate else None,
        )
    )


def gap(mine: Any, theirs: Any) -> float:
    return float(np.abs(mine - theirs).max())
