"""Tables whose rows are parted by lines drawn across the whole table and whose columns by blanks
alone.

Conservative: the lines begin and end at the same edges, every piece of text between them stands
within the edges and in one column, no cell holds two figures, and either a cell beside the labels
goes on over several lines or there are no figures at all: other tables are found by their figures.
Knows nothing of pdfium and of tables whose columns have borders too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from fieldpack.figures import is_printed_figure
from fieldpack_build.documents.pdf.grid import BorderedTable
from fieldpack_build.documents.pdf.rules import Rules
from fieldpack_build.documents.pdf.scripts import spoken
from fieldpack_build.documents.pdf.text import Line, Segment

_MEET = 2.5  # points: lines that end there begin and end at the same edge
_LINES = 3  # across, at least
_MOST_LINES = 400
_FILLED = 0.8  # of the rows: share that has words in two columns or more
_LONGEST = 600  # characters of a cell; a longer one is a column of a page
_HEAD_LINES = 4  # above the first line
_HEAD_GAP = 1.5  # times the height of the type, from the first line to the head above it
_LINE_GAP = 0.6  # times the height, between two lines of a head


class _Across(NamedTuple):
    left: float
    right: float
    y: float


class _Piece(NamedTuple):
    line: int
    y: float
    segment: Segment


def take_ruled_rows(lines: Sequence[Line], rules: Rules) -> list[BorderedTable]:
    """Return the tables among the lines of a page, whose `lines` are places in `lines`."""
    tables: list[BorderedTable] = []
    for group in _groups(rules):
        taken = frozenset().union(*(table.lines for table in tables))
        if table := _table(lines, group, taken):
            tables.append(table)
    return tables


def _groups(rules: Rules) -> Iterator[list[_Across]]:
    """Lines that begin and end at the same edges, from top to bottom; pieces that touch are one."""
    if not _LINES <= len(rules.across) <= _MOST_LINES:
        return
    whole: list[_Across] = []
    boxes = sorted(rules.across.tolist(), key=lambda box: (-(box[2] + box[3]) / 2, box[0]))
    for left, right, bottom, top in boxes:
        y = (bottom + top) / 2
        touching = next(
            (
                i
                for i, line in enumerate(whole)
                if abs(line.y - y) <= _MEET / 2
                and left <= line.right + _MEET
                and right >= line.left - _MEET
            ),
            None,
        )
        if touching is None:
            whole.append(_Across(left, right, y))
        else:
            line = whole[touching]
            whole[touching] = _Across(min(line.left, left), max(line.right, right), line.y)
    while whole:
        first = whole[0]
        group = [
            line
            for line in whole
            if abs(line.left - first.left) <= _MEET and abs(line.right - first.right) <= _MEET
        ]
        whole = [line for line in whole if line not in group]
        if len(group) >= _LINES:
            yield group


def _table(
    lines: Sequence[Line], group: Sequence[_Across], taken: frozenset[int]
) -> BorderedTable | None:
    top, bottom = group[0], group[-1]
    pieces: list[_Piece] = []
    for number, line in enumerate(lines):
        for segment in line.segments:
            middle = (segment.bottom + segment.top) / 2
            if bottom.y < middle < top.y and segment.right > top.left and segment.left < top.right:
                inside = top.left - _MEET <= segment.left and segment.right <= top.right + _MEET
                if not inside or number in taken:
                    return None
                pieces.append(_Piece(number, middle, segment))
    own = {piece.line for piece in pieces}
    if sum(len(lines[number].segments) for number in own) != len(pieces):
        return None  # a line that reaches out of the table
    columns = _columns(pieces)
    if len(columns) < 2:
        return None
    rows = [
        [piece for piece in pieces if below.y < piece.y < above.y]
        for above, below in pairwise(group)
    ]
    rows = [row for row in rows if row]
    cells = [[_cell(row, column) for column in columns] for row in rows]
    if not cells:
        return None
    head = _head(lines, top, columns, taken | own)
    if not _is_table(cells, has_head=bool(head)):
        return None
    if head:
        cells.insert(0, [_cell(head, column) for column in columns])
        own |= {piece.line for piece in head}
    texts = [[_text(cell) for cell in row] for row in cells]
    return BorderedTable(texts, frozenset(own)) if len(texts) > 1 else None


def _columns(pieces: Sequence[_Piece]) -> list[tuple[float, float]]:
    """Left and right of the columns: what overlaps from left to right is one."""
    columns: list[tuple[float, float]] = []
    for piece in sorted(pieces, key=lambda piece: piece.segment.left):
        if columns and piece.segment.left < columns[-1][1]:
            columns[-1] = columns[-1][0], max(columns[-1][1], piece.segment.right)
        else:
            columns.append((piece.segment.left, piece.segment.right))
    return columns


def _cell(row: Sequence[_Piece], column: tuple[float, float]) -> list[_Piece]:
    """The pieces of a row that stand in a column, from top to bottom."""
    own = [p for p in row if p.segment.left < column[1] and p.segment.right > column[0]]
    return sorted(own, key=lambda piece: (-piece.y, piece.segment.left))


def _is_table(cells: Sequence[Sequence[Sequence[_Piece]]], *, has_head: bool) -> bool:
    """A label that goes on beside figures on single lines is no reason, nor is a head that does:
    such tables are found by their figures."""
    figures = [
        [sum(is_printed_figure(spoken(piece.segment.text)) for piece in cell) for cell in row]
        for row in cells
    ]
    if any(count > 1 for row in figures for count in row):
        return False  # several rows between two lines
    if any(sum(len(p.segment.text) for p in cell) > _LONGEST for row in cells for cell in row):
        return False
    filled = sum(sum(map(bool, row)) > 1 for row in cells)
    body = cells if has_head else cells[1:]
    wrapped = any(len(cell) > 1 for row in body for cell in row[1:])
    return filled >= _FILLED * len(cells) and (wrapped or not any(map(any, figures)))


def _head(
    lines: Sequence[Line],
    top: _Across,
    columns: Sequence[tuple[float, float]],
    taken: frozenset[int] | set[int],
) -> list[_Piece]:
    """The names above the first line, if that line is drawn below them and not above: the lines of
    text right above it, as long as each piece stands over one column."""
    head: list[_Piece] = []
    edge, gap = top.y, _HEAD_GAP
    above = [
        (number, line)
        for number, line in enumerate(lines)
        if number not in taken and line.segments and line.segments[0].bottom > top.y - _MEET
    ]
    for number, line in sorted(above, key=lambda entry: entry[1].segments[0].bottom):
        height = max(line.segments[0].top - line.segments[0].bottom, 1.0)
        same_line = bool(head) and line.segments[0].bottom < edge
        if not same_line and line.segments[0].bottom - edge > gap * height:
            break
        for segment in line.segments:
            over = sum(segment.left < right and segment.right > left for left, right in columns)
            if over != 1:
                return head
        middle = (line.segments[0].bottom + line.segments[0].top) / 2
        head += [_Piece(number, middle, segment) for segment in line.segments]
        edge, gap = line.segments[0].top, _LINE_GAP
        if len({piece.y for piece in head}) > _HEAD_LINES:
            return []
    named = {
        at
        for at, (left, right) in enumerate(columns)
        for piece in head
        if piece.segment.left < right and piece.segment.right > left
    }
    return head if len(named) > 1 else []


def _text(cell: Sequence[_Piece]) -> str:
    return " ".join(spoken(piece.segment.text) for piece in cell)
