"""Lays out a table with merged cells as rows of equal meaning: a label over several rows stands in
each of them, a head over several columns above each. Knows nothing of formats."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from fieldpack_build.documents.grid import REPEATED_LIMIT, is_header
from fieldpack_build.documents.pages import squeeze

_MOST_HEADS = 5  # rows of a head: a table of words alone is no head
# Places of a table that merged cells fill beside those where they begin. A table of 60,000 rows
# whose first column is merged has one for each row; a file of 1 KB can ask for billions.
_MOST_FILLED = 1_000_000


class Cell(NamedTuple):
    """A cell and over how many rows and columns it stands, itself included. `head`: the file says
    that it is a name."""

    text: str
    rows: int = 1
    columns: int = 1
    head: bool = False


class Table(NamedTuple):
    """`title`: what stood above all columns. `rows[0]` is the head, in one row."""

    title: str
    rows: list[list[str]]


class _Above(NamedTuple):
    """A cell that reaches down for `left` more rows; `column`: where it begins."""

    left: int
    text: str
    column: int


# For each place of a row the column where its cell begins, or ~column of a cell that begins in a
# row above; None for a row whose cells all stand in one place.
_Begin = list[int] | None


def lay_out(rows: Iterable[Sequence[Cell]], heads: int = 0) -> Table:
    """Return the table's texts by row and column.

    `heads`: how many rows the file itself calls its head, 0 where it says nothing; then rows of
    head cells, or rows of names below merged ones, are taken for it. In the body a cell over
    several columns is followed by empty ones.
    """
    top, placed, begins = _place(rows)
    width = max(map(len, placed), default=0)
    title = ""
    if (
        len(placed) > 1
        and width > 1
        and len(top[0]) == 1
        and top[0][0].columns >= width
        and top[0][0].rows == 1
    ):
        title = placed[0][0]
        del top[0], placed[0], begins[0]
        heads = max(heads - 1, 0)
    count = min(heads or _count_heads(top, placed, begins), len(placed))
    head = [
        squeeze(
            " ".join(
                dict.fromkeys(
                    row[column] for row in placed[:count] if column < len(row) and row[column]
                )
            )
        )
        for column in range(width)
    ]
    body = [
        _without_repeated(row, begin)
        for row, begin in zip(placed[count:], begins[count:], strict=True)
    ]
    return Table(title, [head, *body] if count else body)


def _without_repeated(row: list[str], begin: _Begin) -> list[str]:
    """The texts of a row, a cell's over several columns in the first of them alone."""
    if begin is None:
        return row
    columns = (place if place >= 0 else ~place for place in begin)
    return [
        text if at == column else ""
        for at, (text, column) in enumerate(zip(row, columns, strict=True))
    ]


def _place(
    rows: Iterable[Sequence[Cell]],
) -> tuple[list[Sequence[Cell]], list[list[str]], list[_Begin]]:
    """The first rows as they are; texts by row and column, a merged one in each of its places; and
    where their cells begin. One too long for a label stays once in its first row, and so do all
    once `_MOST_FILLED` places are filled."""
    top: list[Sequence[Cell]] = []
    texts: list[list[str]] = []
    begins: list[_Begin] = []
    above: dict[int, _Above] = {}
    filled = 0
    for cells in rows:
        if len(top) <= _MOST_HEADS:
            top.append(cells)
        if not above and all(cell.rows == 1 == cell.columns for cell in cells):
            texts.append([cell.text for cell in cells])
            begins.append(None)
            continue
        row: list[str] = []
        begin: list[int] = []
        own = 0
        for cell in cells:
            _fill(row, begin, above)
            first = len(row)
            kept = cell.text if len(cell.text) <= REPEATED_LIMIT else ""
            columns = max(cell.columns, 1) if filled <= _MOST_FILLED else 1
            filled += columns - 1
            own += columns
            for column in range(first, first + columns):
                if cell.rows > 1 and filled <= _MOST_FILLED:
                    above[column] = _Above(cell.rows - 1, kept, first)
                row.append(cell.text if column == first else kept)
                begin.append(first)
        _fill(row, begin, above)
        filled += len(row) - own
        if filled > _MOST_FILLED:
            above.clear()
        texts.append(row)
        begins.append(begin)
    return top, texts, begins


def _fill(row: list[str], begin: list[int], above: dict[int, _Above]) -> None:
    """Put what reaches down from the rows above into the next places."""
    while (cell := above.pop(column := len(row), None)) is not None:
        if cell.left > 1:
            above[column] = cell._replace(left=cell.left - 1)
        row.append(cell.text)
        begin.append(~cell.column)


def _count_heads(
    top: Sequence[Sequence[Cell]], placed: Sequence[Sequence[str]], begins: Sequence[_Begin]
) -> int:
    """Rows at the top that are names: all head cells, or a row with merged columns and the names
    below it."""
    stated = 0
    while stated < min(len(placed), _MOST_HEADS) and (
        top[stated] and all(cell.head for cell in top[stated])
    ):
        stated += 1
    if stated:
        return stated if stated < len(placed) else 1
    if not placed or not any(cell.columns > 1 for cell in top[0]):
        return 0
    count = 1
    while count < min(len(placed) - 1, _MOST_HEADS) and any(
        cell.columns > 1 for cell in top[count - 1]
    ):
        begin = begins[count] or range(len(placed[count]))
        own = [text for text, place in zip(placed[count], begin, strict=True) if place >= 0]
        if not is_header(own):
            break
        count += 1
    return count if is_header(placed[0]) or count > 1 else 0
