"""`build check`: everything that can be found wrong without running a stage, all at once. Imports nothing heavy."""

from __future__ import annotations

from . import sources
from .data import read_examples, read_questions
from .embedding.engines import problems as engine_problems
from .errors import DataError, RecipeError
from .library.files import survey_of
from .recipe import Recipe


def check_recipe(recipe: Recipe, name: str) -> list[str]:
    """Warnings; raises RecipeError or DataError with every problem found in files the recipe names."""
    problems = sources.check_local(recipe.base, recipe, "base") + _knowledge_problems(recipe)
    if problems:
        raise RecipeError([f"{name}: {problem}" for problem in problems])
    warnings: list[str] = []
    bad: list[str] = []
    examples, questions = [], []
    try:
        examples = read_examples(recipe.path(recipe.train.data)) if recipe.train.data else []
    except DataError as error:
        bad += str(error).splitlines()
    try:
        questions = read_questions(recipe.path(recipe.evaluate.questions)) if recipe.evaluate else []
    except DataError as error:
        bad += str(error).splitlines()
    if bad:
        raise DataError("\n".join(bad))
    leaked = sorted({q.question for q in questions} & {e.question for e in examples})
    if leaked:
        warnings.append(f"{len(leaked)} test questions stand among the training rows too, first: {leaked[0][:80]!r}")
    return warnings


def check_knowledge(recipe: Recipe, name: str) -> list[str]:
    """The same for a build of the knowledge alone."""
    if problems := _knowledge_problems(recipe):
        raise RecipeError([f"{name}: {problem}" for problem in problems])
    return []


def _knowledge_problems(recipe: Recipe) -> list[str]:
    knowledge = recipe.knowledge
    if knowledge is None:
        return []
    problems = sources.check_local(knowledge.embedder, recipe, "knowledge.embedder") + engine_problems(knowledge)
    if knowledge.retrieval.reranker:
        problems += sources.check_local(knowledge.retrieval.reranker, recipe, "knowledge.retrieval.reranker")
    folder = recipe.path(knowledge.documents)
    if not folder.is_dir():
        problems.append(f"knowledge.documents: {folder}: no such folder")
    elif not survey_of(recipe, knowledge).paths:
        among = "" if knowledge.include == ["**/*"] else f" that matches {', '.join(knowledge.include)}"
        problems.append(f"knowledge.documents: {folder}: no documents of a known format in it{among}")
    return problems
