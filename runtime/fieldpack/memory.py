"""How much memory an opened bundle takes, and what context fits a limit. Reads sizes, opens
nothing.

The figures are resident memory as the kernel counts it, files that lie mapped in it included, at
its peak while an answer is made.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from .bundle.manifest import Manifest
from .errors import BundleCorrupt, BundleUnsupported
from .generation.kv_cache import SLICE

# Measured on SmolLM2-135M with MiniLM in float32 and int8 (CPU, onnxruntime 1.31): the interpreter
# with what it imports; a model file's bytes in memory for each on disk, as weights are packed anew
# for the kernels while the file is mapped.
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


def budget_of(folder: Path, manifest: Manifest) -> Budget:
    """Raises BundleCorrupt where the model's configuration does not say its shape."""
    sizes = {
        role: sum(f.size for f in manifest.files if f.role == role) / 1e6
        for role in ("model", "embedder", "reranker")
    }
    if not manifest.has("model"):
        return Budget(
            _PROGRAM_MB + _EMBEDDER * (sizes["embedder"] + sizes["reranker"]) + _KNOWLEDGE_MB, 0.0
        )
    decoder, vocabulary = _shape(folder / "model" / "genai_config.json")
    cache = (
        2
        * decoder["num_hidden_layers"]
        * decoder["num_key_value_heads"]
        * decoder["head_size"]
        * _FLOAT
        / 1e6
    )
    logits = 2 * SLICE * vocabulary * _FLOAT / 1e6
    fixed = (
        _PROGRAM_MB
        + _WEIGHTS * sizes["model"]
        + _EMBEDDER * (sizes["embedder"] + sizes["reranker"])
        + logits
    )
    return Budget(fixed + (_KNOWLEDGE_MB if manifest.has("knowledge") else 0.0), cache)


def fit_context(folder: Path, manifest: Manifest, limit_mb: float, *, most: int, least: int) -> int:
    """The context, in tokens, with which the bundle stays within `limit_mb`. Raises
    BundleUnsupported where that is less than `least`."""
    budget = budget_of(folder, manifest)
    context = budget.context(limit_mb, most)
    if context < least:
        raise BundleUnsupported(
            f"{folder}: needs {budget.needed(least):,.0f} MB to read one passage and answer, "
            f"{budget.needed(most):,.0f} MB for "
            f"all it was built for; the limit is {limit_mb:,.0f} MB: raise it, or build with a "
            "smaller model"
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


def _shape(path: Path) -> tuple[dict[str, int], int]:
    try:
        model = json.loads(path.read_text(encoding="utf-8"))["model"]
        names = ("num_hidden_layers", "num_key_value_heads", "head_size")
        return {name: int(model["decoder"][name]) for name in names}, int(model["vocab_size"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError, OverflowError) as error:
        raise BundleCorrupt(f"{path}: {error}; copy the bundle again") from None
