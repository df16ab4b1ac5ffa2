"""The columns of a table: where they stand, which cell belongs to which, and what their heads say.

Knows nothing of pages and lines.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fieldpack_build.documents.pdf.rows import Cell, Row

_SLACK = 4.0  # points that a head may stand out of its column
_LINE_END = 3  # characters between two lines
_NEAR = 20.0  # points from a column to a head that stands beside it


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of a table, as (left, right) edges in points.

    The first `labels` of them hold words, the others figures.
    """

    edges: tuple[tuple[float, float], ...]
    labels: int

    @property
    def figures(self) -> range:
        """Return the numbers of the columns of figures."""
        return range(self.labels, len(self.edges))

    @property
    def first_figure(self) -> float:
        """Return the left edge of the first column of figures, in points."""
        return self.edges[self.labels][0]

    def agree_with(self, other: Columns) -> bool:
        """Return whether both have the same columns of figures, one below the other."""
        mine, theirs = self.edges[self.labels :], other.edges[other.labels :]
        same = len(mine) == len(theirs) and self.labels == other.labels
        return same and all(a[0] < b[1] and b[0] < a[1] for a, b in zip(mine, theirs, strict=True))

    def is_over(self, cell: Cell) -> bool:
        """Return whether the cell stands over the columns of figures, and not over the labels."""
        first = self.first_figure
        label_end = max((right for _, right in self.edges[: self.labels]), default=first)
        return cell.right > first - _SLACK or cell.left >= min(label_end, first - 2 * _NEAR)

    def is_head(self, cell: Cell) -> bool:
        """Return whether a single cell over the figures is a head.

        It is in the middle of some or all of them, and not of the whole table.
        """
        first, last = self.first_figure, self.edges[-1][1]
        if not self.is_over(cell) or cell.left < first - 3 * _NEAR:
            return False
        return (
            abs(cell.centre - (first + last) / 2) < abs(cell.centre - (self.edges[0][0] + last) / 2)
            or cell.left > first
        )

    def cells(self, row: Row) -> list[str]:
        """Return the texts of a row by column, without empty ones at its end."""
        texts: list[list[str]] = [[] for _ in self.edges]
        for cell in row.cells:
            texts[self._place(cell)].append(cell.text)
        cells = [" ".join(text) for text in texts]
        while cells and not cells[-1]:
            cells.pop()
        return cells

    def head(self, rows: Sequence[Row], table_unit: re.Pattern[str]) -> list[str]:
        """Return one line: for each column what stands over it, from top to bottom.

        What stands over all columns goes to the left, and so does a cell in which `table_unit` is
        found: it is said of the whole table.
        """
        texts: list[list[str]] = [[] for _ in self.edges]
        below: list[tuple[Cell, Sequence[int]]] = []
        for row in reversed(rows):
            placed = [
                (cell, _of_same_head(cell, below) or places)
                for cell, places in self._spread(row.cells, table_unit)
            ]
            for cell, places in reversed(placed):
                for place in places:
                    texts[place].insert(0, cell.text)
            below += placed
        return [" ".join(text) for text in texts]

    def _place(self, cell: Cell) -> int:
        left, right = cell.left, cell.right
        shared = [(right if right < b else b) - (left if left > a else a) for a, b in self.edges]
        best = max(range(len(shared)), key=shared.__getitem__)
        if cell.is_figure:
            return best
        # A long label may reach into the first figures' column.
        starts = [i for i in range(self.labels) if cell.left < self.edges[i][1]]
        inside = shared[best] > 0 and cell.left > self.edges[best][0] - _NEAR
        return best if inside or not starts else starts[0]

    def _spread(
        self, cells: Sequence[Cell], table_unit: re.Pattern[str]
    ) -> Iterable[tuple[Cell, Sequence[int]]]:
        """The cells of a head's row, each with the columns that it is a head of."""
        figures = self.figures
        over = [cell for cell in cells if self.is_over(cell) and not table_unit.search(cell.text)]
        groups = len(figures) // len(over) if over else 0
        middle = (self.first_figure + self.edges[-1][1]) / 2
        for cell in cells:
            below = [
                i
                for i, (left, right) in enumerate(self.edges)
                if cell.left < right and left < cell.right
            ]
            below_figures = [i for i in below if i >= self.labels]
            # In the middle of three columns or more, as what stands over all of them is.
            is_central = len(figures) > 2 and abs(cell.centre - middle) < _NEAR
            if cell not in over:
                # The column of labels that it stands over; the first if it is over several or none.
                labels = [i for i in below if i < self.labels]
                yield cell, (labels[0] if len(labels) == 1 else 0,)
            elif len(over) == len(figures):
                yield cell, (figures[over.index(cell)],)
            elif len(over) == 1 and len(figures) > 1 and (len(below_figures) > 1 or is_central):
                # Over all columns: said once, at the left, and not again for each.
                yield cell, (0,) if self.labels else figures
            elif len(over) > 1 and groups > 1 and len(figures) == groups * len(over):
                at = over.index(cell) * groups
                yield cell, figures[at : at + groups]
            elif below_figures:
                yield cell, below_figures
            else:  # the nearest
                nearest = min(figures, key=lambda i: abs(sum(self.edges[i]) / 2 - cell.centre))
                yield cell, (nearest,)

    def is_first(self, cell: Cell) -> bool:
        """Return whether the cell is a label of the first column, and of no other."""
        return not cell.is_figure and self.labels > 1 and cell.right <= self.edges[1][0]


def _of_same_head(cell: Cell, below: Iterable[tuple[Cell, Sequence[int]]]) -> Sequence[int] | None:
    """Where the rest of a head of several lines stands: it was written right after, and stands
    under it."""
    return next(
        (
            to
            for other, to in below
            if 0 < other.start - cell.end <= _LINE_END and cell.overlaps(other)
        ),
        None,
    )


def columns_of(rows: Sequence[Row]) -> Columns:
    """Return the columns of some rows of figures.

    They are where the figures of all rows stand, laid over each other; the labels are what stands
    left of them.
    """
    figures = _merged((cell.left, cell.right) for row in rows for cell in row.figures)
    first = figures[0][0]
    words = [cell for row in rows for cell in row.cells if not cell.is_figure and cell.left < first]
    labels = _merged((cell.left, min(cell.right, first)) for cell in words)

    def is_free(cell: Cell) -> bool:
        i = bisect_left(figures, (cell.left, cell.left))
        return all(cell.right <= a or cell.left >= b for a, b in figures[max(i - 1, 0) : i + 1])

    between = _merged(
        (cell.left, cell.right)
        for row in rows
        for cell in row.cells
        if not cell.is_figure and cell.left >= first and is_free(cell)
    )
    return Columns((*labels, *sorted([*figures, *between])), len(labels))


def _merged(spans: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    merged: list[tuple[float, float]] = []
    for left, right in sorted(spans):
        if merged and left < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], right))
        else:
            merged.append((left, right))
    return merged
