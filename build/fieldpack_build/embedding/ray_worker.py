"""What runs on a Ray worker: the runtime's embedder on windows of texts. Imports nothing of the
build, so that a worker needs no more than the device does: onnxruntime, tokenizers, numpy."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, TypedDict

from fieldpack.devices import Device
from fieldpack.retrieval.embedder import Embedder

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SHAPING = ("onnxruntime", "tokenizers", "numpy")  # packages whose versions shape a vector


class WorkerIdentity(TypedDict):
    """Where a worker runs, and on which versions of `SHAPING`."""

    host: str
    pid: int
    versions: dict[str, str]


class EmbeddingWorker:
    """An embedder made of files' bytes: the hosts of a cluster share no disk. `threads`: cores it
    may use."""

    def __init__(self, threads: int, names: Sequence[str], *contents: NDArray[np.uint8]) -> None:
        with TemporaryDirectory(prefix="fieldpack-embedder-") as name:
            folder = Path(name)
            for path, content in zip(names, contents, strict=True):
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                content.tofile(folder / path)
            self._embedder = Embedder.open(folder, device=Device(threads=threads))
            self.embed(["a"])  # the network is read at the first text, while its file is there

    def introduce(self, texts: Sequence[str]) -> tuple[WorkerIdentity, NDArray[np.float32]]:
        """Return where this worker runs, with the vectors of canary texts, float32 [texts, dim]."""
        identity: WorkerIdentity = {
            "host": platform.node(),
            "pid": os.getpid(),
            "versions": versions(),
        }
        return identity, self.embed(texts)

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return the vectors of passages, float32 [texts, dim]."""
        return self._embedder.embed_passages(texts)


def versions() -> dict[str, str]:
    """Return the versions here of the packages that shape a vector."""
    return {name: version(name) for name in SHAPING}
