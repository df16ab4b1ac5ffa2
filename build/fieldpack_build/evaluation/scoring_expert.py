"""An expert as the device opens it that can also say how much a given answer surprises its model,
and that may be given another generator than its bundle's: a model in torch, a full-precision
export. Retrieval, prompt, refusals and citations stay the runtime's. Knows nothing of test
questions or figures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fieldpack.answers import Answer
from fieldpack.bundle.manifest import read_manifest
from fieldpack.devices import Device
from fieldpack.expert import Expert
from fieldpack.generation.generator import TextGenerator
from fieldpack.generation.kv_cache import WINDOW
from fieldpack.retrieval.retriever import Retriever

from .calibration import Signals, signals_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Logits = NDArray[np.float32]
Loss = tuple[float, int]  # nats, tokens


class ScoringGenerator(TextGenerator):
    """Computes losses from the last prompt's cache on, so that a loss costs no second prefill."""

    def loss(self, prompt: str, answer: str, *, max_tokens: int, max_context: int) -> Loss:
        """Return the negative log-likelihood of `answer` after `prompt`, in nats, over its first
        `max_tokens` tokens, fewer where the context ends; and how many these are."""
        ids, expected = self.encode(prompt), self.encode(answer)[:max_tokens]
        expected = expected[: min(len(ids) + max_tokens, max_context) - len(ids) - 1]
        if not expected:
            return 0.0, 0
        with self._lock.hold(None):
            self._cache.prefill(ids, capacity=len(ids) + len(expected), max_capacity=max_context)
            return sum_of_losses(self._logits(ids, expected), expected), len(expected)

    def _logits(self, ids: Sequence[int], expected: Sequence[int]) -> Logits:
        """The logits that each expected token is predicted by, [len(expected), vocabulary]."""
        import numpy as np

        self._cache.trim(len(ids) - 1)
        read = [ids[-1], *expected[:-1]]
        return np.concatenate(
            [self._cache.forward(read[at : at + WINDOW]) for at in range(0, len(read), WINDOW)]
        )


class ScoringExpert(Expert):
    """The device's expert, with losses.

    `generator`: made of the bundle's folder and its `skip_tokens`, in the place of the bundle's own
    model. `retrieval`: off, and neither embedder nor index is opened. `scores`: off, and it is the
    device's expert to the byte."""

    def __init__(
        self,
        folder: Path,
        *,
        generator: Callable[[Path, int], Any] | None = None,
        retrieval: bool = True,
        scores: bool = True,
    ) -> None:
        super().__init__(folder, read_manifest(folder), Device())
        self._make, self._retrieves, self._scores = generator, retrieval, scores

    def __enter__(self) -> ScoringExpert:
        return self

    def loss(self, answer: Answer, expected: str) -> Loss | None:
        """Return the loss of the expected answer after the prompt that `answer` was given for; None
        without a language model."""
        rag = self._open_rag()
        if rag.generator is None:
            return None
        prompt = rag.builder.build(answer.question, answer.passages)
        generator: Any = rag.generator
        loss: Loss = generator.loss(
            prompt.text,
            expected,
            max_tokens=self.settings.max_answer_tokens,
            max_context=self.settings.max_context,
        )
        return loss

    def signals(self, question: str, *, answerable: bool) -> Signals:
        """Return what the refusal thresholds look at, as the runtime sees it when it decides."""
        retriever = self._open_retriever()
        assert retriever
        return signals_of(retriever, question, self.settings.passages, answerable=answerable)

    def _open_generator(self) -> Any:
        if self._make is not None:
            return self._make(self.path, self._chat.skip_tokens)
        if not self._scores:
            return super()._open_generator()
        return ScoringGenerator.open(
            self.path / "model", device=self.device, skip_tokens=self._chat.skip_tokens
        )

    def _open_retriever(self) -> Retriever | None:
        return super()._open_retriever() if self._retrieves else None


def sum_of_losses(logits: Logits, expected: Sequence[int]) -> float:
    """Return the negative log-likelihood of the n expected tokens, in nats, under the logits
    [n, vocabulary] that predict them."""
    import numpy as np

    rows = logits.astype(np.float64)
    top = rows.max(axis=-1, keepdims=True)
    whole = np.log(np.exp(rows - top).sum(axis=-1)) + top[:, 0]
    return float((whole - rows[np.arange(len(expected)), list(expected)]).sum())
