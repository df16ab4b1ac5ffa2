"""Tables of words without borders whose cells go on over several lines: "Fault", "Cause", "Remedy".

Conservative: every cell begins at the left edge of its head and at the height of its row, rows
stand further apart than the lines of a cell, and they were drawn one after the other. Knows nothing
of pdfium, figures and borders.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median
from typing import NamedTuple

from fieldpack.figures import is_printed_figure
from fieldpack_build.documents.pdf.scripts import spoken
from fieldpack_build.documents.pdf.text import Line, Segment

_ROWS = 3  # with the head
_LEFT = 0.3  # times the height, that a cell may begin beside its head's left edge
_LEVEL = 0.3  # times the height, that two cells of a row may differ
_APART = 1.2  # times the step from line to line of a cell, from row to row
_FARTHEST = 3.0  # times the height, from a row to the next
_MARKER = re.compile(r"[(\[]?(?:\d+|[^\W\d_]|[ivxIVX]+)[.)\]]+|\W+")
_HEAD_WORDS = 40  # characters of a head


class _Piece(NamedTuple):
    line: int
    column: int
    segment: Segment

    @property
    def y(self) -> float:
        return self.segment.bottom

    @property
    def height(self) -> float:
        return max(self.segment.top - self.segment.bottom, 1.0)


@dataclass(slots=True)
class _Row:
    pieces: list[_Piece] = field(default_factory=list)

    def is_level(self) -> bool:
        """Whether each cell begins at the top of the row, and the first column has one."""
        tops: dict[int, float] = {}
        for piece in self.pieces:
            tops[piece.column] = max(piece.y, tops.get(piece.column, piece.y))
        slack = _LEVEL * self.pieces[0].height
        return 0 in tops and len(tops) > 1 and max(tops.values()) - min(tops.values()) <= slack

    def cells(self, columns: int) -> list[str]:
        texts: list[list[str]] = [[] for _ in range(columns)]
        for piece in sorted(self.pieces, key=lambda piece: -piece.y):
            texts[piece.column].append(spoken(piece.segment.text))
        return [" ".join(text) for text in texts]


def find_word_tables(lines: Sequence[Line]) -> Iterator[tuple[list[list[str]], list[int]]]:
    """Yield the rows of each table, the head first, and the numbers of the lines in them."""
    i = 0
    while i < len(lines):
        head = lines[i].segments
        if len(head) > 1 and _may_be_head(head):
            rows = _rows(lines, i, [segment.left for segment in head])
            if rows:
                numbers = sorted({piece.line for row in rows for piece in row.pieces})
                yield [row.cells(len(head)) for row in rows], numbers
                i = numbers[-1]
        i += 1


def _may_be_head(segments: Sequence[Segment]) -> bool:
    """Short words and no figures; "(a)" and what follows it are a list."""
    if _MARKER.fullmatch(segments[0].text):
        return False
    return all(
        len(one.text) <= _HEAD_WORDS
        and any(map(str.isalpha, one.text))
        and not is_printed_figure(one.text)
        for one in segments
    )


def _rows(lines: Sequence[Line], first: int, lefts: Sequence[float]) -> list[_Row]:
    """The rows from line `first` on as long as they make a table; none if they make none."""
    pieces = list(_pieces(lines, first, lefts))
    # From line to line of a cell: the usual distance of two pieces of one column that follow each
    # other.
    steps = [
        a.y - b.y
        for a, b in pairwise(pieces)
        if a.column == b.column and 0 < a.y - b.y < 2 * a.height
    ]
    if not steps:
        return []
    step = median(steps)
    rows: list[_Row] = []
    lowest = 0.0
    for piece in sorted(pieces, key=lambda piece: -piece.y):
        if not rows or lowest - piece.y > _APART * step:  # a gap wider than a step parts two rows
            rows.append(_Row())
        rows[-1].pieces.append(piece)
        lowest = piece.y
    good = next((i for i, row in enumerate(rows) if not row.is_level()), len(rows))
    rows = rows[:good]
    in_order = all(
        max(p.line for p in a.pieces) < min(p.line for p in b.pieces) for a, b in pairwise(rows)
    )
    wrapped = any(len({piece.column for piece in row.pieces}) < len(row.pieces) for row in rows)
    return rows if len(rows) >= _ROWS and in_order and wrapped else []


def _pieces(lines: Sequence[Line], first: int, lefts: Sequence[float]) -> Iterator[_Piece]:
    """The pieces of the lines from `first` on that stand in the columns of `lefts`, until one does
    not."""
    highest = lines[first].segments[0].bottom
    lowest = highest
    for i in range(first, len(lines)):
        own = []
        for segment in lines[i].segments:
            height = max(segment.top - segment.bottom, 1.0)
            column = next(
                (c for c, left in enumerate(lefts) if abs(segment.left - left) <= _LEFT * height),
                None,
            )
            if column is None or (column + 1 < len(lefts) and segment.right > lefts[column + 1]):
                return
            if (
                segment.bottom > highest + _LEVEL * height
                or lowest - segment.top > _FARTHEST * height
            ):
                return
            own.append(_Piece(i, column, segment))
        lowest = min(lowest, *(piece.y for piece in own))
        yield from own
