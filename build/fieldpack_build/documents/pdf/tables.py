"""The tables of a PDF page: rows of figures that stand in columns, with the heads above them.

Conservative: a table without borders is found by its figures, which must stand below each other, or
by cells of several lines in rows that stand apart. Another table of words stays lines of text;
prose taken for a table would mislead more than a missed one. Knows nothing of pdfium, pages or
headings.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from fieldpack_build.documents.pdf.columns import Columns, columns_of
from fieldpack_build.documents.pdf.grid import take_grids
from fieldpack_build.documents.pdf.rows import Row, read_rows
from fieldpack_build.documents.pdf.text import Line, PageText
from fieldpack_build.documents.pdf.word_tables import find_word_tables

# Heads that say a unit or a period: they may stand at the left or in the middle, far from the
# columns they are for.
_UNIT = re.compile(
    r"\(?.{0,40}\b(?:millions?|thousands?|billions?|unaudited|percent|except)\b.*|"
    r"(?:for\s|at\s|as of\s|in\s)?(?:the\s)?(?:fiscal |three |six |nine |twelve |four )?"
    r"(?:years?|months?|quarters?|weeks?|december|january|february|march|april|may|june|july|august|september|october|"
    r"november)\b.{0,80}",
    re.IGNORECASE,
)
_STATEMENT = re.compile(
    r"\b(?:statements? of|balance sheets?|income statements?|cash flows? statements?|financial "
    r"(?:data|highlights)|"
    r"results of operations|reconciliation of)\b",
    re.IGNORECASE,
)
_HEAD_ROWS = 6
_HEAD_CELL = 60  # characters; a longer one is prose
_TITLE_ROWS = 4
_TITLE_WORDS = 100  # characters
_FIRST_LABELS = 6  # rows of labels between the heads and the first figures
_BETWEEN = 4  # rows without a figure between two with: "Current assets:", a label in three lines
_ROW_GAP = 4.0  # times the height of a row; a wider gap ends the table
_HEAD_GAP = 2.5
_LONE_FIGURES = 3  # in a table of one row
_CENTRED = (
    0.7  # times the height, twice the way from the middle of a group's rows to that of its label
)
_INDENT = 3.0  # points that the second line of a label may begin before the first
_LABEL_GAP = 0.8  # times the height, between two lines of a label
_WORDS = ("and", "or", "of", "to", "the", "for", "in", "at", "by", "on", "with", "from")
_UNFINISHED = (",", "—", "–", "-", *(f" {word}" for word in _WORDS))


@dataclass(slots=True)
class Table:
    """`rows` begin with the head, if there is one. `lines` are the numbers of the page's lines in
    it.

    `title` is the number of the line above it that names it, None if no line does.
    """

    rows: list[list[str]]
    lines: frozenset[int]
    title: int | None = None


@dataclass(slots=True)
class _Run:
    first: int
    rows: list[int] = field(
        default_factory=list
    )  # numbers of rows, with those between the rows of figures
    data: list[int] = field(default_factory=list)


def find_tables(page: PageText) -> tuple[list[Line], list[Table]]:
    """The lines of the page, parted where one reaches out of a table with borders, and its tables."""
    lines, bordered = (
        (page.lines, []) if page.rules.is_empty else take_grids(page.lines, page.rules)
    )
    inside = frozenset().union(*(table.lines for table in bordered))
    others = [i for i in range(len(lines)) if i not in inside]
    tables = [Table(table.rows, table.lines) for table in bordered]
    for table in _without_borders(replace(page, lines=[lines[i] for i in others])):
        title = None if table.title is None else others[table.title]
        tables.append(Table(table.rows, frozenset(others[i] for i in table.lines), title))
    inside |= frozenset().union(*(table.lines for table in tables))
    others = [i for i in range(len(lines)) if i not in inside]
    for rows, own in find_word_tables([lines[i] for i in others]):
        tables.append(Table(rows, frozenset(others[i] for i in own)))
    return lines, tables


def _without_borders(page: PageText) -> list[Table]:
    if not _may_have_tables(page.lines):
        return []
    rows = read_rows(page)
    tables: list[Table] = []
    before: tuple[Columns, list[str]] | None = None
    floor = 0
    for run in _runs(rows):
        if _is_table(rows, run):
            table, columns, head = _table(page.lines, rows, run, floor)
            if not head and before and before[0].agree_with(columns):
                head = before[
                    1
                ]  # a heading cut the table in two: the columns are still those named above it
            table.rows = [head, *table.rows] if head else table.rows
            tables.append(table)
            before = columns, head
            floor = run.rows[-1] + 1
    return tables


def _may_have_tables(lines: Sequence[Line]) -> bool:
    return sum(len(line.segments) > 1 or "...." in line.text for line in lines) > 1


def _runs(rows: Sequence[Row]) -> Iterator[_Run]:
    """Rows of figures that follow each other, with the few without figures between them."""
    run: _Run | None = None
    pending: list[int] = []
    for i, row in enumerate(rows):
        if run and not (_follows(rows[i - 1], row) and _fits(rows, run, row)):
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
    return (
        above.bottom + 0.5 * row.height > row.top - row.height * 0.5
        and above.bottom - row.top < _ROW_GAP * row.height
    )


def _fits(rows: Sequence[Row], run: _Run, row: Row) -> bool:
    """No figure stands below two of the last row of figures, or two below one: else other columns
    begin here."""
    if not row.is_data:
        return True
    above, figures = rows[run.data[-1]].figures, row.figures
    return all(sum(a.overlaps(b) for b in figures) < 2 for a in above) and all(
        sum(a.overlaps(b) for a in above) < 2 for b in figures
    )


def _may_stand_between(rows: Sequence[Row], run: _Run, row: Row) -> bool:
    """A label that stops before the figures, or one with a word where its figure would be."""
    first_figure = min(cell.left for i in run.data for cell in rows[i].figures)
    if len(row.cells) == 1:
        cell = row.cells[0]
        short = len(cell.text) <= _HEAD_CELL and not cell.text.endswith(".")
        return (cell.right <= first_figure or short) and not _STATEMENT.search(cell.text)
    over = sum(cell.right > first_figure for cell in row.cells)
    return over == 1 and all(
        len(cell.text) <= _HEAD_CELL for cell in row.cells
    )  # of two or more: another table's head


def _closed(rows: Sequence[Row], run: _Run, pending: list[int]) -> _Run:
    """The end of a label that goes on below its figures belongs to the table; all else after the
    last figures does not."""
    if pending and _goes_on(rows[run.rows[-1]], rows[pending[0]]):
        run.rows.append(pending[0])
    return run


def _is_table(rows: Sequence[Row], run: _Run) -> bool:
    """Two rows of two figures below each other, three rows of a label and one figure, or one row
    below many heads."""
    data = [rows[i] for i in run.data]
    if len(data) == 1:
        above = rows[run.first - 1] if run.first else None
        many = len(data[0].figures) >= _LONE_FIGURES
        return (
            many
            and above is not None
            and _follows(above, data[0])
            and len(above.cells) >= len(data[0].figures)
        )
    wide = [row for row in data if len(row.figures) > 1]
    if len(wide) >= 2:
        return any(_share_columns(a, b) for a, b in pairwise(wide))
    narrow = [row for row in data if row.label]
    return len(narrow) >= 3 and all(_share_columns(a, b) for a, b in pairwise(narrow))


def _share_columns(a: Row, b: Row) -> bool:
    return any(x.overlaps(y) for x in a.figures[-1:] for y in b.figures) or any(
        x.overlaps(y) for x in a.figures for y in b.figures[-1:]
    )


def _table(
    lines: Sequence[Line], rows: Sequence[Row], run: _Run, floor: int
) -> tuple[Table, Columns, list[str]]:
    """The table without its head, its columns, and the head: empty if there is none."""
    columns = columns_of([rows[i] for i in run.data])
    head_rows = _head(rows, run, columns, floor)
    _take_rest(rows, run, head_rows)
    head = columns.head([rows[i] for i in head_rows])
    body = [
        columns.cells(row)
        for row in _joined_labels(_with_groups([rows[i] for i in run.rows], columns))
    ]
    members = frozenset(line for i in [*head_rows, *run.rows] for line in rows[i].lines)
    title = _title(lines, rows, head_rows[0] if head_rows else run.rows[0], floor)
    return Table(body, members, title), columns, head if any(head) else []


def _take_rest(rows: Sequence[Row], run: _Run, head: Sequence[int]) -> None:
    """Adds to `run` the rows between its own that are on lines of the table: a line is in it with
    all that it says."""
    own = {*run.rows, *head}
    lines = {line for i in own for line in rows[i].lines}
    between = range(run.rows[0], min(run.rows[-1] + 2, len(rows)))
    rest = [i for i in between if i not in own and not lines.isdisjoint(rows[i].lines)]
    if rest:
        run.rows = sorted([*run.rows, *rest])


def _head(rows: Sequence[Row], run: _Run, columns: Columns, floor: int) -> list[int]:
    """The rows above the first figures that are heads of their columns, or say the unit or the
    period.

    Labels over the first figures, "ASSETS", "Current assets:", go to the rows of `run` if such
    heads are above them.
    """
    labels: list[int] = []
    i = run.rows[0] - 1
    while (
        i >= floor
        and len(labels) < _FIRST_LABELS
        and _is_close(rows, i)
        and _is_label(rows[i], columns)
    ):
        labels.insert(0, i)
        i -= 1
    head: list[int] = []
    while (
        i >= floor and len(head) < _HEAD_ROWS and _is_close(rows, i) and _is_head(rows[i], columns)
    ):
        head.insert(0, i)
        i -= 1
    if labels and not any(
        len(rows[h].cells) > 1 or columns.is_head(rows[h].cells[0]) for h in head
    ):
        labels = labels[-1:] if _goes_on(rows[labels[-1]], rows[run.rows[0]]) else []
        head = []
    run.rows[:0] = labels
    return head


def _is_close(rows: Sequence[Row], i: int) -> bool:
    """Whether row i stands right above the next."""
    gap = rows[i].bottom - rows[i + 1].top
    return -rows[i + 1].height <= gap <= _HEAD_GAP * max(rows[i].height, rows[i + 1].height)


def _is_label(row: Row, columns: Columns) -> bool:
    cell = row.cells[0]
    return (
        len(row.cells) == 1
        and cell.right < columns.first_figure
        and not _is_head(row, columns)
        and not _STATEMENT.search(cell.text)
    )


def _is_head(row: Row, columns: Columns) -> bool:
    if any(_STATEMENT.search(cell.text) for cell in row.cells):
        return False
    if any(len(cell.text) > _HEAD_CELL and not _UNIT.fullmatch(cell.text) for cell in row.cells):
        return False
    if len(row.cells) > 1:
        return any(columns.is_over(cell) for cell in row.cells[-1:])
    cell = row.cells[0]
    return _UNIT.fullmatch(cell.text) is not None or columns.is_head(cell)


def _title(lines: Sequence[Line], rows: Sequence[Row], first: int, floor: int) -> int | None:
    """The nearest line above that names a statement; else the nearest if it is bold."""
    candidates: list[int] = []
    for i in range(first - 1, max(first - 1 - _TITLE_ROWS, floor - 1), -1):
        row, below = rows[i], rows[i + 1]
        gap = row.bottom - below.top
        if (
            gap > _ROW_GAP * row.height
            or gap < -row.height
            or len(row.cells) > 2
            or not _may_be_title(row.cells[0].text)
        ):
            break
        candidates.append(row.lines[0])
    named = [i for i in candidates if _STATEMENT.search(lines[i].text)]
    return next(iter([*named, *(i for i in candidates[:1] if lines[i].bold)]), None)


def _may_be_title(text: str) -> bool:
    return (
        len(text) <= _TITLE_WORDS
        and not text.endswith((".", ",", ";", ":"))
        and text[0].isalnum()
        and not text[0].islower()
    )


def _with_groups(rows: Sequence[Row], columns: Columns) -> Sequence[Row]:
    """The rows, each with the label of its group if those stand in the middle of their groups'
    height, as in merged cells without borders; a label between two rows has a row of its own, which
    goes."""
    if columns.labels < 2:
        return rows
    labels = [(row, row.cells[0]) for row in rows if columns.is_first(row.cells[0])]
    data = [row for row in rows if row.figures]
    if (
        not labels
        or len(labels) == len(data)
        or any(not row.figures and len(row.cells) > 1 for row in rows)
    ):
        return rows
    grouped: list[Row] = []
    for row, label in labels:
        first = len(grouped)
        middles = (
            abs(data[first].middle + other.middle - 2 * row.middle) for other in data[first:]
        )
        last = next(
            (first + i for i, off in enumerate(middles) if off <= _CENTRED * row.height), None
        )
        if last is None:
            return rows
        for member in data[first : last + 1]:
            own = member.cells[1:] if columns.is_first(member.cells[0]) else member.cells
            grouped.append(replace(member, cells=[label, *own]))
        if len(grouped) == len(data):
            break
    is_whole = len(grouped) == len(data) and grouped[-1].cells[0] is labels[-1][1]
    return grouped if is_whole else rows


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
    """Whether the label of `row` goes on with the one of `above`, and only one of the two has
    figures."""
    if (
        not above.label
        or (above.figures and row.figures)
        or (not above.figures and len(above.cells) > 1)
    ):
        return False
    if above.bottom - row.top > _LABEL_GAP * row.height or above.label.endswith(":"):
        return False
    if not row.label:
        return True
    small = row.label[0].islower() or (row.label[0] == "(" and not above.figures)
    if row.figures or not above.figures:
        return (small or above.label.endswith(_UNFINISHED)) and row.cells[0].left >= above.cells[
            0
        ].left - _INDENT
    return small and len(row.cells) == 1 and row.cells[0].left >= above.cells[0].left - _INDENT
