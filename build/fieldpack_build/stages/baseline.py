"""Export the untuned base exactly as the tuned model was exported, so that the report compares like
with like."""

from __future__ import annotations

from .export import run_baseline as run

__all__ = ["run"]
