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
from .row_formats import NULL, BadRow, DroppedRow, FairQueue, Pair, check_keys, shape_of, text_of
from .rows import Example, TestQuestion, complain

_EXAMPLE_KEYS = {"document", "id"}
_QUESTION_KEYS = _EXAMPLE_KEYS | {"value", "pages", "type", "scale"}


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """How rows are read: the recipe's `train.format` and `train.conversation_turns`; `refusal` and
    `system` are its `answer`'s. An answer that is the refusal's own words is one."""

    format: str = "auto"
    turns: FairQueue = "first"
    refusal: str | None = None
    system: str | None = None


@dataclass(slots=True)
class Read:
    """A file's rows. `shapes`: rows of each shape. `problems` and `warnings` name file and line."""

    file: str
    examples: list[Example] = field(default_factory=list)
    shapes: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def read_examples(path: Path, manner: LoadOptions | None = None) -> list[Example]:
    """Rows of any known shape. Raises DataError."""
    read = read_file(path, manner or LoadOptions())
    complain(read.problems)
    return read.examples


def read_file(path: Path, manner: LoadOptions) -> Read:
    """The same with everything that is to be said of it; raises nothing that is wrong with the
    file."""
    read = Read(str(path))
    try:
        records = read_records(path)
    except DataError as error:
        read.problems.append(str(error))
        return read
    problems = Problems(path, records)
    losses: list[tuple[int, DroppedRow]] = []
    for record in _alike(records, problems, manner, _EXAMPLE_KEYS):
        lost = DroppedRow()
        try:
            shape, pairs = _pairs(record.value, manner, _EXAMPLE_KEYS, lost)
            document = text_of(record.value, "document", null=True)
        except BadRow as problem:
            problems.add(record.line, problem)
            continue
        read.shapes[shape] += 1
        losses.append((record.line, lost))
        read.examples += [
            Example(q, _refused(a, manner), document, record.line, read.file) for q, a in pairs
        ]
    read.problems = problems.lines()
    read.warnings = _left_away(path, losses, manner)
    if not read.examples and not read.problems:
        read.problems.append(f"{path}: no rows")
    return read


def read_questions(
    path: Path, *, needed: tuple[str, ...] = ("question", "answer"), refusal: str | None = None
) -> list[TestQuestion]:
    """Rows of any known shape; beside it "value", "document", "pages", "scale". Where only passages
    are looked for, `needed` leaves the answer away. `refusal`: an answer in these words is one.
    Raises DataError."""
    records = read_records(path)
    problems = Problems(path, records)
    manner = LoadOptions(refusal=refusal)
    found: list[TestQuestion] = []
    for record in _alike(records, problems, manner, _QUESTION_KEYS, needed):
        try:
            found += _questions(record, manner, needed)
        except BadRow as problem:
            problems.add(record.line, problem)
    complain(problems.lines())
    if not found:
        raise DataError(f"{path}: no rows")
    return found


class Problems:
    """Of one file, by line."""

    def __init__(self, path: Path, records: Records) -> None:
        self._path, self._found, self._table = path, list(records.problems), records.columns

    def add(self, line: int, problem: BadRow) -> None:
        text = str(problem)
        if self._table:
            text = text.replace(NULL, " (where the documents do not say, write the refusal)")
        self._found.append((line, text))

    def lines(self) -> list[str]:
        return [
            f"{self._path}:{line}: {text}"
            for line, text in sorted(self._found, key=lambda found: found[0])
        ]


def _alike(
    records: Records,
    problems: Problems,
    manner: LoadOptions,
    known: set[str],
    needed: Sequence[str] = ("question", "answer"),
) -> Iterator[Record]:
    """The records; of a table none where its columns are wrong, which is said once and not of every
    row."""
    if records.columns and records.good:
        try:
            check_keys(
                records.good[0].value,
                shape_of(records.good[0].value, manner.format, needed),
                known,
                DroppedRow(),
            )
        except BadRow as problem:
            problems.add(1, problem)
            return
    for record in records.good:
        yield Record(record.line, _cells(record.value) if records.columns else record.value)


def _cells(row: Mapping[str, Any]) -> dict[str, Any]:
    """A table's row: an empty cell of a column that may be missing is none; pages are numbers in
    one cell."""
    found = {key: value for key, value in row.items() if value != "" or key not in _QUESTION_KEYS}
    if isinstance(pages := found.get("pages"), str):
        found["pages"] = [int(page) for page in re.findall(r"\d{1,6}", pages)]
    return found


def _questions(
    record: Record, manner: LoadOptions, needed: Sequence[str]
) -> Iterator[TestQuestion]:
    row = {
        key: value for key, value in record.value.items() if (key, value) != ("scale", "")
    }  # as TAT-QA says "none"
    _, pairs = _pairs(row, manner, _QUESTION_KEYS, DroppedRow(), needed)
    value, document, scale = (
        text_of(row, key, null=True) for key in ("value", "document", "scale")
    )
    pages = row.get("pages")
    if not _are_pages(pages):
        raise BadRow("pages must be a list of page numbers, from 1")
    for question, answer in pairs:
        yield TestQuestion(
            question,
            _refused(answer, manner),
            value,
            document,
            record.line,
            tuple(pages or ()),
            scale,
        )


def _pairs(
    row: Mapping[str, Any],
    manner: LoadOptions,
    known: set[str],
    lost: DroppedRow,
    needed: Sequence[str] = ("question", "answer"),
) -> tuple[str, list[Pair]]:
    shape = shape_of(row, manner.format, needed)
    check_keys(row, shape, known, lost)
    return shape.name, shape.pairs(row, manner.turns, lost)


def _refused(answer: str | None, manner: LoadOptions) -> str | None:
    if answer is None or manner.refusal is None:
        return answer
    return None if _bare(answer) == _bare(manner.refusal) else answer


def _bare(text: str) -> str:
    return strip_marks(text).casefold().rstrip(". ")


def _are_pages(value: object) -> bool:
    return value is None or (
        isinstance(value, list) and all(type(page) is int and page >= 1 for page in value)
    )


def _left_away(
    path: Path, lost: Sequence[tuple[int, DroppedRow]], manner: LoadOptions
) -> list[str]:
    """A line for each kind of thing that rows hold and training does not see."""
    own = " ".join((manner.system or "").split())
    systems = [line for line, one in lost for text in one.systems if " ".join(text.split()) != own]
    later = [(line, one.follow_ups) for line, one in lost if one.follow_ups]
    keys: Counter[str] = Counter()
    for _, one in lost:
        keys += one.keys
    found = []
    if systems:
        found.append(
            f"{path}:{systems[0]}: a system text of its own, as in {len(systems):,} rows; left "
            "away, "
            "the device says the recipe's answer.system"
        )
    if later:
        count = sum(turns for _, turns in later)
        found.append(
            f"{path}:{later[0][0]}: further turns, {count:,} in {len(later):,} conversations; left "
            "away, "
            "the device answers each question by itself (train.conversation_turns)"
        )
    if keys:
        found.append(
            f"{path}: keys that are not read: {', '.join(key for key, _ in keys.most_common(8))}"
        )
    return found
