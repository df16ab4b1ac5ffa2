"""The arms of an evaluation: which a recipe has the halves for, which may ship, which model answers
in which, what of a bundle each needs. Knows nothing of questions or figures."""

from __future__ import annotations

from collections.abc import Sequence

from ..recipe.gates import ARMS
from ..recipe.schema import Recipe

EXPORT, BASELINE = "export", "baseline"  # the stages whose models answer
QUOTE = "quote"  # the arm without a model


def whole_arm(recipe: Recipe) -> str:
    """Return the arm of all the halves that a recipe has: what ships where nothing was measured, or
    under `ship: all`."""
    return recipe.whole_arm


def fixed_arm(recipe: Recipe) -> str | None:
    """Return the arm that ships whatever is measured; None where the evaluation chooses
    (`evaluate.ship: auto`). A rehearsal's figures mean nothing, and it shall go through all that a
    build does."""
    ship = recipe.evaluate.ship if recipe.evaluate else "all"
    if ship == "all" or (ship == "auto" and recipe.rehearsal):
        return whole_arm(recipe)
    return None if ship == "auto" else ship


def arms_of(recipe: Recipe) -> list[str]:
    """Return the arms that are measured, in the recipe's order; the one that ships is always among
    them, under `auto` the one with all halves."""
    assert recipe.evaluate
    names: list[str] = [name for name in recipe.evaluate.arms if recipe.has_arm(name)]
    required = fixed_arm(recipe) or whole_arm(recipe)
    return names if required in names else [*names, required]


def has_model(recipe: Recipe) -> bool:
    """Return whether any arm that is measured or may ship has a language model; else none is
    fetched, tuned or exported."""
    if recipe.base is None:
        return False
    return recipe.evaluate is None or set(arms_of(recipe)) != {QUOTE}


def by_model(recipe: Recipe, arms: Sequence[str]) -> dict[str | None, list[str]]:
    """Return which exported model answers in which arms, in the order in which they are asked;
    None: no model."""
    groups: dict[str | None, list[str]] = {EXPORT: [], BASELINE: [], None: []}
    for arm in arms:
        groups[model_of(recipe, arm)].append(arm)
    return {model: mine for model, mine in groups.items() if mine}


def model_of(recipe: Recipe, arm: str) -> str | None:
    """Return the stage whose model answers in an arm; None where none does."""
    if arm == QUOTE:
        return None
    return EXPORT if is_tuned(arm) or not recipe.tuned else BASELINE


def is_tuned(arm: str) -> bool:
    """Return whether an arm's model is the tuned one."""
    return "tuned" in arm.split("+")


def retrieves(arm: str) -> bool:
    """Return whether an arm reads passages."""
    return arm == QUOTE or arm.endswith("rag")


def simplicity(arm: str, size_mb: float | None) -> tuple[bool, bool, float, int]:
    """Return a sort key for arms that noise cannot tell apart: untuned before tuned, as a tuned
    model has to be tuned again for every new base; with sources before without, as their answers
    can be checked; then the smaller one, then the one with less to build."""
    return (
        is_tuned(arm),
        not retrieves(arm),
        round(size_mb or 0.0, 1),
        ARMS.index(arm) if arm in ARMS else len(ARMS),
    )


def left_out(recipe: Recipe, arm: str) -> list[str]:
    """Return what the recipe builds and this arm's bundle does without, in words."""
    if arm == QUOTE:
        return ["the language model"] if has_model(recipe) else []
    parts = ["the tuned model"] if recipe.tuned and not is_tuned(arm) else []
    if recipe.knowledge and not retrieves(arm):
        parts.append("the embedder and the documents")
    return parts
