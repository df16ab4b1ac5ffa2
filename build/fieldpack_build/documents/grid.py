"""Turns the cells of a sheet into titles, paragraphs and tables with their header rows.

Knows nothing of files: a grid is rows of strings, "" where a cell is empty.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise

from fieldpack.figures import is_figure_cell
from fieldpack_build.documents.pages import PageBuilder

Row = Sequence[str]
Span = tuple[int, int]  # first and last column of cells merged side by side

_DATE = re.compile(r"\d{1,4}[-./]\d{1,2}[-./]\d{1,4}(?:[T ].*)?")
_YEAR = re.compile(r"(?:19|20|21)\d\d")
# Characters of a merged cell that is repeated for each of its rows: a label. One of a megabyte over
# 100,000 rows of a small file would fill the memory.
REPEATED_LIMIT = 300
_NOTES = ("source", "note", "quelle", "*", "(")  # what a note begins with
_TITLE_LIMIT = 160  # characters; a longer line above a table is a note, not its title


def add_grid(
    builder: PageBuilder, rows: Sequence[Row], spans: Mapping[int, Sequence[Span]] | None = None
) -> None:
    """Add the tables of a sheet, with their titles and what stands around them.

    Empty rows part a sheet into areas. Lines of one cell above an area's columns are its title, at
    heading level 2. An area that begins with data and not with a row of names goes on with the
    table above it, as sums and groups do. `spans`: for a row, its cells merged side by side; such a
    row above a row of names is part of each name.
    """
    table: list[Row] = []
    waiting: list[
        str
    ] = []  # lines of an area without columns, which may be the title of the table below
    for start, end in _runs([any(row) for row in rows]):
        area = list(rows[start:end])
        lines = 0
        while lines < len(area) and sum(map(bool, area[lines])) < 2:
            lines += 1
        if lines == len(area):
            _flush(builder, table)
            builder.text("\n".join(waiting))
            waiting = ["".join(row) for row in area]
            continue
        names = _names(area[lines:], (spans or {}).get(start + lines, ()))
        if table and not is_header(names[0]):
            table += area
            continue
        _flush(builder, table)
        own = ["".join(row) for row in area[:lines]]
        if len(parts := _side_by_side(area[lines:])) > 1:
            # Tables beside each other come one after the other; the title goes with the first.
            for number, (first, last) in enumerate(parts):
                above: list[Row] = [] if number else [[line] for line in waiting + own]
                inside = {
                    row - start - lines + len(above): [
                        (left - first, right - first)
                        for left, right in merged
                        if first <= left and right <= last
                    ]
                    for row, merged in (spans or {}).items()
                    if start + lines <= row < end
                }
                add_grid(
                    builder, [*above, *(row[first : last + 1] for row in area[lines:])], inside
                )
            waiting = []
            continue
        # One or two short lines that are no sentences and no notes to the table above.
        is_title = len(waiting) < 3 and all(
            len(line) < 80 and line[-1] != "." and not line.lower().startswith(_NOTES)
            for line in waiting
        )
        if not is_title:
            builder.text("\n".join(waiting))
            waiting = []
        title, waiting = waiting + own, []
        builder.close(2)
        if title and len(title[0]) <= _TITLE_LIMIT:
            builder.heading(2, title.pop(0))
        builder.text("\n".join(title))
        table += names
    _flush(builder, table)
    builder.text("\n".join(waiting))


def _side_by_side(area: Sequence[Row]) -> list[Span]:
    """First and last column of each table in rows that are not empty: one, unless empty columns
    part it into tables of two columns or more, each with a head of its own and with names, not
    figures, in its first column.

    A single empty column is as often a gap of the layout: there the heads must be the same, or one
    table be longer.
    """
    width = max(len(row) for row in area)
    whole = [(0, width - 1)]
    full = (
        [any(column < len(row) and row[column] for row in area) for column in range(width)]
        if width > 4
        else []
    )
    if all(full):
        return whole
    parts = [(first, end - 1) for first, end in _runs(full)]
    if len(parts) < 2:
        return whole
    for first, last in parts:
        names = [row[first] for row in area[1:] if first < len(row) and row[first]]
        has_head = last > first and is_header(area[0][first : last + 1])
        if not has_head or not names or any(map(_is_figure, names)):
            return whole
    wide = all(right[0] - left[1] > 2 for left, right in pairwise(parts))
    heads = [tuple(area[0][first : last + 1]) for first, last in parts]
    depths = {
        max(at for at, row in enumerate(area) if any(row[first : last + 1]))
        for first, last in parts
    }
    return parts if wide or len(set(heads)) == 1 or len(depths) > 1 else whole


def _runs(filled: Sequence[bool]) -> list[tuple[int, int]]:
    """[start, end) of each run of what is filled."""
    edges = [False, *filled, False]
    turns = [i for i, (before, after) in enumerate(pairwise(edges)) if before != after]
    return list(zip(turns[::2], turns[1::2], strict=True))


def _flush(builder: PageBuilder, table: list[Row]) -> None:
    """A column without any cell is a gap of the layout; it goes."""
    width = max((len(row) for row in table), default=0)
    kept = [i for i in range(width) if any(i < len(row) and row[i] for row in table)]
    builder.table([[row[i] if i < len(row) else "" for i in kept] for row in table])
    table.clear()


def _names(area: list[Row], spans: Sequence[Span]) -> list[Row]:
    """The area with a header of two rows, groups above names, made one: "2024" over "Q1" and "Q2"
    is "2024 Q1"."""
    if not spans or len(area) < 3 or not is_header(area[1]):
        return area
    width = max(len(area[0]), len(area[1]))
    upper = _padded(area[0], width)
    for first, last in spans:
        if first >= width or len(upper[first]) > REPEATED_LIMIT:
            continue
        for column in range(first, min(last + 1, width)):
            upper[column] = upper[first]
    pairs = zip(upper, _padded(area[1], width), strict=True)
    return [
        [above if above == below else f"{above} {below}".strip() for above, below in pairs],
        *area[2:],
    ]


def _padded(row: Row, width: int) -> list[str]:
    return [*row, *[""] * (width - len(row))]


def is_header(row: Row) -> bool:
    """Return whether a row holds names and years, no figures and no dates."""
    cells = [cell for cell in row if cell]
    return len(cells) > 1 and all(_YEAR.fullmatch(cell) or not _is_figure(cell) for cell in cells)


def _is_figure(cell: str) -> bool:
    return is_figure_cell(cell) or _DATE.fullmatch(cell) is not None
