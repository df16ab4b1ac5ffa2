"""The characters of a PDF page with their boxes, and the lines and segments that they make.

All that is asked of pdfium is asked here. Knows nothing of headings, tables or documents.
"""

from __future__ import annotations

import ctypes
import math
import re
from collections import deque
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise, repeat
from typing import TYPE_CHECKING, Any

from fieldpack_build.documents.pages import clean

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_LETTER = re.compile(r"\w")
_BOLD = re.compile(rb"bold|black|heavy|demi", re.IGNORECASE)
_SEGMENT_GAP = 0.7  # times the height of the type: the widest space of justified prose is half of that or less
COLUMN_GAP = 1.2  # times the size: wider than any space within a heading
_JUMP = 0.5  # times the height of the type, up or down: another line, though pdfium joins the two at a hyphen
_SAMPLE = 7  # characters asked for their direction: a page is turned as a whole or not at all


@dataclass(slots=True)
class Segment:
    """A piece of a line without a wide gap. `start` and `end` are characters of the page; the box is in points."""

    text: str
    start: int
    end: int
    left: float
    right: float
    bottom: float
    top: float


@dataclass(slots=True)
class Line:
    """`size` in points, 0 where the type changes within the line.

    `y` and `last_y` are the baselines, upwards, of its first and last character: pdfium joins two lines at a hyphen.
    """

    text: str
    size: float
    bold: bool
    columns: bool
    y: float
    last_y: float
    segments: list[Segment] = field(default_factory=list)

    @property
    def left(self) -> float:
        return self.segments[0].left

    @property
    def right(self) -> float:
        return self.segments[-1].right


@dataclass(slots=True)
class PageText:
    """The lines of a page in the order in which they were written.

    `boxes` is [characters, left right bottom top] in points; filled for the first and last character of each word.
    """

    lines: list[Line]
    text: str
    boxes: NDArray[np.float32]


class Pdfium:
    """pdfium's functions as C sees them.

    pypdfium2's own prototypes convert pointers and give up the interpreter's lock at each call: 0.8 microseconds a
    call against 0.4, and a page has some 4,000 characters.
    """

    def __init__(self) -> None:
        p, i, d = ctypes.c_void_p, ctypes.c_int, ctypes.c_double
        self.loose_box = _function("FPDFText_GetLooseCharBox", i, p, i, p)
        self.unicode = _function("FPDFText_GetUnicode", ctypes.c_uint, p, i)
        self.angle = _function("FPDFText_GetCharAngle", ctypes.c_float, p, i)
        self.origin = _function("FPDFText_GetCharOrigin", i, p, i, p, p)
        self.matrix = _function("FPDFText_GetMatrix", i, p, i, p)
        self.size = _function("FPDFText_GetFontSize", d, p, i)
        self.text_object = _function("FPDFText_GetTextObject", p, p, i)
        self.font = _function("FPDFTextObj_GetFont", p, p)
        self.font_name = _function("FPDFFont_GetBaseFontName", ctypes.c_size_t, p, p, ctypes.c_size_t)


@cache
def pdfium() -> Pdfium:
    return Pdfium()


def _function(name: str, result: Any, *arguments: Any) -> Any:
    from pypdfium2 import raw

    address = ctypes.cast(getattr(raw, name), ctypes.c_void_p).value
    assert address is not None
    return ctypes.PYFUNCTYPE(result, *arguments)(address)


def read_page(textpage: Any) -> PageText:
    """`textpage` is a pypdfium2.PdfTextPage."""
    return _Reader(textpage).read()


class _Reader:
    def __init__(self, textpage: Any) -> None:
        self._api = pdfium()
        self._textpage = textpage
        self._page = ctypes.cast(textpage.raw, ctypes.c_void_p).value
        self._count: int = textpage.count_chars()
        self._bold: dict[int, bool] = {}  # by font; a font lives as long as its page
        self._buffer = ctypes.create_string_buffer(128)
        self._numbers = (ctypes.c_float * 6)()
        self._point = (ctypes.c_double * 2)()

    def read(self) -> PageText:
        text = self._text()
        turn = self._turn(text)
        boxes = _turned(self._boxes(text), turn)
        return PageText(self._lines(text, boxes, turn), text, boxes)

    def _text(self) -> str:
        """One character of the string for each of pdfium's, so that both have the same index."""
        text: str = self._textpage.get_text_range() if self._count else ""
        if len(text) == self._count and max(text, default="") <= "\uffff":
            return text
        codes = map(self._api.unicode, repeat(self._page, self._count), range(self._count))
        return "".join(chr(code) if code < 0x110000 else "\ufffd" for code in codes).replace("\x02", "\ufffe")

    def _boxes(self, text: str) -> NDArray[np.float32]:
        """Asked for the ends of words alone, a third of the characters: what pdfium takes for a word has no gap."""
        import numpy as np

        boxes = np.zeros((self._count, 4), np.float32)
        starts, ends = _words(text)
        ask = np.concatenate((starts, ends))
        places = (boxes.ctypes.data + 16 * ask).tolist()
        deque(map(self._api.loose_box, repeat(self._page, len(places)), ask.tolist(), places), maxlen=0)
        return boxes[:, [0, 2, 3, 1]]  # FS_RECTF is left, top, right, bottom

    def _turn(self, text: str) -> int:
        """Quarters of a turn to the right that most of the text has: 3 where it runs up the page."""
        found = (_LETTER.search(text, i) for i in range(0, len(text), len(text) // _SAMPLE + 1))
        asked = (letter.start() for letter in found if letter)
        turns = [round(self._api.angle(self._page, i) / (math.pi / 2)) % 4 for i in asked]
        return max(set(turns), key=turns.count) if turns else 0

    def _lines(self, text: str, boxes: NDArray[np.float32], turn: int) -> list[Line]:
        lines: list[Line] = []
        segments = deque(_segments(text, boxes))
        for found in re.finditer(r"[^\r\n]+", text):
            own: list[Segment] = []
            while segments and segments[0].start < found.end():
                own.append(segments.popleft())
            words = _clean_but_hyphens(found[0]).strip()
            if words and own:
                lines.append(self._line(words, own, turn))
        return lines

    def _line(self, words: str, segments: list[Segment], turn: int) -> Line:
        first, last = segments[0].start, segments[-1].end - 1
        size, bold = self._type(first)
        if self._type(last) != (size, bold):
            size, bold = 0.0, False
        columns = any(b.left - a.right > COLUMN_GAP * size for a, b in pairwise(segments))
        return Line(words, size, bold, columns, self._baseline(first, turn), self._baseline(last, turn), segments)

    def _type(self, char: int) -> tuple[float, bool]:
        self._api.matrix(self._page, char, self._numbers)
        size = self._api.size(self._page, char) * math.hypot(self._numbers[2], self._numbers[3])
        return round(size * 2) / 2, self._is_bold(char)

    def _is_bold(self, char: int) -> bool:
        drawn = self._api.text_object(self._page, char)
        font = self._api.font(drawn) if drawn else None
        if not font:
            return False
        if font not in self._bold:
            self._api.font_name(font, self._buffer, len(self._buffer))
            self._bold[font] = _BOLD.search(self._buffer.value) is not None
        return self._bold[font]

    def _baseline(self, char: int, turn: int) -> float:
        at = ctypes.addressof(self._point)
        self._api.origin(self._page, char, at, at + 8)
        x, y = self._point
        return (y, x, -y, -x)[turn]


def _turned(boxes: NDArray[np.float32], turn: int) -> NDArray[np.float32]:
    """Boxes as they are when the page is held so that its text runs to the right."""
    left, right, bottom, top = boxes.T
    if turn == 0:
        return boxes
    turned = {1: (-top, -bottom, left, right), 2: (-right, -left, -top, -bottom), 3: (bottom, top, -right, -left)}[turn]
    import numpy as np

    return np.stack(turned, axis=1)


def _codes(text: str) -> NDArray[np.uint32]:
    import numpy as np

    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


def _words(text: str) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The first and the last characters of the runs without white space."""
    import numpy as np

    codes = _codes(text)
    solid = np.flatnonzero((codes > 32) & (codes != 0xA0) & (codes != 0xFFFE))
    apart = np.flatnonzero(np.diff(solid) > 1)
    if not solid.size:
        return solid, solid
    return solid[np.concatenate(([0], apart + 1))], solid[np.concatenate((apart, [solid.size - 1]))]


def _segments(text: str, boxes: NDArray[np.float32]) -> list[Segment]:
    import numpy as np

    first, last = _words(text)
    if not first.size:
        return []
    codes = _codes(text)
    line = np.cumsum((codes == 10) | (codes == 13))[first]
    left, right = boxes[first, 0], boxes[last, 1]
    bottom, top = np.minimum(boxes[first, 2], boxes[last, 2]), np.maximum(boxes[first, 3], boxes[last, 3])
    height = np.maximum(top - bottom, 1)[:-1]
    gap = left[1:] - right[:-1]
    jump = np.abs((bottom[1:] + top[1:]) - (bottom[:-1] + top[:-1])) / 2
    cut = (line[1:] != line[:-1]) | (gap > _SEGMENT_GAP * height) | (gap < -2 * height) | (jump > _JUMP * height)
    starts = np.concatenate(([0], np.flatnonzero(cut) + 1))
    ends = np.concatenate((starts[1:], [first.size]))
    edges = (
        np.minimum.reduceat(left, starts), np.maximum.reduceat(right, starts),
        np.minimum.reduceat(bottom, starts), np.maximum.reduceat(top, starts),
    )  # fmt: skip
    spans = zip(first[starts].tolist(), (last[ends - 1] + 1).tolist(), *(edge.tolist() for edge in edges), strict=True)
    return [Segment(_plain(text[start:end]), start, end, *box) for start, end, *box in spans]


def _plain(text: str) -> str:
    return text.replace("\ufffe", "-")


def _clean_but_hyphens(text: str) -> str:
    """U+FFFE is pdfium's mark for a hyphen at the end of a line, which `pdf` resolves."""
    if text.isprintable():
        return text
    return "\ufffe".join(clean(part) for part in text.split("\ufffe"))
