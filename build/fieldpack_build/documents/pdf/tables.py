"""The tables of a PDF page: rows of figures that stand in columns, with the heads above them.

Conservative: a table without borders is found by its figures, which must stand below each other, or
by cells of several lines in rows that stand apart. Another table of words stays lines of text;
prose taken for a table would mislead more than a missed one. Knows nothing of pdfium, pages or
headings.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from fieldpack_build.documents.pdf.columns import Columns, columns_of
from fieldpack_build.documents.pdf.grid import take_grids
from fieldpack_build.documents.pdf.rows import Row, read_rows
from fieldpack_build.documents.pdf.ruled_rows import take_ruled_rows
from fieldpack_build.documents.pdf.text import Line, PageText
from fieldpack_build.documents.pdf.word_tables import find_word_tables
from fieldpack_build.documents.vocabulary import Vocabulary

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
    """Rows that may be a table, by their numbers: `rows` are all of them, `data` those of figures,
    `first` is the first of these."""

    first: int
    rows: list[int] = field(default_factory=list)
    data: list[int] = field(default_factory=list)


def find_tables(page: PageText, vocabulary: Vocabulary) -> tuple[list[Line], list[Table]]:
    """Return the lines of the page, parted where one reaches out of a table with borders, and its
    tables."""
    lines, bordered = (
        (page.lines, []) if page.rules.is_empty else take_grids(page.lines, page.rules)
    )
    inside = frozenset().union(*(table.lines for table in bordered))
    others = [i for i in range(len(lines)) if i not in inside]
    tables = [Table(table.rows, table.lines) for table in bordered]
    for ruled in take_ruled_rows([lines[i] for i in others], page.rules):
        tables.append(Table(ruled.rows, frozenset(others[i] for i in ruled.lines)))
    inside = frozenset().union(*(table.lines for table in tables))
    others = [i for i in range(len(lines)) if i not in inside]
    rest = replace(page, lines=[lines[i] for i in others])
    if sum(len(line.segments) > 1 or "...." in line.text for line in rest.lines) > 1:
        for table in _TableFinder(rest, vocabulary).tables():
            title = None if table.title is None else others[table.title]
            tables.append(Table(table.rows, frozenset(others[i] for i in table.lines), title))
    inside |= frozenset().union(*(table.lines for table in tables))
    others = [i for i in range(len(lines)) if i not in inside]
    for rows, own in find_word_tables([lines[i] for i in others]):
        tables.append(Table(rows, frozenset(others[i] for i in own)))
    return lines, tables


class _TableFinder:
    """Finds the tables without borders among the rows of a page."""

    def __init__(self, page: PageText, vocabulary: Vocabulary) -> None:
        self._lines = page.lines
        self._rows = read_rows(page)
        self._words = vocabulary

    def tables(self) -> list[Table]:
        tables: list[Table] = []
        before: tuple[Columns, list[str]] | None = None
        floor = 0
        for run in self._runs():
            if not self._is_table(run):
                continue
            table, columns, head = self._table(run, floor)
            if not head and before and before[0].agree_with(columns):
                # A heading cut the table in two: the columns are still those named above it.
                head = before[1]
            table.rows = [head, *table.rows] if head else table.rows
            tables.append(table)
            before = columns, head
            floor = run.rows[-1] + 1
        return tables

    def _runs(self) -> Iterator[_Run]:
        """Rows of figures that follow each other, with the few without figures between them."""
        rows = self._rows
        run: _Run | None = None
        pending: list[int] = []

        def closed(run: _Run) -> _Run:
            """The end of a label that goes on below its figures belongs to the table; all else
            after the last figures does not."""
            if pending and self._goes_on(rows[run.rows[-1]], rows[pending[0]]):
                run.rows.append(pending[0])
            return run

        for i, row in enumerate(rows):
            if run and not (_follows(rows[i - 1], row) and self._fits(run, row)):
                yield closed(run)
                run, pending = None, []
            if row.is_data:
                run = run or _Run(i)
                run.rows += [*pending, i]
                run.data.append(i)
                pending = []
            elif run and len(pending) < _BETWEEN and self._may_stand_between(run, row):
                pending.append(i)
            elif run:
                yield closed(run)
                run, pending = None, []
        if run:
            yield closed(run)

    def _fits(self, run: _Run, row: Row) -> bool:
        """No figure stands below two of the last row of figures, or two below one: else other
        columns begin here."""
        if not row.is_data:
            return True
        above, figures = self._rows[run.data[-1]].figures, row.figures
        return all(sum(a.overlaps(b) for b in figures) < 2 for a in above) and all(
            sum(a.overlaps(b) for a in above) < 2 for b in figures
        )

    def _may_stand_between(self, run: _Run, row: Row) -> bool:
        """A label that stops before the figures, or one with a word where its figure would be."""
        first_figure = min(cell.left for i in run.data for cell in self._rows[i].figures)
        if len(row.cells) == 1:
            cell = row.cells[0]
            short = len(cell.text) <= _HEAD_CELL and not cell.text.endswith(".")
            is_label = cell.right <= first_figure or short
            return is_label and not self._words.statement.search(cell.text)
        over = sum(cell.right > first_figure for cell in row.cells)
        # Over two columns or more: the head of another table.
        return over == 1 and all(len(cell.text) <= _HEAD_CELL for cell in row.cells)

    def _is_table(self, run: _Run) -> bool:
        """Two rows of two figures below each other, three rows of a label and one figure, or one
        row below many heads."""
        data = [self._rows[i] for i in run.data]
        if len(data) == 1:
            above = self._rows[run.first - 1] if run.first else None
            figures = len(data[0].figures)
            return (
                figures >= _LONE_FIGURES
                and above is not None
                and _follows(above, data[0])
                and len(above.cells) >= figures
            )
        wide = [row for row in data if len(row.figures) > 1]
        if len(wide) >= 2:
            return any(_share_columns(a, b) for a, b in pairwise(wide))
        narrow = [row for row in data if row.label]
        return len(narrow) >= 3 and all(_share_columns(a, b) for a, b in pairwise(narrow))

    def _table(self, run: _Run, floor: int) -> tuple[Table, Columns, list[str]]:
        """The table without its head, its columns, and the head: empty if there is none."""
        rows = self._rows
        columns = columns_of([rows[i] for i in run.data])
        head_rows = self._head(run, columns, floor)
        # A line is in the table with all that it says: so are the rows that others of its pieces
        # make.
        own = {*run.rows, *head_rows}
        lines = {line for i in own for line in rows[i].lines}
        between = range(run.rows[0], min(run.rows[-1] + 2, len(rows)))
        rest = [i for i in between if i not in own and not lines.isdisjoint(rows[i].lines)]
        run.rows = sorted([*run.rows, *rest]) if rest else run.rows

        head = columns.head([rows[i] for i in head_rows], self._words.table_unit)
        joined: list[Row] = []  # a label in several lines as one, beside its figures
        for row in _with_groups([rows[i] for i in run.rows], columns):
            if joined and self._goes_on(joined[-1], row):
                joined[-1] = joined[-1].joined(row)
            else:
                joined.append(row)
        members = frozenset(line for i in [*head_rows, *run.rows] for line in rows[i].lines)
        title = self._title(head_rows[0] if head_rows else run.rows[0], floor)
        body = [columns.cells(row) for row in joined]
        return Table(body, members, title), columns, head if any(head) else []

    def _head(self, run: _Run, columns: Columns, floor: int) -> list[int]:
        """The rows above the first figures that are heads of their columns, or say the unit or the
        period.

        Labels over the first figures, "ASSETS", "Current assets:", go to the rows of `run` if such
        heads are above them.
        """
        rows = self._rows

        def is_close(i: int) -> bool:
            """Whether row i stands right above the next."""
            gap = rows[i].bottom - rows[i + 1].top
            return -rows[i + 1].height <= gap <= _HEAD_GAP * max(rows[i].height, rows[i + 1].height)

        labels: list[int] = []
        i = run.rows[0] - 1
        while i >= floor and len(labels) < _FIRST_LABELS and is_close(i):
            cell = rows[i].cells[0]
            if (
                len(rows[i].cells) > 1
                or cell.right >= columns.first_figure
                or self._is_head(rows[i], columns)
                or self._words.statement.search(cell.text)
            ):
                break
            labels.insert(0, i)
            i -= 1
        head: list[int] = []
        while (
            i >= floor
            and len(head) < _HEAD_ROWS
            and is_close(i)
            and self._is_head(rows[i], columns)
        ):
            head.insert(0, i)
            i -= 1
        if labels and not any(
            len(rows[h].cells) > 1 or columns.is_head(rows[h].cells[0]) for h in head
        ):
            labels = labels[-1:] if self._goes_on(rows[labels[-1]], rows[run.rows[0]]) else []
            head = []
        run.rows[:0] = labels
        return head

    def _is_head(self, row: Row, columns: Columns) -> bool:
        statement, head = self._words.statement, self._words.head
        if row.is_data:  # a row of another table, which would be scrambled
            return False
        if any(statement.search(cell.text) for cell in row.cells):
            return False
        if any(len(cell.text) > _HEAD_CELL and not head.fullmatch(cell.text) for cell in row.cells):
            return False
        if len(row.cells) > 1:
            return columns.is_over(row.cells[-1])
        return head.fullmatch(row.cells[0].text) is not None or columns.is_head(row.cells[0])

    def _title(self, first: int, floor: int) -> int | None:
        """The nearest line above row `first` that names a statement; else the nearest if it is
        bold."""
        candidates: list[int] = []
        for i in range(first - 1, max(first - 1 - _TITLE_ROWS, floor - 1), -1):
            row = self._rows[i]
            gap = row.bottom - self._rows[i + 1].top
            text = row.cells[0].text
            if (
                not -row.height <= gap <= _ROW_GAP * row.height
                or len(row.cells) > 2
                or len(text) > _TITLE_WORDS
                or text.endswith((".", ",", ";", ":"))
                or not text[0].isalnum()
                or text[0].islower()
            ):
                break
            candidates.append(row.lines[0])
        named = [i for i in candidates if self._words.statement.search(self._lines[i].text)]
        return next(iter([*named, *(i for i in candidates[:1] if self._lines[i].bold)]), None)

    def _goes_on(self, above: Row, row: Row) -> bool:
        """Whether the label of `row` goes on with the one of `above`, and only one of the two has
        figures."""
        if not above.label or (above.figures and row.figures):
            return False
        if not above.figures and len(above.cells) > 1:
            return False
        if above.bottom - row.top > _LABEL_GAP * row.height or above.label.endswith(":"):
            return False
        if not row.label:
            return True
        small = row.label[0].islower() or (row.label[0] == "(" and not above.figures)
        is_below = row.cells[0].left >= above.cells[0].left - _INDENT
        if row.figures or not above.figures:
            return (small or above.label.endswith(self._words.unfinished)) and is_below
        return small and len(row.cells) == 1 and is_below


def _follows(above: Row, row: Row) -> bool:
    return (
        above.bottom + 0.5 * row.height > row.top - row.height * 0.5
        and above.bottom - row.top < _ROW_GAP * row.height
    )


def _share_columns(a: Row, b: Row) -> bool:
    return any(x.overlaps(y) for x in a.figures[-1:] for y in b.figures) or any(
        x.overlaps(y) for x in a.figures for y in b.figures[-1:]
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
