"""The characters of a PDF page with their boxes, and the lines and segments that they make.

Knows nothing of headings, tables or documents.
"""

from __future__ import annotations

import ctypes
import math
import re
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise, repeat
from typing import TYPE_CHECKING, Any

from fieldpack_build.documents.pages import clean
from fieldpack_build.documents.pdf.pdfium import pdfium
from fieldpack_build.documents.pdf.scripts import (
    DROPPED,
    Run,
    find_scripts,
    on_baseline,
    spoken,
    written,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fieldpack_build.documents.pdf.rules import Rules

_LETTER = re.compile(r"\w")
_BOLD = re.compile(rb"bold|black|heavy|demi", re.IGNORECASE)
_SEGMENT_GAP = (
    0.7  # times the height of the type: the widest space of justified prose is half of that or less
)
COLUMN_GAP = 1.2  # times the size: wider than any space within a heading
# times the height of the type, up or down: another line, though pdfium joins the two at a hyphen
_JUMP = 0.5
_UNEVEN = 0.06  # times the height: a box may be a script's; the boxes of one font differ by less
_BESIDE, _LEVEL = 0.05, 0.01  # times the height, between characters of a word
_WIDEST = (
    1.0  # times the height, for each character: a wider piece has a gap that pdfium does not see
)
# times the height, between a script and what stands beside it: a blank is a fourth of the size and
# more
_BLANK = 0.12
_MOST_UPRIGHT = 500  # lines; more are a drawing
_MOST_ACROSS = 500
# Where a line through words is, of the height from the lowest descender to the highest ascender:
# the middle of the small letters is at 0.4, an underline below 0.2.
_STRUCK = (0.3, 0.6)
_STRUCK_THICKNESS = 0.3  # pdfium's box of a stroked line is twice as high as the line
_STRUCK_END = 0.35  # the line may end that much before or after the words
HYPHEN = "\ufffe"  # pdfium's mark for a hyphen at the end of a line, which `hyphens` resolves
_SAMPLE = 7  # characters whose direction is looked at: a page is turned as a whole or not at all


@dataclass(slots=True)
class Segment:
    """A piece of a line without a wide gap.

    `start` and `end` are characters of the page; the box is in points.
    """

    text: str
    start: int
    end: int
    left: float
    right: float
    bottom: float
    top: float


@dataclass(slots=True)
class Line:
    """A line of a page, with its type.

    `size` in points, 0 where the type changes within the line. `y` and `last_y` are the baselines,
    upwards, of its first and last character: they differ where two lines were joined at a hyphen.
    A line that ends with a hyphen has HYPHEN there until it is joined.
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
        """Return the left edge in points."""
        return self.segments[0].left

    @property
    def right(self) -> float:
        """Return the right edge in points."""
        return self.segments[-1].right


@dataclass(slots=True)
class PageText:
    """The lines of a page in the order in which they were written.

    `boxes` is [characters, left right bottom top] in points; filled for the first and last
    character of each word. `rules` are the lines drawn on it; `turn` is the quarters of a turn to
    the right that its text has; `struck` lines are drawn through text that was left out. `text` has
    superscripts as such, see `scripts.written`.
    """

    lines: list[Line]
    text: str
    boxes: NDArray[np.float32]
    rules: Rules
    turn: int
    struck: int = 0


def read_page(textpage: Any, rules_of: Callable[[int], Rules]) -> PageText:
    """Read the text of a page.

    `textpage` is a pypdfium2.PdfTextPage. `rules_of` gives the lines drawn on the page, turned as
    the text is, for the quarters of a turn: a line between two words parts them, and what a line is
    drawn through is left out.
    """
    return _Reader(textpage).read(rules_of)


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
        self._turned_by = 0

    def read(self, rules_of: Callable[[int], Rules]) -> PageText:
        import numpy as np

        text = self._text()
        # Quarters of a turn to the right that most of the text has: 3 where it runs up the page.
        letters = (_LETTER.search(text, i) for i in range(0, len(text), len(text) // _SAMPLE + 1))
        turns = [self._turn_of(letter.start()) for letter in letters if letter]
        self._turned_by = max(set(turns), key=turns.count) if turns else 0
        boxes, first, last = self._pieces(text)
        boxes = turned(boxes, self._turned_by)
        first, last = self._parted(text, boxes, first, last)
        rules = rules_of(self._turned_by)
        if not first.size:
            return PageText([], text, boxes, rules, self._turned_by)
        pieces = _Pieces.of(text, boxes, first, last)
        text, struck = _without_struck(text, pieces, rules)
        text = _with_whole_words(text, pieces)
        text = self._with_scripts(text, pieces)
        # A new line begins where the text jumps up or down, also where pdfium sees none. Two fonts
        # on one baseline, such as a tick box beside its words, may have boxes as far apart as two
        # lines.
        for i in (np.flatnonzero(pieces.jumps() & ~pieces.breaks[1:]) + 1).tolist():
            rise = self._baseline(int(pieces.first[i])) - self._baseline(int(pieces.last[i - 1]))
            pieces.breaks[i] = abs(rise) > _JUMP * float(pieces.top[i - 1] - pieces.bottom[i - 1])
        # Each line of the page is one, also those that pdfium joins at a hyphen.
        lines = (self._line(text, pieces, *parts) for parts in _segmented(text, pieces, rules))
        whole = [line for line in lines if line]
        return PageText(whole, text, boxes, rules, self._turned_by, struck)

    def _text(self) -> str:
        """One character of the string for each of pdfium's, so that both have the same index."""
        text: str = self._textpage.get_text_range() if self._count else ""
        if len(text) == self._count and max(text, default="") <= "\uffff":
            return text
        codes = map(self._api.unicode, repeat(self._page, self._count), range(self._count))
        return "".join(chr(code) if code < 0x110000 else "\ufffd" for code in codes).replace(
            "\x02", "\ufffe"
        )

    def _pieces(self, text: str) -> tuple[NDArray[np.float32], NDArray[np.intp], NDArray[np.intp]]:
        """Boxes as pdfium has them, and the first and last characters of the pieces, which alone
        have one."""
        import numpy as np

        boxes = np.zeros((self._count, 4), np.float32)
        first, last = _pieces(text)
        ends = np.concatenate((first, last[last > first]))
        self._ask_boxes(boxes, ends, ends)
        return boxes[:, [0, 2, 3, 1]], first, last  # FS_RECTF is left, top, right, bottom

    def _ask_boxes(
        self, boxes: NDArray[np.float32], chars: NDArray[np.intp], rows: NDArray[np.intp]
    ) -> None:
        """The boxes of `chars` go to those rows of `boxes`."""
        places = (boxes.ctypes.data + 16 * rows).tolist()
        deque(
            map(self._api.loose_box, repeat(self._page, len(places)), chars.tolist(), places),
            maxlen=0,
        )

    def _parted(
        self, text: str, boxes: NDArray[np.float32], first: NDArray[np.intp], last: NDArray[np.intp]
    ) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """The pieces, parted where a character is raised or lowered against the one before, or far
        from it."""
        import numpy as np

        height = np.maximum(boxes[first, 3] - boxes[first, 2], 1)
        uneven = np.abs(boxes[last, 2] - boxes[first, 2]) > _UNEVEN * height
        wide = boxes[last, 1] - boxes[first, 0] > _WIDEST * height * (last - first + 1)
        doubtful = np.flatnonzero((uneven | wide) & (last > first))
        if not doubtful.size:
            return first, last
        cuts: list[int] = []
        for i in doubtful.tolist():
            chars = np.arange(first[i], last[i] + 1)
            char_boxes = np.zeros((chars.size, 4), np.float32)
            self._ask_boxes(char_boxes, chars, np.arange(chars.size))
            char_boxes = turned(char_boxes[:, [0, 2, 3, 1]], self._turned_by)
            boxes[chars] = char_boxes
            shifted = np.abs(np.diff(char_boxes[:, 2])) > _UNEVEN * height[i]
            if self._turn_of(int(first[i])) != self._turned_by:
                continue  # the characters of text up the side of a page are all above each other
            apart = char_boxes[1:, 0] - char_boxes[:-1, 1] > _SEGMENT_GAP * height[i]
            cuts += (chars[1:][shifted | apart]).tolist()
        added = np.asarray(cuts, np.intp)
        return np.sort(np.concatenate((first, added))), np.sort(np.concatenate((last, added - 1)))

    def _with_scripts(self, text: str, pieces: _Pieces) -> str:
        """The text with its superscripts as such, of the same length; `pieces` then stand on the
        lines they belong to."""
        candidates = pieces.uneven()
        if not candidates:
            return text
        runs: dict[int, Run] = {}

        def run_of(i: int) -> Run:
            if i not in runs:
                start, end = int(pieces.first[i]), int(pieces.last[i])
                left, right = float(pieces.left[i]), float(pieces.right[i])
                size = max(self._size(start), 0.1)
                runs[i] = Run(start, end + 1, left, right, size, self._baseline(start))
            return runs[i]

        after, leading = find_scripts(
            candidates, pieces.first.size, run_of, lambda i: bool(pieces.breaks[i])
        )
        chars = list(text)
        for i, base in after.items():
            run = run_of(i)
            raised = run.baseline > run_of(base).baseline
            before = chars[int(pieces.last[i - 1])]
            script = "".join(chars[run.start : run.end])
            chars[run.start : run.end] = written(before, script, raised=raised)
            pieces.join(i, base)
            if i + 1 not in after and i + 1 < pieces.first.size and pieces.breaks[i + 1]:
                following = run_of(i + 1)
                if on_baseline(run_of(base), following) and following.left > run_of(i).left:
                    pieces.breaks[i + 1] = False
        for i, base in leading.items():
            start, end = run_of(i).start, run_of(i).end
            chars[start:end] = written("", text[start:end], raised=True)
            pieces.join(i, base)
            pieces.breaks[base] = False
        for i in sorted({*after, *(i + 1 for i in after), *leading.values()}):
            if i < pieces.first.size and not pieces.breaks[i]:
                _close_gap(chars, pieces, i, is_script=i in after)
        return "".join(chars)

    def _turn_of(self, char: int) -> int:
        quarters: int = round(self._api.angle(self._page, char) / (math.pi / 2))
        return quarters % 4

    def _line(
        self, text: str, pieces: _Pieces, segments: list[Segment], first_piece: int, last_piece: int
    ) -> Line | None:
        """None if nothing is left of it but characters that no reader may let through."""
        end = segments[-1].end
        # Cleaned of all but U+FFFE, pdfium's mark for a hyphen at the end of a line.
        words = text[segments[0].start : end]
        if not words.isprintable():
            words = HYPHEN.join(clean(part) for part in words.split(HYPHEN))
        words = spoken(words.strip())
        if not words:
            return None
        if text[end : end + 1] == HYPHEN:
            words += HYPHEN
        first, last = segments[0].start, end - 1
        if pieces.script[first_piece] or pieces.script[last_piece]:
            first, last = pieces.main_ends(first_piece, last_piece)
        size, bold = self._type(first)
        if last > first and self._type(last) != (size, bold):
            size, bold = 0.0, False
        columns = any(b.left - a.right > COLUMN_GAP * size for a, b in pairwise(segments))
        y = self._baseline(first)
        return Line(words, size, bold, columns, y, y, segments)

    def _type(self, char: int) -> tuple[float, bool]:
        """Size in points, to the half, and whether it is bold."""
        text_object = self._api.text_object(self._page, char)
        font = self._api.font(text_object) if text_object else None
        if font and font not in self._bold:
            self._api.font_name(font, self._buffer, len(self._buffer))
            self._bold[font] = _BOLD.search(self._buffer.value) is not None
        return round(self._size(char) * 2) / 2, self._bold[font] if font else False

    def _size(self, char: int) -> float:
        """In points, as it is drawn."""
        self._api.char_matrix(self._page, char, self._numbers)
        size: float = self._api.size(self._page, char)
        return size * math.hypot(self._numbers[2], self._numbers[3])

    def _baseline(self, char: int) -> float:
        at = ctypes.addressof(self._point)
        self._api.origin(self._page, char, at, at + 8)
        x, y = self._point
        return (y, x, -y, -x)[self._turned_by]


def turned(boxes: NDArray[np.float32], turn: int) -> NDArray[np.float32]:
    """Return boxes [n, left right bottom top] as they are when the page is held so that its text
    runs to the right; `turn` is in quarters.
    """
    left, right, bottom, top = boxes.T
    if turn == 0:
        return boxes
    turned = {
        1: (-top, -bottom, left, right),
        2: (-right, -left, -top, -bottom),
        3: (bottom, top, -right, -left),
    }[turn]
    import numpy as np

    return np.stack(turned, axis=1)


def _codes(text: str) -> NDArray[np.uint32]:
    import numpy as np

    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


def _pieces(text: str) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The first and the last characters of the runs without white space, which are parted between a
    digit and another character, where a superscript may begin or end. A comma or stop within a
    figure parts nothing."""
    import numpy as np

    codes = _codes(text)
    solid = np.flatnonzero((codes > 32) & (codes != 0xA0) & (codes != 0xFFFE))
    if not solid.size:
        return solid, solid
    own = codes[solid]
    digit = (own >= 48) & (own <= 57)
    inside = np.zeros_like(digit)
    next_to = np.diff(solid) == 1  # not across a blank: the comma of "482, 512" is in no figure
    inside[1:-1] = ((own == 44) | (own == 46))[1:-1] & (digit[2:] & next_to[1:])
    inside[1:-1] &= digit[:-2] & next_to[:-1]
    number = digit | inside
    apart = np.flatnonzero((np.diff(solid) > 1) | (number[1:] != number[:-1]))
    return solid[np.concatenate(([0], apart + 1))], solid[np.concatenate((apart, [solid.size - 1]))]


@dataclass(slots=True)
class _Pieces:
    """Runs of characters with their boxes, in the order of the text. `breaks`: a new line begins
    with this one."""

    first: NDArray[np.intp]
    last: NDArray[np.intp]
    left: NDArray[np.float32]
    right: NDArray[np.float32]
    bottom: NDArray[np.float32]
    top: NDArray[np.float32]
    breaks: NDArray[np.bool_]
    script: NDArray[np.bool_]

    @classmethod
    def of(
        cls, text: str, boxes: NDArray[np.float32], first: NDArray[np.intp], last: NDArray[np.intp]
    ) -> _Pieces:
        import numpy as np

        codes = _codes(text)
        line = np.cumsum((codes == 10) | (codes == 13) | (codes == 0xFFFE))[first]
        breaks = np.concatenate(([True], line[1:] != line[:-1]))
        bottom, top = (
            np.minimum(boxes[first, 2], boxes[last, 2]),
            np.maximum(boxes[first, 3], boxes[last, 3]),
        )
        return cls(
            first,
            last,
            boxes[first, 0],
            boxes[last, 1],
            bottom,
            top,
            breaks,
            np.zeros(first.size, np.bool_),
        )

    def uneven(self) -> list[int]:
        """Pieces near the one before whose box is another: a script, or another font."""
        import numpy as np

        height = np.maximum(self.top - self.bottom, 1)
        taller = np.maximum(height[1:], height[:-1])
        near = np.abs(self.left[1:] - self.right[:-1]) < _SEGMENT_GAP * taller
        shift = np.abs(self.bottom[1:] - self.bottom[:-1])
        other = (shift > _UNEVEN * taller) | (np.abs(height[1:] - height[:-1]) > _UNEVEN * taller)
        pieces: list[int] = (np.flatnonzero(near & other & (shift < taller)) + 1).tolist()
        return pieces

    def jumps(self) -> NDArray[np.bool_]:
        """For all pieces but the first, whether it stands half a line and more above or below the
        one before."""
        import numpy as np

        middle = (self.bottom + self.top) / 2
        jumps: NDArray[np.bool_] = (
            np.abs(np.diff(middle)) > _JUMP * np.maximum(self.top - self.bottom, 1)[:-1]
        )
        return jumps

    def parted_by(self, rules: Rules) -> NDArray[np.bool_]:
        """For all pieces but the first, whether an upright line is drawn between it and the one
        before."""
        import numpy as np

        lines = rules.upright[:_MOST_UPRIGHT]
        parted = np.zeros(self.first.size - 1, np.bool_)
        if not len(lines):
            return parted
        middle = (self.bottom[1:] + self.top[1:]) / 2
        slack = 0.1 * (self.top[1:] - self.bottom[1:])  # the box of a letter is wider than its ink
        # Between two characters of a word, as "5" and ")", a border may end.
        apart = np.where(self.first[1:] > self.last[:-1] + 1, -slack, slack)
        gap = np.flatnonzero(self.left[1:] - self.right[:-1] > apart)
        ends, starts, at = (
            self.right[:-1][gap] - slack[gap],
            self.left[1:][gap] + slack[gap],
            middle[gap],
        )
        left, right, bottom, top = lines.T[:, :, None]
        parted[gap] = ((ends <= right) & (starts >= left) & (bottom <= at) & (at <= top)).any(
            axis=0
        )
        return parted

    def keep(self, those: NDArray[np.bool_]) -> None:
        """Those pieces alone; a line that began with one of the others begins with the next."""
        import numpy as np

        line = np.cumsum(self.breaks)[those]
        for name in ("first", "last", "left", "right", "bottom", "top", "script"):
            setattr(self, name, getattr(self, name)[those])
        self.breaks = (
            np.concatenate(([True], line[1:] != line[:-1])) if line.size else line.astype(np.bool_)
        )

    def join(self, i: int, base: int) -> None:
        """Piece i is a script of piece `base` and has its height."""
        self.bottom[i], self.top[i] = self.bottom[base], self.top[base]
        self.script[i] = True
        if i > base:
            self.breaks[i] = False

    def main_ends(self, first: int, last: int) -> tuple[int, int]:
        """The first and the last character of pieces `first` to `last` that are no scripts."""
        main = [i for i in range(first, last + 1) if not self.script[i]] or [first, last]
        return int(self.first[main[0]]), int(self.last[main[-1]])


def _without_struck(text: str, pieces: _Pieces, rules: Rules) -> tuple[str, int]:
    """The text without what a line is drawn through from its first to its last letter, and the
    number of such lines.

    A line that goes on beyond the words is a border, one below the middle of the small letters
    underlines."""
    import numpy as np

    lines = rules.across[:_MOST_ACROSS]
    height = np.maximum(pieces.top - pieces.bottom, 1)
    low, high = pieces.bottom + _STRUCK[0] * height, pieces.bottom + _STRUCK[1] * height
    middle = (lines[:, 2:3] + lines[:, 3:4]) / 2
    at_height = (middle > low) & (middle < high)
    struck = np.zeros(pieces.first.size, np.bool_)
    count = 0
    for i in np.flatnonzero(at_height.any(axis=1)).tolist():
        left, right, bottom, top = lines[i].tolist()
        slack = _STRUCK_END * height
        through = at_height[i] & (top - bottom < _STRUCK_THICKNESS * height)
        through &= (pieces.left > left - slack) & (pieces.right < right + slack)
        if through.any():
            ends = slack[through].max()
            if (
                abs(pieces.left[through].min() - left) < ends
                and abs(pieces.right[through].max() - right) < ends
            ):
                struck |= through
                count += 1
    if not count:
        return text, 0
    chars = list(text)
    for start, last in zip(
        pieces.first[struck].tolist(), pieces.last[struck].tolist(), strict=True
    ):
        end = last + 1
        while text[end : end + 1] == " ":
            end += 1
        chars[start:end] = [DROPPED] * (end - start)
    pieces.keep(~struck)
    return "".join(chars), count


def _with_whole_words(text: str, pieces: _Pieces) -> str:
    """The text without the line ends that pdfium sees between characters drawn one by one, each
    right beside the one before and at its height, as browsers print the fields of a form."""
    import numpy as np

    height = np.maximum(pieces.top - pieces.bottom, 1)[:-1]
    beside = np.abs(pieces.left[1:] - pieces.right[:-1]) < _BESIDE * height
    level = np.abs(pieces.bottom[1:] - pieces.bottom[:-1]) < _LEVEL * height
    level &= np.abs(pieces.top[1:] - pieces.top[:-1]) < _LEVEL * height
    wrong = (np.flatnonzero(pieces.breaks[1:] & beside & level) + 1).tolist()
    if not wrong:
        return text
    chars = list(text)
    for i in wrong:
        pieces.breaks[i] = False
        _close_gap(chars, pieces, i, is_script=True)
    return "".join(chars)


def _close_gap(chars: list[str], pieces: _Pieces, i: int, *, is_script: bool) -> None:
    """Between piece i and the one before stands a blank if they are apart, and nothing else."""
    start, end = int(pieces.last[i - 1]) + 1, int(pieces.first[i])
    if start == end:
        return
    gap = float(pieces.left[i] - pieces.right[i - 1]) / max(
        float(pieces.top[i] - pieces.bottom[i]), 1.0
    )
    had_blank = " " in chars[start:end]
    blank = gap > _BLANK if is_script or not had_blank else True
    chars[start:end] = [" " if blank else DROPPED, *[DROPPED] * (end - start - 1)]


def _segmented(
    text: str, pieces: _Pieces, rules: Rules
) -> Iterator[tuple[list[Segment], int, int]]:
    """The segments of each line, and its first and last piece."""
    import numpy as np

    left, right, bottom, top = pieces.left, pieces.right, pieces.bottom, pieces.top
    height = np.maximum(top - bottom, 1)[:-1]
    gap = left[1:] - right[:-1]
    ends_line = pieces.breaks[1:] | (gap < -2 * height)
    cut = ends_line | (gap > _SEGMENT_GAP * height) | pieces.jumps() | pieces.parted_by(rules)
    starts = np.concatenate(([0], np.flatnonzero(cut) + 1))
    ends = np.concatenate((starts[1:], [pieces.first.size]))
    edges = (
        np.minimum.reduceat(left, starts),
        np.maximum.reduceat(right, starts),
        np.minimum.reduceat(bottom, starts),
        np.maximum.reduceat(top, starts),
    )
    spans = zip(
        pieces.first[starts].tolist(),
        (pieces.last[ends - 1] + 1).tolist(),
        *(edge.tolist() for edge in edges),
        strict=True,
    )
    begins = np.concatenate(([True], ends_line[starts[1:] - 1])).tolist()
    line: list[Segment] = []
    first = 0
    for (start, end, *box), begins_line, piece in zip(spans, begins, starts.tolist(), strict=True):
        if begins_line and line:
            yield line, first, piece - 1
            line = []
        first = first if line else piece
        hyphen = HYPHEN if text[end : end + 1] == HYPHEN else ""
        line.append(Segment(text[start:end].replace(DROPPED, "") + hyphen, start, end, *box))
    yield line, first, pieces.first.size - 1
