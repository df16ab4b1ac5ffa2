"""Estimates how much memory an opened bundle takes, and which context fits a limit; reads how much
this process takes. Opens no model.

The figures are resident memory as the kernel counts it, mapped files included, at its peak while an
answer is made.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from .bundle.manifest import Manifest
from .errors import BundleCorrupt, BundleUnsupported
from .generation.kv_cache import SLICE

# Fitted to four models in int4 mixed with int8 (135M, 360M, 494M parameters) and float32 (135M), with
# MiniLM in float32 and int8 (benchmarks/memory.py; CPUs with VNNI and with AVX2, onnxruntime 1.31):
# within 6% of each. The interpreter with what it imports, and genai with a model's graph; a model
# file's bytes in memory for each on disk, as the kernels' packed copy of the weights has sums of its
# blocks besides; the input embeddings are also read where they lie in the mapped file.
_PROGRAM_MB, _ENGINE_MB = 75.0, 18.0
_WEIGHTS, _EMBEDDER = 1.2, 1.5
_EMBEDDING_BYTES = {"fp32": 4.0, "fp16": 2.0}  # of a weight; else 8 bits and a float for every 32
_QUANTIZED_BYTES = 1.125
_KNOWLEDGE_MB = 20.0  # SQLite's cache and the pages of the vectors that a search touches
_FLOAT_BYTES = 4  # keys, values and logits on a CPU
_CONTEXT_STEP = 64  # tokens by which a context is made smaller


@dataclass(frozen=True, slots=True)
class Budget:
    """The memory that a bundle takes, in megabytes: `fixed` whatever is asked, `per_token` of
    context."""

    fixed: float
    per_token: float

    def needed(self, context: int) -> float:
        """Return the megabytes for a context of so many tokens."""
        return self.fixed + self.per_token * context

    def context(self, limit_mb: float, max_context: int) -> int:
        """Return how many tokens of context fit the limit, at most `max_context`; 0 or less where
        not even the models do."""
        if not self.per_token:  # no language model
            return max_context if self.fixed <= limit_mb else 0
        fits = int((limit_mb - self.fixed) / self.per_token)
        return max_context if fits >= max_context else fits // _CONTEXT_STEP * _CONTEXT_STEP


@dataclass(frozen=True, slots=True)
class ModelShape:
    """The numbers of a decoder that decide the memory beside its weights' files. `heads` and
    `head_size` are those of the keys and values; `precision` is the export's: int4, int8, fp16 or
    fp32."""

    layers: int
    heads: int
    head_size: int
    vocabulary: int
    hidden: int
    precision: str

    @property
    def embeddings_mb(self) -> float:
        """Return the megabytes of the input embeddings; more than they are where they are in int4."""
        each = _EMBEDDING_BYTES.get(self.precision, _QUANTIZED_BYTES)
        return self.vocabulary * self.hidden * each / 1e6


def predict(
    model_mb: float, search_mb: float, shape: ModelShape | None, *, knowledge: bool
) -> Budget:
    """Return the memory of a bundle whose language model's files have `model_mb` (0 and no shape
    for none) and whose embedder and reranker together have `search_mb`."""
    library = _KNOWLEDGE_MB if knowledge else 0.0
    fixed = _PROGRAM_MB + _EMBEDDER * search_mb
    if shape is None:
        return Budget(fixed + _KNOWLEDGE_MB, 0.0)
    cache = 2 * shape.layers * shape.heads * shape.head_size * _FLOAT_BYTES / 1e6
    logits = 2 * SLICE * shape.vocabulary * _FLOAT_BYTES / 1e6
    weights = _ENGINE_MB + _WEIGHTS * (model_mb + shape.embeddings_mb)
    return Budget(fixed + weights + logits + library, cache)


def budget_of(folder: Path, manifest: Manifest) -> Budget:
    """Return the memory that the bundle in `folder` takes. Raises BundleCorrupt where the model's
    configuration does not say its shape."""
    sizes = {
        role: sum(f.size for f in manifest.files if f.role == role) / 1e6
        for role in ("model", "embedder", "reranker")
    }
    shape = None
    if manifest.has("model"):
        path = folder / "model" / "genai_config.json"
        try:
            model = json.loads(path.read_text(encoding="utf-8"))["model"]
            names = ("num_hidden_layers", "num_key_value_heads", "head_size")
            layers, heads, head_size = (int(model["decoder"][name]) for name in names)
            vocabulary, hidden = int(model["vocab_size"]), int(model["decoder"]["hidden_size"])
            precision = str(manifest.compat.get("precision", ""))
            shape = ModelShape(layers, heads, head_size, vocabulary, hidden, precision)
        except (OSError, ValueError, KeyError, TypeError, RecursionError, OverflowError) as error:
            raise BundleCorrupt(f"{path}: {error}; copy the bundle again") from None
    search_mb = sizes["embedder"] + sizes["reranker"]
    return predict(sizes["model"], search_mb, shape, knowledge=manifest.has("knowledge"))


def fit_context(
    folder: Path, manifest: Manifest, limit_mb: float, *, max_context: int, min_context: int
) -> int:
    """Return the context, in tokens, with which the bundle stays within `limit_mb`. Raises
    BundleUnsupported where that is less than `min_context`."""
    budget = budget_of(folder, manifest)
    context = budget.context(limit_mb, max_context)
    if context < min_context:
        raise BundleUnsupported(
            f"{folder}: needs {budget.needed(min_context):,.0f} MB to read one passage and answer, "
            f"{budget.needed(max_context):,.0f} MB for all it was built for; the limit is "
            f"{limit_mb:,.0f} MB: raise it, or build with a smaller model"
        )
    return context


def model_context(folder: Path) -> int | None:
    """Return the tokens of text that the model of the bundle in `folder` takes; None where its
    configuration does not say, or there is no model."""
    try:
        config = json.loads((folder / "model" / "genai_config.json").read_text(encoding="utf-8"))
        return int(config["search"]["max_length"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError, OverflowError):
        return None  # what is wrong with it is said when the model is opened


def peak_bytes(root: Path = Path("/")) -> int:
    """Return the most resident memory that this process has held, in bytes; 0 where the system does
    not say. Not ru_maxrss, which begins with what the process that started this one had held.
    `root`: where /proc is."""
    return _status_bytes(root, "VmHWM")


def resident_bytes(root: Path = Path("/")) -> int:
    """Return the resident memory of this process now, in bytes; 0 where the system does not say."""
    return _status_bytes(root, "VmRSS")


def _status_bytes(root: Path, name: str) -> int:
    """Return a line such as `VmRSS:  24105 kB` of /proc/self/status, in bytes."""
    try:
        status = (root / "proc/self/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return 0
    lines = (line.split() for line in status.splitlines())
    return next((int(parts[1]) * 1024 for parts in lines if parts[:1] == [f"{name}:"]), 0)
