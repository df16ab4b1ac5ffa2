"""What a language model has read, kept from one prompt to the next: of a prompt only what differs
from the one before is read. Knows nothing of text, answers or drafts.

Greedy decoding does not need genai's search: tokens are appended, logits looked at. So the cache
can be set back to any place, and several tokens can be tried in one step.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from time import perf_counter
from typing import TYPE_CHECKING, Any

from ..errors import Cancelled, EngineFailed
from .longrope import LongRope, new_generator

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Tokens read at once: genai holds the interpreter's lock meanwhile, cannot be cancelled, and
# reserves logits for each.
SLICE = 64
# Exported models compute logits for the last WINDOW tokens of a step, zeros before them: 1.15 times
# the prefill speed on SmolLM2-135M, whose head is a fifth of it. More than a draft and the token
# before it.
WINDOW = 16
# tokens: the cache grows in such steps, as all of it is reserved at once; half a step is left for
# the next
_ROOM = 256


class KVCache:
    """A KV cache and the tokens in it. Not safe to use from several threads at once.

    `rope`: of a model with two sets of rotary factors. All keys in the cache are rotated with the
    set that a text of its length wants; where a text grows past the length at which they change, it
    is read again (as transformers does).

    `can_rewind`: it can be set back. A model whose layers see a window of the last tokens alone and
    keep no more (Gemma 2 as genai's builder exports it unasked) forgets what it would go back to;
    that shows at the first try, and from then on every prompt is read from its start."""

    def __init__(self, model: Any, rope: LongRope | None = None) -> None:
        self.can_rewind = True
        self._model = model
        self._rope = rope
        self._long = False
        self._generator: Any = None
        self._held: list[int] = []
        self._room = 0

    def read(
        self,
        ids: Sequence[int],
        *,
        room: int,
        most: int,
        cancel: threading.Event | None = None,
        timed: Callable[[int, float], None] | None = None,
    ) -> int:
        """Make the cache hold `ids` and nothing more, with room for `room` tokens in all, `most` at
        the most ever. How many of them were there already. `timed` is told of each full slice's
        tokens and milliseconds. Raises Cancelled, and EngineFailed where genai cannot read them."""
        shared = self._set_back(ids, room, most)
        self._read_on(ids[shared:], cancel, timed)
        return shared

    def fit(self, length: int, cancel: threading.Event | None = None) -> None:
        """Read what is held once more where a text of `length` tokens wants the other rotary
        factors. Raises Cancelled."""
        if self._rope is not None and self._rope.is_long(length) != self._long:
            held = self._held
            self._generator, self._held = (
                None,
                [],
            )  # before the next one is there: two caches would be twice the memory
            self._generator = self._begin(length)
            self._read_on(held, cancel)

    @property
    def before_switch(self) -> int | None:
        """Tokens that can be appended before the rotary factors change; None where they will not."""
        if self._rope is None or self._rope.is_long(self.count + 1):
            return None
        return self._rope.original_length - self.count

    def advance(self, tokens: Sequence[int]) -> NDArray[np.float32]:
        """Append at most WINDOW tokens; the logits behind each of them, [len(tokens), vocabulary].

        A step of one token goes through other kernels than a longer one and rounds otherwise; at
        int8 accuracy that moves logits by up to 0.6 (SmolLM2-135M, AVX2), enough to change a word.
        Steps of two and more agree to the bit."""
        import numpy as np

        few = self.before_switch
        if few is None or few >= len(tokens):
            return self._step(tokens)
        return np.concatenate([self._step(tokens[:few]), self._step(tokens[few:])])

    def _step(self, tokens: Sequence[int]) -> NDArray[np.float32]:
        """`advance`, on one side of the length at which the rotary factors change."""
        import numpy as np

        self.fit(self.count + 1)
        read = list(tokens)
        if self._rope is not None and len(read) == 1 and self.count > 1 and self.can_rewind:
            read = [
                self._held[-1],
                *read,
            ]  # the switch leaves room for one token: two are read all the same
            self.trim(self.count - 1)
        self._append(read)
        logits = np.asarray(self._generator.get_output("logits"), dtype=np.float32)
        return logits.reshape(-1, logits.shape[-1])[-len(tokens) :]

    def logits(self) -> NDArray[np.float32]:
        """Behind the last token, [vocabulary]."""
        import numpy as np

        return np.asarray(self._generator.get_logits(), dtype=np.float32).reshape(-1)

    def trim(self, count: int) -> None:
        """Forget all but the first `count` tokens; where the cache cannot, read those once more."""
        if count < len(self._held):
            kept = self._held[:count]
            if not self._rewind(count):
                self._generator, self._held = self._begin(count), []
                self._read_on(kept)

    def _rewind(self, count: int) -> bool:
        if self.can_rewind:
            try:
                self._generator.rewind_to(count)
            except RuntimeError:  # "the sliding-window KV cache holds only the last ..."
                self.can_rewind = False
            else:
                del self._held[count:]
        return self.can_rewind

    @property
    def count(self) -> int:
        return len(self._held)

    def drop(self) -> None:
        """Give the cache's memory back."""
        self._generator, self._held, self._room = None, [], 0

    def _read_on(
        self,
        ids: Sequence[int],
        cancel: threading.Event | None = None,
        timed: Callable[[int, float], None] | None = None,
    ) -> None:
        """Append `ids` in slices."""
        at = 0
        while at < len(ids):
            check(cancel)
            size = (
                SLICE if len(ids) - at != SLICE + 1 else SLICE - 1
            )  # a step of one token rounds otherwise, see `advance`
            started = perf_counter()
            self._append(ids[at : at + size])
            at += size
            if timed and at <= len(ids) and size == SLICE:
                timed(size, (perf_counter() - started) * 1000)

    def _append(self, tokens: Sequence[int]) -> None:
        try:
            with engine_errors(self._generator):
                self._generator.append_tokens(list(tokens))
        except BaseException:
            self.drop()  # what it holds now nobody knows
            raise
        self._held += tokens

    def _set_back(self, ids: Sequence[int], room: int, most: int) -> int:
        """Go back to where `ids` and the cache part, at least two tokens before their end: logits
        come from reading."""
        other = self._rope is not None and self._rope.is_long(len(ids)) != self._long
        if self._generator is None or room > self._room or other:
            self.drop()
            self._room = min(-(-(room + _ROOM // 2) // _ROOM) * _ROOM, max(most, room))
            self._generator = self._begin(len(ids))
        shared = 0
        for ours, held in zip(ids[: max(len(ids) - 2, 0)], self._held, strict=False):
            if ours != held:
                break
            shared += 1
        if self._held and (shared == 0 or (shared < len(self._held) and not self._rewind(shared))):
            self._generator, self._held, shared = self._begin(len(ids)), [], 0
        return shared

    def _begin(self, length: int) -> Any:
        """An empty cache for a text of `length` tokens."""
        import onnxruntime_genai as og

        params = og.GeneratorParams(self._model)
        with engine_errors(None):
            params.set_search_options(max_length=self._room, do_sample=False)
            generator = new_generator(self._model, params, self._rope, length)
        self._long = self._rope is not None and self._rope.is_long(length)
        return generator


@contextmanager
def engine_errors(generator: Any) -> Iterator[None]:
    """Turn what genai and onnxruntime raise while `generator` works (None: is made) into
    EngineFailed, with their words."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        at = f" at {generator.token_count():,} tokens of text" if generator is not None else ""
        words = (str(error).splitlines() or [type(error).__name__])[0].split("Status Message: ")[-1]
        raise EngineFailed(
            f"the language model's engine failed{at}: {words[:300]}; ask a shorter question, or "
            "build the bundle again with a "
            "smaller export.max_context"
        ) from error


def check(cancel: threading.Event | None) -> None:
    if cancel is not None and cancel.is_set():
        raise Cancelled("the answer was stopped")
