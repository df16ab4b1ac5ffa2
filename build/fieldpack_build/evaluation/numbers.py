"""Figures in an answer, compared as what they count: thousand separators, scales (million), per
cent, signs, rounding. Knows nothing of questions or models.

After TAT-QA (Zhu et al. 2021), whose answers are a figure and a scale: 2053.5 and "million". A
figure that is said without a scale is taken in the scale that was expected, as tables print it; one
that is said with a scale must be right with it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

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
}
_WORDS = {
    word: float(number)
    for number, word in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve".split()
    )
}
_FIGURE = re.compile(
    r"(?P<open>\(\s*)?(?P<sign>(?<![\w.)])[-−–]\s?)?(?:[$€£¥]|(?:USD|EUR|GBP|CHF|JPY)\s?)?"
    r"(?<![\w.,])(?P<figure>\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)"
    r"(?:\s?(?P<percent>%|per\s?cent\b|percent(?:age "
    r"points)?\b)|[\s-]?(?P<scale>thousands?|millions?|billions?|trillions?"
    r"|bn|mn)\b|(?P<short>[km])\b|(?:st|nd|rd|th)\b|(?!\w))(?P<close>\s*\))?",
    re.IGNORECASE,
)
_WORD = re.compile(rf"\b(?:{'|'.join(_WORDS)})\b", re.IGNORECASE)
_LESS = re.compile(
    r"\b(?:decreas|declin|fell|fall|lower|loss|lost|reduc|down|drop|negative|minus)", re.IGNORECASE
)
_NEAR = 0.01  # of the figure: rounding that is coarser says something else


@dataclass(frozen=True, slots=True)
class Quantity:
    """`value` as it is written, sign included; `factor`: what its scale makes of it, None where
    none is said; `decimals`: digits behind the point."""

    value: float
    decimals: int
    percent: bool = False
    factor: float | None = None


def quantities(text: str) -> list[Quantity]:
    """Return every figure of a text, in its order; number words up to twelve behind them."""
    figures = [_quantity(match) for match in _FIGURE.finditer(text)]
    return figures + [Quantity(_WORDS[match.group().lower()], 0) for match in _WORD.finditer(text)]


def expected_quantities(answer: str, scale: str | None = None) -> list[Quantity]:
    """Return the figures that must be said; `scale` ("million", "percent") where the answer itself
    has none. A number word counts where it is the whole answer: in a sentence "one" is mostly no
    figure."""
    expected = [_quantity(match) for match in _FIGURE.finditer(answer)]
    if not expected and answer.strip().lower() in _WORDS:
        expected = [Quantity(_WORDS[answer.strip().lower()], 0)]
    unit = (scale or "").strip().lower()
    if unit in ("percent", "per cent", "%"):
        return [replace(quantity, percent=True) for quantity in expected]
    return [
        replace(quantity, factor=_SCALES.get(unit)) if quantity.factor is None else quantity
        for quantity in expected
    ]


def same_quantities(said: str, answer: str, scale: str | None = None) -> bool | None:
    """Return whether every expected figure is said, each by another figure; None where none is
    expected."""
    expected = expected_quantities(answer, scale)
    if not expected:
        return None
    left = quantities(said)
    less = bool(_LESS.search(said))
    for quantity in expected:
        match = next((figure for figure in left if _same(figure, quantity, less=less)), None)
        if match is None:
            return False
        left.remove(match)
    return True


def _quantity(match: re.Match[str]) -> Quantity:
    digits = match["figure"].replace(",", "")
    # (5.2) is minus 5.2 in a table.
    bracketed = match["open"] is not None and match["close"] is not None and match["sign"] is None
    value = -float(digits) if match["sign"] or bracketed else float(digits)
    # "5m" is five million, "5 m" is five metres.
    scale = (match["scale"] or match["short"] or "").lower()
    decimals = len(digits.partition(".")[2])
    return Quantity(value, decimals, match["percent"] is not None, _SCALES.get(scale))


def _same(said: Quantity, expected: Quantity, *, less: bool) -> bool:
    """`less`: the answer says in words that something fell, which is a sign too."""
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
