"""`build check`: everything that can be found wrong without running a stage, all at once. Imports nothing heavy."""

from __future__ import annotations

import os
from pathlib import Path

from . import sources
from .data.rows import complain
from .data.training import training_rows
from .embedding.engines import problems as engine_problems
from .errors import RecipeError
from .library.files import hint, roots_of, survey_of
from .recipe import Recipe


def check_recipe(recipe: Recipe, name: str, synthesized: Path | None = None) -> list[str]:
    """Warnings; raises RecipeError or DataError with every problem found in files the recipe names, and in rows that were
    `synthesized` before (the finished folder)."""
    check_sources(recipe, name)
    rows = training_rows(recipe, synthesized)
    complain(rows.problems)
    return rows.warnings


def check_sources(recipe: Recipe, name: str) -> list[str]:
    """The models and documents alone."""
    problems = sources.check_local(recipe.base, recipe, "base") + _knowledge_problems(recipe) + _writer_problems(recipe)
    if problems:
        raise RecipeError([f"{name}: {problem}" for problem in problems])
    return []


def check_knowledge(recipe: Recipe, name: str) -> list[str]:
    """The same for a build of the knowledge alone."""
    if problems := _knowledge_problems(recipe):
        raise RecipeError([f"{name}: {problem}" for problem in problems])
    return []


def _writer_problems(recipe: Recipe) -> list[str]:
    """Of who writes training rows."""
    writes = recipe.train.synthesize
    if writes is None or not recipe.tuned:
        return []
    if writes.source:
        return sources.check_local(writes.source, recipe, "train.synthesize")
    missing = writes.key_env and not os.environ.get(writes.key_env)
    return [f"train.synthesize.key_env: ${writes.key_env} is not set"] if missing else []


def _knowledge_problems(recipe: Recipe) -> list[str]:
    knowledge = recipe.knowledge
    if knowledge is None:
        return []
    problems = sources.check_local(knowledge.embedder, recipe, "knowledge.embedder") + engine_problems(knowledge)
    if knowledge.retrieval.reranker:
        problems += sources.check_local(knowledge.retrieval.reranker, recipe, "knowledge.retrieval.reranker")
    roots = roots_of(recipe, knowledge)
    missing = [f"knowledge.documents: {root}: no such folder" for root in roots if not root.exists()]
    if not missing and not (found := survey_of(recipe, knowledge)).paths:
        among = "" if knowledge.include == ["**/*"] else f" that matches {', '.join(knowledge.include)}"
        where = ", ".join(map(str, roots))
        problems.append(
            f"knowledge.documents: {where}: no documents of a known format in it{among}{hint(found, knowledge)}"
        )
    return problems + missing
