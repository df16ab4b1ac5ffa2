"""Turns texts into unit vectors with an ONNX encoder. The build embeds a library with it and the
device a question, by the same code, so the two cannot drift. Knows nothing of indexes or
documents."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal

from ..devices import Device, session_options
from ..errors import BundleCorrupt
from ..untrusted import WrongValue, read_settings, untrusted, write_settings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SETTINGS, DENSE = "embedder.json", "dense.npz"
_MAX_DIM, _MAX_TOKENS = 65_536, 1 << 20  # more than any encoder has
BATCH = 1024  # texts that are tokenized at one time: some megabytes, however many texts there are
# onnxruntime's SkipLayerNormalization takes five times as long as the sum and the norm that it
# replaces (AVX2).
_DISABLED_OPTIMIZERS = ["SkipLayerNormFusion"]

Pooling = Literal["mean", "cls", "last", "max", "weightedmean", "mean_sqrt_len"]


@dataclass(frozen=True, slots=True)
class EmbedderSettings:
    """How an encoder's token vectors become one vector; the build reads it from the model's own
    files. `dense`: the activations of the layers between pooling and norm ("identity" or "tanh"),
    whose weights are in dense.npz as w0, b0, w1, ..."""

    dim: int
    max_tokens: int
    pooling: Pooling = "mean"
    normalize: bool = True
    query_prefix: str = ""
    passage_prefix: str = ""
    dense: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 1 <= self.dim <= _MAX_DIM or not 1 <= self.max_tokens <= _MAX_TOKENS:
            raise ValueError(f"dim {self.dim}, max_tokens {self.max_tokens}")

    def write(self, folder: Path) -> None:
        """Write embedder.json into `folder`."""
        write_settings(folder / SETTINGS, self)

    @classmethod
    def read(cls, folder: Path) -> EmbedderSettings:
        """Read embedder.json of `folder`. Raises BundleCorrupt."""
        return read_settings(folder / SETTINGS, cls)


@dataclass(frozen=True, slots=True)
class TokenVectors:
    """A text as the network reads it. `vector`: the text's unit vector, [dim]; `tokens`: the unit
    vectors of its tokens, [n, hidden], special ones and the prefix left out; `spans`: the [start,
    end) of each in the text, in characters."""

    vector: NDArray[np.float32]
    tokens: NDArray[np.float32]
    spans: tuple[tuple[int, int], ...]


class Embedder:
    """An ONNX encoder of texts. Safe to use from several threads.

    Every text is a run of its own on one core, as many at a time as there are cores. Compared with
    batches of 16 sorted by length, with all cores on each, there is no padding, no core waits for
    another, and what is worked on stays in a core's own cache. And no text's vector depends on its
    neighbours, not even in int8, where a batch would share one scale."""

    def __init__(
        self, folder: Path, tokenizer: Any, settings: EmbedderSettings, device: Device
    ) -> None:
        self._folder, self._device = folder, device
        self._counter = tokenizer
        self._tokenizer = type(tokenizer).from_str(tokenizer.to_str())
        self._tokenizer.enable_truncation(settings.max_tokens)
        self.settings = settings
        self._dense: list[tuple[Any, Any, str]] = []
        if settings.dense:
            import numpy as np

            try:
                with np.load(folder / DENSE, allow_pickle=False) as stored:
                    self._dense = [
                        (stored[f"w{i}"], stored[f"b{i}"], name)
                        for i, name in enumerate(settings.dense)
                    ]
            except (OSError, ValueError, KeyError) as error:
                raise BundleCorrupt(f"{folder / DENSE}: {error}; copy the bundle again") from None
        self._sessions: dict[int, Any] = {}
        self._lock = Lock()

    @classmethod
    def open(cls, folder: Path, *, device: Device | None = None) -> Embedder:
        """Open the model.onnx, tokenizer.json and embedder.json of `folder`, and its dense.npz where
        the settings name dense layers. The network is loaded at the first text: a process that only
        counts tokens never has it. Raises BundleCorrupt."""
        from tokenizers import Tokenizer

        settings = EmbedderSettings.read(folder)
        with untrusted(folder / "tokenizer.json"):
            tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        tokenizer.no_padding()
        tokenizer.no_truncation()
        return cls(folder, tokenizer, settings, device or Device())

    def moved(self, folder: Path) -> Embedder:
        """Return an embedder that shares this one's open sessions, and opens further ones from
        `folder`, which has the same files."""
        twin = copy.copy(self)
        twin._folder = folder
        return twin

    def count_tokens(self, text: str) -> int:
        """Return how many tokens `text` has, special ones left out, not truncated."""
        return len(self._counter.encode(text, add_special_tokens=False).ids)

    def count_read(self, texts: Sequence[str], *, query: bool = False) -> int:
        """Return how many tokens the model reads of `texts`, with prefix and special tokens, without
        what is cut off."""
        prefix = self.settings.query_prefix if query else self.settings.passage_prefix
        return sum(
            len(encoding.ids)
            for encoding in self._tokenizer.encode_batch([prefix + text for text in texts])
        )

    def token_starts(self, text: str) -> list[int]:
        """Return the character offset at which each token of `text` begins, special ones left out,
        not truncated."""
        return [start for start, _ in self._counter.encode(text, add_special_tokens=False).offsets]

    def token_spans(self, text: str) -> list[tuple[int, int]]:
        """Return [start, end) of each token of `text`, in characters, special ones left out, not
        truncated."""
        return list(self._counter.encode(text, add_special_tokens=False).offsets)

    def embed_query(self, text: str) -> NDArray[np.float32]:
        """Return the unit vector of a question, [dim]; all cores work on it."""
        ids = self._tokenizer.encode(self.settings.query_prefix + text).ids
        return self._vector(self._session(self._device.threads), ids)

    def embed_tokens(self, texts: Sequence[str], *, query: bool = False) -> list[TokenVectors]:
        """Return the vectors of n texts and of their tokens, one text after another on the session
        for questions; up to rounding the texts' vectors are those of `embed_passages`, or with
        `query` of `embed_query`. A device that embeds a few sentences per question has no use for a
        second session, which holds the weights once more (90 MB for MiniLM)."""
        import numpy as np

        session = self._session(self._device.threads)
        prefix = self.settings.query_prefix if query else self.settings.passage_prefix
        vectors = []
        for text in texts:
            encoding = self._tokenizer.encode(prefix + text)
            hidden = self._hidden(session, encoding.ids)
            spans = [(start - len(prefix), end - len(prefix)) for start, end in encoding.offsets]
            kept = [
                place
                for place, (start, end) in enumerate(spans)
                if end > max(start, 0) and not encoding.special_tokens_mask[place]
            ]
            tokens = hidden[kept]
            lengths = np.maximum(np.linalg.norm(tokens, axis=1, keepdims=True), 1e-12)
            vectors.append(
                TokenVectors(
                    self._to_vector(hidden),
                    (tokens / lengths).astype(np.float32),
                    tuple(spans[place] for place in kept),
                )
            )
        return vectors

    def embed_passages(
        self, texts: Sequence[str], *, progress: Callable[[int, int], None] | None = None
    ) -> NDArray[np.float32]:
        """Return the unit vectors of n texts, [n, dim], in the order given; a text's bytes are the
        same whatever stands beside it. `progress(done, total)` is called now and then."""
        import numpy as np

        vectors = np.zeros((len(texts), self.settings.dim), dtype=np.float32)
        session = self._session(1) if len(texts) else None
        done = 0
        with ThreadPoolExecutor(self._device.threads) as pool:
            for start in range(0, len(texts), BATCH):
                batch = [
                    self.settings.passage_prefix + text for text in texts[start : start + BATCH]
                ]
                ids = [encoding.ids for encoding in self._tokenizer.encode_batch(batch)]
                # The longest first, so that the cores finish a batch together.
                order = sorted(range(len(ids)), key=lambda i: -len(ids[i]))
                results = pool.map(lambda i: self._vector(session, ids[i]), order)  # noqa: B023 - consumed in this round
                for i, vector in zip(order, results, strict=True):
                    vectors[start + i] = vector
                    done += 1
                    if progress and (done % 16 == 0 or done == len(texts)):
                        progress(done, len(texts))
        return vectors

    def _session(self, threads: int) -> Any:
        import onnxruntime as ort

        with self._lock:
            if threads not in self._sessions:
                options = session_options(Device(threads=threads))
                self._sessions[threads] = ort.InferenceSession(
                    str(self._folder / "model.onnx"),
                    options,
                    providers=["CPUExecutionProvider"],
                    disabled_optimizers=_DISABLED_OPTIMIZERS,
                )
            return self._sessions[threads]

    def _vector(self, session: Any, ids: Sequence[int]) -> NDArray[np.float32]:
        """Return the vector of a text's tokens, [dim]; zeros for a text without any."""
        return self._to_vector(self._hidden(session, ids))

    def _hidden(self, session: Any, ids: Sequence[int]) -> NDArray[np.float32]:
        """Return the network's vectors of a text's tokens, [tokens, hidden]."""
        import numpy as np

        if not ids:
            return np.zeros((0, self.settings.dim), dtype=np.float32)
        tokens = np.array([ids], dtype=np.int64)
        feeds = {
            "input_ids": tokens,
            "attention_mask": np.ones_like(tokens),
            "token_type_ids": np.zeros_like(tokens),
        }
        names = {value.name for value in session.get_inputs()}
        inputs = {name: values for name, values in feeds.items() if name in names}
        with untrusted(self._folder):  # the network may want other inputs, and fail in any way
            hidden = np.asarray(session.run(["token_embeddings"], inputs)[0])
        if hidden.ndim != 3 or hidden.shape[:2] != tokens.shape or hidden.dtype.kind != "f":
            raise WrongValue(
                f"the embedder's vectors of {tokens.shape} tokens are {hidden.dtype} of the shape "
                f"{hidden.shape}"
            )
        return np.asarray(hidden[0])

    def _to_vector(self, hidden: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the text's vector, [dim], of its tokens' [tokens, hidden]; zeros without any."""
        import numpy as np

        if not len(hidden):
            return np.zeros(self.settings.dim, dtype=np.float32)
        vector = _pool(hidden, self.settings.pooling)
        for weight, bias, activation in self._dense:
            with untrusted(self._folder / DENSE):  # a matrix of another shape or kind
                vector = weight @ vector + bias
            vector = np.tanh(vector) if activation == "tanh" else vector
        if vector.shape != (self.settings.dim,):
            raise WrongValue(f"the embedder's vectors have the shape {vector.shape}")
        if self.settings.normalize:
            vector = vector / max(float(np.linalg.norm(vector)), 1e-12)
        return np.ascontiguousarray(vector, dtype=np.float32)


def _pool(hidden: NDArray[np.float32], pooling: Pooling) -> NDArray[np.float32]:
    """Return one vector, [hidden], of token vectors, [tokens, hidden]; the kinds of pooling are
    named as in sentence-transformers."""
    import numpy as np

    if pooling in ("cls", "last"):
        return np.asarray(hidden[0 if pooling == "cls" else -1])
    if pooling == "max":
        return np.asarray(hidden.max(axis=0))
    if pooling == "weightedmean":
        weights = np.arange(1, len(hidden) + 1, dtype=np.float32)
        return np.asarray(weights @ hidden / weights.sum())
    return np.asarray(
        hidden.sum(axis=0) / (len(hidden) ** 0.5 if pooling == "mean_sqrt_len" else len(hidden))
    )
