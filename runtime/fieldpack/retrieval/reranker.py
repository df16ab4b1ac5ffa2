"""Scores passages against a question with an ONNX cross-encoder, which reads the two together. The
build proves it against torch with this code, the device ranks with it. Knows nothing of indexes or
of where the passages came from."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..devices import Device, session_options
from ..errors import BundleCorrupt
from ..untrusted import typed, untrusted

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SETTINGS = "reranker.json"
BATCH = 8  # 20 passages are three runs: like lengths together, and the memory of eight


@dataclass(frozen=True, slots=True)
class RerankerSettings:
    """How a cross-encoder's head becomes a score; read from the model's own files at build time.

    `labels` 1: the logit through `activation`. `labels` 2: the softmax's share of the second,
    "relevant"."""

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
        (folder / SETTINGS).write_text(
            json.dumps(asdict(self), indent=2, sort_keys=True) + "\n", encoding="utf-8"
        )

    @classmethod
    def read(cls, folder: Path) -> RerankerSettings:
        try:
            return typed(cls, json.loads((folder / SETTINGS).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError, RecursionError) as error:
            raise BundleCorrupt(f"{folder / SETTINGS}: {error}; copy the bundle again") from None


class Reranker:
    """`open(folder)` wants model.onnx, tokenizer.json and reranker.json. Safe to use from several
    threads."""

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
        """Raises BundleCorrupt when reranker.json is damaged."""
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
        """n passages -> [n], higher is better, in the order given; what a score means is the
        model's own affair (0 to 1 for sigmoid and softmax, a logit for identity)."""
        import numpy as np

        logits = self.logits(question, texts)
        if self.settings.activation == "softmax":
            logits = (
                logits[:, 1:] - logits[:, :1]
            )  # the softmax of two is the sigmoid of their difference
        if self.settings.activation == "identity":
            return logits[:, 0]
        shares = 1 / (1 + np.exp(-np.clip(logits[:, 0], -80, 80)))  # float32's exp overflows at 88
        return shares.astype(np.float32)

    def logits(self, question: str, texts: Sequence[str]) -> NDArray[np.float32]:
        """n passages -> [n, labels], the head's own numbers."""
        import numpy as np

        question = self._cut(question)
        encoded = self._tokenizer.encode_batch([(question, text) for text in texts])
        order = sorted(
            range(len(texts)), key=lambda i: len(encoded[i].ids)
        )  # like lengths together: little padding
        logits = np.zeros((len(texts), self.settings.labels), dtype=np.float32)
        for at in range(0, len(order), BATCH):
            rows = order[at : at + BATCH]
            logits[rows] = self._run([encoded[i] for i in rows])
        return logits

    def _cut(self, question: str) -> str:
        """A question longer than half of what the model reads loses its end, so that there is room
        for a passage."""
        offsets = self._counter.encode(question, add_special_tokens=False).offsets
        most = self.settings.max_tokens // 2
        return question if len(offsets) <= most else question[: offsets[most - 1][1]]

    def _run(self, encoded: Sequence[Any]) -> NDArray[np.float32]:
        import numpy as np

        width = max(len(one.ids) for one in encoded)
        tokens = np.full((len(encoded), width), self.settings.pad_id, dtype=np.int64)
        mask, types = np.zeros_like(tokens), np.zeros_like(tokens)
        for i, one in enumerate(encoded):
            tokens[i, : len(one.ids)] = one.ids
            mask[i, : len(one.ids)] = 1
            types[i, : len(one.ids)] = one.type_ids
        feeds = {"input_ids": tokens, "attention_mask": mask, "token_type_ids": types}
        found = self._session.run(
            ["logits"], {k: v for k, v in feeds.items() if k in self._inputs}
        )[0]
        return np.asarray(found, dtype=np.float32)
