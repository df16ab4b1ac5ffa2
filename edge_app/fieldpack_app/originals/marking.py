"""Finds stored text on the page that it was read from, whose characters come in the PDF's own order
and spelling. Knows nothing of PDFs.

What a reader stores is not what a page's characters say: words are joined where a line broke them,
tables have bars, headings signs, notes brackets. Both sides are compared by letters and digits
alone, each as Unicode's compatibility decomposition has it (NFKD) and without case."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice, takewhile

Box = tuple[float, float, float, float]  # left, top, right, bottom; y grows downwards
Span = tuple[int, int]  # [start, end) of letters

_CONTEXT = 120  # letters before and after a quote that tell its occurrences apart
_SHORTEST = 6  # letters of a part of a cell or line; a shorter one stands anywhere
_FOUND = 0.5  # share of the letters; of less it is not sure that this is the place
_BARS = re.compile(r"\s*\|\s*")
_SAME_LINE = 0.5  # share of the lower box that overlaps
_WIDEST_GAP = 3.0  # times the height; what is further apart is in another column


@dataclass(slots=True)
class PageLetters:
    """The letters and digits of a page. `box` gives the place of the n-th character of the page;
    `at`: the number of the character that each letter belongs to."""

    characters: Sequence[str]
    box: Callable[[int], Box]
    letters: str = field(init=False)
    at: list[int] = field(init=False)

    def __post_init__(self) -> None:
        pairs = [(one, i) for i, text in enumerate(self.characters) for one in letters_of(text)]
        self.letters = "".join(one for one, _ in pairs)
        self.at = [i for _, i in pairs]

    def middle(self, start: int) -> float:
        """Return the height at which the letter stands."""
        _, top, _, bottom = self.box(self.at[start])
        return (top + bottom) / 2

    def is_at(self, start: int, height: float) -> bool:
        """Return whether the letter's line is at a height."""
        _, top, _, bottom = self.box(self.at[start])
        return top <= height <= bottom


@lru_cache(maxsize=4096)  # a page has some 4,000 characters and less than a hundred different ones
def letters_of(text: str) -> str:
    """Return the letters and digits of a text, as they are compared."""
    plain = unicodedata.normalize("NFKD", text).casefold()
    return "".join(one for one in plain if one.isalnum())


def mark(page: PageLetters, quote: str, passage: str) -> list[Box]:
    """Return the boxes of `quote` on the page, one a line of type, in the order of the quote; none
    where less than half of it is there. `passage`: the stored text around the quote, which tells
    two places with the same words apart."""
    wanted = letters_of(quote)
    if not wanted:
        return []
    starts = list(_occurrences(page.letters, wanted))
    if starts:
        start = max(starts, key=lambda one: _agreement(page.letters, one, wanted, passage))
        spans = [(start, start + len(wanted))]
    else:
        spans = _find_parts(page, quote)
        if sum(end - start for start, end in spans) < _FOUND * len(wanted):
            return []
    return [box for span in spans for box in _boxes(page, span)]


def _occurrences(letters: str, wanted: str) -> Iterator[int]:
    at = letters.find(wanted)
    while at >= 0:
        yield at
        at = letters.find(wanted, at + 1)


def _agreement(letters: str, start: int, wanted: str, passage: str) -> int:
    """Return how many letters before and after an occurrence are those of the passage."""
    around = letters_of(passage)
    at = around.find(wanted)
    if at < 0:
        return 0
    before = zip(around[:at][::-1], letters[:start][::-1], strict=False)
    end = start + len(wanted)
    after = zip(around[at + len(wanted) :], letters[end:], strict=False)
    return _common(before) + _common(after)


def _common(pairs: Iterator[tuple[str, str]]) -> int:
    near = islice(pairs, _CONTEXT)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], near))


def _find_parts(page: PageLetters, quote: str) -> list[Span]:
    """Return where the lines and cells of a quote stand that is nowhere as a whole: a table whose
    columns the PDF writes one after another, a line with another in between. Of each line the
    longest part decides on the place, and the others are looked for at its height."""
    spans: list[Span] = []
    height: float | None = None
    for line in quote.split("\n"):
        cells = [cell for cell in _BARS.split(line) if letters_of(cell)]
        placed: dict[int, list[Span]] = {}
        on_line: float | None = None
        for number in sorted(range(len(cells)), key=lambda i: -len(letters_of(cells[i]))):
            near = on_line if on_line is not None else height
            places = list(_find_cell(page, cells[number], near, whole=True))
            if places and on_line is None:
                on_line = page.middle(places[0][0])
            placed[number] = places
        height = on_line if on_line is not None else height
        spans += [span for number in sorted(placed) for span in placed[number]]
    return spans


def _find_cell(
    page: PageLetters, text: str, near: float | None, *, whole: bool = False
) -> Iterator[Span]:
    """Yield where a cell stands, nearest to the height `near`; where it is in pieces, the longest
    ones from its beginning on."""
    wanted = letters_of(text)
    starts = list(_occurrences(page.letters, wanted))
    if len(wanted) < _SHORTEST:  # such as a figure: only a whole word, and only on the line
        alone = [one for one in starts if whole and _is_word(page, one, one + len(wanted))]
        starts = [one for one in alone if near is not None and page.is_at(one, near)]
        if not starts:
            return
    if starts:
        start = starts[0]
        if near is not None:
            start = min(starts, key=lambda one: abs(page.middle(one) - near))
        yield start, start + len(wanted)
        return
    words = [letters_of(word) for word in text.split()]
    while words:
        # A page that has some words in a row has fewer of them too.
        count = bisect_left(
            range(len(words)), True, key=lambda n: "".join(words[: n + 1]) not in page.letters
        )
        part = "".join(words[:count])
        if len(part) >= _SHORTEST:
            yield from _find_cell(page, part, near)
        words = words[max(count, 1) :]


def _is_word(page: PageLetters, start: int, end: int) -> bool:
    """Return whether letters are parted from those before and after by another character."""
    before = start == 0 or page.at[start] - page.at[start - 1] > 1
    return before and (end == len(page.at) or page.at[end] - page.at[end - 1] > 1)


def _boxes(page: PageLetters, span: Span) -> list[Box]:
    """Return the boxes of a span of letters with the signs that touch its ends, one a line."""
    first, last = page.at[span[0]], page.at[span[1] - 1]
    while first > 0 and _is_sign(page.characters[first - 1]):
        first -= 1
    while last + 1 < len(page.characters) and _is_sign(page.characters[last + 1]):
        last += 1
    boxes: list[Box] = []
    for number in range(first, last + 1):
        if not page.characters[number].isprintable() or page.characters[number].isspace():
            continue
        box = page.box(number)
        if box[2] <= box[0] or box[3] <= box[1]:
            continue
        if boxes and _goes_on(boxes[-1], box):
            line = boxes[-1]
            boxes[-1] = (
                min(line[0], box[0]),
                min(line[1], box[1]),
                max(line[2], box[2]),
                max(line[3], box[3]),
            )
        else:
            boxes.append(box)
    return boxes


def _is_sign(character: str) -> bool:
    return character.isprintable() and not character.isspace() and not letters_of(character)


def _goes_on(line: Box, box: Box) -> bool:
    """Return whether a character goes on the line of those before it."""
    height = min(line[3] - line[1], box[3] - box[1])
    overlap = min(line[3], box[3]) - max(line[1], box[1])
    gap = max(box[0] - line[2], line[0] - box[2])
    return overlap > _SAME_LINE * height and gap < _WIDEST_GAP * height
