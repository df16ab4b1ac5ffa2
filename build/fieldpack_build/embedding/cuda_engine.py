"""Embeds on a GPU with sentence-transformers, at the least precision whose canary vectors agree
with the ONNX embedder's. Knows nothing of documents or clusters.

Not run on a GPU where this project is tested: the tests run it on a CPU, in float32.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from fieldpack.retrieval.embedder import Embedder, EmbedderSettings

from ..errors import CheckFailed, MachineError
from . import torch_model
from .agreement import CANARIES, require_agreement
from .engine import EngineFacts

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

T = TypeVar("T")

# float16 first: ten bits of mantissa against bfloat16's seven; a model that overflows it gives NaN,
# which no canary passes.
PRECISIONS = ("float16", "bfloat16", "float32")
_MAX_BATCH = 1024  # texts; at 256 x 128 tokens a data-centre GPU is busy already
_WITHOUT_GPU = 2 << 30  # bytes to plan a batch with where no GPU says how many are free
# Activations of a layer, in floats a token and unit of width: query, key, value 3, intermediate 4,
# its GELU 4, residue 1.
_FLOATS_PER_UNIT = 12


class CudaEngine:
    """Embeds with sentence-transformers. `open` proves it against the ONNX embedder; the bare
    constructor does not. Not for several threads."""

    # encode() sorts by length within a block: little padding, and a few megabytes of text
    block = 8192

    def __init__(
        self,
        model: Any,
        settings: EmbedderSettings,
        *,
        device: str = "cuda",
        precision: str = "float32",
    ) -> None:
        model.max_seq_length = settings.max_tokens
        self._model, self._settings = model, settings
        self._device, self._precision = device, precision
        self._max_batch = _MAX_BATCH
        self._cosine: float | None = None

    @classmethod
    def open(
        cls,
        source: Path,
        embedder_folder: Path,
        note: Callable[[str], None],
        *,
        device: str = "cuda",
    ) -> CudaEngine:
        """Open the model in `source` at the least precision that agrees with the embedder in
        `embedder_folder`. Raises CheckFailed, with the figure, when none does."""
        note("loading the embedding model into torch")
        embedder = Embedder.open(embedder_folder)
        reference = embedder.embed_passages(CANARIES)
        # As the embedder stage loads it to prove its export: float32, safetensors, none of the
        # model's own code run.
        model = torch_model.load(source).to(device).eval()
        for precision in PRECISIONS if device.startswith("cuda") else ("float32",):
            engine = cls(model, embedder.settings, device=device, precision=precision)
            try:
                engine._cosine = require_agreement(
                    f"sentence-transformers on {device} in {precision}",
                    engine.embed(CANARIES),
                    reference,
                )
            except CheckFailed as error:
                if precision == "float32":
                    raise
                note(str(error).partition(";")[0])
            else:
                return engine
        raise AssertionError("float32 agrees or raises")

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed passages, as `Engine.embed` says. Raises MachineError when one text alone does not
        fit the GPU's memory."""
        import numpy as np
        import torch

        if not texts:
            return np.zeros((0, self._settings.dim), dtype=np.float32)
        prefixed = [self._settings.passage_prefix + text for text in texts]
        # From the memory that is free and the longest text at two characters a token.
        longest = min(max(len(text) for text in prefixed) // 2 + 8, self._settings.max_tokens)
        free_bytes = (
            int(torch.cuda.mem_get_info(self._device)[0])
            if self._device.startswith("cuda")
            else _WITHOUT_GPU
        )
        of_a_text = longest * self._settings.dim * _FLOATS_PER_UNIT * 4
        planned = max(1, min(self._max_batch, free_bytes // of_a_text))
        vectors, batch = halving(
            lambda size: self._encode(prefixed, size),
            planned,
            torch.cuda.OutOfMemoryError,
            self._free,
        )
        if batch < planned:
            # the plan was too bold once: no block after this one pays for it again
            self._max_batch = batch
        if self._settings.normalize:
            # after the float32 cast: float16 rounds a length to three digits
            vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        return vectors

    def describe(self) -> EngineFacts:
        """Return what embeds."""
        import torch

        name = (
            torch.cuda.get_device_name(self._device)
            if self._device.startswith("cuda")
            else self._device
        )
        return {
            "engine": "cuda",
            "device": name,
            "precision": self._precision,
            "most_in_a_batch": self._max_batch,
            "cosine_to_onnx": None if self._cosine is None else round(self._cosine, 6),
        }

    def close(self) -> None:
        """Give the model's memory back."""
        del self._model
        self._free()

    def _encode(self, texts: Sequence[str], batch: int) -> NDArray[np.float32]:
        import numpy as np
        import torch

        autocast: AbstractContextManager[Any] = nullcontext()
        if self._precision != "float32":
            autocast = torch.autocast("cuda", dtype=getattr(torch, self._precision))
        with autocast:
            # prompt="": the model's default prompt would be put before the prefix that the device's
            # settings name.
            vectors = self._model.encode(
                list(texts),
                prompt="",
                batch_size=batch,
                convert_to_numpy=True,
                show_progress_bar=False,
            )
        return np.array(vectors, dtype=np.float32)

    def _free(self) -> None:
        import torch

        if self._device.startswith("cuda"):
            torch.cuda.empty_cache()


def halving(
    run: Callable[[int], T], batch: int, out_of_memory: type[Exception], free: Callable[[], None]
) -> tuple[T, int]:
    """Call `run(batch)`, with half the batch each time it raises `out_of_memory`, and return its
    result and the batch that did it. Raises MachineError when one text alone does not fit."""
    while True:
        try:
            return run(batch), batch
        except out_of_memory as error:
            if batch == 1:
                raise MachineError(
                    f"one text does not fit the GPU's memory: {str(error).splitlines()[0]}"
                ) from None
        free()
        batch //= 2
