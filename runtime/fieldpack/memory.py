"""How much memory an opened bundle takes, and what context fits a limit. Reads sizes, opens nothing.

The figures are resident memory as the kernel counts it, files that lie mapped in it included, at its peak while an answer
is made.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from .bundle.manifest import Manifest
from .errors import BundleCorrupt, BundleUnsupported
from .generation.kv_cache import SLICE

# Measured on SmolLM2-135M with MiniLM in float32 and int8 (CPU, onnxruntime 1.31): the interpreter with what it imports;
# a model file's bytes in memory for each on disk, as weights are packed anew for the kernels while the file is mapped.
_PROGRAM_MB = 75.0
_WEIGHTS, _EMBEDDER = 1.35, 1.5
_KNOWLEDGE_MB = 20.0  # SQLite's cache and the pages of the vectors that a search touches
_FLOAT = 4  # bytes: keys, values and logits on a CPU
_STEP = 64  # tokens by which a context is made smaller


@dataclass(frozen=True, slots=True)
class Budget:
    """Megabytes: `fixed` whatever is asked, `per_token` of context."""

    fixed: float
    per_token: float

    def needed(self, context: int) -> float:
        return self.fixed + self.per_token * context

    def context(self, limit_mb: float, most: int) -> int:
        """Tokens that fit the limit, `most` at the most; 0 or less where not even the models do."""
        if not self.per_token:  # no language model
            return most if self.fixed <= limit_mb else 0
        fits = int((limit_mb - self.fixed) / self.per_token)
        return most if fits >= most else fits // _STEP * _STEP


@dataclass(frozen=True, slots=True)
class ModelShape:
    """What of a decoder decides the memory beside its weights. `heads` and `head_size`: of keys and values."""

    layers: int
    heads: int
    head_size: int
    vocabulary: int


def predict(model_mb: float, search_mb: float, shape: ModelShape | None, *, knowledge: bool) -> Budget:
    """Return the memory of a bundle whose language model's files have `model_mb` (0 and no shape for none) and whose embedder
    and reranker together have `search_mb`."""
    library = _KNOWLEDGE_MB if knowledge else 0.0
    fixed = _PROGRAM_MB + _EMBEDDER * search_mb
    if shape is None:
        return Budget(fixed + _KNOWLEDGE_MB, 0.0)
    cache = 2 * shape.layers * shape.heads * shape.head_size * _FLOAT / 1e6
    logits = 2 * SLICE * shape.vocabulary * _FLOAT / 1e6
    return Budget(fixed + _WEIGHTS * model_mb + logits + library, cache)


def budget_of(folder: Path, manifest: Manifest) -> Budget:
    """Raises BundleCorrupt where the model's configuration does not say its shape."""
    sizes = {role: sum(f.size for f in manifest.files if f.role == role) / 1e6 for role in ("model", "embedder", "reranker")}
    shape = _shape(folder / "model" / "genai_config.json") if manifest.has("model") else None
    searching = sizes["embedder"] + sizes["reranker"]
    return predict(sizes["model"], searching, shape, knowledge=manifest.has("knowledge"))


def fit_context(folder: Path, manifest: Manifest, limit_mb: float, *, most: int, least: int) -> int:
    """The context, in tokens, with which the bundle stays within `limit_mb`. Raises BundleUnsupported where that is less
    than `least`."""
    budget = budget_of(folder, manifest)
    context = budget.context(limit_mb, most)
    if context < least:
        raise BundleUnsupported(
            f"{folder}: needs {budget.needed(least):,.0f} MB to read one passage and answer, {budget.needed(most):,.0f} MB for "
            f"all it was built for; the limit is {limit_mb:,.0f} MB: raise it, or build with a smaller model"
        )
    return context


def model_context(folder: Path) -> int | None:
    """Return the tokens of text that the model of the bundle in `folder` takes; None where its configuration does not say,
    or there is no model."""
    try:
        config = json.loads((folder / "model" / "genai_config.json").read_text(encoding="utf-8"))
        return int(config["search"]["max_length"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError, OverflowError):
        return None  # what is wrong with it is said when the model is opened


def _shape(path: Path) -> ModelShape:
    try:
        model = json.loads(path.read_text(encoding="utf-8"))["model"]
        decoder = model["decoder"]
        numbers = (decoder["num_hidden_layers"], decoder["num_key_value_heads"], decoder["head_size"], model["vocab_size"])
        return ModelShape(*(int(number) for number in numbers))
    except (OSError, ValueError, KeyError, TypeError, RecursionError, OverflowError) as error:
        raise BundleCorrupt(f"{path}: {error}; copy the bundle again") from None
