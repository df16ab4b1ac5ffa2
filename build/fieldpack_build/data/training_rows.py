"""The training rows of a recipe, as training gets them, and all that can be said of them without a
tokenizer. Cheap enough for the beginning of every build."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import DataError
from ..recipe.schema import Recipe
from .checks import Duplicate, Leak, find_duplicates, find_leaks
from .load import LoadOptions, Read, read_file, read_questions
from .rows import Example, TestQuestion, complain

SYNTHESIZED = "train.jsonl"


@dataclass(slots=True)
class TrainingRows:
    """`examples` without those that `train.on_leak: drop` takes out. `problems` stop a build,
    `warnings` do not."""

    examples: list[Example] = field(default_factory=list)
    files: list[Read] = field(default_factory=list)
    questions: list[TestQuestion] = field(default_factory=list)
    duplicates: list[Duplicate] = field(default_factory=list)
    leaks: list[Leak] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def manner_of(recipe: Recipe) -> LoadOptions:
    return LoadOptions(
        recipe.train.format,
        recipe.train.conversation_turns,
        recipe.answer.refusal,
        recipe.answer.system,
    )


def training_rows(recipe: Recipe, synthesized: Path | None = None) -> TrainingRows:
    """`synthesized`: the finished folder of that stage."""
    rows = TrainingRows(files=[read_file(path, manner_of(recipe)) for path in recipe.train_files])
    if synthesized is not None:
        rows.files.append(read_file(synthesized / SYNTHESIZED, manner_of(recipe)))
    for read in rows.files:
        rows.examples += read.examples
        rows.problems += read.problems
        rows.warnings += read.warnings
    if recipe.evaluate is not None:
        _look_for_leaks(recipe, rows)
    rows.duplicates = find_duplicates(rows.examples)
    rows.warnings += _twice(rows.duplicates)
    return rows


def _look_for_leaks(recipe: Recipe, rows: TrainingRows) -> None:
    assert recipe.evaluate
    path = recipe.path(recipe.evaluate.questions)
    try:
        rows.questions = read_questions(path, refusal=recipe.answer.refusal)
    except DataError as error:
        rows.problems += str(error).splitlines()
        return
    rows.leaks = find_leaks(rows.examples, rows.questions)
    said = [leak.say(str(path)) for leak in rows.leaks]
    if recipe.train.on_leak == "fail":
        if said:
            rows.problems.append(
                f"{len(said):,} training rows ask test questions, so the test would measure "
                "memory; take them out of one of "
                "the two files, or set train.on_leak: drop (or warn)"
            )
        rows.problems += said
    elif said:
        dropped = recipe.train.on_leak == "drop"
        what = (
            "and are left out (train.on_leak: drop)"
            if dropped
            else "too: the test measures memory there"
        )
        rows.warnings.append(f"{len(said):,} training rows ask test questions {what}; {said[0]}")
        if dropped:
            leaking = {id(leak.example) for leak in rows.leaks}
            rows.examples = [example for example in rows.examples if id(example) not in leaking]


def _twice(duplicates: Sequence[Duplicate]) -> list[str]:
    """A line for the rows that are there twice, one for those that contradict each other."""
    found = []
    for contradicts in (False, True):
        some = [duplicate for duplicate in duplicates if duplicate.contradicts is contradicts]
        if some:
            more = f" ({len(some):,} such rows)" if len(some) > 1 else ""
            found.append(f"{some[0]}{more}")
    return found


def examples_of(recipe: Recipe, synthesized: Path | None = None) -> list[Example]:
    """What is trained on. Raises DataError with every problem, each with file and line."""
    rows = training_rows(recipe, synthesized)
    complain(rows.problems)
    if not rows.examples:
        raise DataError("train.data: no row is left to train on")
    return rows.examples
