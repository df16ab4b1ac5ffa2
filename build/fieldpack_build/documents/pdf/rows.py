"""The rows of a PDF page: segments beside each other as cells, figures with their signs.

Knows nothing of tables and of pdfium.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from fieldpack.figures import (
    MONEY,
    find_grouped_figures,
    is_only_figures,
    is_printed_figure,
    is_printed_year,
)
from fieldpack_build.documents.pdf.scripts import spoken
from fieldpack_build.documents.pdf.text import PageText, Segment

_LEADERS = re.compile(r"(?:\s?\.){4,}\s*")
_OPENING = re.compile(rf"(?:[A-Z]{{1,2}})?[{MONEY}]\s?\(?|\(")
_CLOSING = re.compile(r"\)?\s?%?\)?[*†‡]?|\((?:[a-z]|\d)\)")
_AFTER_SIGN = re.compile(rf"(?<=[{MONEY}(])\s+(?=[\d.(—–-])|(?<=\d)\s+(?=[)%])")
_SIGN_GAP = 200  # points between "$" and its figure: both stand at the edges of a column
_CLOSE_GAP = 20  # points between a figure and its "(a)"
_PERCENT_GAP = 25  # between a figure and its ")" or "%", which may have a column of their own
_NEAR = 4  # times the height, that a cell of several lines may begin above what came before it
# times the height, between the thousands of a figure: a blank has a quarter of the type's size
_THOUSANDS_GAP = 0.32
_SAME = 0.03  # of a digit's width, that a blank of type of one width may differ from it
_TOUCH = 0.1  # times the height, that two pieces of a row may lie over each other
# rows back in which a segment may find its own: cells of several lines come one after the other
_WINDOW = 8


@dataclass(slots=True)
class Cell:
    """A piece of a row; `start` and `end` are characters of the page, the edges in points."""

    text: str
    left: float
    right: float
    start: int
    end: int
    is_figure: bool = False

    def overlaps(self, other: Cell) -> bool:
        """Return whether one of the two cells stands over the other."""
        return self.left < other.right and other.left < self.right

    @property
    def centre(self) -> float:
        """Return the middle between left and right, in points."""
        return (self.left + self.right) / 2


@dataclass(slots=True)
class Row:
    """Cells from left to right.

    `lines` are the numbers of the page's lines that they come from.
    """

    cells: list[Cell]
    bottom: float
    top: float
    lines: list[int]

    @property
    def height(self) -> float:
        """Return the height in points, at least 1."""
        return max(self.top - self.bottom, 1.0)

    @property
    def middle(self) -> float:
        """Return the middle between bottom and top, in points."""
        return (self.bottom + self.top) / 2

    @property
    def figures(self) -> list[Cell]:
        """Return the cells that are figures."""
        return [cell for cell in self.cells if cell.is_figure]

    @property
    def label(self) -> str:
        """Return the first cell's text, "" if it is a figure."""
        return "" if self.cells[0].is_figure else self.cells[0].text

    @property
    def is_data(self) -> bool:
        """Return whether the row holds figures of a table.

        They are at its end, with a label or more figures before them; years alone are the heads of
        columns.
        """
        figures = self.figures
        if not figures or len(self.cells) < 2 or not self.cells[-1].is_figure:
            return False
        words = sum(not cell.is_figure for cell in self.cells)
        return words <= len(figures) + 1 and not all(is_printed_year(cell.text) for cell in figures)

    def joined(self, below: Row) -> Row:
        """Return this row with the label of the one below.

        That one has figures only if this one has none.
        """
        first, other = self.cells[0], below.cells[0]
        label = Cell(
            f"{first.text} {other.text}",
            min(first.left, other.left),
            max(first.right, other.right),
            first.start,
            other.end,
        )
        return Row(
            [label, *(self.cells[1:] or below.cells[1:])],
            below.bottom,
            self.top,
            self.lines + below.lines,
        )


def read_rows(page: PageText) -> list[Row]:
    """Return the rows of a page in the order of its text.

    The row of a line's first segment comes first.
    """
    rows: list[_Parts] = []
    for number, line in enumerate(page.lines):
        for segment in line.segments:
            row = _row_of(rows, segment)
            if row is None:
                row = _Parts(segment.bottom, segment.top, [], [])
                rows.insert(_place_of(rows, segment), row)
            row.segments.append(segment)
            row.lines.append(number)
    made = (
        Row(_cells(page, row.segments), row.bottom, row.top, sorted(set(row.lines))) for row in rows
    )
    return [row for row in made if row.cells]


@dataclass(slots=True)
class _Parts:
    bottom: float
    top: float
    segments: list[Segment]
    lines: list[int]


def _row_of(rows: Sequence[_Parts], segment: Segment) -> _Parts | None:
    """The latest row at the height of the segment with nothing in its place."""
    bottom, top = segment.bottom, segment.top
    for row in reversed(rows[-_WINDOW:]):
        if row.bottom >= top or row.top <= bottom:
            continue
        shared = min(row.top, top) - max(row.bottom, bottom)
        if shared > 0.6 * min(row.top - row.bottom, top - bottom):
            slack = _TOUCH * (top - bottom)
            free = all(
                segment.left >= other.right - slack or segment.right <= other.left + slack
                for other in row.segments
            )
            return row if free else None
    return None


def _place_of(rows: Sequence[_Parts], segment: Segment) -> int:
    """After the last row above it: a cell of one line may come after a neighbour of two. A new
    column stays the last."""
    i = len(rows)
    while i > 0 and rows[i - 1].bottom + rows[i - 1].top < segment.bottom + segment.top:
        i -= 1
    is_near = i < len(rows) and segment.bottom - rows[-1].top < _NEAR * (
        segment.top - segment.bottom
    )
    return i if is_near else len(rows)


def _cells(page: PageText, segments: list[Segment]) -> list[Cell]:
    segments.sort(key=lambda segment: segment.left)
    cells: list[Cell] = []
    for piece in (piece for segment in segments for piece in _pieces(page, segment)):
        if cells and _belongs(cells[-1], piece):
            before = cells[-1]
            is_sign = _OPENING.fullmatch(before.text) is not None
            space = " " if piece.text[0] == "(" and not is_sign else ""
            # The column is where its figures are; its "$" may stand under the figures of the one
            # before.
            left = piece.left if is_sign else before.left
            cells[-1] = Cell(
                _tidy(before.text + space + piece.text), left, piece.right, before.start, piece.end
            )
        else:
            cells.append(piece)
    for cell in cells:
        cell.text = spoken(cell.text)
        cell.is_figure = is_printed_figure(cell.text)
    return cells


def _belongs(before: Cell, cell: Cell) -> bool:
    """A figure to the sign before it; a bracket, percent sign or mark of a note to the figure
    before it."""
    gap = cell.left - before.right
    if _OPENING.fullmatch(before.text):
        return gap < _SIGN_GAP and (cell.text[0].isdigit() or cell.text[0] in "(—–-.−")
    max_gap = _PERCENT_GAP if cell.text in (")", "%", ")%") else _CLOSE_GAP
    return (
        gap < max_gap
        and _CLOSING.fullmatch(cell.text) is not None
        and before.text[-1] in "0123456789)%—"
    )


def _pieces(page: PageText, segment: Segment) -> Iterator[Cell]:
    """A segment, parted at a row of dots and, if it is figures alone, between them."""
    text, height = segment.text, segment.top - segment.bottom
    dots = _LEADERS.search(text) if ".." in text or ". ." in text else None
    if dots:
        width = (segment.right - segment.left) / max(len(text), 1)
        if dots.start():
            right = segment.left + width * dots.start()
            yield Cell(
                text[: dots.start()].strip(),
                segment.left,
                right,
                segment.start,
                segment.start + dots.start(),
            )
        if dots.end() < len(text):
            yield from _figures(
                page, text[dots.end() :], segment.start + dots.end(), segment.right, height
            )
    elif text.strip("."):
        yield from _figures(page, text, segment.start, segment.right, height)


def _figures(page: PageText, text: str, start: int, right: float, height: float) -> Iterator[Cell]:
    left = float(page.boxes[start, 0])
    if " " not in text or not is_only_figures(text):
        yield Cell(_tidy(text), left, right, start, start + len(text))
        return
    words = [match.span() for match in re.finditer(r"\S+", text)]
    for first, last in find_grouped_figures(text):
        inside = [(a, b) for a, b in words if first <= a < last]
        gaps = [
            float(page.boxes[start + after, 0] - page.boxes[start + before - 1, 1])
            for (_, before), (after, _) in pairwise(inside)
        ]
        digit = page.boxes[start + inside[0][1] - 1]
        width = float(digit[1] - digit[0])  # as wide as a blank where all characters are
        if max(gaps) <= _THOUSANDS_GAP * height or all(
            abs(gap - width) <= _SAME * width for gap in gaps
        ):
            words = [word for word in words if word not in inside]
            words.append((first, inside[-1][1]))
    words.sort()
    a, b = words[-1]
    if len(words) > 1 and text[a:b] in MONEY and text[0] not in MONEY:  # its sign comes after it
        words[-2:] = [(words[-2][0], b)]
    if len(words) == 1:
        (a, b), *_ = words
        yield Cell(text[a:b], left, right, start, start + len(text))
        return
    for first, last in words:
        a, b = start + first, start + last - 1
        yield Cell(text[first:last], float(page.boxes[a, 0]), float(page.boxes[b, 1]), a, b + 1)


def _tidy(text: str) -> str:
    words = text.split()
    return _AFTER_SIGN.sub("", " ".join(words)) if len(words) > 1 else text.strip()
