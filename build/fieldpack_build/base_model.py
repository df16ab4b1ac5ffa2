"""The base model as a recipe wants it: what is looked at in it before anything is paid, by `build
check`, by the base stage and in a rehearsal."""

from __future__ import annotations

from pathlib import Path

from .models.inspection import Inspection, Use, inspect_model
from .recipe.schema import Recipe


def inspect_base(path: Path, recipe: Recipe, *, weights: bool = True) -> Inspection:
    """Look at the recipe's base model at `path`. `weights`: False where only its settings have been
    fetched."""
    from .models.precision import (
        candidate,
        parse,
    )  # its package imports the stages, which import this

    export = recipe.export
    fixed = export.precision != "auto"
    if export.precision == "auto":
        candidates = [parse(name) for name in export.candidates]
    else:
        candidates = [candidate(export.precision, export.algorithm, export.block_size)]
    use = Use(trains=recipe.tuned, export=candidates, fixed=fixed, max_context=export.max_context)
    return inspect_model(path, use, weights=weights)
