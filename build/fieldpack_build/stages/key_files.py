"""Which files of a recipe each stage reads, as their hashes go into its key. Knows nothing of
settings or of how a stage does its work."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..models import sources
from ..recipe.schema import Recipe
from .conditions import drops_leaks, reranker_of, writer_of


def base_files(recipe: Recipe) -> Sequence[Path]:
    """Return the base model's files, where they are the recipe's own."""
    return sources.local_files(recipe.base, recipe) if recipe.base else ()


def embedder_files(recipe: Recipe) -> Sequence[Path]:
    """Return the embedding model's files, where they are the recipe's own."""
    return sources.local_files(recipe.knowledge.embedder, recipe) if recipe.knowledge else ()


def reranker_files(recipe: Recipe) -> Sequence[Path]:
    """Return the cross-encoder's files, where they are the recipe's own."""
    return sources.local_files(model, recipe) if (model := reranker_of(recipe)) else ()


def writer_files(recipe: Recipe) -> Sequence[Path]:
    """Return the files of the model that writes training rows, where they are the recipe's own."""
    return sources.local_files(model, recipe) if (model := writer_of(recipe)) else ()


def question_files(recipe: Recipe) -> Sequence[Path]:
    """Return the file of test questions."""
    return [recipe.path(recipe.evaluate.questions)] if recipe.evaluate else []


def document_files(recipe: Recipe) -> Sequence[Path]:
    """Return the documents."""
    from ..ingest.files import survey_of

    assert recipe.knowledge
    return survey_of(recipe, recipe.knowledge).paths


def train_files(recipe: Recipe) -> Sequence[Path]:
    """Return the training rows, and the test questions where these decide which rows are left out."""
    if recipe.evaluate and drops_leaks(recipe):
        return [*recipe.train_files, recipe.path(recipe.evaluate.questions)]
    return recipe.train_files


def calibrate_files(recipe: Recipe) -> Sequence[Path]:
    """Return what a refusal threshold is learned from: training rows, or test questions."""
    if recipe.evaluate is None:
        return ()
    return (
        train_files(recipe)
        if recipe.evaluate.calibration == "train"
        else [recipe.path(recipe.evaluate.questions)]
    )
