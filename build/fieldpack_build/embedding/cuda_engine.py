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
from . import agreement

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

T = TypeVar("T")

# float16 first: ten bits of mantissa against bfloat16's seven; a model that overflows it gives NaN,
# which no canary passes.
PRECISIONS = ("float16", "bfloat16", "float32")
_MOST = 1024  # texts a batch; at 256 x 128 tokens a data-centre GPU is busy already
_WITHOUT_GPU = 2 << 30  # bytes to plan a batch with where no GPU says how many are free
# Activations of a layer, in floats a token and unit of width: query, key, value 3, intermediate 4,
# its GELU 4, residue 1.
_FLOATS = 12


class CudaEngine:
    """`open` proves it against the ONNX embedder; the bare constructor does not. Not for several
    threads."""

    block = (
        8192  # encode() sorts by length within a block: little padding, and a few megabytes of text
    )

    def __init__(
        self,
        model: Any,
        settings: EmbedderSettings,
        *,
        device: str = "cuda",
        precision: str = "float32",
    ) -> None:
        model.max_seq_length = settings.max_tokens
        self._model, self._settings, self._device, self._precision = (
            model,
            settings,
            device,
            precision,
        )
        self._most = _MOST
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
        """Raises CheckFailed, with the figure, when no precision agrees with the embedder in
        `embedder_folder`."""
        note("loading the embedding model into torch")
        embedder = Embedder.open(embedder_folder)
        reference = embedder.embed_passages(agreement.texts())
        model = load_model(source, device)
        for precision in PRECISIONS if device.startswith("cuda") else ("float32",):
            engine = cls(model, embedder.settings, device=device, precision=precision)
            try:
                engine._cosine = agreement.require_agreement(
                    f"sentence-transformers on {device} in {precision}",
                    engine.embed(agreement.texts()),
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
        import numpy as np
        import torch

        if not texts:
            return np.zeros((0, self._settings.dim), dtype=np.float32)
        prefixed = [self._settings.passage_prefix + text for text in texts]
        planned = self._batch_for(prefixed)
        vectors, batch = halving(
            lambda size: self._encode(prefixed, size),
            planned,
            torch.cuda.OutOfMemoryError,
            self._free,
        )
        if batch < planned:
            self._most = (
                batch  # the plan was too bold once: no block after this one pays for it again
            )
        if (
            self._settings.normalize
        ):  # after the float32 cast: float16 rounds a length to three digits
            vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        return vectors

    def describe(self) -> dict[str, Any]:
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
            "most_in_a_batch": self._most,
            "cosine_to_onnx": None if self._cosine is None else round(self._cosine, 6),
        }

    def close(self) -> None:
        del self._model
        self._free()

    def _encode(self, texts: Sequence[str], batch: int) -> NDArray[np.float32]:
        import numpy as np

        with self._autocast():
            # prompt="": the model's default prompt would be put before the prefix that the device's
            # settings name.
            found = self._model.encode(
                list(texts),
                prompt="",
                batch_size=batch,
                convert_to_numpy=True,
                show_progress_bar=False,
            )
        return np.array(found, dtype=np.float32)

    def _autocast(self) -> AbstractContextManager[Any]:
        import torch

        if self._precision == "float32":
            return nullcontext()
        return torch.autocast("cuda", dtype=getattr(torch, self._precision))  # type: ignore[no-any-return]

    def _batch_for(self, texts: Sequence[str]) -> int:
        """Texts at once, from the memory that is free and the longest text at two characters a
        token."""
        longest = min(max(len(text) for text in texts) // 2 + 8, self._settings.max_tokens)
        return max(
            1, min(self._most, self._free_bytes() // (longest * self._settings.dim * _FLOATS * 4))
        )

    def _free_bytes(self) -> int:
        import torch

        return (
            int(torch.cuda.mem_get_info(self._device)[0])
            if self._device.startswith("cuda")
            else _WITHOUT_GPU
        )

    def _free(self) -> None:
        import torch

        if self._device.startswith("cuda"):
            torch.cuda.empty_cache()


def load_model(source: Path, device: str) -> Any:
    """As the embedder stage loads it to prove its export: float32, safetensors, none of the model's
    own code run."""
    from . import torch_model

    return torch_model.load(source).to(device).eval()


def halving(
    run: Callable[[int], T], batch: int, out_of_memory: type[Exception], free: Callable[[], None]
) -> tuple[T, int]:
    """`run(batch)`, with half the batch each time it raises `out_of_memory`; gives the result and
    the batch that did it. Raises MachineError when one text alone does not fit."""
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
