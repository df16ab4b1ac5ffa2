"""A model in torch where the runtime has its own generator: the same greedy answers, stop tokens,
repetition penalty and limits, so that a difference is the weights' and not the settings'. Knows
nothing of questions or recipes.

Imports torch: for a stage's child process only.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from fieldpack.generation.engine import GenerationStats
from fieldpack.generation.generator import CONFIG, TextGenerator

from ..models.chat_template import encode
from ..models.torch_cache import TorchCache
from .scoring_expert import Loss, sum_of_losses


class TorchGenerator(TextGenerator):
    """Answers with a model in torch.

    `exported`: the folder of an exported model of this vocabulary; what ends an answer is read
    there, and its tokenizer turns tokens into words, as on the device (broken characters come out
    otherwise in transformers)."""

    def __init__(self, model: Any, tokenizer: Any, exported: Path) -> None:
        super().__init__(exported, model.eval(), tokenizer)
        ends = json.loads((exported / CONFIG).read_text(encoding="utf-8"))["model"]["eos_token_id"]
        self._ends = frozenset(ends if isinstance(ends, list) else [ends])
        self._device = TextGenerator.open(exported)
        self._last: tuple[list[int], TorchCache] | None = None

    def encode(self, text: str) -> list[int]:
        """Return a text's tokens; control tokens in it are read as such."""
        return encode(self._tokenizer, text)

    def stream(
        self,
        prompt: str,
        *,
        max_new_tokens: int,
        max_context: int,
        repetition_penalty: float = 1.0,
        cancel: threading.Event | None = None,
        stats: GenerationStats | None = None,
        schema: str | None = None,
    ) -> Iterator[str]:
        """Yield the whole answer as one piece; no schema is followed."""
        import torch

        stats = stats if stats is not None else GenerationStats()
        started = time.perf_counter()
        ids = self.encode(prompt)
        stats.prompt_tokens = len(ids)
        generated: list[int] = []
        with torch.no_grad():
            cache = TorchCache(self._model)
            logits = cache.append(ids)
            while len(ids) + len(generated) < min(len(ids) + max_new_tokens, max_context):
                token = _best(logits[-1], [*ids, *generated], repetition_penalty)
                generated.append(token)
                stats.tokens = len(generated)
                stats.total_ms = (time.perf_counter() - started) * 1000
                if len(generated) == 1:
                    stats.first_token_ms = stats.total_ms
                if token in self._ends:
                    break
                logits = cache.append([token])
        self._last = (ids, cache)
        yield self._device.decode(generated)

    def loss(self, prompt: str, answer: str, *, max_tokens: int, max_context: int) -> Loss:
        """Return the answer's loss after the prompt, as ScoringGenerator's."""
        import torch

        ids, expected = self.encode(prompt), self.encode(answer)[:max_tokens]
        expected = expected[: min(len(ids) + max_tokens, max_context) - len(ids) - 1]
        if not expected:
            return 0.0, 0
        with torch.no_grad():
            logits = self._logits_after(ids, expected[:-1])[-len(expected) :]
        return sum_of_losses(logits.float().cpu().numpy(), expected), len(expected)

    def _logits_after(self, ids: list[int], more: Sequence[int]) -> Any:
        """Logits [places, vocabulary], the last of the prompt's last place and of `more`; from the
        last answer's cache where that can be cut."""
        if self._last is not None and self._last[0] == ids:
            cache = self._last[1]
            self._last = None  # it is changed in place
            try:
                cache.crop(len(ids) - 1)
            except RuntimeError:  # a sliding window forgets what it would take to go back
                pass
            else:
                return cache.append([ids[-1], *more])
        return TorchCache(self._model).append([*ids, *more])


def _best(logits: Any, context: Sequence[int], penalty: float) -> int:
    """The greedy choice from logits [vocabulary], as genai makes it: what has been read or
    generated counts `penalty` times less."""
    import torch

    if penalty != 1.0:
        logits = logits.clone()
        places = torch.tensor(sorted(set(context)), device=logits.device)
        marked = logits[places]
        logits[places] = torch.where(marked < 0, marked * penalty, marked / penalty)
    return int(logits.argmax())
