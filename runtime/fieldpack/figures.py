"""Figures in text: which words and cells are one, which stand in a sentence, and what they are worth.

What a figure is depends on where it stands, so there is a question for each place: a word of a line
(`is_figure_word`), a cell of a sheet (`is_figure_cell`), a cell printed on a page, with the marks
that a typesetter adds (`is_printed_figure`), and running text (`find_figures`). One kind is written here too, for report
and terminal alike: a size in bytes (`megabytes`). Knows nothing of documents, tables or languages.
Amounts with a scale ("2.1 billion") are read by the builder's evaluation, which alone compares them.

"1,250" is a thousand and more where the decimal mark is a point, and one and a quarter where it is a
comma. Which it is, other figures of the text tell (`possible_marks`), those beside it, or else the
language; where nothing tells, a figure is taken in either reading.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
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
POINT, COMMA = ".", ","  # decimal marks
_BLANKS = "\u00a0\u202f\u2009"  # no-break and thin ones; they group digits as apostrophes do
NUMBER = rf"\d+(?:[.,'’{_BLANKS}]\d+)*+"
"""A run of digits and separators; `read_number` says which figures it is."""
SPACED_NUMBER = (
    rf"(?<![\d.,])[1-9]\d{{0,2}}(?: \d{{3}})++(?:,\d++)?(?![\d'’{_BLANKS}]|[.,]\d)|{NUMBER}"
)
"""A run in a text whose decimal mark is a comma: "12 250,50" is one figure."""
_FRACTION = r"(?<![^\s(\[+\-–−$€£¥~<>=])\.\d++(?!\.\d)"  # ".5"
_IN_TEXT = re.compile(rf"{_FRACTION}|{NUMBER}")
_SPACED_IN_TEXT = re.compile(rf"{_FRACTION}|{SPACED_NUMBER}")
_GROUPED = re.compile(
    rf"[1-9]\d{{0,2}}(?:([.,'’ {_BLANKS}])\d{{3}})(?:\1\d{{3}})*(?:(?!\1)[.,]\d+)?"
)
_PARTS = re.compile(rf"[^'’ {_BLANKS}]+")
_LISTED = re.compile(r"[^,]+")


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
    "1250.5" and "1'250.50" are all "1250.5". `decimals`: digits behind the decimal mark. `mark`: the
    decimal mark that its writing shows beyond doubt, None where it shows none. `code`: a date, a
    version, a section ("12.05.2024"), whose value is its writing."""

    start: int
    end: int
    value: str
    decimals: int = 0
    mark: str | None = None
    code: bool = False


def find_figures(
    text: str, decimal_mark: str | None = None, *, spaced: bool = False
) -> Iterator[Figure]:
    """Yield the figures of a text in their order, those inside words included. `decimal_mark`: that
    of the text; where it is None, a separator before three digits ("1.250") groups thousands.
    `spaced`: a plain blank groups them too, as it does where the decimal mark is a comma; columns of
    three digits would become one figure."""
    for match in (_SPACED_IN_TEXT if spaced else _IN_TEXT).finditer(text):
        yield from read_number(match.group(), decimal_mark, start=match.start())


def read_number(run: str, decimal_mark: str | None = None, *, start: int = 0) -> list[Figure]:
    """Return the figures of a run of digits and separators, mostly one: "2021,2022" are two.
    Thousands are grouped by threes, and the first group neither begins with 0 nor has more than
    three digits: "0.125" and "1250,125" are decimals whatever the text's decimal mark. `start`: where
    the run stands in its text."""
    end = start + len(run)
    separators = set(re.findall(r"\D", run))
    marks = sorted(separators & {POINT, COMMA})
    grouped = _GROUPED.fullmatch(run)
    single = len(separators) == 1 and len(re.findall(r"\D", run)) == 1
    if grouped and len(separators) == 2 and marks:  # thousands and decimals
        decimal = next(c for c in reversed(run) if not c.isdigit())
        return [_figure(run, decimal, start, end, shown=decimal)]
    if grouped and single and marks:  # either
        decimal = decimal_mark or (COMMA if marks == [POINT] else POINT)
        return [_figure(run, decimal, start, end)]
    if grouped:  # thousands alone, "1,250,000" or "1'250"
        shown = {POINT: COMMA, COMMA: POINT}.get(marks[0]) if marks else None
        return [_figure(run, shown, start, end, shown=shown)]
    if single and marks:
        return [_figure(run, marks[0], start, end, shown=marks[0])]
    if not separators:
        return [_figure(run, None, start, end)]
    for part in (_PARTS, _LISTED):
        parts = list(part.finditer(run))
        if len(parts) > 1:
            return [
                figure
                for one in parts
                for figure in read_number(one.group(), decimal_mark, start=start + one.start())
            ]
    return [Figure(start, end, run, code=True)]


def _figure(
    run: str, decimal: str | None, start: int, end: int, shown: str | None = None
) -> Figure:
    whole, _, part = run.partition(decimal) if decimal else (run, "", "")
    whole = re.sub(r"\D", "", whole).lstrip("0") or "0"
    value = whole + ("." + part.rstrip("0") if part.strip("0") else "")
    return Figure(start, end, value, len(part), shown)


def possible_marks(
    text: str, *, beside: Iterable[str] = (), expected: str | None = None
) -> tuple[str, ...]:
    """Return the decimal marks that a text's figures may be written with: one where it can be told,
    else both.

    It is told by the figures of the text that can be read in one way only ("12,5", "1'250.00"); by
    those of the texts `beside` it, where it has none, or they contradict each other or the mark that
    is `expected` in its language; by the language alone where no figure tells."""
    own, near = _marks_shown(text), frozenset().union(*map(_marks_shown, beside))
    usual = frozenset((expected,) if expected else ())
    for shown in (own, near):
        if shown and len(shown | usual) == 1:
            return tuple(shown)
    return tuple(usual) if usual and not own and not near else (POINT, COMMA)


def paired_marks(a: str, b: str, *, expected: str | None = None) -> list[tuple[str, str]]:
    """Return the decimal marks by which the figures of two texts are compared: one for each where it
    can be told, else both times the same, either of them. So "1.250" and "1,250" are never the same
    figure where nothing tells that their texts are written differently."""
    of_a, of_b = (
        possible_marks(text, beside=(other,), expected=expected) for text, other in ((a, b), (b, a))
    )
    if len(of_a) == len(of_b) == 1:
        return [(of_a[0], of_b[0])]
    return [(POINT, POINT), (COMMA, COMMA)]


def _marks_shown(text: str) -> frozenset[str]:
    return frozenset(figure.mark for figure in find_figures(text) if figure.mark)


def megabytes(size: int) -> str:
    """Return a size in bytes as "234.5 MB", from 10^9 bytes on as "1.2 GB"."""
    return f"{size / 1e6:,.1f} MB" if size < 1e9 else f"{size / 1e9:,.1f} GB"
