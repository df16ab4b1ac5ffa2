"""Where quality was won and where it was lost: the same questions asked of each stage's model, from
the base to the quantised export, with and without retrieval; each step with its paired interval.
Reads rows; knows nothing of models.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from .bootstrap import Resampled

STEPS = ("base", "tuned", "merged", "exported", "quantized")
DOES = {
    "tuned": "+ tuning",
    "merged": "merge",
    "exported": "export to ONNX, fp32",
    "quantized": "quantise",
}
KEYS = (
    "f1",
    "exact_match",
    "numeric_match",
    "value_match",
    "refused_right",
    "refused_wrong",
    "citations_right",
    "perplexity",
)


def steps_of(*, tuned: bool) -> tuple[str, ...]:
    return STEPS if tuned else tuple(step for step in STEPS if step not in ("tuned", "merged"))


def attribute(
    rows: Sequence[Mapping[str, Any]], steps: Sequence[str], *, retrieval: bool
) -> dict[str, Any]:
    """`rows`: as in report.json, their arms the steps' names, with "+rag" for those that retrieve.
    JSON-ready."""
    kinds = ["", "+rag"] if retrieval else [""]
    drawn = Resampled(rows, [step + kind for step in steps for kind in kinds])
    return {
        "questions": len(rows),
        "steps": list(steps),
        "with_retrieval": _path(drawn, steps, "+rag") if retrieval else None,
        "without_retrieval": _path(drawn, steps, ""),
    }


def _path(drawn: Resampled, steps: Sequence[str], kind: str) -> dict[str, Any]:
    figures = {
        step: {
            key: round(value, 4)
            for key in KEYS
            if (value := drawn.figure(step + kind, key)) is not None
        }
        for step in steps
    }
    moves = {
        step: {
            key: gap.to_dict()
            for key in KEYS
            if (gap := drawn.difference(step + kind, before + kind, key)) is not None
        }
        for before, step in pairwise(steps)
    }
    return {"figures": figures, "moves": moves}
