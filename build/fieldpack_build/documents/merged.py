"""Lays out a table with merged cells as rows of equal meaning: a label over several rows stands in
each of them, a head over several columns above each. Knows nothing of formats."""

from __future__ import annotations

from collections.abc import Sequence
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
    """A cell that reaches down for `left` more rows; `origin`: the row and column where it begins."""

    left: int
    text: str
    origin: tuple[int, int]


def lay_out(rows: Sequence[Sequence[Cell]], heads: int = 0) -> Table:
    """Return the table's texts by row and column.

    `heads`: how many rows the file itself calls its head, 0 where it says nothing; then rows of
    head cells, or rows of names below merged ones, are taken for it. In the body a cell over
    several columns is followed by empty ones.
    """
    placed, origins = _place(rows)
    width = max((len(row) for row in placed), default=0)
    title = ""
    if (
        len(placed) > 1
        and width > 1
        and len(rows[0]) == 1
        and rows[0][0].columns >= width
        and rows[0][0].rows == 1
    ):
        title, placed, origins, rows = placed[0][0], placed[1:], origins[1:], rows[1:]
        heads = max(heads - 1, 0)
    count = min(heads or _count_heads(rows, placed, origins), len(placed))
    body = [
        [text if column == origins[at][column][1] else "" for column, text in enumerate(row)]
        for at, row in enumerate(placed)
    ]
    if not count:
        return Table(title, body)
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
    return Table(title, [head, *body[count:]])


def _place(rows: Sequence[Sequence[Cell]]) -> tuple[list[list[str]], list[list[tuple[int, int]]]]:
    """Texts by row and column, a merged one in each of its places; and for each place the row and
    column where its cell begins. One too long for a label stays once in its first row, and so do
    all once `_MOST_FILLED` places are filled."""
    texts: list[list[str]] = []
    origins: list[list[tuple[int, int]]] = []
    above: dict[int, _Above] = {}
    filled = 0
    for at, cells in enumerate(rows):
        row: list[str] = []
        begin: list[tuple[int, int]] = []
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
                    above[column] = _Above(cell.rows - 1, kept, (at, first))
                row.append(cell.text if column == first else kept)
                begin.append((at, first))
        _fill(row, begin, above)
        filled += len(row) - own
        if filled > _MOST_FILLED:
            above.clear()
        texts.append(row)
        origins.append(begin)
    return texts, origins


def _fill(row: list[str], begin: list[tuple[int, int]], above: dict[int, _Above]) -> None:
    """Put what reaches down from the rows above into the next places."""
    while (cell := above.pop(column := len(row), None)) is not None:
        if cell.left > 1:
            above[column] = cell._replace(left=cell.left - 1)
        row.append(cell.text)
        begin.append(cell.origin)


def _count_heads(
    rows: Sequence[Sequence[Cell]],
    placed: Sequence[Sequence[str]],
    origins: Sequence[Sequence[tuple[int, int]]],
) -> int:
    """Rows at the top that are names: all head cells, or a row with merged columns and the names
    below it."""
    stated = 0
    while (
        stated < len(rows)
        and stated < _MOST_HEADS
        and rows[stated]
        and all(cell.head for cell in rows[stated])
    ):
        stated += 1
    if stated:
        return stated if stated < len(rows) else 1
    if not placed or not any(cell.columns > 1 for cell in rows[0]):
        return 0
    count = 1
    while count < min(len(placed) - 1, _MOST_HEADS) and any(
        cell.columns > 1 for cell in rows[count - 1]
    ):
        own = [
            text
            for (top, _), text in zip(origins[count], placed[count], strict=True)
            if top == count
        ]
        if not is_header(own):
            break
        count += 1
    return count if is_header(placed[0]) or count > 1 else 0
