"""Files of rows -> typed rows. All bad rows are reported together, each with file and line."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fieldpack.citations import strip_marks

from ..errors import DataError
from .records import Record, Records, read_records
from .row_formats import (
    NULL,
    BadRow,
    ConversationTurns,
    Dropped,
    Pair,
    check_keys,
    format_of,
    text_of,
)
from .rows import Example, TestQuestion, raise_problems

_EXAMPLE_KEYS = {"document", "id"}
_QUESTION_KEYS = _EXAMPLE_KEYS | {"value", "pages", "type", "scale"}


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """How rows are read: the recipe's `train.format` and `train.conversation_turns`; `refusal` and
    `system` are its `answer`'s. An answer that is the refusal's own words is one."""

    format: str = "auto"
    turns: ConversationTurns = "first"
    refusal: str | None = None
    system: str | None = None


@dataclass(slots=True)
class FileRows:
    """A file's rows. `shapes`: rows of each format. `problems` and `warnings` name file and
    line."""

    file: str
    examples: list[Example] = field(default_factory=list)
    shapes: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def read_examples(path: Path, options: LoadOptions | None = None) -> list[Example]:
    """Read rows of any known format. Raises DataError that names every row that is wrong."""
    read = read_file(path, options or LoadOptions())
    raise_problems(read.problems)
    return read.examples


def read_file(path: Path, options: LoadOptions) -> FileRows:
    """Read rows of any known format, with everything that is to be said of the file; raises nothing
    that is wrong with it."""
    read = FileRows(str(path))
    try:
        records = read_records(path)
    except DataError as error:
        read.problems.append(str(error))
        return read
    problems = Problems(path, records)
    dropped: list[tuple[int, Dropped]] = []
    for record in _checked(records, problems, options, _EXAMPLE_KEYS):
        left_out = Dropped()
        try:
            name, pairs = _pairs(record.value, options, _EXAMPLE_KEYS, left_out)
            document = text_of(record.value, "document", null=True)
        except BadRow as problem:
            problems.add(record.line, problem)
            continue
        read.shapes[name] += 1
        dropped.append((record.line, left_out))
        read.examples += [
            Example(question, _refusal_as_none(answer, options), document, record.line, read.file)
            for question, answer in pairs
        ]
    read.problems = problems.lines()
    read.warnings = _dropped_in_words(path, dropped, options)
    if not read.examples and not read.problems:
        read.problems.append(f"{path}: no rows")
    return read


def read_questions(
    path: Path, *, needed: tuple[str, ...] = ("question", "answer"), refusal: str | None = None
) -> list[TestQuestion]:
    """Read test questions of any known format; beside it "value", "document", "pages", "scale".
    Where only passages are looked for, `needed` leaves the answer away. `refusal`: an answer in
    these words is one. Raises DataError."""
    records = read_records(path)
    problems = Problems(path, records)
    options = LoadOptions(refusal=refusal)
    questions: list[TestQuestion] = []
    for record in _checked(records, problems, options, _QUESTION_KEYS, needed):
        try:
            questions += _questions(record, options, needed)
        except BadRow as problem:
            problems.add(record.line, problem)
    raise_problems(problems.lines())
    if not questions:
        raise DataError(f"{path}: no rows")
    return questions


class Problems:
    """The problems of one file, by line."""

    def __init__(self, path: Path, records: Records) -> None:
        self._path, self._table = path, records.columns
        self._problems = list(records.problems)

    def add(self, line: int, problem: BadRow) -> None:
        """Add what is wrong with the row of a line."""
        text = str(problem)
        if self._table:
            text = text.replace(NULL, " (where the documents do not say, write the refusal)")
        self._problems.append((line, text))

    def lines(self) -> list[str]:
        """Return the problems with file and line, in the order of the lines."""
        ordered = sorted(self._problems, key=lambda problem: problem[0])
        return [f"{self._path}:{line}: {text}" for line, text in ordered]


def _checked(
    records: Records,
    problems: Problems,
    options: LoadOptions,
    known: set[str],
    needed: Sequence[str] = ("question", "answer"),
) -> Iterator[Record]:
    """The records; of a table none where its columns are wrong, which is said once and not of every
    row."""
    if records.columns and records.good:
        first = records.good[0].value
        try:
            check_keys(first, format_of(first, options.format, needed), known, Dropped())
        except BadRow as problem:
            problems.add(1, problem)
            return
    for record in records.good:
        yield Record(record.line, _cells(record.value) if records.columns else record.value)


def _cells(row: Mapping[str, Any]) -> dict[str, Any]:
    """A table's row: an empty cell of a column that may be missing is none; pages are numbers in
    one cell."""
    cells = {key: value for key, value in row.items() if value != "" or key not in _QUESTION_KEYS}
    if isinstance(pages := cells.get("pages"), str):
        cells["pages"] = [int(page) for page in re.findall(r"\d{1,6}", pages)]
    return cells


def _questions(
    record: Record, options: LoadOptions, needed: Sequence[str]
) -> Iterator[TestQuestion]:
    # As TAT-QA says "no scale".
    row = {key: value for key, value in record.value.items() if (key, value) != ("scale", "")}
    _, pairs = _pairs(row, options, _QUESTION_KEYS, Dropped(), needed)
    value, document, scale = (
        text_of(row, key, null=True) for key in ("value", "document", "scale")
    )
    pages = row.get("pages")
    if pages is not None and not (
        isinstance(pages, list) and all(type(page) is int and page >= 1 for page in pages)
    ):
        raise BadRow("pages must be a list of page numbers, from 1")
    for question, answer in pairs:
        yield TestQuestion(
            question,
            _refusal_as_none(answer, options),
            value,
            document,
            record.line,
            tuple(pages or ()),
            scale,
        )


def _pairs(
    row: Mapping[str, Any],
    options: LoadOptions,
    known: set[str],
    dropped: Dropped,
    needed: Sequence[str] = ("question", "answer"),
) -> tuple[str, list[Pair]]:
    """(name of the row's format, its questions and answers)."""
    row_format = format_of(row, options.format, needed)
    check_keys(row, row_format, known, dropped)
    return row_format.name, row_format.pairs(row, options.turns, dropped)


def _refusal_as_none(answer: str | None, options: LoadOptions) -> str | None:
    """An answer that is the refusal's own words is a refusal."""
    if answer is None or options.refusal is None:
        return answer
    bare, refusal = (
        strip_marks(text).casefold().rstrip(". ") for text in (answer, options.refusal)
    )
    return None if bare == refusal else answer


def _dropped_in_words(
    path: Path, dropped: Sequence[tuple[int, Dropped]], options: LoadOptions
) -> list[str]:
    """A line for each kind of thing that rows hold and training does not see; `dropped` by line."""
    own = " ".join((options.system or "").split())
    systems = [
        line for line, row in dropped for text in row.systems if " ".join(text.split()) != own
    ]
    turns = [(line, row.follow_ups) for line, row in dropped if row.follow_ups]
    keys = sum((row.keys for _, row in dropped), Counter[str]())
    lines = []
    if systems:
        lines.append(
            f"{path}:{systems[0]}: a system text of its own, as in {len(systems):,} rows; left "
            "away, the device says the recipe's answer.system"
        )
    if turns:
        count = sum(follow_ups for _, follow_ups in turns)
        lines.append(
            f"{path}:{turns[0][0]}: further turns, {count:,} in {len(turns):,} conversations; left "
            "away, the device answers each question by itself (train.conversation_turns)"
        )
    if keys:
        names = ", ".join(key for key, _ in keys.most_common(8))
        lines.append(f"{path}: keys that are not read: {names}")
    return lines
