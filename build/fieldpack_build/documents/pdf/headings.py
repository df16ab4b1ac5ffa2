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
_BOLD_WORDS = 100  # characters of a heading in bold type
_PROSE = 50  # characters of the line below it
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
    """Return the id of each heading's first line -> (level, number of lines).

    Level 1 has the largest type. `titles` are lines known to be headings, those of tables: they are
    levelled with the others by their size. `tables` are the lines inside of tables, whose type is
    the body's where hardly anything stands outside of them.
    """
    letters = _letters(line for lines in pages for line in lines)
    inside = _letters(tables)
    if letters.total() < _LITTLE * inside.total():
        letters += inside
    body = letters.most_common(1)[0][0] if letters else 0.0

    headings = [
        (number, heading)
        for number, lines in enumerate(pages)
        for heading in _candidates(lines, body)
    ]
    if len(pages) > _LONG_DOCUMENT:
        # Type that only the first page has is the cover's; else it would stand above all the rest.
        sizes_inside = {heading[0].size for number, heading in headings if number > 0}
        headings = [
            (number, heading)
            for number, heading in headings
            if number > 0 or heading[0].size in sizes_inside
        ]
    at_edge = Counter(  # running headers
        _words(heading)
        for number, heading in headings
        if heading[0] is pages[number][0] or heading[-1] is pages[number][-1]
    )
    kept = [heading for _, heading in headings if at_edge[_words(heading)] < _REPEATED]

    sizes = {heading[0].size for heading in kept}

    def level(size: float) -> int:
        """A size that is none of the headings' has a level of its own between those."""
        return sum(other > size for other in sizes) + 1

    levels = {id(heading[0]): (level(heading[0].size), len(heading)) for heading in kept}
    for line in titles:
        levels.setdefault(id(line), (level(line.size or body), 1))
    return levels


def find_running_lines(pages: list[list[Line]]) -> set[int]:
    """Return the ids of running headers and page numbers.

    They stand at the edges of many pages with the same words but for figures.
    """
    at_edge = [
        [
            line
            for line in (*lines[:_EDGE_LINES], *lines[-_EDGE_LINES:])
            if len(line.text) <= _EDGE_WORDS
        ]
        for lines in pages
        if len(lines) >= _EDGE_PAGE
    ]
    pages_with = Counter(words for edges in at_edge for words in set(map(_without_figures, edges)))
    min_pages = max(_REPEATED, len(pages) // 10)
    return {
        id(line)
        for edges in at_edge
        for line in edges
        if pages_with[_without_figures(line)] >= min_pages
    }


def _without_figures(line: Line) -> str:
    return _FIGURES.sub("0", line.text)


def _letters(lines: Iterable[Line]) -> Counter[float]:
    """How many letters there are of each size of type."""
    letters: Counter[float] = Counter()
    for line in lines:
        letters[line.size] += len(line.text) if line.size else 0
    return letters


def _candidates(lines: list[Line], body: float) -> list[list[Line]]:
    """Runs of lines in one type that is larger than the body's, and bold lines that stand alone."""
    headings: list[list[Line]] = []
    i = 0
    while i < len(lines):
        end = i
        while (
            end < len(lines)
            and lines[end].size >= _LARGER * body > 0
            and lines[end].size == lines[i].size
        ):
            end += 1
        heading = lines[i:end]
        if not heading and _is_bold_alone(lines, i, body):
            heading = [lines[i]]
        if heading and len(heading) <= _HEADING_LINES and _is_label(heading):
            headings.append(heading)
        i += max(len(heading), 1)
    return headings


def _is_bold_alone(lines: list[Line], i: int, body: float) -> bool:
    """Whether line i is bold, of the body's size, in one piece, and between it and prose stands
    nothing."""
    line = lines[i]
    if not line.bold or line.columns or line.size < body or i + 1 == len(lines):
        return False
    if len(line.text) > _BOLD_WORDS:
        return False
    after = lines[i + 1]
    if after.bold or after.size > line.size or (i > 0 and lines[i - 1].bold):
        return False
    digits = sum(char.isdigit() for char in after.text)
    return len(after.text) >= _PROSE and digits <= len(after.text) // 8 and after.text[0].isalpha()


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
