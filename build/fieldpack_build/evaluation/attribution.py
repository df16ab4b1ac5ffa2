"""Where quality was won and where it was lost: the same questions asked of each stage's model, from
the base to the quantised export, with and without retrieval; each step with its paired interval.
Reads rows; knows nothing of models.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from .bootstrap import PairedBootstrap
from .report_file import Attribution, QuestionRow, StepFigures

STEPS = ("base", "tuned", "merged", "exported", "quantized")
LABELS = {
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
    """Return the steps of a recipe, from the base to what ships."""
    return STEPS if tuned else tuple(step for step in STEPS if step not in ("tuned", "merged"))


def attribute(rows: Sequence[QuestionRow], steps: Sequence[str], *, retrieval: bool) -> Attribution:
    """Set each step against the one before it. The arms of `rows` are the steps' names, with "+rag"
    for those that retrieve."""
    suffixes = ["", "+rag"] if retrieval else [""]
    arms = [step + suffix for step in steps for suffix in suffixes]
    bootstrap = PairedBootstrap(rows, arms)
    return Attribution(
        questions=len(rows),
        steps=list(steps),
        with_retrieval=_figures(bootstrap, steps, "+rag") if retrieval else None,
        without_retrieval=_figures(bootstrap, steps, ""),
    )


def _figures(bootstrap: PairedBootstrap, steps: Sequence[str], suffix: str) -> StepFigures:
    figures = {
        step: {
            key: round(value, 4)
            for key in KEYS
            if (value := bootstrap.value(step + suffix, key)) is not None
        }
        for step in steps
    }
    moves = {
        step: {
            key: gap.rounded()
            for key in KEYS
            if (gap := bootstrap.difference(step + suffix, before + suffix, key)) is not None
        }
        for before, step in pairwise(steps)
    }
    return StepFigures(figures=figures, moves=moves)
