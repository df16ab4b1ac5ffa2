"""Scores passages against a question with an ONNX cross-encoder, which reads the two together. The
build compares it with torch through this code, the device ranks with it. Knows nothing of indexes
or of where the passages came from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..devices import Device, session_options
from ..untrusted import WrongValue, read_settings, untrusted, write_settings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SETTINGS = "reranker.json"
BATCH = 8  # 20 passages are three runs: like lengths together, and the memory of eight


@dataclass(frozen=True, slots=True)
class RerankerSettings:
    """How the output of a cross-encoder's head becomes a score; the build reads it from the model's
    own files.

    With one label the score is the logit through `activation`; with two it is the softmax's share
    of the second, "relevant"."""

    max_tokens: int
    labels: Literal[1, 2] = 1
    activation: Literal["identity", "sigmoid", "softmax"] = "sigmoid"
    pad_id: int = 0

    def __post_init__(self) -> None:
        if self.labels not in (1, 2) or (self.labels == 2) != (self.activation == "softmax"):
            raise ValueError(f"{self.labels} labels with {self.activation}")
        if self.activation not in ("identity", "sigmoid", "softmax") or self.max_tokens < 16:
            raise ValueError(f"activation {self.activation}, max_tokens {self.max_tokens}")

    def write(self, folder: Path) -> None:
        """Write reranker.json into `folder`."""
        write_settings(folder / SETTINGS, self)

    @classmethod
    def read(cls, folder: Path) -> RerankerSettings:
        """Read reranker.json of `folder`. Raises BundleCorrupt."""
        return read_settings(folder / SETTINGS, cls)


class Reranker:
    """An ONNX cross-encoder. Safe to use from several threads."""

    def __init__(self, session: Any, tokenizer: Any, settings: RerankerSettings) -> None:
        self._session = session
        self._counter = tokenizer
        self._tokenizer = type(tokenizer).from_str(tokenizer.to_str())
        # The passage gives way, never the question: a score of half a question would be one of
        # another question.
        self._tokenizer.enable_truncation(settings.max_tokens, strategy="only_second")
        self.settings = settings
        self._inputs = {value.name for value in session.get_inputs()}

    @classmethod
    def open(cls, folder: Path, *, device: Device | None = None) -> Reranker:
        """Open model.onnx, tokenizer.json and reranker.json of `folder`. Raises BundleCorrupt."""
        import onnxruntime as ort
        from tokenizers import Tokenizer

        settings = RerankerSettings.read(folder)
        with untrusted(folder):
            tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
            tokenizer.no_padding()
            tokenizer.no_truncation()
            session = ort.InferenceSession(
                str(folder / "model.onnx"),
                session_options(device or Device()),
                providers=["CPUExecutionProvider"],
            )
        return cls(session, tokenizer, settings)

    def score(self, question: str, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return the scores of n passages, [n], in the order given; higher is better. A score is 0
        to 1 for sigmoid and softmax, and a logit for identity."""
        import numpy as np

        logits = self.logits(question, texts)
        if self.settings.activation == "softmax":
            # The softmax of two is the sigmoid of their difference.
            logits = logits[:, 1:] - logits[:, :1]
        if self.settings.activation == "identity":
            return logits[:, 0]
        shares = 1 / (1 + np.exp(-np.clip(logits[:, 0], -80, 80)))  # float32's exp overflows at 88
        return shares.astype(np.float32)

    def logits(self, question: str, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return the head's own numbers for n passages, [n, labels]. A question longer than half of
        what the model reads loses its end, so that there is room for a passage."""
        import numpy as np

        offsets = self._counter.encode(question, add_special_tokens=False).offsets
        max_tokens = self.settings.max_tokens // 2
        if len(offsets) > max_tokens:
            question = question[: offsets[max_tokens - 1][1]]
        encoded = self._tokenizer.encode_batch([(question, text) for text in texts])
        # Like lengths together: little padding.
        order = sorted(range(len(texts)), key=lambda i: len(encoded[i].ids))
        logits = np.zeros((len(texts), self.settings.labels), dtype=np.float32)
        for start in range(0, len(order), BATCH):
            rows = order[start : start + BATCH]
            logits[rows] = self._run([encoded[i] for i in rows])
        return logits

    def _run(self, encoded: Sequence[Any]) -> NDArray[np.float32]:
        """Return the logits of a batch of encoded pairs, [batch, labels]."""
        import numpy as np

        width = max(len(one.ids) for one in encoded)
        tokens = np.full((len(encoded), width), self.settings.pad_id, dtype=np.int64)
        mask, types = np.zeros_like(tokens), np.zeros_like(tokens)
        for i, one in enumerate(encoded):
            tokens[i, : len(one.ids)] = one.ids
            mask[i, : len(one.ids)] = 1
            types[i, : len(one.ids)] = one.type_ids
        feeds = {"input_ids": tokens, "attention_mask": mask, "token_type_ids": types}
        inputs = {name: values for name, values in feeds.items() if name in self._inputs}
        if unknown := sorted(self._inputs - inputs.keys()):
            raise WrongValue(f"the reranker wants an input {unknown[0]!r}")
        logits = np.asarray(self._session.run(["logits"], inputs)[0])
        if logits.shape != (len(encoded), self.settings.labels) or logits.dtype.kind != "f":
            raise WrongValue(
                f"the reranker's scores of {len(encoded)} passages are {logits.dtype} of the shape "
                f"{logits.shape}"
            )
        return logits.astype(np.float32, copy=False)
