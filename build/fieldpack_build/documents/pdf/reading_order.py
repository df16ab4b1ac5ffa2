"""The lines of a PDF page in the order in which they are read, whatever the order in which they
were drawn.

Most programs draw column by column and from top to bottom, which needs nothing. Columns of prose
drawn line by line across the page are put one below the other; text drawn from the bottom up is
turned over. Knows nothing of pdfium, tables and headings.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from fieldpack.figures import is_printed_figure
from fieldpack_build.documents.pdf.scripts import spoken
from fieldpack_build.documents.pdf.text import HYPHEN, Line, PageText, Segment

_ROWS = 6  # that must agree on the gaps between columns; fewer may be a form, or a table of words
_LETTERS = 25  # characters in a cell, on average: the cells of a table are shorter
_FLOWING_ROWS = 4  # enough where the lines of a column go on with each other
_FLOWING_LETTERS = 12
_FLOWING = (
    0.5  # of the lines of each column begin with a small letter: they go on with the one above
)
_FIGURES = 8  # one character in so many, at most: the cells of a table have more
_FIGURE_STARTS = frozenset("0123456789$€£(-–—")
_PAIRED = 0.5  # of the rows from the first one on
_STEP = 2.5  # times the height, from row to row of a column
# times the height; the lines of a column are further apart: two that differ by less stand side by
# side
_SAME_ROW = 0.7
_CLIMBING = 4  # lines, each above the one before: drawn from the bottom up


def in_reading_order(page: PageText) -> PageText:
    """Return the page with its lines in the order in which they are read."""
    return replace(page, lines=_rejoined(_ordered(_downwards(_rows(page.lines)))))


@dataclass(slots=True)
class _Row:
    """Lines that stand beside each other, from left to right, and their segments."""

    lines: list[Line]
    segments: list[Segment]
    y: float
    height: float


def _downwards(rows: Sequence[_Row]) -> list[_Row]:
    """Runs of rows that climb the page, turned over."""
    turned: list[_Row] = []
    i = 0
    while i < len(rows):
        end = i + 1
        while end < len(rows) and rows[end].y > rows[end - 1].y:
            end += 1
        turned += reversed(rows[i:end]) if end - i >= _CLIMBING else rows[i:end]
        i = end
    return turned


def _rows(lines: Sequence[Line]) -> list[_Row]:
    rows: list[_Row] = []
    row: _Row | None = None
    for line in lines:
        if (
            row
            and abs(row.y - line.y) <= _SAME_ROW * row.height
            and all(line.left >= one.right or line.right <= one.left for one in row.segments)
        ):
            row.lines.append(line)
            row.segments = sorted([*row.segments, *line.segments], key=lambda segment: segment.left)
        else:
            first = line.segments[0]
            row = _Row([line], line.segments, line.y, max(first.top - first.bottom, 1.0))
            rows.append(row)
    return rows


class _Run:
    """Rows below each other and the gaps between columns that none of them crosses, each from left
    to right edge."""

    def __init__(self, row: _Row) -> None:
        self.rows = [row]
        self.gaps = [(a.right, b.left) for a, b in pairwise(row.segments)]

    def take(self, row: _Row) -> bool:
        above = self.rows[-1]
        if not 0 < above.y - row.y < _STEP * above.height or len(row.segments) > len(self.gaps) + 1:
            return False
        gaps = []
        for left, right in self.gaps:
            middle = (left + right) / 2
            left = max(
                [
                    left,
                    *(
                        segment.right
                        for segment in row.segments
                        if segment.left < middle and segment.right < right
                    ),
                ]
            )
            right = min(
                [
                    right,
                    *(
                        segment.left
                        for segment in row.segments
                        if segment.right > middle and segment.left > left
                    ),
                ]
            )
            if left >= right or any(
                segment.left < left and segment.right > right for segment in row.segments
            ):
                return False
            gaps.append((left, right))
        self.gaps = gaps
        self.rows.append(row)
        return True

    def columns(self) -> list[list[tuple[Line, Segment]]]:
        columns: list[list[tuple[Line, Segment]]] = [[] for _ in range(len(self.gaps) + 1)]
        for row in self.rows:
            for segment in row.segments:
                line = next(
                    line for line in row.lines if any(own is segment for own in line.segments)
                )
                columns[sum(segment.left >= right for _, right in self.gaps)].append(
                    (line, segment)
                )
        return columns


def _ordered(rows: Sequence[_Row]) -> Iterator[Line]:
    run: _Run | None = None
    for row in rows:
        beside = len(row.segments) > 1
        # Cells of figures alone are a table's, and not prose.
        is_table = beside and any(
            segment.text[0] in _FIGURE_STARTS and is_printed_figure(segment.text)
            for segment in row.segments
        )
        if run and not is_table and run.take(row):
            continue
        if run:
            yield from _read_out(run)
            run = None
        if beside and not is_table:
            run = _Run(row)
        else:
            yield from row.lines
    if run:
        yield from _read_out(run)


def _read_out(run: _Run) -> list[Line]:
    columns = run.columns()
    full = sum(len(row.segments) == len(columns) for row in run.rows)
    if full < max(_FLOWING_ROWS, _PAIRED * len(run.rows)) or not _are_prose(columns, full):
        return [line for row in run.rows for line in row.lines]
    return [
        replace(
            line,
            text=line.text if len(line.segments) == 1 else spoken(segment.text),
            columns=False,
            segments=[segment],
        )
        for column in columns
        for line, segment in column
    ]


def _are_prose(columns: Sequence[Sequence[tuple[Line, Segment]]], rows: int) -> bool:
    texts = [[segment.text for _, segment in column] for column in columns]
    for column in texts:
        if sum(map(str.isdigit, "".join(column))) * _FIGURES > len("".join(column)):
            return False
    if (
        rows >= _ROWS
        and len(columns) == 2
        and all(len("".join(column)) >= _LETTERS * len(column) for column in texts)
    ):
        return True
    for column in texts:
        # The lines of a column go on with each other; the items of a list or cells do not.
        going_on = sum(b[:1].islower() or a.endswith(HYPHEN) for a, b in pairwise(column))
        if len("".join(column)) < _FLOWING_LETTERS * len(column):
            return False
        if going_on < _FLOWING * (len(column) - 1):
            return False
    return True


def _rejoined(lines: Iterable[Line]) -> list[Line]:
    """A line that ends with a hyphen and the one that goes on with it as one line."""
    joined: list[Line] = []
    for line in lines:
        before = joined[-1] if joined else None
        is_hyphenated = False
        if before:
            # Also with a plain hyphen: pdfium marks none that has another column's text beside it.
            text, following = before.text, line.text[:1]
            marked = text.endswith(HYPHEN) and following.isalnum()
            plain = text.endswith("-") and text[-2:-1].isalpha() and following.islower()
            # Below in the same column, or in another one; beside it, the hyphen is at the end of a
            # column's or a cell's line.
            height = before.segments[-1].top - before.segments[-1].bottom
            apart = abs(before.last_y - line.y) > _SAME_ROW * height
            is_hyphenated = (marked or plain) and apart
        if before and is_hyphenated:
            size = before.size if before.size == line.size else 0.0
            before.text = before.text[:-1] + HYPHEN + line.text
            before.size, before.bold = size, before.bold and line.bold
            before.columns = before.columns or line.columns
            before.last_y = line.last_y
            before.segments = [*before.segments, *line.segments]
        else:
            joined.append(line)
    return joined
