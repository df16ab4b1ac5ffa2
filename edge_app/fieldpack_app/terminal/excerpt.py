"""Chooses what of a passage to show: the lines around a question's words, tables in columns, all to a
width. Takes and returns plain text, with the places of highlights. Knows nothing of colours,
terminals or searches."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, zip_longest
from unicodedata import combining, east_asian_width

from fieldpack.figures import is_figure_cell

from .highlight import Span, shifted

# Lines shown of a passage: five, or up to twelve as long as they have fewer than 240 characters
# together.
_LINES, _MAX_LINES, _ENOUGH_CHARACTERS = 5, 12, 240
# Characters shown of a line among others, and of all lines of a passage that has few.
_LINE_CHARACTERS, _PASSAGE_CHARACTERS = 240, 600
_BAR = re.compile(r"(?:^|(?<=\s))\|(?=\s|$)")  # between cells; "a|b" is a word
_RULE = re.compile(r"[|\s]*[-:]{3,}[-:|\s]*\|[-:|\s]*")  # Markdown's line under a table's header
_GAP = "  "  # between columns
_MIN_COLUMN = 6  # characters that a column is not made narrower than


@dataclass(frozen=True, slots=True)
class Line:
    """A line to show. `spans`: what is highlighted in it; `table`: the number of the passage's table
    that it is a row of, None for other lines."""

    text: str
    spans: tuple[Span, ...] = ()
    table: int | None = None


GAP = Line("…")


def excerpt(text: str, spans: Sequence[Span], *, width: int | None, header: str = "") -> list[Line]:
    """Return the best lines in reading order, GAP where some were left out. `width`: columns to fit
    into, with tables aligned and lines wrapped and shortened; None leaves lines as they are.
    `header`: of the table whose later rows the text begins with."""
    lines = _choose(_split(text if width is None else text.replace("\t", " "), spans))
    if width is None or not lines:
        return lines
    if header and lines[0].table is not None:
        lines = [Line(header, (), lines[0].table), *lines]
    max_characters = max(_LINE_CHARACTERS, _PASSAGE_CHARACTERS // len(lines))
    shown: list[Line] = []
    for block in _blocks(lines):
        table = _aligned(block, width) if block[0].table is not None and len(block) > 1 else None
        shown += table or [
            row for line in block for row in _wrap(shorten(line, max_characters), width)
        ]
    return shown


def _split(text: str, spans: Sequence[Span]) -> list[Line]:
    """Return the lines that are not blank, without the blanks around them; rows of a table (`a |
    b`) have its number."""
    lines, table, before, start = [], -1, False, 0
    for whole in text.split("\n"):
        stripped = whole.strip()
        inner = start + len(whole) - len(whole.lstrip())
        start += len(whole) + 1
        if _RULE.fullmatch(stripped):
            continue
        row = bool(_BAR.search(stripped))
        table += row and not before
        before = row
        if stripped:
            highlights = tuple(shifted(spans, inner, inner + len(stripped)))
            lines.append(Line(stripped, highlights, table if row else None))
    return lines


def _choose(lines: Sequence[Line]) -> list[Line]:
    """Return the lines with most of the question's words, then those nearest to the best one; with
    a row its table's first."""
    if not lines:
        return []
    scores = [_score(line) for line in lines]
    best = max(range(len(lines)), key=lambda n: (scores[n], -n))
    chosen: set[int] = set()
    for number in sorted(range(len(lines)), key=lambda n: (-scores[n], abs(n - best), -n)):
        enough = sum(len(lines[n].text) for n in chosen) >= _ENOUGH_CHARACTERS
        if len(chosen) >= (_LINES if enough else _MAX_LINES):
            break
        chosen.add(number)
    first = {
        line.table: n for n, line in reversed(list(enumerate(lines))) if line.table is not None
    }
    chosen |= {first[line.table] for n in tuple(chosen) if (line := lines[n]).table is not None}
    shown: list[Line] = []
    for here, run in groupby(range(len(lines)), key=chosen.__contains__):
        hidden = [lines[n] for n in run]
        shown += hidden if here or len(hidden) == 1 else [GAP]  # a gap takes the place of one line
    return shown


def _score(line: Line) -> int:
    """Return how many different words are highlighted; the same one again says little more."""
    return len({line.text[a:b].casefold() for a, b in line.spans})


def shorten(line: Line, size: int) -> Line:
    """Return the stretch of `size` characters with most of the question's words, cut at blanks, with
    dots where it was cut."""
    text = line.text
    if len(text) <= size:
        return line
    starts = [0, *(max(0, a - size // 4) for a, _ in line.spans)]
    start = max(starts, key=lambda s: (_score(_slice(line, s, s + size - 2)), -s))
    start = min(start, len(text) - size + 2)
    end = start + size - 2
    if start:
        start = text.find(" ", start, start + size // 4) + 1 or start
    if end < len(text):
        end = max(text.rfind(" ", end - size // 4, end), 0) or end
    cut = _slice(line, start, end)
    lead = "…" if start else ""
    spans = tuple((a + len(lead), b + len(lead)) for a, b in cut.spans)
    return Line(lead + cut.text.rstrip() + ("…" if end < len(text) else ""), spans, line.table)


def _slice(line: Line, start: int, end: int) -> Line:
    return Line(line.text[start:end], tuple(shifted(line.spans, start, end)), line.table)


def columns(text: str) -> int:
    """Return how many columns of a terminal the text takes: East Asian wide letters two, combining
    marks none."""
    return sum(0 if combining(c) else 2 if east_asian_width(c) in "WF" else 1 for c in text)


def _wrap(line: Line, width: int) -> list[Line]:
    """Return the line broken at blanks, or anywhere where a word is longer than the width."""
    rows, start, left, blank = [], 0, width, -1
    for at, letter in enumerate(line.text):
        left -= columns(letter)
        if letter == " ":
            blank = at
        if left < 0:
            end = blank if blank > start else at
            rows.append(_slice(line, start, end))
            start = end + (line.text[end] == " ")
            left, blank = width - columns(line.text[start : at + 1]), -1
    return [*rows, _slice(line, start, len(line.text))]


# --- tables ---------------------------------------------------------------------------------------


def _blocks(lines: Sequence[Line]) -> list[list[Line]]:
    """Return neighbouring rows of one table together, also over a gap; every other line alone."""
    blocks: list[list[Line]] = []
    for number, line in enumerate(lines):
        following = lines[number + 1].table if number + 1 < len(lines) else None
        table = blocks[-1][0].table if blocks else None
        same = table is not None and (line.table == table or (line is GAP and following == table))
        if same:
            blocks[-1].append(line)
        else:
            blocks.append([line])
    return blocks


def _aligned(block: Sequence[Line], width: int) -> list[Line] | None:
    """Return rows in columns, figures to the right; None where they are too many for the width."""
    rows = [None if line is GAP else _cells(line) for line in block]
    by_column = list(zip_longest(*(row for row in rows if row), fillvalue=Line("")))
    widths = [max(columns(cell.text) for cell in column) for column in by_column]
    used = [n for n, natural in enumerate(widths) if natural]
    available = width - len(_GAP) * (len(used) - 1)
    if available < len(used) * _MIN_COLUMN and sum(widths) > available:
        return None
    words = [
        max((columns(word) for cell in column for word in cell.text.split()), default=0)
        for column in by_column
    ]
    while sum(widths) > available:
        # The widest gives way, as long as there is one that need not break a word.
        loose = [n for n in used if widths[n] > words[n]] or used
        widths[max(loose, key=widths.__getitem__)] -= 1
    layout = []
    for n in used:
        filled = [cell.text for cell in by_column[n][1:] if cell.text]
        figures = sum(map(is_figure_cell, filled)) * 2 > len(filled)
        layout.append((n, widths[n], figures))
    return [line for row in rows for line in ([GAP] if row is None else _row(row, layout))]


def _cells(line: Line) -> list[Line]:
    """Return the cells of a row of a table."""
    ends = [match.start() for match in _BAR.finditer(line.text)] + [len(line.text)]
    cells, start = [], 0
    for end in ends:
        part = line.text[start:end]
        inner = start + len(part) - len(part.lstrip())
        cells.append(_slice(line, inner, inner + len(part.strip())))
        start = end + 1
    # Markdown's rows begin and end with a bar.
    framed = len(cells) > 2 and not cells[0].text and not cells[-1].text
    return cells[1:-1] if framed else cells


def _row(cells: Sequence[Line], layout: Sequence[tuple[int, int, bool]]) -> list[Line]:
    """Return as many lines as the row's longest cell takes. `layout`: of each column its number, its
    width, and whether its cells stand to the right."""
    wrapped = [
        _wrap(cells[number], width) if number < len(cells) else [] for number, width, _ in layout
    ]
    lines = []
    for pieces in zip_longest(*wrapped, fillvalue=Line("")):
        text, spans = "", []
        for piece, (_, width, to_right) in zip(pieces, layout, strict=True):
            pad = " " * (width - columns(piece.text))
            text += pad if to_right else ""
            spans += [(a + len(text), b + len(text)) for a, b in piece.spans]
            text += piece.text + ("" if to_right else pad) + _GAP
        lines.append(Line(text.rstrip(), tuple(spans)))
    return lines
