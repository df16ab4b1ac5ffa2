"""What a recipe asks for, as far as it decides which stages there are. Knows nothing of keys, files
or of how a stage does its work."""

from __future__ import annotations

from ..evaluation.arms import has_model
from ..recipe.schema import ModelSource, Recipe
from ..recipe.schema.targets import CPU


def has_knowledge(recipe: Recipe) -> bool:
    """Return whether there are documents."""
    return recipe.knowledge is not None


def reranker_of(recipe: Recipe) -> ModelSource | None:
    """Return the cross-encoder that orders the best passages anew."""
    return recipe.knowledge.retrieval.reranker if recipe.knowledge else None


def has_reranker(recipe: Recipe) -> bool:
    """Return whether a cross-encoder orders the best passages anew."""
    return reranker_of(recipe) is not None


def learns_threshold(recipe: Recipe) -> bool:
    """Return whether the refusal threshold is learned."""
    return recipe.calibrated and recipe.evaluate is not None


def fits_quotes(recipe: Recipe) -> bool:
    """Return whether how passages are quoted is fitted: to training rows, or to made-up questions."""
    return recipe.knowledge is not None and (
        bool(recipe.train.data) or recipe.answer.made_up_questions
    )


def is_tuned(recipe: Recipe) -> bool:
    """Return whether a model is tuned."""
    return recipe.tuned and has_model(recipe)


def writes_rows(recipe: Recipe) -> bool:
    """Return whether a model writes training rows from the documents."""
    return is_tuned(recipe) and recipe.train.synthesize is not None


def writer_of(recipe: Recipe) -> ModelSource | None:
    """Return the local model that writes training rows; None where one behind an address does."""
    return recipe.train.synthesize.source if recipe.train.synthesize else None


def drops_leaks(recipe: Recipe) -> bool:
    """Return whether training rows that ask a test question are left out: then the test questions say
    what is trained on; else they only say whether."""
    return recipe.train.on_leak == "drop" and recipe.evaluate is not None


def exports_baseline(recipe: Recipe) -> bool:
    """Return whether the untuned model is exported too, as the report shall compare with it."""
    arms = {*recipe.evaluate.arms, recipe.evaluate.ship} if recipe.evaluate else set()
    return is_tuned(recipe) and any(recipe.has_arm(arm) for arm in {"base", "rag"} & arms)


def is_attributed(recipe: Recipe) -> bool:
    """Return whether every stage's model is asked the same questions."""
    return (
        recipe.evaluate is not None
        and recipe.evaluate.attribution is not None
        and has_model(recipe)
    )


def is_evaluated(recipe: Recipe) -> bool:
    """Return whether the bundle is asked test questions."""
    return recipe.evaluate is not None


def has_targets(recipe: Recipe) -> bool:
    """Return whether the bundle is made for hardware beside the CPU."""
    return has_model(recipe) and any(target.name != CPU for target in recipe.targets)
