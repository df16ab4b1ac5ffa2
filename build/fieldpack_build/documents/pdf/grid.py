"""Tables whose cells have borders: the lines drawn on a page make cells, and each piece of text
stands in one.

A cell over several rows says its words on each of them; a head over several columns is part of each
of their heads. Knows nothing of pdfium and of tables without borders.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from fieldpack.figures import is_printed_figure
from fieldpack_build.documents.grid import REPEATED_LIMIT
from fieldpack_build.documents.pdf.rules import Rules
from fieldpack_build.documents.pdf.scripts import spoken
from fieldpack_build.documents.pdf.text import Line, Segment

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# points between the end of one line and another that it meets: the thickness of either, and a
# little
_MEET = 2.5
_MOST_LINES = 2000  # of one direction
_MOST_CELLS = 3000  # of a page; more are a drawing
_HEAD_ROWS = 4
_LONGEST = 3000  # characters of a cell; a longer one is a column of a page with borders


@dataclass(slots=True)
class BorderedTable:
    """A table with borders.

    `rows` begin with the head; `lines` are the numbers of the page's lines in it.
    """

    rows: list[list[str]]
    lines: frozenset[int]


@dataclass(slots=True)
class _Cell:
    """`row`, `column` to `last_row`, `last_column` of the grid, and its pieces of text with the
    baselines of their lines."""

    row: int
    column: int
    last_row: int
    last_column: int
    pieces: list[tuple[float, Segment]] = field(default_factory=list)

    @property
    def text(self) -> str:
        """From top to bottom and, within a line, from left to right."""
        lines: list[tuple[float, list[Segment]]] = []
        for y, segment in sorted(self.pieces, key=lambda piece: -piece[0]):
            if lines and lines[-1][0] - y <= (segment.top - segment.bottom) / 2:
                lines[-1][1].append(segment)
            else:
                lines.append((y, [segment]))
        return spoken(
            " ".join(
                segment.text
                for _, line in lines
                for segment in sorted(line, key=lambda segment: segment.left)
            )
        )

    @property
    def is_one(self) -> bool:
        """Whether it may be one cell: it holds no rows or columns of figures, and not half a page."""
        figures = sum(is_printed_figure(spoken(segment.text)) for _, segment in self.pieces)
        return figures < 2 and sum(len(segment.text) for _, segment in self.pieces) <= _LONGEST


@dataclass(slots=True)
class Grid:
    """The cells that lines make: `xs` from left to right, `ys` from top to bottom.

    `cells` are by row and column, a merged one at each of its places.
    """

    xs: list[float]
    ys: list[float]
    cells: list[list[_Cell]]

    def place(self, segment: Segment) -> _Cell | None:
        """Return the cell in which the middle of a piece of text stands, if any."""
        x, y = (segment.left + segment.right) / 2, (segment.bottom + segment.top) / 2
        if not (self.xs[0] < x < self.xs[-1] and self.ys[-1] < y < self.ys[0]):
            return None
        column = sum(edge <= x for edge in self.xs[1:-1])
        row = sum(edge >= y for edge in self.ys[1:-1])
        return self.cells[row][column]

    def holds(self, cell: _Cell, segment: Segment) -> bool:
        """Return whether a piece of text stays within the cell, but for half its height."""
        slack = (segment.top - segment.bottom) / 2
        return (
            self.xs[cell.column] - slack <= segment.left
            and segment.right <= self.xs[cell.last_column + 1] + slack
        )

    def distinct(self) -> list[_Cell]:
        """Return each cell once, a merged one at its first place."""
        return [
            cell
            for i, row in enumerate(self.cells)
            for j, cell in enumerate(row)
            if (cell.row, cell.column) == (i, j)
        ]


def take_grids(lines: Sequence[Line], rules: Rules) -> tuple[list[Line], list[BorderedTable]]:
    """Return the lines of a page and the tables with borders that are among them.

    A line that reaches out of a table is parted in two.
    """
    tables: list[tuple[list[list[str]], set[int]]] = []
    taken = list(lines)
    for grid in _grids(rules):
        parted, inside = _fill(taken, grid)
        # The first cell, if it is as wide as the table, stands above it as a line of text.
        first = grid.cells[0][0]
        is_title = first.last_column == len(grid.xs) - 2 and first.last_row < len(grid.ys) - 3
        rows = _rows(grid, skip=is_title)
        if not inside or len(rows) < 2 or sum(map(any, zip(*rows, strict=True))) < 2:
            continue
        above = {id(segment) for _, segment in first.pieces} if is_title else set()
        taken = parted
        tables.append(
            (
                rows,
                {id(line) for line in inside if not all(id(own) in above for own in line.segments)},
            )
        )
    numbers = {id(line): i for i, line in enumerate(taken)}
    return taken, [
        BorderedTable(rows, frozenset(numbers[i] for i in inside)) for rows, inside in tables
    ]


def _fill(lines: Sequence[Line], grid: Grid) -> tuple[list[Line], list[Line]]:
    """All lines, parted at the table's edges, and those inside; none inside if its lines are no
    borders of cells: text reaches over them, or a cell holds several figures or as much as a page.
    """
    parted: list[Line] = []
    inside: list[Line] = []
    for line in lines:
        own: list[Segment] = []
        for segment in line.segments:
            cell = grid.place(segment)
            if cell:
                if not grid.holds(cell, segment):
                    return list(lines), []
                cell.pieces.append((line.y, segment))
                own.append(segment)
        if not own or len(own) == len(line.segments):
            parted.append(line)
            inside += [line] if own else []
            continue
        others = [segment for segment in line.segments if all(segment is not one for one in own)]
        for side in sorted((others, own), key=lambda side: side[0].left):
            words = spoken(" ".join(segment.text for segment in side))
            parted.append(replace(line, text=words, columns=len(side) > 1, segments=side))
            inside += [parted[-1]] if side is own else []
    if not all(cell.is_one for cell in grid.distinct()):
        return list(lines), []
    return parted, inside


def _rows(grid: Grid, *, skip: bool) -> list[list[str]]:
    """The head in one row, whatever its height, then the other rows that say something.

    `skip`: the first cell is the table's title. A merged cell says its words on each of its rows,
    but in its first column alone.
    """
    above = grid.cells[0][0].last_row + 1 if skip else 0
    cells = grid.cells[above:]
    texts = {id(cell): cell.text for cell in grid.distinct()}
    height = 1  # of the head: a cell over several columns has their own heads below it
    while height < min(_HEAD_ROWS, len(cells) - 1) and any(
        cell.column < cell.last_column and cells[height][cell.column] is not cell
        for cell in cells[height - 1]
    ):
        height += 1
    head = []
    for column in zip(*cells[:height], strict=True):
        own = {id(cell): texts[id(cell)] for cell in column}  # each merged cell once
        head.append(" ".join(text for text in own.values() if text))
    rows = [head]
    for i, row in enumerate(grid.cells[above + height :], start=above + height):
        rows.append(
            [
                texts[id(cell)]
                if j == cell.column and (i == cell.row or len(texts[id(cell)]) <= REPEATED_LIMIT)
                else ""
                for j, cell in enumerate(row)
            ]
        )
    used = [any(column) for column in zip(*rows, strict=True)]
    return [[text for text, use in zip(row, used, strict=True) if use] for row in rows if any(row)]


def _grids(rules: Rules) -> Iterator[Grid]:
    """From lines that meet, of which at least three are across or upright: two rows and two
    columns."""

    across, upright = rules.across, rules.upright
    if not 2 <= len(across) <= _MOST_LINES or not 2 <= len(upright) <= _MOST_LINES:
        return
    meets = (
        (across[:, None, 0] <= upright[None, :, 1] + _MEET)
        & (across[:, None, 1] >= upright[None, :, 0] - _MEET)
        & (across[:, None, 3] >= upright[None, :, 2] - _MEET)
        & (across[:, None, 2] <= upright[None, :, 3] + _MEET)
    )
    for rows, columns in _components(meets):
        grid = _grid(across[rows], upright[columns])
        if grid:
            yield grid


def _components(meets: NDArray[np.bool_]) -> Iterator[tuple[list[int], list[int]]]:
    """Numbers of lines across and upright that meet each other, directly or through others."""
    import numpy as np

    left = set(range(meets.shape[0]))
    while left:
        rows: set[int] = {min(left)}
        columns: set[int] = set()
        fresh = set(rows)
        while fresh:
            new = set(np.flatnonzero(meets[sorted(fresh)].any(axis=0)).tolist()) - columns
            columns |= new
            fresh = (
                set(np.flatnonzero(meets[:, sorted(new)].any(axis=1)).tolist()) - rows
                if new
                else set()
            )
            rows |= fresh
        left -= rows
        if len(rows) > 1 and len(columns) > 1:
            yield sorted(rows), sorted(columns)


def _grid(across: NDArray[np.float32], upright: NDArray[np.float32]) -> Grid | None:
    """None where the lines make no cells that are rectangles, or fewer than two rows and two
    columns of them."""
    xs = _edges(
        [
            *upright[:, :2].mean(axis=1).tolist(),
            float(across[:, 0].min()),
            float(across[:, 1].max()),
        ]
    )
    ys = _edges(
        [
            *across[:, 2:].mean(axis=1).tolist(),
            float(upright[:, 2].min()),
            float(upright[:, 3].max()),
        ]
    )[::-1]
    if len(xs) < 3 or len(ys) < 3 or (len(xs) - 1) * (len(ys) - 1) > _MOST_CELLS:
        return None
    cells: list[list[_Cell]] = [
        [_Cell(i, j, i, j) for j in range(len(xs) - 1)] for i in range(len(ys) - 1)
    ]
    for i in range(len(ys) - 1):
        for j in range(len(xs) - 1):
            y, x = (ys[i] + ys[i + 1]) / 2, (xs[j] + xs[j + 1]) / 2
            if j + 2 < len(xs) and not _is_drawn(upright, 0, xs[j + 1], y):
                _merge(cells, cells[i][j], cells[i][j + 1])
            if i + 2 < len(ys) and not _is_drawn(across, 2, ys[i + 1], x):
                _merge(cells, cells[i][j], cells[i + 1][j])
    grid = Grid(xs, ys, cells)
    distinct = grid.distinct()
    areas = sum(
        (cell.last_row - cell.row + 1) * (cell.last_column - cell.column + 1) for cell in distinct
    )
    if (
        areas != (len(xs) - 1) * (len(ys) - 1)
        or len({c.row for c in distinct}) < 2
        or len({c.column for c in distinct}) < 2
    ):
        return None
    return grid


def _edges(places: list[float]) -> list[float]:
    """Ascending; lines that lie on each other, or a line's width apart, are one."""
    edges: list[float] = []
    for place in sorted(places):
        if not edges or place - edges[-1] > _MEET:
            edges.append(place)
    return edges


def _is_drawn(lines: NDArray[np.float32], axis: int, at: float, middle: float) -> bool:
    """Whether a line runs at `at`, across `axis`, past the point `middle` of the other axis."""
    along = 2 - axis
    near = (lines[:, axis] - _MEET <= at) & (lines[:, axis + 1] + _MEET >= at)
    return bool((near & (lines[:, along] <= middle) & (lines[:, along + 1] >= middle)).any())


def _merge(cells: list[list[_Cell]], a: _Cell, b: _Cell) -> None:
    if a is b:
        return
    merged = _Cell(
        min(a.row, b.row),
        min(a.column, b.column),
        max(a.last_row, b.last_row),
        max(a.last_column, b.last_column),
    )
    for i in range(merged.row, merged.last_row + 1):
        for j in range(merged.column, merged.last_column + 1):
            if cells[i][j] is a or cells[i][j] is b:
                cells[i][j] = merged
