"""The straight lines drawn on a PDF page: borders of cells, and lines through text that strike it
out.

Asks pdfium for the page's objects. Knows nothing of text and tables.
"""

from __future__ import annotations

import ctypes
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import TYPE_CHECKING, Any

from fieldpack_build.documents.pdf.pdfium import Pdfium, pdfium
from fieldpack_build.documents.pdf.text import turned

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_THICKEST = 3.0  # points; what is thicker is an area
_LENGTH = 6  # times the thickness at least
_MOST_PATHS = 5000  # more are a drawing
_MOST_POINTS = 2000  # of one path
_PATH, _FORM = 2, 5  # FPDF_PAGEOBJ_*
_LINE_TO, _MOVE_TO = 0, 2  # FPDF_SEGMENT_*


_Box = tuple[float, float, float, float]
_Matrix = tuple[float, float, float, float, float, float]


@dataclass(slots=True)
class Rules:
    """The lines drawn on a page, as boxes [lines, left right bottom top] in points.

    Those of `across` are wider than high, those of `upright` higher.
    """

    across: NDArray[np.float32]
    upright: NDArray[np.float32]

    @classmethod
    def of(cls, boxes: NDArray[np.float32]) -> Rules:
        """Return the rules of some boxes [lines, left right bottom top]."""
        wide = (boxes[:, 1] - boxes[:, 0]) >= (boxes[:, 3] - boxes[:, 2])
        return cls(boxes[wide], boxes[~wide])

    @property
    def is_empty(self) -> bool:
        """Return whether nothing is drawn."""
        return not (len(self.across) or len(self.upright))


def read_rules(page: Any, others: Sequence[_Box], turn: int) -> Rules:
    """Read the lines drawn on a page, as they are on the page turned by `turn` quarters.

    `page` is a pypdfium2.PdfPage, `others` are lines that lie on top of it; see `text.turned`.
    """
    import numpy as np

    handle = ctypes.cast(page.raw, ctypes.c_void_p).value
    thin, boxes = _Reader(pdfium()).rules(handle)
    more = np.array([*boxes, *others], np.float32).reshape(-1, 4)
    return Rules.of(turned(np.concatenate((thin, more)), turn))


class _Reader:
    def __init__(self, api: Pdfium) -> None:
        self._api = api
        self._numbers = (ctypes.c_float * 6)()
        self._at = ctypes.addressof(self._numbers)
        self._flags = (ctypes.c_int * 2)()

    def rules(self, page: int | None) -> tuple[NDArray[np.float32], list[_Box]]:
        """Paths that are lines as a whole, and the lines that others are drawn with."""
        import numpy as np

        count = self._api.count_objects(page)
        objects = list(map(self._api.object, repeat(page, count), range(count)))
        types = bytes(map(self._api.type, objects))
        forms = [line for i in _places(types, _FORM) for line in self._of_form(objects[i])]
        if not 0 < types.count(_PATH) <= _MOST_PATHS:
            return np.zeros((0, 4), np.float32), forms
        paths = [objects[i] for i in _places(types, _PATH)]
        boxes = np.zeros((len(paths), 4), np.float32)
        at = range(
            boxes.ctypes.data, boxes.ctypes.data + boxes.nbytes, 4
        )  # left, bottom, right, top
        deque(map(self._api.bounds, paths, at[::4], at[1::4], at[2::4], at[3::4]), maxlen=0)
        sides = np.sort(boxes[:, 2:] - boxes[:, :2], axis=1)
        is_thin = sides[:, 0] <= _THICKEST
        sides_of_others = [
            line
            for i in np.flatnonzero(~is_thin).tolist()
            for line in self._lines_of(paths[i], None)
        ]
        return boxes[is_thin & (sides[:, 1] >= _LENGTH * sides[:, 0])][:, [0, 2, 1, 3]], [
            *forms,
            *sides_of_others,
        ]

    def _of_form(self, form: int) -> Iterator[_Box]:
        """The paths of a form, which have its coordinates. Forms within forms are passed over."""
        matrix = self._matrix(form)
        count = self._api.count_form_objects(form)
        if count <= _MOST_PATHS:
            for i in range(count):
                one = self._api.form_object(form, i)
                if self._api.type(one) == _PATH:
                    yield from self._of_path(one, matrix)

    def _of_path(self, path: int, matrix: _Matrix | None) -> Iterator[_Box]:
        at = self._at
        if not self._api.bounds(path, at, at + 4, at + 8, at + 12):
            return
        left, bottom, right, top, _, _ = self._numbers
        wide, high = right - left, top - bottom
        thin, long = (wide, high) if wide < high else (high, wide)
        if thin <= _THICKEST:
            if long >= _LENGTH * thin:
                yield _moved((left, bottom, right, top), matrix)
        else:
            yield from self._lines_of(path, matrix)

    def _lines_of(self, path: int, matrix: _Matrix | None) -> Iterator[_Box]:
        count = self._api.count_points(path)
        if count > _MOST_POINTS:
            return
        flags = ctypes.addressof(self._flags)
        self._api.draw_mode(path, flags, flags + 4)
        if not self._flags[1]:  # not stroked
            return
        own = self._matrix(path)
        start = before = (0.0, 0.0)
        for i in range(count):
            point = self._api.point(path, i)
            self._api.point_place(point, self._at, self._at + 4)
            place = _at(self._numbers[0], self._numbers[1], own)
            kind = self._api.point_type(point)
            if kind == _MOVE_TO:
                start = place
            elif kind == _LINE_TO:
                yield from _straight(before, place, matrix)
                if self._api.point_closes(point):
                    yield from _straight(place, start, matrix)
            before = place

    def _matrix(self, one: int) -> _Matrix:
        self._api.matrix(one, self._at)
        a, b, c, d, e, f = self._numbers[:6]
        return a, b, c, d, e, f


def _places(types: bytes, kind: int) -> Iterator[int]:
    at = types.find(kind)
    while at >= 0:
        yield at
        at = types.find(kind, at + 1)


def _at(x: float, y: float, matrix: _Matrix) -> tuple[float, float]:
    a, b, c, d, e, f = matrix
    return a * x + c * y + e, b * x + d * y + f


def _moved(box: _Box, matrix: _Matrix | None) -> _Box:
    """As left, right, bottom, top."""
    left, bottom, right, top = box
    if matrix:
        (left, bottom), (right, top) = _at(left, bottom, matrix), _at(right, top, matrix)
    return min(left, right), max(left, right), min(bottom, top), max(bottom, top)


def _straight(
    a: tuple[float, float], b: tuple[float, float], matrix: _Matrix | None
) -> Iterator[_Box]:
    thin, long = sorted((abs(a[0] - b[0]), abs(a[1] - b[1])))
    if thin <= _THICKEST and long >= max(_LENGTH * thin, _THICKEST):
        yield _moved((min(a[0], b[0]), min(a[1], b[1]), max(a[0], b[0]), max(a[1], b[1])), matrix)
