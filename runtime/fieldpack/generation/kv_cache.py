"""A language model's KV cache, kept from one prompt to the next: only the part of a prompt that
differs from the one before is read. Knows nothing of text, answers or drafts.

Greedy decoding does not need genai's search: tokens are appended and logits are read. So the cache
can be trimmed to any length, and several tokens can be tried in one step.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from time import perf_counter
from typing import TYPE_CHECKING, Any

from ..errors import Cancelled, EngineFailed
from ..untrusted import is_out_of_memory, out_of_memory
from .longrope import LongRope, new_generator

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    OnSlice = Callable[[int, float], None]  # tokens of a full slice, and the milliseconds it took

# Tokens read at once: genai holds the interpreter's lock meanwhile, cannot be cancelled, and
# reserves logits for each.
SLICE = 64
# Exported models compute logits for the last WINDOW tokens of a step, zeros before them: 1.15 times
# the prefill speed on SmolLM2-135M, whose head is a fifth of it. More than a draft and the token
# before it.
WINDOW = 16
# Tokens: the cache's capacity is a multiple of this, as all of it is reserved at once; half a step
# is left free for the next prompt.
_CAPACITY_STEP = 256


class KVCache:
    """A KV cache and the tokens in it. Not safe to use from several threads at once.

    `rope`: of a model with two sets of rotary factors. All keys in the cache are rotated with the
    set for a text of its length; where a text grows past the length at which they change, it is
    read again (as transformers does).

    `can_rewind`: whether the cache can be set back. A model whose layers see only a window of the
    last tokens and keep no more (Gemma 2 as genai's builder exports it by default) has forgotten
    what it would go back to; that shows at the first try, and from then on every prompt is read
    from its start."""

    def __init__(self, model: Any, rope: LongRope | None = None) -> None:
        self.can_rewind = True
        self._model = model
        self._rope = rope
        self._long_factors = False
        self._generator: Any = None
        self._tokens: list[int] = []
        self._capacity = 0

    @property
    def count(self) -> int:
        """The number of tokens in the cache."""
        return len(self._tokens)

    @property
    def tokens_before_switch(self) -> int | None:
        """How many tokens can be appended before the rotary factors change; None where they will
        not."""
        if self._rope is None or self._rope.is_long(self.count + 1):
            return None
        return self._rope.original_length - self.count

    def prefill(
        self,
        ids: Sequence[int],
        *,
        capacity: int,
        max_capacity: int,
        cancel: threading.Event | None = None,
        on_slice: OnSlice | None = None,
    ) -> int:
        """Make the cache hold exactly `ids`, and return how many of them it held already.

        `capacity`: tokens that it must have space for in all; `max_capacity`: tokens that it will
        never have to hold more of. `on_slice` is called after each full slice. Raises Cancelled,
        and EngineFailed where genai cannot read the tokens."""
        other_factors = (
            self._rope is not None and self._rope.is_long(len(ids)) != self._long_factors
        )
        if self._generator is None or capacity > self._capacity or other_factors:
            self.clear()
            steps = -(-(capacity + _CAPACITY_STEP // 2) // _CAPACITY_STEP)
            self._capacity = min(steps * _CAPACITY_STEP, max(max_capacity, capacity))
            self._generator = self._empty_generator(len(ids))
        shared = 0
        # At least the last two tokens are read again: logits come from reading.
        for new, old in zip(ids[: max(len(ids) - 2, 0)], self._tokens, strict=False):
            if new != old:
                break
            shared += 1
        if self._tokens and (
            shared == 0 or (shared < len(self._tokens) and not self._rewind(shared))
        ):
            self._generator, self._tokens, shared = self._empty_generator(len(ids)), [], 0
        self._append_in_slices(ids[shared:], cancel, on_slice)
        return shared

    def use_factors_for(self, length: int, cancel: threading.Event | None = None) -> None:
        """Read all tokens again if a text of `length` tokens takes the other set of rotary factors.
        Raises Cancelled."""
        if self._rope is not None and self._rope.is_long(length) != self._long_factors:
            tokens = self._tokens
            # Given up before the next one is made: two caches would be twice the memory.
            self._generator, self._tokens = None, []
            self._generator = self._empty_generator(length)
            self._append_in_slices(tokens, cancel)

    def forward(self, tokens: Sequence[int]) -> NDArray[np.float32]:
        """Append at most WINDOW tokens and return the logits behind each, [len(tokens),
        vocabulary].

        A step of one token goes through other kernels than a longer one and rounds otherwise; at
        int8 accuracy that moves logits by up to 0.6 (SmolLM2-135M, AVX2), enough to change a word.
        Steps of two and more agree to the bit."""
        import numpy as np

        left = self.tokens_before_switch
        if left is None or left >= len(tokens):
            return self._step(tokens)
        return np.concatenate([self._step(tokens[:left]), self._step(tokens[left:])])

    def _step(self, tokens: Sequence[int]) -> NDArray[np.float32]:
        """Do the work of `forward` for tokens on one side of the length at which the rotary factors
        change."""
        import numpy as np

        self.use_factors_for(self.count + 1)
        read = list(tokens)
        if self._rope is not None and len(read) == 1 and self.count > 1 and self.can_rewind:
            # The switch leaves one token alone: it is read together with the one before it.
            read = [self._tokens[-1], *read]
            self.trim(self.count - 1)
        self._append(read)
        logits = np.asarray(self._generator.get_output("logits"), dtype=np.float32)
        return logits.reshape(-1, logits.shape[-1])[-len(tokens) :]

    def logits(self) -> NDArray[np.float32]:
        """Return the logits behind the last token, [vocabulary]."""
        import numpy as np

        return np.asarray(self._generator.get_logits(), dtype=np.float32).reshape(-1)

    def trim(self, count: int) -> None:
        """Forget all but the first `count` tokens; a cache that cannot be rewound reads those
        again."""
        if count < len(self._tokens):
            remaining = self._tokens[:count]
            if not self._rewind(count):
                self._generator, self._tokens = self._empty_generator(count), []
                self._append_in_slices(remaining)

    def clear(self) -> None:
        """Forget all tokens and give the cache's memory back."""
        self._generator, self._tokens, self._capacity = None, [], 0

    def _rewind(self, count: int) -> bool:
        """Set the cache back to its first `count` tokens; return whether that was possible."""
        if self.can_rewind:
            try:
                self._generator.rewind_to(count)
            except RuntimeError:  # "the sliding-window KV cache holds only the last ..."
                self.can_rewind = False
            else:
                del self._tokens[count:]
        return self.can_rewind

    def _append_in_slices(
        self,
        ids: Sequence[int],
        cancel: threading.Event | None = None,
        on_slice: OnSlice | None = None,
    ) -> None:
        start = 0
        while start < len(ids):
            raise_if_cancelled(cancel)
            # No slice of one token is left over, as that would round otherwise: see `forward`.
            size = SLICE if len(ids) - start != SLICE + 1 else SLICE - 1
            started = perf_counter()
            self._append(ids[start : start + size])
            start += size
            if on_slice and start <= len(ids) and size == SLICE:
                on_slice(size, (perf_counter() - started) * 1000)

    def _append(self, tokens: Sequence[int]) -> None:
        try:
            with engine_errors(self._generator):
                self._generator.append_tokens(list(tokens))
        except BaseException:
            self.clear()  # what it holds now nobody knows
            raise
        self._tokens += tokens

    def _empty_generator(self, length: int) -> Any:
        """Return genai's generator with an empty cache, for a text of `length` tokens."""
        import onnxruntime_genai as og

        with engine_errors(None):
            params = og.GeneratorParams(self._model)
            params.set_search_options(max_length=self._capacity, do_sample=False)
            generator = new_generator(self._model, params, self._rope, length)
        self._long_factors = self._rope is not None and self._rope.is_long(length)
        return generator


@contextmanager
def engine_errors(generator: Any) -> Iterator[None]:
    """Turn what genai and onnxruntime raise while `generator` works (None: while it is made) into
    EngineFailed, with their words, or OutOfMemory."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if is_out_of_memory(error):
            raise out_of_memory(error, "the language model's engine") from error
        where = f" at {generator.token_count():,} tokens of text" if generator is not None else ""
        words = (str(error).splitlines() or [type(error).__name__])[0].split("Status Message: ")[-1]
        raise EngineFailed(
            f"the language model's engine failed{where}: {words[:300]}; ask a shorter question, or "
            "build the bundle again with a smaller export.max_context"
        ) from error


def raise_if_cancelled(cancel: threading.Event | None) -> None:
    """Raise Cancelled if `cancel` is set."""
    if cancel is not None and cancel.is_set():
        raise Cancelled("the answer was stopped")
