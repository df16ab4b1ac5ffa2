"""Guesses which lines of a PDF are headings, and at which level.

The guess is conservative: a heading that is missed leaves text under the one before; a table's row
taken for a heading would mislead every passage after it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from fieldpack_build.documents.pages import label
from fieldpack_build.documents.pdf.text import Line

_LETTERS = re.compile(r"[^\W\d_]{2}")
# times the body's size; 10 pt against 11 pt is a quirk of a table, 11 against 13 a heading
_LARGER = 1.15
_HEADING_LINES = 3
_LITTLE = (
    0.2  # of the letters inside of tables: what stands outside of them is headings, and no body
)
_LONG_DOCUMENT = 10  # pages; a shorter one has no cover
_REPEATED = 4  # times the same words as first or last line of a page: a running header
_EDGE_PAGE = 8  # lines; a page with fewer is looked at as a whole
_EDGE_LINES = 2  # at the top and at the bottom of a page
_EDGE_WORDS = 100  # characters
_FIGURES = re.compile(r"\d+")


def find_headings(
    pages: list[list[Line]], titles: Sequence[Line] = (), tables: Sequence[Line] = ()
) -> dict[int, tuple[int, int]]:
    """id of a heading's first line -> (level, 1 for the largest type; number of lines).

    `titles` are lines known to be headings, those of tables: they are levelled with the others by
    their size. `tables` are the lines inside of tables, whose type is the body's where hardly
    anything stands outside of them.
    """
    body = _body_size(pages, tables)
    found: list[tuple[int, list[Line]]] = []
    for number, lines in enumerate(pages):
        found += [(number, heading) for heading in _candidates(lines, body)]
    found = _without_running_headers(_without_cover(found, len(pages)), pages)
    sizes = sorted({heading[0].size for _, heading in found}, reverse=True)
    headings = {
        id(heading[0]): (_level(heading[0].size, sizes), len(heading)) for _, heading in found
    }
    for line in titles:
        headings.setdefault(id(line), (_level(line.size or body, sizes), 1))
    return headings


def _level(size: float, sizes: Sequence[float]) -> int:
    """1 for the largest of `sizes`; a size that is none of them has a level of its own between
    those."""
    larger = sum(other > size for other in sizes)
    return larger + 1


def find_running_lines(pages: list[list[Line]]) -> set[int]:
    """ids of lines that stand at the edges of many pages with the same words but for figures:
    headers, page numbers."""
    at_edge = [_edge_lines(lines) for lines in pages]
    seen = Counter(
        words for edges in at_edge for words in {_without_figures(line) for line in edges}
    )
    least = max(_REPEATED, len(pages) // 10)
    return {
        id(line) for edges in at_edge for line in edges if seen[_without_figures(line)] >= least
    }


def _edge_lines(lines: list[Line]) -> list[Line]:
    if len(lines) < _EDGE_PAGE:
        return []
    return [
        line
        for line in [*lines[:_EDGE_LINES], *lines[-_EDGE_LINES:]]
        if len(line.text) <= _EDGE_WORDS
    ]


def _without_figures(line: Line) -> str:
    return _FIGURES.sub("0", line.text)


def _body_size(pages: list[list[Line]], tables: Sequence[Line]) -> float:
    letters = _letters(line for lines in pages for line in lines)
    inside = _letters(tables)
    if letters.total() < _LITTLE * inside.total():
        letters += inside
    return letters.most_common(1)[0][0] if letters else 0.0


def _letters(lines: Iterable[Line]) -> Counter[float]:
    letters: Counter[float] = Counter()
    for line in lines:
        letters[line.size] += len(line.text) if line.size else 0
    return letters


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
    while (
        end < len(lines)
        and lines[end].size >= _LARGER * body > 0
        and lines[end].size == lines[i].size
    ):
        end += 1
    return lines[i:end]


def _bold_alone(lines: list[Line], i: int, body: float) -> list[Line]:
    """Line i if it is bold, of the body's size, in one piece, and between it and prose stands
    nothing."""
    line = lines[i]
    if (
        not line.bold
        or line.columns
        or line.size < body
        or i + 1 == len(lines)
        or len(line.text) > 100
    ):
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
    begins_well = (
        words[0].isalnum() and not words[0].islower() and _LETTERS.search(words) is not None
    )
    return ends_well and few_figures and begins_well


def _words(heading: list[Line]) -> str:
    return label(" ".join(line.text for line in heading))


def _without_cover(found: list[tuple[int, list[Line]]], pages: int) -> list[tuple[int, list[Line]]]:
    """In a long document, type that only the first page has is its cover; else it would stand above
    all the rest."""
    if pages <= _LONG_DOCUMENT:
        return found
    inside = {heading[0].size for number, heading in found if number > 0}
    return [
        (number, heading) for number, heading in found if number > 0 or heading[0].size in inside
    ]


def _without_running_headers(
    found: list[tuple[int, list[Line]]], pages: list[list[Line]]
) -> list[tuple[int, list[Line]]]:
    at_edge = Counter(
        _words(heading) for number, heading in found if _is_edge(heading, pages[number])
    )
    return [(number, heading) for number, heading in found if at_edge[_words(heading)] < _REPEATED]


def _is_edge(heading: list[Line], lines: list[Line]) -> bool:
    return heading[0] is lines[0] or heading[-1] is lines[-1]
