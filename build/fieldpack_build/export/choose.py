"""Which candidate ships: the smallest that stays within the limits. Knows nothing of models or
files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp
from typing import Any

_MOST = 100.0  # nats; e^100 is as bad as any, and a number


@dataclass(frozen=True, slots=True)
class Limits:
    """None: no limit. Sizes in MB of 10^6 bytes on disk, memory in MiB at its peak, degradation as
    `degradation` has it."""

    size_mb: float | None = None
    memory_mb: float | None = None
    degradation: float | None = None


def degradation(figures: Mapping[str, Any]) -> float:
    """By what share a held-out perplexity rises against full precision: that of the right answers,
    or that of the full model's own, whichever rises more. The second is exp(KL) - 1 and never below
    zero: on a small sample a rounding may by luck make right answers likelier while it changes what
    the model says."""
    return round(
        max(float(figures["perplexity_ratio"]), exp(min(float(figures["kl"]), _MOST))) - 1, 4
    )


def refusal(figures: Mapping[str, Any], limits: Limits) -> str | None:
    """Why this candidate cannot ship; None if it can. What could not be built or opened says so in
    `failed`."""
    if figures.get("failed"):
        return str(figures["failed"])
    for key, limit, label, unit in (
        ("size_mb", limits.size_mb, "max_size_mb", " MB"),
        ("memory_mb", limits.memory_mb, "max_memory_mb", " MB"),
        ("degradation", limits.degradation, "max_degradation", ""),
    ):
        value = figures.get(key)
        # `not <=`: a figure that is not a number is within no limit
        if limit is not None and value is not None and not value <= limit:
            return f"{value:,.4g}{unit}, export.{label} is {limit:,.4g}"
    return disagreement(figures)


def disagreement(figures: Mapping[str, Any]) -> str | None:
    """By what the exported model differs from torch more than it may; None where it does not, or
    nothing was measured. `figures` carry their own limits, `max_kl` and `min_same_next_token`:
    `auto` measures them for each precision."""
    parts = []
    if "max_kl" in figures and not figures["kl"] <= figures["max_kl"]:
        parts.append(
            f"KL from torch {figures['kl']:.3g} nats, export.max_kl is {figures['max_kl']:.3g}"
        )
    if (
        "min_same_next_token" in figures
        and not figures["same_next_token"] >= figures["min_same_next_token"]
    ):
        same, least = figures["same_next_token"], figures["min_same_next_token"]
        parts.append(
            f"{same:.1%} of next tokens are torch's, export.min_same_next_token is {least:.1%}"
        )
    return "; ".join(parts) or None


def computes_something_else(figures: Mapping[str, Any]) -> bool:
    """The exported model differs from torch by more than its rounding explains: another precision
    would not help."""
    rounding = figures.get("rounding")
    if not rounding:
        return False
    limits = {key: rounding[key] for key in ("max_kl", "min_same_next_token")}
    return disagreement({**figures, **limits}) is not None


def advice(figures: Mapping[str, Any]) -> str:
    """What to do about an exported model that differs from torch by too much."""
    precision = str(figures["precision"])
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


def choose(candidates: Sequence[Mapping[str, Any]], limits: Limits) -> Mapping[str, Any] | None:
    """The smallest that no limit refuses; of equal sizes the one that is degraded less. None where
    all are refused."""
    fit = [figures for figures in candidates if refusal(figures, limits) is None]
    return min(fit, key=lambda f: (f["size_mb"], f.get("degradation", 0.0)), default=None)


def table(candidates: Sequence[Mapping[str, Any]], limits: Limits) -> str:
    """A line each, for an error message."""
    lines = []
    for figures in candidates:
        size = f"{figures['size_mb']:,.1f} MB" if figures.get("size_mb") else "no file"
        lines.append(
            f"  {figures['name']:<24} {size:>12}   "
            f"{refusal(figures, limits) or 'within the limits'}"
        )
    return "\n".join(lines)
