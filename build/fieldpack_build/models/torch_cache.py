"""transformers' KV cache with the tokens in it: the full-precision side of
`fieldpack.generation.kv_cache`. A text of a model with two sets of rotary factors (LongRoPE) is
read with those of its own length, also where it grows past the length at which they change.

Called with a cache of its own, transformers rotates what is new with the factors of the whole text
and leaves what is cached: only its `generate` reads again at the switch. Knows nothing of text."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any


class TorchCache:
    """The KV cache of `model`, empty at first. copy.deepcopy would copy the model with it: use
    `copy`."""

    def __init__(self, model: Any) -> None:
        self._model = model
        rope = getattr(model.config, "rope_parameters", None) or {}
        self._original = (
            rope.get("original_max_position_embeddings")
            if rope.get("rope_type") == "longrope"
            else None
        )
        self._tokens: list[int] = []
        self._long = False
        self._cache: Any = None

    def append(self, ids: Sequence[int], *, last_only: bool = False) -> Any:
        """Return the logits behind each of `ids`, [len(ids), vocabulary], or behind the last one
        alone, [1, vocabulary]."""
        import torch

        length = len(self._tokens) + len(ids)
        if self._original is None or (
            len(self._tokens) >= self._original or length <= self._original
        ):
            return self._read(ids, last_only)
        switch = self._original - len(self._tokens)
        before, behind = (self._read(part, last_only) for part in (ids[:switch], ids[switch:]))
        return behind if last_only else torch.cat([before, behind])

    def crop(self, count: int) -> None:
        """Forget all but the first `count` tokens. Raises RuntimeError where a layer with a window
        has forgotten what it would go back to; the cache is of no use then."""
        # transformers 5: so many less; a length raises ValueError
        self._cache.crop(count - len(self._tokens))
        del self._tokens[count:]

    def copy(self) -> TorchCache:
        """Return a cache of the same model that holds the same tokens, and goes on by itself."""
        twin = TorchCache(self._model)
        twin._tokens, twin._long = list(self._tokens), self._long
        twin._cache = deepcopy(self._cache)
        return twin

    def _read(self, ids: Sequence[int], last_only: bool) -> Any:
        """Append on one side of the length at which the rotary factors change."""
        import torch

        long = self._original is not None and len(self._tokens) + len(ids) > self._original
        read = list(ids)
        if long != self._long and self._tokens:
            read, self._cache = [*self._tokens, *ids], None
        out = self._model(
            input_ids=torch.tensor([read], device=self._model.device),
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=1 if last_only else len(ids),
        )
        self._tokens += ids
        self._long, self._cache = long, out.past_key_values
        return out.logits[0]
