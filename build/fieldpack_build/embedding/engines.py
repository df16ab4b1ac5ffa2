"""What embeds a library: onnxruntime on this machine, sentence-transformers on its GPU, or a Ray
cluster. One interface, chosen by the recipe. Knows nothing of documents or indexes.

The runtime embeds each text by itself, so onnxruntime's vectors are the same bytes however the
texts are cut into windows and whichever process embeds them; another kind of CPU, or a GPU, differs
in the last digits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from fieldpack.devices import available_cores
from fieldpack.retrieval.embedder import Embedder

from ..errors import CheckFailed, MachineError
from ..recipe.schema import Knowledge
from .engine import WINDOW, Engine, EngineFacts

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class OnnxEngine:
    """The runtime's own embedder, all cores of this machine."""

    block = 2 * WINDOW

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder

    @classmethod
    def open(cls, folder: Path) -> OnnxEngine:
        """Open the embedder in `folder`."""
        return cls(Embedder.open(folder))

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed passages, as `Engine.embed` says."""
        return self._embedder.embed_passages(texts)

    def describe(self) -> EngineFacts:
        """Return what embeds."""
        return {"engine": "onnx", "threads": available_cores()}

    def close(self) -> None:
        """Do nothing: the embedder ends with the last reference to it."""


def choose(knowledge: Knowledge) -> Literal["onnx", "cuda", "ray"]:
    """Return the engine that embeds: what the recipe says, under `auto` cuda where there is a GPU.

    Torch, which has the last word, is imported only where a
    driver answers: it would cost a machine without one two seconds and 200 MB."""
    if knowledge.engine != "auto":
        return knowledge.engine
    from ..gpu import has_gpu

    return "cuda" if has_gpu() and _torch_has_cuda() else "onnx"


def open_engine(
    knowledge: Knowledge,
    embedder_folder: Path,
    source_folder: Path | None,
    note: Callable[[str], None],
) -> Engine:
    """Open the engine that the recipe wants.

    `embedder_folder`: the finished ONNX embedder. `source_folder`: the sentence-transformers model
    it was exported from, needed where `choose` says cuda. Raises MachineError (no GPU, no cluster),
    CheckFailed (canaries disagree; under `auto` that is a note, and onnx embeds)."""
    kind = choose(knowledge)
    if kind == "ray":
        from .ray_engine import RayEngine

        return RayEngine.open(embedder_folder, knowledge.ray_address, note)
    if kind == "cuda" and (source_folder or knowledge.engine == "cuda"):
        from .cuda_engine import CudaEngine

        if not _torch_has_cuda():
            raise MachineError(
                "knowledge.engine is cuda and torch sees no CUDA GPU here; say auto or onnx, or "
                "use a GPU server"
            )
        if source_folder is None:
            raise ValueError(
                "the cuda engine needs the sentence-transformers model, not its export alone"
            )
        try:
            return CudaEngine.open(source_folder, embedder_folder, note)
        except CheckFailed as error:
            if knowledge.engine == "cuda":
                raise
            note(f"{error}; onnx embeds instead")
    return OnnxEngine.open(embedder_folder)


def _torch_has_cuda() -> bool:
    import torch

    return bool(torch.cuda.is_available())


def problems(knowledge: Knowledge) -> list[str]:
    """Return what `build check` can see to be wrong without importing anything heavy."""
    from importlib.util import find_spec

    if knowledge.engine == "ray" and find_spec("ray") is None:
        return ['knowledge.engine: ray is not installed here; pip install "fieldpack[ray]"']
    if knowledge.ray_address and knowledge.engine != "ray":
        reads = "only knowledge.engine: ray reads it"
        return [f"knowledge.ray_address: {reads}, and that is {knowledge.engine}"]
    return []
