"""Splits a text into spans of a few tokens, at the best places there are. Knows nothing of
documents and chunks."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from fieldpack.language import sentence_ends

_WIDE = (
    r"[\u3002\uff01\uff1f]"  # the full stop, exclamation and question mark of Chinese and Japanese
)
# before an item of a list: 1. 2.1 (a) § 3
_MARK = r"(?:[-*•+]|\d+[.)]|\d+(?:\.\d+)+\.?|\(?[a-z\d]{1,4}\)|§ ?\d+)"
_BLANKS = re.compile(r"\s*")
_PARAGRAPH_OR_ITEM = re.compile(rf"\n[ \t]*\n\s*|\n(?=[ \t]*{_MARK}\s)")


def _behind(pattern: str) -> Callable[[str, int, int], Iterator[int]]:
    """Return a function that yields the offsets behind the pattern's matches in text[start:end]."""
    compiled = re.compile(pattern)
    return lambda text, start, end: (m.end() for m in compiled.finditer(text, start, end))


def _next_sentences(text: str, start: int, end: int) -> Iterator[int]:
    for stop in sentence_ends(text, start, end):
        blanks = _BLANKS.match(text, stop, end)
        yield blanks.end() if blanks else stop


# The best place first. A line that ends amid a sentence, as every line of a PDF does, comes after
# sentences.
_PLACES = (
    _behind(r"\n[ \t]*\n\s*"),
    _behind(rf"(?<=[.!?:;])[ \t]*\n\s*|\n(?=[ \t]*{_MARK}\s)|{_WIDE}\n\s*"),
    _next_sentences,
    _behind(r"\n\s*"),
    _behind(r"\s+"),
)
_DELIMITER_ROW = re.compile(r"[ \t]*\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-*:?[ \t]*)*")


# Characters for which a token is counted at least: a word of 100 letters and more is one unknown
# token to WordPiece, and 440,000 characters without a blank were one chunk. English has 4 to 5 a
# token, a table in columns up to 12.
CHARACTERS_A_TOKEN = 20


class Span(NamedTuple):
    """[start, end) of a text, and how many tokens it has."""

    start: int
    end: int
    tokens: int


class Measure:
    """Counts tokens of slices of one text.

    It does so by counting each, or as places in `starts`, the offsets of all its tokens. A slice of
    many characters counts for some even where the tokenizer sees one word.
    """

    def __init__(
        self, text: str, count_tokens: Callable[[str], int], starts: Sequence[int] | None = None
    ) -> None:
        self.text = text
        self._count = count_tokens
        self._fixed = count_tokens("")  # marks that a tokenizer puts around every text
        self._starts = starts

    def size(self, start: int, end: int) -> int:
        """Return the tokens of text[start:end], at least one for 20 characters."""
        min_tokens = (end - start) // CHARACTERS_A_TOKEN
        if self._starts is None:
            return max(self._count(self.text[start:end]) - self._fixed, min_tokens)
        return max(bisect_left(self._starts, end) - bisect_left(self._starts, start), min_tokens)


class Pieces:
    """Makes spans of one text that tile what they are made from.

    None is above `budget` tokens but single characters.
    """

    def __init__(self, measure: Measure, budget: int) -> None:
        self._text = measure.text
        self.size = measure.size
        self.budget = max(budget, 1)

    def text(self, start: int, end: int, tokens: int | None = None) -> list[Span]:
        """Return spans of text[start:end], split at the best places there are.

        `tokens`: how many it has, where that is known.
        """
        span = Span(start, end, self.size(start, end) if tokens is None else tokens)
        return list(self._split(span, 0))

    def halves(self, span: Span) -> list[Span]:
        """Return the two halves of a span, in characters."""
        middle = (span.start + span.end) // 2
        return [
            Span(*ends, self.size(*ends)) for ends in ((span.start, middle), (middle, span.end))
        ]

    def _split(self, span: Span, place: int) -> Iterator[Span]:
        if span.tokens <= self.budget or span.end - span.start == 1:
            yield span
            return
        if place == len(_PLACES):
            for half in self.halves(span):
                yield from self._split(half, place)
            return
        ends = _PLACES[place](self._text, span.start, span.end)
        inside = [end for end in ends if span.start < end < span.end]
        for start, end in pairwise([span.start, *dict.fromkeys(inside), span.end]):
            yield from self._split(Span(start, end, self.size(start, end)), place + 1)


def row_spans(text: str, start: int, end: int) -> list[tuple[int, int]]:
    """Return [start, end) of a table's rows.

    The header row, the rule below it and the first row of data are one, so that none is alone.
    """
    ends = [match.end() for match in re.finditer("\n", text[start:end])]
    starts = [start, *(start + offset for offset in ends)]
    has_rule = (
        len(starts) > 1
        and _DELIMITER_ROW.fullmatch(text[starts[1] : end].split("\n", 1)[0]) is not None
    )
    starts = [start, *starts[3 if has_rule else 2 :]]
    return [(a, b) for a, b in zip(starts, [*starts[1:], end], strict=True) if b > a]


def sentence_starts(text: str) -> list[int]:
    """Return the offsets of a text's sentences and paragraphs, 0 included."""
    paragraphs = (match.end() for match in _PARAGRAPH_OR_ITEM.finditer(text))
    starts = {*_next_sentences(text, 0, len(text)), *paragraphs} - {len(text)}
    return [0, *sorted(starts)]
