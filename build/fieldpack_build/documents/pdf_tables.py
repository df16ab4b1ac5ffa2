"""The tables of a PDF page: rows of figures that stand in columns, with the heads above them.

Conservative: a table is found by its figures, which must stand below each other. A table of words stays lines of text;
prose taken for a table would mislead more than a missed one. Knows nothing of pdfium, pages or headings.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from fieldpack_build.documents.pdf_columns import Columns, columns_of
from fieldpack_build.documents.pdf_rows import Row, read_rows
from fieldpack_build.documents.pdf_text import Line, PageText

# Heads that say a unit or a period: they may stand at the left or in the middle, far from the columns they are for.
_UNIT = re.compile(
    r"\(?.{0,40}\b(?:millions?|thousands?|billions?|unaudited|percent|except)\b.*|"
    r"(?:for\s|at\s|as of\s|in\s)?(?:the\s)?(?:fiscal |three |six |nine |twelve |four )?"
    r"(?:years?|months?|quarters?|weeks?|december|january|february|march|april|may|june|july|august|september|october|"
    r"november)\b.{0,80}",
    re.IGNORECASE,
)
_STATEMENT = re.compile(
    r"\b(?:statements? of|balance sheets?|income statements?|cash flows? statements?|financial (?:data|highlights)|"
    r"results of operations|reconciliation of)\b",
    re.IGNORECASE,
)
_HEAD_ROWS = 6
_HEAD_CELL = 60  # characters; a longer one is prose
_TITLE_ROWS = 4
_TITLE_WORDS = 100  # characters
_BETWEEN = 4  # rows without a figure between two with: "Current assets:", a label in three lines
_ROW_GAP = 4.0  # times the height of a row; a wider gap ends the table
_HEAD_GAP = 2.5
_LONE_FIGURES = 3  # in a table of one row
_INDENT = 3.0  # points


@dataclass(slots=True)
class Table:
    """`rows` begin with the head, if there is one. `lines` are the numbers of the page's lines in it.

    `title` is the number of the line above it that names it, None if no line does.
    """

    rows: list[list[str]]
    lines: frozenset[int]
    title: int | None = None


@dataclass(slots=True)
class _Run:
    first: int
    rows: list[int] = field(default_factory=list)  # numbers of rows, with those between the rows of figures
    data: list[int] = field(default_factory=list)


def find_tables(page: PageText) -> list[Table]:
    if not _may_have_tables(page.lines):
        return []
    rows = read_rows(page)
    tables: list[Table] = []
    floor = 0
    for run in _runs(rows):
        if _is_table(rows, run):
            tables.append(_table(page.lines, rows, run, floor))
            floor = run.rows[-1] + 1
    return tables


def _may_have_tables(lines: Sequence[Line]) -> bool:
    return sum(len(line.segments) > 1 or "...." in line.text for line in lines) > 1


def _runs(rows: Sequence[Row]) -> Iterator[_Run]:
    """Rows of figures that follow each other, with the few without figures between them."""
    run: _Run | None = None
    pending: list[int] = []
    for i, row in enumerate(rows):
        if run and not _follows(rows[i - 1], row):
            yield _closed(rows, run, pending)
            run, pending = None, []
        if row.is_data:
            run = run or _Run(i)
            run.rows += [*pending, i]
            run.data.append(i)
            pending = []
        elif run and len(pending) < _BETWEEN and _may_stand_between(rows, run, row):
            pending.append(i)
        elif run:
            yield _closed(rows, run, pending)
            run, pending = None, []
    if run:
        yield _closed(rows, run, pending)


def _follows(above: Row, row: Row) -> bool:
    return above.bottom + 0.5 * row.height > row.top - row.height * 0.5 and above.bottom - row.top < _ROW_GAP * row.height


def _may_stand_between(rows: Sequence[Row], run: _Run, row: Row) -> bool:
    """A label that stops before the figures, or one with a word where its figure would be."""
    first_figure = min(cell.left for i in run.data for cell in rows[i].figures)
    if len(row.cells) == 1:
        cell = row.cells[0]
        short = len(cell.text) <= _HEAD_CELL and not cell.text.endswith(".")
        return (cell.right <= first_figure or short) and not _STATEMENT.search(cell.text)
    over = sum(cell.right > first_figure for cell in row.cells)
    return over == 1 and all(len(cell.text) <= _HEAD_CELL for cell in row.cells)  # of two or more: another table's head


def _closed(rows: Sequence[Row], run: _Run, pending: list[int]) -> _Run:
    """The end of a label that goes on below its figures belongs to the table; all else after the last figures does not."""
    if pending and _goes_on(rows[run.rows[-1]], rows[pending[0]]):
        run.rows.append(pending[0])
    return run


def _is_table(rows: Sequence[Row], run: _Run) -> bool:
    """Two rows of two figures below each other, three rows of a label and one figure, or one row below many heads."""
    data = [rows[i] for i in run.data]
    if len(data) == 1:
        above = rows[run.first - 1] if run.first else None
        many = len(data[0].figures) >= _LONE_FIGURES
        return many and above is not None and _follows(above, data[0]) and len(above.cells) >= len(data[0].figures)
    wide = [row for row in data if len(row.figures) > 1]
    if len(wide) >= 2:
        return any(_share_columns(a, b) for a, b in pairwise(wide))
    narrow = [row for row in data if row.label]
    return len(narrow) >= 3 and all(_share_columns(a, b) for a, b in pairwise(narrow))


def _share_columns(a: Row, b: Row) -> bool:
    return any(x.overlaps(y) for x in a.figures[-1:] for y in b.figures) or any(
        x.overlaps(y) for x in a.figures for y in b.figures[-1:]
    )


def _table(lines: Sequence[Line], rows: Sequence[Row], run: _Run, floor: int) -> Table:
    columns = columns_of([rows[i] for i in run.data])
    head_rows = _head(rows, run, columns, floor)
    head = columns.head([rows[i] for i in head_rows])
    body = [columns.cells(row) for row in _joined_labels([rows[i] for i in run.rows])]
    members = frozenset(line for i in [*head_rows, *run.rows] for line in rows[i].lines)
    title = _title(lines, rows, head_rows[0] if head_rows else run.rows[0], floor)
    return Table(([head] if any(head) else []) + body, members, title)


def _head(rows: Sequence[Row], run: _Run, columns: Columns, floor: int) -> list[int]:
    """The rows above the first figures that are heads of their columns, or say the unit or the period."""
    head: list[int] = []
    for i in range(run.rows[0] - 1, max(run.rows[0] - 1 - _HEAD_ROWS, floor - 1), -1):
        row, below = rows[i], rows[i + 1]
        gap = row.bottom - below.top
        if gap > _HEAD_GAP * max(below.height, row.height) or gap < -below.height or not _is_head(row, columns):
            # The label over the first figures: "Revenues:", "ASSETS", below the heads.
            if gap > _HEAD_GAP * below.height or head or not _is_first_label(row, columns, rows, i, run):
                break
            run.rows.insert(0, i)
            continue
        head.insert(0, i)
    return head


def _is_head(row: Row, columns: Columns) -> bool:
    if any(_STATEMENT.search(cell.text) for cell in row.cells):
        return False
    if any(len(cell.text) > _HEAD_CELL and not _UNIT.fullmatch(cell.text) for cell in row.cells):
        return False
    if len(row.cells) > 1:
        return any(columns.is_over(cell) for cell in row.cells[-1:])
    cell = row.cells[0]
    return _UNIT.fullmatch(cell.text) is not None or columns.is_head(cell)


def _is_first_label(row: Row, columns: Columns, rows: Sequence[Row], i: int, run: _Run) -> bool:
    """One short label, and the heads of the columns above it."""
    cell = row.cells[0]
    short = len(row.cells) == 1 and len(cell.text) <= _HEAD_CELL and run.rows[0] - i == 1
    above = rows[max(i - 2, 0) : i]
    return short and any(len(r.cells) > 1 and _is_head(r, columns) for r in above)


def _title(lines: Sequence[Line], rows: Sequence[Row], first: int, floor: int) -> int | None:
    """The nearest line above that names a statement; else the nearest if it is bold."""
    candidates: list[int] = []
    for i in range(first - 1, max(first - 1 - _TITLE_ROWS, floor - 1), -1):
        row, below = rows[i], rows[i + 1]
        gap = row.bottom - below.top
        if gap > _ROW_GAP * row.height or gap < -row.height or len(row.cells) > 2 or not _may_be_title(row.cells[0].text):
            break
        candidates.append(row.lines[0])
    named = [i for i in candidates if _STATEMENT.search(lines[i].text)]
    return next(iter([*named, *(i for i in candidates[:1] if lines[i].bold)]), None)


def _may_be_title(text: str) -> bool:
    return len(text) <= _TITLE_WORDS and not text.endswith((".", ",", ";", ":")) and text[0].isalnum() and not text[0].islower()


def _joined_labels(rows: Sequence[Row]) -> list[Row]:
    """A label in several lines as one, beside its figures."""
    joined: list[Row] = []
    for row in rows:
        if joined and _goes_on(joined[-1], row):
            joined[-1] = joined[-1].joined(row)
        else:
            joined.append(row)
    return joined


def _goes_on(above: Row, row: Row) -> bool:
    """Whether the label of `row` goes on with the one of `above`, and only one of the two has figures."""
    if not above.label or not row.label or (above.figures and row.figures) or len(row.cells) > 1 > len(row.figures):
        return False
    if not above.figures and len(above.cells) > 1:
        return False
    words, more = above.label.rstrip(), row.label
    if above.bottom - row.top > 0.8 * row.height or words.endswith(":"):
        return False
    small = more[0].islower() or words.endswith(
        (",", "—", "–", "-", " and", " of", " to", " the", " for", " in", " at", " or", " by", " on", " with", " from")
    )
    return small and (above.figures == [] or more[0].islower()) and row.cells[0].left >= above.cells[0].left - _INDENT
