"""Which candidate ships: the smallest that stays within the limits. Knows nothing of models or
files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp

from .facts import CandidateFigures, ProbeFigures

_MAX_KL = 100.0  # nats; e^100 is as bad as any, and a number


@dataclass(frozen=True, slots=True)
class Limits:
    """What a candidate must not exceed; None: no limit. Sizes in MB of 10^6 bytes on disk, memory
    in MiB at its peak, degradation as `degradation` has it."""

    size_mb: float | None = None
    memory_mb: float | None = None
    degradation: float | None = None


def degradation(figures: ProbeFigures) -> float:
    """Return by what share a held-out perplexity rises against full precision: that of the right
    answers, or that of the full model's own, whichever rises more.

    The second is exp(KL) - 1 and never below zero: on a small sample a rounding may by luck make
    right answers likelier while it changes what the model says."""
    assert figures["kl"] is not None
    own = exp(min(float(figures["kl"]), _MAX_KL))
    return round(max(float(figures["perplexity_ratio"]), own) - 1, 4)


def refusal(figures: CandidateFigures, limits: Limits) -> str | None:
    """Say why this candidate cannot ship; None if it can."""
    if failed := figures.get("failed"):
        return failed
    for value, limit, label, unit in (
        (figures.get("size_mb"), limits.size_mb, "max_size_mb", " MB"),
        (figures.get("memory_mb"), limits.memory_mb, "max_memory_mb", " MB"),
        (figures.get("degradation"), limits.degradation, "max_degradation", ""),
    ):
        # `not <=`: a figure that is not a number is within no limit
        if limit is not None and value is not None and not value <= limit:
            return f"{value:,.4g}{unit}, export.{label} is {limit:,.4g}"
    return disagreement(figures)


def disagreement(figures: CandidateFigures) -> str | None:
    """Say by what the exported model differs from torch more than it may; None where it does not,
    or nothing was measured. The figures carry their own limits, `max_kl` and `min_same_next_token`:
    `auto` measures them for each precision."""
    parts = []
    if "max_kl" in figures:
        kl, max_kl = figures["kl"], figures["max_kl"]
        assert kl is not None
        if not kl <= max_kl:
            parts.append(f"KL from torch {kl:.3g} nats, export.max_kl is {max_kl:.3g}")
    if "min_same_next_token" in figures:
        same, min_same = figures["same_next_token"], figures["min_same_next_token"]
        if not same >= min_same:
            parts.append(
                f"{same:.1%} of next tokens are torch's, export.min_same_next_token is "
                f"{min_same:.1%}"
            )
    return "; ".join(parts) or None


def computes_something_else(figures: CandidateFigures) -> bool:
    """Return whether the exported model differs from torch by more than its rounding explains:
    another precision would not help."""
    rounding = figures.get("rounding")
    if not rounding:
        return False
    explained: CandidateFigures = {
        **figures,
        "max_kl": rounding["max_kl"],
        "min_same_next_token": rounding["min_same_next_token"],
    }
    return disagreement(explained) is not None


def advice(figures: CandidateFigures) -> str:
    """Say what to do about an exported model that differs from torch by too much."""
    precision = figures["precision"]
    if computes_something_else(figures):
        rounding = figures["rounding"]
        return (
            f"rounding to {precision} does not explain it: the same rounding in torch, on the same "
            f"{figures['positions']} "
            f"tokens, costs a KL of {rounding['kl']:.3g} and leaves "
            f"{rounding['same_next_token']:.1%} of next tokens as they "
            "were. The exported graph computes something else than torch, as where "
            "onnxruntime-genai's builder reads "
            "rope_parameters, a sliding window, a norm or an architecture in another way than "
            "transformers; another precision "
            "will not help. Take another base model, or report its config.json to "
            "onnxruntime-genai; export.max_kl and "
            "export.min_same_next_token are limits that you can set if you have read what it "
            "answers"
        )
    steps = {
        "int4": "try export.precision auto or int8",
        "int8": "try export.precision fp32, or a larger base model in int8",
        "fp16": "try export.precision fp32",
        "fp32": "nothing is more precise than fp32: raise the limit",
    }
    return steps[precision]


def choose(candidates: Sequence[CandidateFigures], limits: Limits) -> CandidateFigures | None:
    """Return the smallest candidate that no limit refuses; of equal sizes the one that is degraded
    less. None where all are refused."""
    fit = [figures for figures in candidates if refusal(figures, limits) is None]
    return min(fit, key=lambda f: (f["size_mb"], f.get("degradation", 0.0)), default=None)


def table(candidates: Sequence[CandidateFigures], limits: Limits) -> str:
    """Return a line for each candidate, for an error message."""
    lines = []
    for figures in candidates:
        size = f"{figures['size_mb']:,.1f} MB" if figures.get("size_mb") else "no file"
        lines.append(
            f"  {figures['name']:<24} {size:>12}   "
            f"{refusal(figures, limits) or 'within the limits'}"
        )
    return "\n".join(lines)
