"""Which candidate ships: the smallest that stays within the limits. Knows nothing of models or files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp
from typing import Any

_MOST = 100.0  # nats; e^100 is as bad as any, and a number


@dataclass(frozen=True, slots=True)
class Limits:
    """None: no limit. Sizes in MB of 10^6 bytes on disk, memory in MiB at its peak, degradation as `degradation` has it."""

    size_mb: float | None = None
    memory_mb: float | None = None
    degradation: float | None = None


def degradation(figures: Mapping[str, Any]) -> float:
    """By what share a held-out perplexity rises against full precision: that of the right answers, or that of the full
    model's own, whichever rises more. The second is exp(KL) - 1 and never below zero: on a small sample a rounding may by
    luck make right answers likelier while it changes what the model says."""
    return round(max(float(figures["perplexity_ratio"]), exp(min(float(figures["kl"]), _MOST))) - 1, 4)


def refusal(figures: Mapping[str, Any], limits: Limits) -> str | None:
    """Why this candidate cannot ship; None if it can. What could not be built or opened says so in `failed`."""
    if figures.get("failed"):
        return str(figures["failed"])
    for key, limit, label, unit in (
        ("size_mb", limits.size_mb, "max_size_mb", " MB"), ("memory_mb", limits.memory_mb, "max_memory_mb", " MB"),
        ("degradation", limits.degradation, "max_degradation", ""),
    ):  # fmt: skip
        value = figures.get(key)
        # `not <=`: a figure that is not a number is within no limit
        if limit is not None and value is not None and not value <= limit:
            return f"{value:,.4g}{unit}, export.{label} is {limit:,.4g}"
    return None


def choose(candidates: Sequence[Mapping[str, Any]], limits: Limits) -> Mapping[str, Any] | None:
    """The smallest that no limit refuses; of equal sizes the one that is degraded less. None where all are refused."""
    fit = [figures for figures in candidates if refusal(figures, limits) is None]
    return min(fit, key=lambda f: (f["size_mb"], f.get("degradation", 0.0)), default=None)


def table(candidates: Sequence[Mapping[str, Any]], limits: Limits) -> str:
    """A line each, for an error message."""
    lines = []
    for figures in candidates:
        size = f"{figures['size_mb']:,.1f} MB" if figures.get("size_mb") else "no file"
        lines.append(f"  {figures['name']:<24} {size:>12}   {refusal(figures, limits) or 'within the limits'}")
    return "\n".join(lines)
