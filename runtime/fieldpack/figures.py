"""Figures in text: which words and cells are one, which stand in a sentence, and what they are worth.

What a figure is depends on where it stands, so there is a question for each place: a word of a line
(`is_figure_word`), a cell of a sheet (`is_figure_cell`), a cell printed on a page, with the marks
that a typesetter adds (`is_printed_figure`), and running text (`find_figures`). One kind is written here too, for report
and terminal alike: a size in bytes (`megabytes`). Knows nothing of documents, tables or languages.
Amounts with a scale ("2.1 billion") are read by the builder's evaluation, which alone compares them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

MONEY = "$€£¥"
_DASHES = "-–—−"
_SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹⁽⁾"

_WORD = re.compile(rf"[{MONEY}(\[+\{_DASHES}]*\d[\d.,]*[%)\]x*]*")
_YEAR = re.compile(r"\(?(?:19|20)\d\d\)?[,;:]?")
_CELL = re.compile(
    r"[-+(]?\s*[^\w\s.,()-]{0,3}\s*[-+(]?\d[\d.,' \u00a0\u202f]*\s*[%)]*\s*[^\W\d_]{0,3}\)?"
)
_NOTE = rf"[{_SUPERSCRIPTS}⁺⁻,*†‡]+|\^\S{{1,8}}"  # the mark of a note, or an exponent
# In the spelling of most of Europe: "1 234,50", "1.234,50", "1'234.50".
_THOUSANDS = (
    r"\d{1,3}(?:(?:[ \u00a0\u202f]\d{3})+(?:[.,]\d+)?|(?:\.\d{3})+,\d+|(?:\.\d{3}){2,}"
    r"|(?:['’]\d{3})+(?:\.\d+)?)"
)
_SPAN = rf"\d{{1,3}}(?:[.,]\d{{1,2}})?[{_DASHES}]\d{{1,3}}(?:[.,]\d{{1,2}})?"  # "10-12", no years
_GROUPS = re.compile(rf"[{_DASHES}{MONEY}+(]*\d{{1,3}}(?: \d{{3}})+(?:[.,]\d+)?(?=[\s)%]|$)")
_PRINTED = re.compile(
    # Sign, currency and sign: "$(1,250.50)%*", "US$5", then a unit, notes "(a)" and raised marks.
    rf"[{_DASHES}+(]*(?:[A-Z]{{1,2}})?[{MONEY}]?[{_DASHES}+(]*"
    rf"(?:{_THOUSANDS}|{_SPAN}|\d[\d,]*(?:\.\d+)?[-−]?|\.\d+)"
    rf"\s?[)%¢]*\s?(?:x|bps?|pts?|pp|[{MONEY}])?[)%*†‡]*(?:\s?\((?:[a-z]|\d)\))*(?:{_NOTE})?"
    # A dash for nothing, and what stands where there is no figure: "not meaningful".
    rf"|[{MONEY}]?\s?[{_DASHES}]{{1,3}}\s?%?|\(?(?:NM|N/M|N/A|n/a|NA|nm|n/m|\*{{1,2}})\)?"
)
_LONGEST_PRINTED = 24  # characters
_PRINTED_YEAR = re.compile(r"(?:FY\s?)?(?:19|20)\d\d(?:[AEP*]|\s?\(\w\))?")
_ONLY_PRINTED = re.compile(rf"[\d\s{MONEY},.()%–—−{_SUPERSCRIPTS}-]+")
_IN_TEXT = re.compile(r"\d+(?:[.,'’\u00a0\u202f]\d+)*")
_GROUPED = re.compile(r"\d{1,3}([.,])\d{3}(?:\1\d{3})*(?:[.,]\d+)?")


def is_figure_word(word: str) -> bool:
    """Return whether a word of a line is a figure: "$1,250", "(2.5%)"; a year is none."""
    return _WORD.fullmatch(word) is not None and _YEAR.fullmatch(word) is None


def is_figure_cell(text: str) -> bool:
    """Return whether a cell of a sheet or table is a figure, unit included: "- 12.5 %", "3 bn"."""
    return _CELL.fullmatch(text) is not None


def is_printed_figure(text: str) -> bool:
    """Return whether a cell printed on a page is a figure, or stands for one: "(2,724)", "—", "NM".

    The marks of notes may follow it: "482¹", "5.2%(a)".
    """
    return len(text) <= _LONGEST_PRINTED and _PRINTED.fullmatch(text) is not None


def is_printed_year(text: str) -> bool:
    """Return whether a cell printed on a page is a year: "2022", "FY 2022", "2023E"."""
    return _PRINTED_YEAR.fullmatch(text) is not None


def find_grouped_figures(text: str) -> Iterator[tuple[int, int]]:
    """Yield where figures stand in a printed text whose thousands are parted by blanks: "1 234 567"
    is one, or three that stand close to each other, which the text does not say."""
    at = 0
    while match := _GROUPS.search(text, at):
        at = match.end()
        if match.start() == 0 or text[match.start() - 1] == " ":
            yield match.span()


def is_only_figures(text: str) -> bool:
    """Return whether a printed text is nothing but digits, signs and blanks: several figures."""
    return _ONLY_PRINTED.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure at [start, end) of a text. `value` is its worth in one spelling: "1,250.50",
    "1250.5" and "1 250,50" are all "1250.5"."""

    start: int
    end: int
    value: str


def find_figures(text: str) -> Iterator[Figure]:
    """Yield the figures of a text in their order, those inside words included."""
    for match in _IN_TEXT.finditer(text):
        # Its value is without style: separators of thousands, zeros at the ends, comma or point.
        plain = re.sub(r"[\s'’]", "", match.group())
        if grouped := _GROUPED.fullmatch(plain):
            plain = plain.replace(grouped.group(1), "")
        whole, _, part = plain.replace(",", ".").partition(".")
        value = (whole.lstrip("0") or "0") + ("." + part.rstrip("0") if part.strip("0") else "")
        yield Figure(*match.span(), value)


def megabytes(size: int) -> str:
    """Return a size in bytes as "234.5 MB", from 10^9 bytes on as "1.2 GB"."""
    return f"{size / 1e6:,.1f} MB" if size < 1e9 else f"{size / 1e9:,.1f} GB"
