"""The arms of an evaluation: which a recipe has the halves for, which one ships, which model answers in which. Knows
nothing of questions or figures."""

from __future__ import annotations

from collections.abc import Sequence

from .recipe import Recipe


def shipped_arm(recipe: Recipe) -> str:
    halves = [name for name, there in (("tuned", recipe.tuned), ("rag", recipe.knowledge is not None)) if there]
    return "+".join(halves) or "base"


def arms_of(recipe: Recipe) -> list[str]:
    """In the recipe's order; the shipped one is always among them."""
    assert recipe.evaluate
    possible = {"base": True, "rag": recipe.knowledge is not None, "tuned": recipe.tuned,
                "tuned+rag": recipe.tuned and recipe.knowledge is not None}  # fmt: skip
    names: list[str] = [name for name in recipe.evaluate.arms if possible[name]]
    return names if shipped_arm(recipe) in names else [*names, shipped_arm(recipe)]


def by_model(arms: Sequence[str]) -> dict[str, list[str]]:
    """Which exported model answers in which arms; the shipped one ("export") always comes first."""
    tuned = [arm for arm in arms if arm.startswith("tuned")]
    if not tuned:
        return {"export": list(arms)}
    plain = [arm for arm in arms if arm not in tuned]
    return {"export": tuned, **({"baseline": plain} if plain else {})}


def retrieves(arm: str) -> bool:
    return arm.endswith("rag")
