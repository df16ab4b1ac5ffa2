"""Figures in an answer, compared as what they count: thousand separators, scales (million), per
cent, signs, rounding. Knows nothing of questions or models.

After TAT-QA (Zhu et al. 2021), whose answers are a figure and a scale: 2053.5 and "million". A
figure that is said without a scale is taken in the scale that was expected, as tables print it; one
that is said with a scale must be right with it. Which of its separators is the decimal mark is read
as the runtime reads it (`fieldpack.figures`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from fieldpack.figures import COMMA, NUMBER, SPACED_NUMBER, paired_marks, read_number

_SCALES = {
    "thousand": 1e3,
    "thousands": 1e3,
    "k": 1e3,
    "million": 1e6,
    "millions": 1e6,
    "m": 1e6,
    "mn": 1e6,
    "billion": 1e9,
    "billions": 1e9,
    "bn": 1e9,
    "trillion": 1e12,
    "trillions": 1e12,
    "mio": 1e6,
    "millionen": 1e6,
    "millones": 1e6,
    "milioni": 1e6,
    "mrd": 1e9,
    "milliarde": 1e9,
    "milliarden": 1e9,
    "milliard": 1e9,
    "milliards": 1e9,
    "miliardi": 1e9,
}
_WORDS = {
    word: float(number)
    for number, word in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve".split()
    )
}


def _figure_pattern(number: str) -> re.Pattern[str]:
    scales = "|".join(sorted((name for name in _SCALES if len(name) > 1), key=len, reverse=True))
    return re.compile(
        r"(?P<open>\(\s*)?(?P<sign>(?<![\w.)])[-−–]\s?)?(?:[$€£¥]|(?:USD|EUR|GBP|CHF|JPY)\s?)?"
        rf"(?<![\w.,])(?P<figure>(?:{number})|\.\d++)"
        r"(?:\s?(?P<percent>%|per\s?cent\b|percent(?:age points)?\b|prozent\w*|pour\s?cent\b"
        r"|por\s?ciento\b|por\s?cento\b|per\s?cento\b)"
        rf"|[\s-]?(?P<scale>{scales})\b|(?P<short>[km])\b|(?:st|nd|rd|th)\b|(?!\w))"
        r"(?P<close>\s*\))?",
        re.IGNORECASE,
    )


_FIGURE, _SPACED_FIGURE = _figure_pattern(NUMBER), _figure_pattern(SPACED_NUMBER)
_WORD = re.compile(rf"\b(?:{'|'.join(_WORDS)})\b", re.IGNORECASE)
_LESS = re.compile(
    r"\b(?:decreas|declin|fell|fall|lower|loss|lost|reduc|down|drop|negative|minus)", re.IGNORECASE
)
_NEAR = 0.01  # of the figure: rounding that is coarser says something else


@dataclass(frozen=True, slots=True)
class Quantity:
    """`value` as it is written, sign included; `factor`: what its scale makes of it, None where
    none is said; `decimals`: digits behind the decimal mark. `code`: a date or a version, which is
    compared letter for letter and whose `value` says nothing. [start, end) is its place in the text,
    with its currency, per cent or scale."""

    value: float
    decimals: int
    percent: bool = False
    factor: float | None = None
    code: str | None = None
    start: int = 0
    end: int = 0


def quantities(text: str, decimal_mark: str | None = None) -> list[Quantity]:
    """Return every figure of a text, in its order; number words up to twelve behind them.
    `decimal_mark`: as of `fieldpack.figures.find_figures`; where it is a comma, a plain blank groups
    thousands."""
    return _figures(text, decimal_mark) + [
        Quantity(_WORDS[match.group().lower()], 0, start=match.start(), end=match.end())
        for match in _WORD.finditer(text)
    ]


def expected_quantities(
    answer: str, scale: str | None = None, decimal_mark: str | None = None
) -> list[Quantity]:
    """Return the figures that must be said; `scale` ("million", "percent") where the answer itself
    has none. A number word counts where it is the whole answer: in a sentence "one" is mostly no
    figure."""
    expected = _figures(answer, decimal_mark)
    if not expected and answer.strip().lower() in _WORDS:
        expected = [Quantity(_WORDS[answer.strip().lower()], 0, end=len(answer))]
    unit = (scale or "").strip().lower()
    if unit in ("percent", "per cent", "%"):
        return [replace(quantity, percent=True) for quantity in expected]
    return [
        replace(quantity, factor=_SCALES.get(unit)) if quantity.factor is None else quantity
        for quantity in expected
    ]


def same_quantities(
    said: str, answer: str, scale: str | None = None, *, decimal_mark: str | None = None
) -> bool | None:
    """Return whether every expected figure is said, each by another figure; None where none is
    expected. `decimal_mark`: the usual one in the texts' language; where neither it nor the figures
    tell how "1.250" is to be read, one reading of both texts must be right."""
    if not expected_quantities(answer, scale):
        return None
    less = bool(_LESS.search(said))
    return any(
        _all_said(quantities(said, one), expected_quantities(answer, scale, other), less=less)
        for one, other in paired_marks(said, answer, expected=decimal_mark)
    )


def _all_said(said: list[Quantity], expected: list[Quantity], *, less: bool) -> bool:
    left = list(said)
    for quantity in expected:
        match = next((figure for figure in left if is_same(figure, quantity, less=less)), None)
        if match is None:
            return False
        left.remove(match)
    return True


def _figures(text: str, decimal_mark: str | None) -> list[Quantity]:
    pattern = _SPACED_FIGURE if decimal_mark == COMMA else _FIGURE
    return [one for match in pattern.finditer(text) for one in _quantities(match, decimal_mark)]


def _quantities(match: re.Match[str], decimal_mark: str | None) -> list[Quantity]:
    """The figures of a run of digits, mostly one: its sign is the first's, its scale the last's."""
    figures = read_number(match["figure"], decimal_mark)
    # (5.2) is minus 5.2 in a table.
    bracketed = match["open"] is not None and match["close"] is not None and match["sign"] is None
    # "5m" is five million, "5 m" is five metres.
    factor = _SCALES.get((match["scale"] or match["short"] or "").lower())
    values = [
        Quantity(
            0.0 if figure.code else float(figure.value),
            figure.decimals,
            code=figure.value if figure.code else None,
            start=match.start(),
            end=match.end(),
        )
        for figure in figures
    ]
    if match["sign"] or bracketed:
        values[0] = replace(values[0], value=-values[0].value)
    values[-1] = replace(values[-1], percent=match["percent"] is not None, factor=factor)
    return values


def is_same(said: Quantity, expected: Quantity, *, less: bool = False) -> bool:
    """Return whether a figure is the expected one. `less`: the answer says in words that something
    fell, which is a sign too."""
    if said.code or expected.code:
        return said.code == expected.code
    if said.percent and not expected.percent:
        return False
    for value, decimals, target in _in_one_unit(said, expected):
        gap = abs(value - target)
        if less and target < 0:
            gap = min(gap, abs(-value - target))
        # Either side may have been rounded to the digits it shows; of 12.25 people make 12.2 and
        # 12.3.
        allowed = 0.5000001 * 10.0 ** -min(decimals, expected.decimals)
        if gap == 0 or (gap <= allowed and gap <= _NEAR * abs(target)):
            return True
    return False


def _in_one_unit(said: Quantity, expected: Quantity) -> list[tuple[float, int, float]]:
    """(what was said, its decimals, what was expected), in each unit that may be meant."""
    factor = expected.factor or 1.0
    if said.factor is not None:  # in the expected unit, so that decimals keep their meaning
        shift = said.factor / factor
        zeros = len(f"{shift:.0f}") - 1 if shift >= 1 else 1 - len(f"{1 / shift:.0f}")
        return [(said.value * shift, said.decimals - zeros, expected.value)]
    as_written = [(said.value, said.decimals, expected.value)]
    if factor == 1:
        return as_written
    return [*as_written, (said.value, said.decimals, expected.value * factor)]
