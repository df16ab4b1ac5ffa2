"""The training rows of a recipe, as training gets them, and all that can be said of them without a
tokenizer. Cheap enough for the beginning of every build."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ..errors import DataError
from ..recipe.schema import Recipe
from .checks import Duplicate, Leak, find_duplicates, find_leaks
from .load import FileRows, LoadOptions, read_file, read_questions
from .rows import Example, TestQuestion, raise_problems

SYNTHESIZED = "train.jsonl"


@dataclass(slots=True)
class TrainingRows:
    """`examples` without those that `train.on_leak: drop` takes out. `problems` stop a build,
    `warnings` do not."""

    examples: list[Example] = field(default_factory=list)
    files: list[FileRows] = field(default_factory=list)
    questions: list[TestQuestion] = field(default_factory=list)
    duplicates: list[Duplicate] = field(default_factory=list)
    leaks: list[Leak] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def load_options(recipe: Recipe) -> LoadOptions:
    """Return how a recipe's training rows are read."""
    return LoadOptions(
        recipe.train.format,
        recipe.train.conversation_turns,
        recipe.answer.refusal,
        recipe.answer.system,
    )


def training_rows(recipe: Recipe, synthesized: Path | None = None) -> TrainingRows:
    """Read a recipe's training rows and check them against each other and the test questions.
    `synthesized`: the finished folder of that stage."""
    paths = list(recipe.train_files)
    if synthesized is not None:
        paths.append(synthesized / SYNTHESIZED)
    rows = TrainingRows(files=[read_file(path, load_options(recipe)) for path in paths])
    for read in rows.files:
        rows.examples += read.examples
        rows.problems += read.problems
        rows.warnings += read.warnings
    if recipe.evaluate is not None:
        _check_leaks(rows, recipe, recipe.path(recipe.evaluate.questions))
    rows.duplicates = find_duplicates(rows.examples)
    # A line for the rows that are there twice, one for those that contradict each other.
    for contradicts in (False, True):
        some = [duplicate for duplicate in rows.duplicates if duplicate.contradicts is contradicts]
        if some:
            more = f" ({len(some):,} such rows)" if len(some) > 1 else ""
            rows.warnings.append(f"{some[0]}{more}")
    return rows


def _check_leaks(rows: TrainingRows, recipe: Recipe, path: Path) -> None:
    try:
        rows.questions = read_questions(path, refusal=recipe.answer.refusal)
    except DataError as error:
        rows.problems += str(error).splitlines()
        return
    rows.leaks = find_leaks(rows.examples, rows.questions)
    if not rows.leaks:
        return
    lines = [leak.describe(str(path)) for leak in rows.leaks]
    count = f"{len(lines):,} training rows ask test questions"
    if recipe.train.on_leak == "fail":
        rows.problems.append(
            f"{count}, so the test would measure memory; take them out of one of the two files, or "
            "set train.on_leak: drop (or warn)"
        )
        rows.problems += lines
    elif recipe.train.on_leak == "warn":
        rows.warnings.append(f"{count} too: the test measures memory there; {lines[0]}")
    else:
        rows.warnings.append(f"{count} and are left out (train.on_leak: drop); {lines[0]}")
        leaking = {id(leak.example) for leak in rows.leaks}
        rows.examples = [example for example in rows.examples if id(example) not in leaking]


def examples_of(recipe: Recipe, synthesized: Path | None = None) -> list[Example]:
    """Return what is trained on. Raises DataError with every problem, each with file and line."""
    rows = training_rows(recipe, synthesized)
    raise_problems(rows.problems)
    if not rows.examples:
        raise DataError("train.data: no row is left to train on")
    return rows.examples
