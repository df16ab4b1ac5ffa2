"""Columns of prose that a PDF writes across the page, line by line: put one below the other, as they are read.

Most programs write column by column, which needs nothing. Knows nothing of pdfium, tables and headings.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from fieldpack_build.documents.pdf_text import Line, PageText, Segment

_LINES = 6  # that must agree on the gap between the columns; fewer may be a form, or a table of words
_LETTERS = 25  # characters on either side, on average: the cells of a table are shorter
_FIGURES = 8  # one character in so many, at most: the cells of a table have more
_PAIRED = 0.5  # of the lines from the first pair on
_STEP = 2.5  # times the height, from line to line of a column


@dataclass(slots=True)
class _Run:
    """Lines below each other, of two segments or one, and the gap from `left` to `right` that none of them crosses."""

    lines: list[Line]
    left: float
    right: float

    def take(self, line: Line) -> bool:
        above = self.lines[-1]
        height = line.segments[0].top - line.segments[0].bottom
        if not 0 < above.y - line.y < _STEP * height or len(line.segments) > 2:
            return False
        first, last = line.segments[0], line.segments[-1]
        left, right = self.left, self.right
        if first is not last or first.right < right:
            left = max(left, first.right)
        if first is not last or first.right >= right:
            right = min(right, last.left)
        if left >= right:
            return False
        self.left, self.right = left, right
        self.lines.append(line)
        return True


def in_reading_order(page: PageText) -> PageText:
    return replace(page, lines=list(_ordered(page.lines)))


def _ordered(lines: Sequence[Line]) -> Iterator[Line]:
    run: _Run | None = None
    for line in lines:
        if run and run.take(line):
            continue
        if run:
            yield from _columns(run)
            run = None
        if len(line.segments) == 2:
            run = _Run([line], line.segments[0].right, line.segments[1].left)
        else:
            yield line
    if run:
        yield from _columns(run)


def _columns(run: _Run) -> list[Line]:
    pairs = [line.segments for line in run.lines if len(line.segments) == 2]
    if len(pairs) < max(_LINES, _PAIRED * len(run.lines)) or not all(map(_is_prose, zip(*pairs, strict=True))):
        return run.lines
    sides: tuple[list[Line], list[Line]] = ([], [])
    for line in run.lines:
        for segment in line.segments:
            sides[segment.left >= run.right].append(replace(line, text=segment.text, columns=False, segments=[segment]))
    return [*sides[0], *sides[1]]


def _is_prose(segments: Sequence[Segment]) -> bool:
    text = "".join(segment.text for segment in segments)
    return len(text) >= _LETTERS * len(segments) and sum(map(str.isdigit, text)) * _FIGURES <= len(text)
