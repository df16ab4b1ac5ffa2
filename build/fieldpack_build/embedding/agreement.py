"""Texts that every engine embeds before it may embed a library, and how near its vectors must be to
the device's. Knows nothing of engines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import CheckFailed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MIN_COSINE = 0.999
# Short, past the model's limit, figures, a table's row, another script, nearly nothing.
CANARIES = (
    "What does the fund cost a year?",
    "Settlement fails are chased from the morning of the day after the contractual settlement "
    "date. " * 40,
    "GBP 1,250.50 on 31 March 2025 (0.75%)",
    "Fund | A class | I class\nGlobal Equity | 0.75% | 0.55%",
    "Какова комиссия фонда? 基金的费用是多少?",
    "a",
)


def least_cosine(vectors: NDArray[np.float32], reference: NDArray[np.float32]) -> float:
    """Return the least cosine of a pair of rows of unit length, float32 [texts, dim] both. Equal
    rows, so two of zeros as well, have 1; NaN where a vector has one, -1 for another shape."""
    import numpy as np

    if vectors.shape != reference.shape:
        return -1.0
    equal = (vectors == reference).all(axis=1)
    return float(np.where(equal, np.float32(1), (vectors * reference).sum(axis=1)).min())


def require_agreement(
    name: str, vectors: NDArray[np.float32], reference: NDArray[np.float32]
) -> float:
    """Return the least cosine of an engine's vectors to those of the ONNX embedder that the device
    will run, float32 [texts, dim] both. Raises CheckFailed under 0.999."""
    cosine = least_cosine(vectors, reference)
    if not cosine >= MIN_COSINE:  # written so that NaN fails
        raise CheckFailed(
            f"{name} differs from the ONNX embedder on the canary texts: cosine {cosine:.4f}, at "
            f"least {MIN_COSINE} wanted; the device would not find what it embeds: use "
            "knowledge.engine: onnx"
        )
    return cosine
