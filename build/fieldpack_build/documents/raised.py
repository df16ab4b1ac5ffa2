"""Keeps raised and lowered characters apart from what they stand behind: "482" with the footnote
mark 1 is "482¹", not 4821.

Readers put `raise_`d and `lower`ed pieces into their text as they meet them and `settle` the whole,
which knows what stands before each. Knows nothing of formats.
"""

from __future__ import annotations

import re

# Shift-out and its like cannot come from a file: `pages.clean` takes control characters out of
# everything that is stored.
_UP, _UP_END, _DOWN, _DOWN_END = "\x0e", "\x0f", "\x10", "\x11"
_MARKS = re.compile(f"({_UP}|{_DOWN})([^{_UP}-{_DOWN_END}]*)(?:{_UP_END}|{_DOWN_END})")
_AGAIN = re.compile(f"{_UP_END}{_UP}|{_DOWN_END}{_DOWN}")  # one superscript in two runs
_LEFT_OVER = re.compile(f"[{_UP}-{_DOWN_END}]")
_SUPERSCRIPTS = str.maketrans("0123456789+-−=()in", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁼⁽⁾ⁱⁿ")
_SUBSCRIPTS = str.maketrans("0123456789+-−=()", "₀₁₂₃₄₅₆₇₈₉₊₋₋₌₍₎")
_UP_ALL = re.compile(r"[0-9+\-−=()in]+")
_DOWN_ALL = re.compile(r"[0-9+\-−=()]+")
# Raised by typography alone: 5th, 1er, Mlle, and the trade marks, which are characters of their
# own.
_ORDINAL = re.compile(r"(?:st|nd|rd|th|er|re|ère|ème|os|as)", re.IGNORECASE)
_WHOLE = {"TM": "™", "SM": "℠"}


def raise_(text: str) -> str:
    """Mark `text` as a superscript for `settle`; what is marked as one already stays as it is."""
    if not text or (text.startswith(_UP) and text.endswith(_UP_END)):
        return text
    return f"{_UP}{text}{_UP_END}"


def lower(text: str) -> str:
    """Mark `text` as a subscript for `settle`."""
    return f"{_DOWN}{text}{_DOWN_END}" if text else ""


def settle(text: str) -> str:
    """Return `text` with every marked piece as Unicode superscripts or, where a character has none,
    behind a `^`.

    A superscript that begins with neither letter nor figure ("*", "[1]") stays as it is, and so do
    the letters of an ordinal behind a figure. A subscript is plain ("H2O") but behind a figure,
    where it would change the number: "10₂".
    """
    if _UP not in text and _DOWN not in text:
        return text
    text = _AGAIN.sub("", text)

    def plain(mark: re.Match[str]) -> str:
        before = mark.string[max(mark.start() - 1, 0) : mark.start()]
        return (superscript if mark[1] == _UP else subscript)(mark[2], before)

    for _ in range(2):  # a mark inside another, such as an exponent's own exponent
        text = _MARKS.sub(plain, text)
    return _LEFT_OVER.sub("", text)


def superscript(text: str, before: str = "") -> str:
    """Return the superscript `text` as it is written behind `before`."""
    inner = text.strip()
    if not inner or not (inner[0].isalnum() or inner[0] in "+-−=("):
        return text
    last = before[-1:]
    if inner in _WHOLE:
        written = _WHOLE[inner]
    elif last.isdigit() and _ORDINAL.fullmatch(inner):
        written = inner
    elif _UP_ALL.fullmatch(inner):
        written = inner.translate(_SUPERSCRIPTS)
    else:
        written = (
            f"^{inner}"
            if inner.isalnum() or not last or last.isspace()
            else f"^({inner.strip('()')})"
        )
    return text.replace(inner, written, 1)


def subscript(text: str, before: str = "") -> str:
    """Return the subscript `text` as it is written behind `before`."""
    inner = text.strip()
    if not before[-1:].isdigit() or not inner[:1].isdigit():
        return text
    written = inner.translate(_SUBSCRIPTS) if _DOWN_ALL.fullmatch(inner) else f"_{inner}"
    return text.replace(inner, written, 1)
