"""What each stage says of itself in its receipt, and what others read of it there. JSON holds it as
it is. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NotRequired, TypedDict, cast

from ..export.facts import FormatFigures
from ..pipeline.events import StageResult


class BaseResult(TypedDict):
    """`context`: tokens that the model reads, None where its config does not say. `vocabulary`:
    rows of its embeddings."""

    architecture: str
    context: int | None
    vocabulary: int
    source: str
    license: str | None


class EmbedderResult(TypedDict):
    """`cosine_to_torch`: the least over the canary texts. `decision`: what int8 was found to cost,
    where the recipe left the choice to the build."""

    dim: int
    max_tokens: int
    pooling: str
    query_prefix: str
    passage_prefix: str
    cosine_to_torch: float
    source: str
    license: str | None
    precision: str
    decision: NotRequired[Mapping[str, object]]


class RerankerResult(TypedDict):
    """`difference_to_torch`: the greatest over the canary pairs, of logits and of scores."""

    labels: int
    max_tokens: int
    activation: str
    difference_to_torch: float
    source: str
    license: str | None


class SynthesizeResult(TypedDict):
    """`asked`: requests to the model that writes; `replies_kept`: those that an earlier run had
    paid for; `dropped`: reason -> drafts."""

    rows: int
    refusals: int
    documents: int
    asked: int
    replies_kept: int
    dropped: dict[str, int]


class MergeResult(TypedDict):
    """`logit_shift`: the most that the adapter moves a logit; `merge_gap`: the most that the merged
    model differs from base + adapter. `rows_added`: of embeddings nobody trained; `tied`: they are
    the output matrix too."""

    matrices_moved: int
    logit_shift: float
    merge_gap: float
    rows_added: int
    tied: bool


class Shipping(TypedDict):
    """`rule`: the recipe's `evaluate.ship`; `missed`: arm -> gates that it misses; `left_out`:
    halves of the recipe that do not ship; `why`: a sentence."""

    rule: str
    missed: dict[str, list[str]]
    left_out: list[str]
    why: str


class GuaranteeResult(TypedDict):
    """What of the guarantee a build shows: its sentence."""

    sentence: str


class EvaluateResult(TypedDict):
    """Parts of report.json: the figures of each arm, which of them ships and why, gates, what may
    be promised, and at the risk that the recipe names how much is answered."""

    arms: dict[str, dict[str, float | None]]
    retrieval: Mapping[str, object] | None
    gates: list[Mapping[str, object]]
    shipped: str
    ship: Shipping
    guarantee: GuaranteeResult | None
    risk: NotRequired[str]


class TargetsResult(TypedDict):
    """What was measured on each target, with its `proof`, and of each format that was made."""

    targets: Mapping[str, Mapping[str, object]]
    formats: Sequence[FormatFigures]


class PackageResult(TypedDict):
    """`files` and `size_mb` of the bundle, the arm that it answers as, and what was left out;
    `originals`: how many source PDFs it carries, where the recipe wants them."""

    files: int
    size_mb: float
    arm: str
    left_out: list[str]
    originals: NotRequired[int]
    originals_mb: NotRequired[float]


def evaluate_result(result: StageResult) -> EvaluateResult:
    """Read what a finished `evaluate` stage said of itself."""
    return cast("EvaluateResult", result)


# Keys of a result that a build shows when the stage is done.
_SHOWN = {
    "base": ("architecture", "vocabulary"),
    "embedder": ("dim", "pooling", "cosine_to_torch"),
    "reranker": ("labels", "difference_to_torch"),
    "knowledge": ("documents", "chunks", "embedded"),
    "calibrate": ("cosine", "lead", "refused_right", "refused_wrong"),
    "quoting": ("rows", "f1_plain", "f1_fitted", "refused_right", "refused_wrong"),
    "synthesize": ("rows", "asked", "replies_kept"),
    "train": (
        "examples",
        "steps",
        "tokens_per_s",
        "first_loss",
        "last_loss",
        "held_out_loss",
        "held_out_wrong_refusals",
        "kept_step",
    ),
    "merge": ("matrices_moved", "logit_shift", "merge_gap"),
    "export": ("size_mb", "perplexity_torch", "perplexity_onnx", "same_next_token"),
    "baseline": ("size_mb", "perplexity_torch", "perplexity_onnx"),
    "attribute": ("questions",),
    "package": ("files", "size_mb", "originals", "originals_mb"),
}


def summary(stage: str, result: StageResult) -> str:
    """Return one line of what a stage says of itself."""
    shown: dict[str, Any] = {
        key.replace("_", " "): result.get(key) for key in _SHOWN.get(stage, ())
    }
    if stage == "quoting":
        shown["weights"] = "fitted" if result["fitted"] else "plain"
        if result.get("made_up"):  # weaker than rows, so it is said
            line = result["refuse_below"]
            shown["threshold"] = "none" if line is None else line
            shown["held against"] = "made-up questions, as there are no training rows"
    elif stage == "evaluate":
        evaluated = evaluate_result(result)
        arm = evaluated["arms"][evaluated["shipped"]]
        shown = {
            "F1": arm["f1"],
            "right value": arm["value_match"],
            "refused right": arm["refused_right"],
            "refused wrong": arm["refused_wrong"],
            "citations valid": arm["citations_valid"],
        }
    return ", ".join(f"{key} {value}" for key, value in shown.items() if value is not None)
