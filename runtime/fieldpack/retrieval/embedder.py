"""Turns texts into unit vectors with an ONNX encoder. The build embeds a library with it, the
device a question: one code, so the two cannot drift. Knows nothing of indexes or documents."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal

from ..devices import Device, session_options
from ..errors import BundleCorrupt
from ..untrusted import typed, untrusted

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SETTINGS, DENSE = "embedder.json", "dense.npz"
_MOST_DIM, _MOST_TOKENS = 65_536, 1 << 20  # more than any encoder has
WINDOW = 1024  # texts that are tokens at one time: some megabytes, however many texts there are
# onnxruntime's SkipLayerNormalization takes five times as long as the sum and the norm that it
# replaces (AVX2).
_SLOWER = ["SkipLayerNormFusion"]

Pooling = Literal["mean", "cls", "last", "max", "weightedmean", "mean_sqrt_len"]


@dataclass(frozen=True, slots=True)
class EmbedderSettings:
    """How an encoder's token vectors become one: read from the model's own files at build time.
    `dense`: the activations of the layers between pooling and norm ("identity" or "tanh"), whose
    weights are in dense.npz as w0, b0, w1, ..."""

    dim: int
    max_tokens: int
    pooling: Pooling = "mean"
    normalize: bool = True
    query_prefix: str = ""
    passage_prefix: str = ""
    dense: tuple[str, ...] = ()

    def write(self, folder: Path) -> None:
        (folder / SETTINGS).write_text(
            json.dumps(asdict(self), indent=2, sort_keys=True) + "\n", encoding="utf-8"
        )

    @classmethod
    def read(cls, folder: Path) -> EmbedderSettings:
        try:
            found = typed(cls, json.loads((folder / SETTINGS).read_text(encoding="utf-8")))
            if not 1 <= found.dim <= _MOST_DIM or not 1 <= found.max_tokens <= _MOST_TOKENS:
                raise ValueError(f"dim {found.dim}, max_tokens {found.max_tokens}")
            return found
        except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
            raise BundleCorrupt(f"{folder / SETTINGS}: {error}; copy the bundle again") from None


class Embedder:
    """`open(folder)` wants model.onnx, tokenizer.json, embedder.json, and dense.npz where the
    settings name dense layers. Safe to use from several threads.

    Every text is a run of its own on one core, as many at a time as there are cores. Beside batches
    of 16 sorted by length, with all cores on each, that has no padding, no waiting of cores for
    each other, and what is worked on stays in a core's own cache; and no text's vector depends on
    its neighbours, not even in int8, where a batch would share one scale."""

    def __init__(
        self, folder: Path, tokenizer: Any, settings: EmbedderSettings, device: Device
    ) -> None:
        self._folder, self._device = folder, device
        self._counter = tokenizer
        self._tokenizer = type(tokenizer).from_str(tokenizer.to_str())
        self._tokenizer.enable_truncation(settings.max_tokens)
        self.settings = settings
        self._dense = _read_dense(folder, settings)
        self._sessions: dict[int, Any] = {}
        self._lock = Lock()

    @classmethod
    def open(cls, folder: Path, *, device: Device | None = None) -> Embedder:
        """The network is loaded at the first text: a process that only counts tokens never has it."""
        from tokenizers import Tokenizer

        settings = EmbedderSettings.read(folder)
        with untrusted(folder / "tokenizer.json"):
            tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        tokenizer.no_padding()
        tokenizer.no_truncation()
        return cls(folder, tokenizer, settings, device or Device())

    def count_tokens(self, text: str) -> int:
        """Tokens of `text` without the special ones, not truncated."""
        return len(self._counter.encode(text, add_special_tokens=False).ids)

    def count_read(self, texts: Sequence[str], *, query: bool = False) -> int:
        """Return how many tokens the model reads of `texts`: prefix and special tokens included,
        what is cut off not."""
        prefix = self.settings.query_prefix if query else self.settings.passage_prefix
        return sum(
            len(encoding.ids)
            for encoding in self._tokenizer.encode_batch([prefix + text for text in texts])
        )

    def token_starts(self, text: str) -> list[int]:
        """The character offset at which each token of `text` begins, special ones left out, not
        truncated."""
        return [start for start, _ in self._counter.encode(text, add_special_tokens=False).offsets]

    def embed_query(self, text: str) -> NDArray[np.float32]:
        """One question -> [dim], unit length; all cores on it."""
        ids = self._tokenizer.encode(self.settings.query_prefix + text).ids
        return self._vector(self._session(self._device.threads), ids)

    def embed_few(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """As `embed_passages`, to rounding: one text after another, on the session of the
        questions. A device that embeds a few sentences a question has no use for a second session,
        which holds the weights once more (90 MB of MiniLM)."""
        import numpy as np

        session = self._session(self._device.threads)
        found = [
            self._vector(session, self._tokenizer.encode(self.settings.passage_prefix + text).ids)
            for text in texts
        ]
        return np.stack(found) if found else np.zeros((0, self.settings.dim), dtype=np.float32)

    def embed_passages(
        self, texts: Sequence[str], *, progress: Callable[[int, int], None] | None = None
    ) -> NDArray[np.float32]:
        """n texts -> [n, dim], unit length, in the order given, the same bytes whatever stands
        beside a text; `progress(done, total)` now and then."""
        import numpy as np

        vectors = np.zeros((len(texts), self.settings.dim), dtype=np.float32)
        session = self._session(1) if len(texts) else None
        with ThreadPoolExecutor(self._device.threads) as pool:
            for done, (at, vector) in enumerate(self._each(pool, session, texts), 1):
                vectors[at] = vector
                if progress and (done % 16 == 0 or done == len(texts)):
                    progress(done, len(texts))
        return vectors

    def _each(
        self, pool: ThreadPoolExecutor, session: Any, texts: Sequence[str]
    ) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Window by window; the longest of a window first, so that the cores finish it together."""
        for start in range(0, len(texts), WINDOW):
            window = [self.settings.passage_prefix + text for text in texts[start : start + WINDOW]]
            ids = [encoding.ids for encoding in self._tokenizer.encode_batch(window)]
            order = sorted(range(len(ids)), key=lambda i: -len(ids[i]))
            found = pool.map(lambda i: self._vector(session, ids[i]), order)  # noqa: B023 - consumed in this turn
            yield from ((start + i, vector) for i, vector in zip(order, found, strict=True))

    def _session(self, threads: int) -> Any:
        import onnxruntime as ort

        with self._lock:
            if threads not in self._sessions:
                options = session_options(Device(threads=threads))
                self._sessions[threads] = ort.InferenceSession(
                    str(self._folder / "model.onnx"),
                    options,
                    providers=["CPUExecutionProvider"],
                    disabled_optimizers=_SLOWER,
                )
            return self._sessions[threads]

    def _vector(self, session: Any, ids: Sequence[int]) -> NDArray[np.float32]:
        """One text's tokens -> [dim]; zeros for a text without any."""
        import numpy as np

        if not ids:
            return np.zeros(self.settings.dim, dtype=np.float32)
        tokens = np.array([ids], dtype=np.int64)
        feeds = {
            "input_ids": tokens,
            "attention_mask": np.ones_like(tokens),
            "token_type_ids": np.zeros_like(tokens),
        }
        wanted = {value.name for value in session.get_inputs()}
        hidden = session.run(["token_embeddings"], {k: v for k, v in feeds.items() if k in wanted})[
            0
        ][0]
        vector = _pool(hidden, self.settings.pooling)
        for weight, bias, activation in self._dense:
            vector = weight @ vector + bias
            vector = np.tanh(vector) if activation == "tanh" else vector
        if self.settings.normalize:
            vector = vector / max(float(np.linalg.norm(vector)), 1e-12)
        return np.ascontiguousarray(vector, dtype=np.float32)


def _pool(hidden: NDArray[np.float32], pooling: Pooling) -> NDArray[np.float32]:
    """[tokens, hidden] -> [hidden], as sentence-transformers names the ways."""
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


def _read_dense(folder: Path, settings: EmbedderSettings) -> list[tuple[Any, Any, str]]:
    import numpy as np

    if not settings.dense:
        return []
    try:
        with np.load(folder / DENSE, allow_pickle=False) as stored:
            return [
                (stored[f"w{i}"], stored[f"b{i}"], name) for i, name in enumerate(settings.dense)
            ]
    except (OSError, ValueError, KeyError) as error:
        raise BundleCorrupt(f"{folder / DENSE}: {error}; copy the bundle again") from None
