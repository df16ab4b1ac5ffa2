"""The lines of a PDF page with their type, and the guess which of them are headings.

The guess is conservative: a heading that is missed leaves text under the one before; a table's row taken for a
heading would mislead every passage after it.
"""

from __future__ import annotations

import ctypes
import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

from fieldpack_build.documents.pages import clean, label

_BOLD = re.compile(rb"bold|black|heavy|demi", re.IGNORECASE)
_LETTERS = re.compile(r"[^\W\d_]{2}")
_LARGER = 1.15  # times the body's size; 10 pt against 11 pt is a quirk of a table, 11 against 13 a heading
_HEADING_LINES = 3
_SPACE = ord(" ")
_COLUMN_GAP = 1.2  # times the size, between two characters of a line: wider than any justified space
_LONG_DOCUMENT = 10  # pages; a shorter one has no cover
_REPEATED = 4  # times the same words as first or last line of a page: a running header


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


def read_lines(textpage: Any) -> list[Line]:
    """`textpage` is a pypdfium2.PdfTextPage."""
    text: str = textpage.get_text_range()
    lines: list[Line] = []
    for found in re.finditer(r"[^\r\n]+", text):
        words = _clean_but_hyphens(found[0]).strip()
        if words:
            lines.append(_line(textpage, found, words))
    return lines


def _clean_but_hyphens(text: str) -> str:
    """U+FFFE is pdfium's mark for a hyphen at the end of a line, which `pdf` resolves."""
    return "\ufffe".join(clean(part) for part in text.split("\ufffe"))


def _line(textpage: Any, found: re.Match[str], words: str) -> Line:
    first = found.start() + len(found[0]) - len(found[0].lstrip())
    last = found.start() + len(found[0].rstrip()) - 1
    start, end = _char(textpage, first), _char(textpage, last)
    if start < 0 or end < 0:
        return Line(words, 0.0, False, False, 0.0, 0.0)
    size, bold = _type(textpage, start)
    if _type(textpage, end) != (size, bold):
        size, bold = 0.0, False
    columns = bold and len(words) <= 150 and _has_columns(textpage, start, end, size)
    return Line(words, size, bold, columns, _baseline(textpage, start), _baseline(textpage, end))


def _char(textpage: Any, index: int) -> int:
    """pdfium's own list of characters counts some that its text leaves out."""
    from pypdfium2 import raw

    return int(raw.FPDFText_GetCharIndexFromTextIndex(textpage, index))


def _type(textpage: Any, char: int) -> tuple[float, bool]:
    from pypdfium2 import raw

    matrix = raw.FS_MATRIX()
    raw.FPDFText_GetMatrix(textpage, char, ctypes.byref(matrix))
    size = raw.FPDFText_GetFontSize(textpage, char) * abs(matrix.d)
    font = ctypes.create_string_buffer(128)
    raw.FPDFText_GetFontInfo(textpage, char, font, len(font), ctypes.byref(ctypes.c_int()))
    return round(size * 2) / 2, _BOLD.search(font.value) is not None


def _baseline(textpage: Any, char: int) -> float:
    from pypdfium2 import raw

    x, y = ctypes.c_double(), ctypes.c_double()
    raw.FPDFText_GetCharOrigin(textpage, char, ctypes.byref(x), ctypes.byref(y))
    return y.value


def _has_columns(textpage: Any, start: int, end: int, size: float) -> bool:
    """Whether a gap in the line is wider than a space: the head of a table."""
    from pypdfium2 import raw

    before: float | None = None
    for char in range(start, end + 1):
        if raw.FPDFText_GetUnicode(textpage, char) == _SPACE:
            continue  # its box may be as wide as the gap
        left, _, right, _ = textpage.get_charbox(char)
        if before is not None and left - before > _COLUMN_GAP * size:
            return True
        before = right
    return False


def find_headings(pages: list[list[Line]]) -> dict[int, tuple[int, int]]:
    """id of a heading's first line -> (level, 1 for the largest type; number of lines)."""
    body = _body_size(pages)
    found: list[tuple[int, list[Line]]] = []
    for number, lines in enumerate(pages):
        found += [(number, heading) for heading in _candidates(lines, body)]
    found = _without_running_headers(_without_cover(found, len(pages)), pages)
    sizes = sorted({heading[0].size for _, heading in found}, reverse=True)
    return {id(heading[0]): (sizes.index(heading[0].size) + 1, len(heading)) for _, heading in found}


def _body_size(pages: list[list[Line]]) -> float:
    letters: Counter[float] = Counter()
    for lines in pages:
        for line in lines:
            letters[line.size] += len(line.text) if line.size else 0
    return letters.most_common(1)[0][0] if letters else 0.0


def _candidates(lines: list[Line], body: float) -> list[list[Line]]:
    headings: list[list[Line]] = []
    i = 0
    while i < len(lines):
        heading = _larger(lines, i, body) or _bold_alone(lines, i, body)
        if heading and len(heading) <= _HEADING_LINES and _is_label(heading):
            headings.append(heading)
        i += max(len(heading), 1)
    return headings


def _larger(lines: list[Line], i: int, body: float) -> list[Line]:
    """The run of lines from i in one type, larger than the body's."""
    end = i
    while end < len(lines) and lines[end].size >= _LARGER * body > 0 and lines[end].size == lines[i].size:
        end += 1
    return lines[i:end]


def _bold_alone(lines: list[Line], i: int, body: float) -> list[Line]:
    """Line i if it is bold, of the body's size, in one piece, and between it and prose stands nothing."""
    line = lines[i]
    if not line.bold or line.columns or line.size < body or i + 1 == len(lines) or len(line.text) > 100:
        return []
    after = lines[i + 1]
    alone = not after.bold and after.size <= line.size and (i == 0 or not lines[i - 1].bold)
    return [line] if alone and _is_prose(after.text) else []


def _is_prose(text: str) -> bool:
    digits = sum(char.isdigit() for char in text)
    return len(text) >= 50 and digits <= len(text) // 8 and text[0].isalpha()


def _is_label(heading: list[Line]) -> bool:
    words = _words(heading)
    ends_well = not words.endswith((".", ",", ";")) and not words.endswith("…")
    # The total of a table is bold and alone too.
    few_figures = sum(char.isdigit() for char in words) * 4 <= len(words)
    begins_well = words[0].isalnum() and not words[0].islower() and _LETTERS.search(words) is not None
    return ends_well and few_figures and begins_well


def _words(heading: list[Line]) -> str:
    return label(" ".join(line.text for line in heading))


def _without_cover(found: list[tuple[int, list[Line]]], pages: int) -> list[tuple[int, list[Line]]]:
    """In a long document, type that only the first page has is its cover; else it would stand above all the rest."""
    if pages <= _LONG_DOCUMENT:
        return found
    inside = {heading[0].size for number, heading in found if number > 0}
    return [(number, heading) for number, heading in found if number > 0 or heading[0].size in inside]


def _without_running_headers(
    found: list[tuple[int, list[Line]]], pages: list[list[Line]]
) -> list[tuple[int, list[Line]]]:
    at_edge = Counter(_words(heading) for number, heading in found if _is_edge(heading, pages[number]))
    return [(number, heading) for number, heading in found if at_edge[_words(heading)] < _REPEATED]


def _is_edge(heading: list[Line], lines: list[Line]) -> bool:
    return heading[0] is lines[0] or heading[-1] is lines[-1]
