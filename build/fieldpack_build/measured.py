"""An expert as the device opens it that can also say how much a given answer surprises its model, and that may be given
another generator than its bundle's: a model in torch, a full-precision export. Retrieval, prompt, refusals and citations
stay the runtime's. Knows nothing of test questions or figures."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fieldpack.bundle import Expert
from fieldpack.devices import Device
from fieldpack.generator import TextGenerator
from fieldpack.manifest import read_manifest
from fieldpack.rag import Answer, Retriever

from .calibration import Signals, signals_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Logits = NDArray[np.float32]
Loss = tuple[float, int]  # nats, tokens


class ScoringGenerator(TextGenerator):
    """Keeps the last prompt's cache, so that a loss costs no second prefill."""

    _last: tuple[list[int], Any, int] | None = None

    def _begin(self, ids: list[int], length: int, repetition_penalty: float, cancel: threading.Event | None) -> Any:
        self._last = None  # two caches at once would be twice the memory
        generator = super()._begin(ids, length, repetition_penalty, cancel)
        self._last = (ids, generator, length)
        return generator

    def loss(self, prompt: str, answer: str, *, max_tokens: int, max_context: int) -> Loss:
        """Of `answer` behind `prompt`, over its first `max_tokens` tokens, fewer where the context ends."""
        ids, wanted = self.encode(prompt), self.encode(answer)[:max_tokens]
        length = min(len(ids) + max_tokens, max_context)
        if self._last is None or self._last[0] != ids:
            self._begin(ids, length, 1.0, None)
        assert self._last
        wanted = wanted[: self._last[2] - len(ids) - 1]
        return (sum_of_losses(self._logits(ids, wanted), wanted), len(wanted)) if wanted else (0.0, 0)

    def _logits(self, ids: Sequence[int], wanted: Sequence[int]) -> Logits:
        """Of each wanted token's place, [len(wanted), vocabulary]."""
        import numpy as np

        assert self._last
        generator = self._last[1]
        generator.rewind_to(len(ids) - 1)
        read = [ids[-1], *wanted[:-1]]
        generator.append_tokens(read)
        rows = _rows(generator)
        if len(rows) == len(read):
            return rows
        generator.rewind_to(len(ids) - 1)  # a head that is pruned to the last place: one after the other
        found = []
        for token in read:
            generator.append_tokens([token])
            found.append(_rows(generator)[-1])
        return np.stack(found)


class MeasuredExpert(Expert):
    """`generator`: made of the bundle's folder and its `skip_tokens`, in the place of the bundle's own model. `retrieval`:
    off, and neither embedder nor index is opened. `scores`: off, and it is the device's expert to the byte."""

    def __init__(
        self, folder: Path, *, generator: Callable[[Path, int], Any] | None = None, retrieval: bool = True,
        scores: bool = True,
    ) -> None:  # fmt: skip
        super().__init__(folder, read_manifest(folder), Device())
        self._make, self._retrieves, self._scores = generator, retrieval, scores

    def __enter__(self) -> MeasuredExpert:
        return self

    def loss(self, answer: Answer, expected: str) -> Loss:
        """Of the expected answer, behind the prompt that `answer` was given for."""
        rag = self._open_rag()
        prompt = rag.builder.build(answer.question, answer.passages)
        generator: Any = rag.generator
        found: Loss = generator.loss(
            prompt.text, expected, max_tokens=self.settings.max_answer_tokens, max_context=self.settings.max_context
        )
        return found

    def signals(self, question: str, *, answerable: bool) -> Signals:
        """What the refusal thresholds look at, as the runtime sees it when it decides."""
        retriever = self._open_retriever()
        assert retriever
        return signals_of(retriever, question, self.settings.passages, answerable=answerable)

    def _open_generator(self) -> Any:
        if self._make is not None:
            return self._make(self.path, self._chat.skip_tokens)
        if not self._scores:
            return super()._open_generator()
        return ScoringGenerator.open(self.path / "model", device=self.device, skip_tokens=self._chat.skip_tokens)

    def _open_retriever(self) -> Retriever | None:
        return super()._open_retriever() if self._retrieves else None


def sum_of_losses(logits: Logits, wanted: Sequence[int]) -> float:
    """Nats; logits [n, vocabulary] predict the n wanted tokens."""
    import numpy as np

    rows = logits.astype(np.float64)
    top = rows.max(axis=-1, keepdims=True)
    whole = np.log(np.exp(rows - top).sum(axis=-1)) + top[:, 0]
    return float((whole - rows[np.arange(len(wanted)), list(wanted)]).sum())


def _rows(generator: Any) -> Logits:
    import numpy as np

    logits = np.array(generator.get_output("logits"), dtype=np.float32)
    return logits.reshape(-1, logits.shape[-1])
