"""Puts the pages of a PDF together from their lines: headings, paragraphs, tables, running headers.

Knows nothing of pdfium and of files.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from fieldpack_build.documents.pages import HeadingPath, Page, PageBuilder
from fieldpack_build.documents.pdf.headings import find_headings, find_running_lines
from fieldpack_build.documents.pdf.hyphens import Hyphens
from fieldpack_build.documents.pdf.tables import Table
from fieldpack_build.documents.pdf.text import HYPHEN, Line

# A new paragraph: a step to the next line of more than 1.35 times the page's usual one. Filings
# made by wkhtmltopdf step 1.0 within and 1.6 or more between; chromium 1.0 and 1.5.
_PARAGRAPH_STEP = 1.35
_CONTINUED = 6  # lines at the top of a page before a table that may go on from the page before


@dataclass(slots=True)
class Sheet:
    """A page as it was read. `number` counts from 1."""

    number: int
    lines: list[Line]
    tables: list[Table]


def lay_out(sheets: Sequence[Sheet]) -> tuple[Page, ...]:
    """Return the pages of a document, with headings, tables and running lines told apart."""
    running = find_running_lines([sheet.lines for sheet in sheets])
    titles = [
        sheet.lines[table.title]
        for sheet in sheets
        for table in sheet.tables
        if table.title is not None
    ]
    inside = [sheet.lines[i] for sheet in sheets for table in sheet.tables for i in table.lines]
    headings = find_headings([_outside_tables(sheet) for sheet in sheets], titles, inside)
    layout = _Layout(headings, running, {id(line) for line in titles})
    return tuple(layout.page(sheet) for sheet in sheets)


def join_hyphens(sheets: Sequence[Sheet]) -> None:
    """Write the words of lines and tables without HYPHEN, as `Hyphens` has it."""
    if not any(HYPHEN in line.text for sheet in sheets for line in sheet.lines):
        return
    hyphens = Hyphens(line.text for sheet in sheets for line in sheet.lines)
    for sheet in sheets:
        for line in sheet.lines:
            line.text = hyphens.resolve(line.text)
        for table in sheet.tables:
            table.rows = [[hyphens.resolve(cell) for cell in row] for row in table.rows]


def _outside_tables(sheet: Sheet) -> list[Line]:
    """The lines outside of tables, with an empty one in each table's place: the titles of two
    tables are no neighbours."""
    inside = {i: table for table in sheet.tables for i in table.lines}
    lines: list[Line] = []
    before: Table | None = None
    for i, line in enumerate(sheet.lines):
        table = inside.get(i)
        if table is None:
            lines.append(line)
        elif table is not before:
            lines.append(Line("", 0.0, False, False, line.y, line.last_y))
        before = table
    return lines


class _Layout:
    """`headings`: id of a heading's first line -> its level and its number of lines."""

    def __init__(
        self, headings: Mapping[int, tuple[int, int]], running: set[int], titles: set[int]
    ) -> None:
        self._headings = headings
        self._running = running
        self._titles = titles
        self._path = HeadingPath()
        self._open_title: int | None = (
            None  # level of the table's title that is the innermost heading
        )

    def page(self, sheet: Sheet) -> Page:
        builder = PageBuilder(self._path)
        lines = sheet.lines
        inside = {line: table for table in sheet.tables for line in table.lines}
        # A table's title holds on the next page only if a table without one goes on at its top.
        goes_on = any(inside[i].title is None for i in range(_CONTINUED) if i in inside)
        if self._open_title is not None and not goes_on:
            builder.close(self._open_title)
            self._open_title = None
        paragraph: list[str] = []
        starts_paragraph = _paragraph_test(lines)

        def flush() -> None:
            builder.text("\n".join(paragraph))
            paragraph.clear()

        done: set[int] = set()
        i = 0
        while i < len(lines):
            line, count = lines[i], 1
            if table := inside.get(i):
                if id(table) not in done:
                    flush()
                    builder.table(table.rows)
                    done.add(id(table))
            elif id(line) in self._running:
                flush()
                builder.aside(line.text)
            elif heading := self._headings.get(id(line)):
                flush()
                level, count = heading
                builder.heading(level, "\n".join(line.text for line in lines[i : i + count]))
                self._open_title = level if id(line) in self._titles else None
            else:
                if starts_paragraph(i) or i - 1 in inside:
                    flush()
                paragraph.append(line.text)
            i += count
        flush()
        return builder.page(sheet.number)


def _paragraph_test(lines: Sequence[Line]) -> Callable[[int], bool]:
    steps = [
        round(above.last_y - below.y, 1)
        for above, below in pairwise(lines)
        if above.last_y > below.y
    ]
    usual = Counter(steps).most_common(1)[0][0] if steps else 0.0

    def starts(i: int) -> bool:
        if i == 0 or not usual:
            return False
        step = lines[i - 1].last_y - lines[i].y
        return step > _PARAGRAPH_STEP * usual or step < -usual  # up the page: the next column

    return starts
