"""Numbers of Word's paragraphs as Word shows them: levels, restarts, formats, numbering that a
style brings.

Follows ECMA-376 part 1, 17.9. Knows nothing of the text of a paragraph.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_LEVELS = 9
_BASES_DEEP = 20  # styles that are based on each other; a longer chain is a circle
_CYRILLIC = "абвгдежзиклмнопрстуфхцчшщэюя"
_CHINESE = "零一二三四五六七八九"
_LARGEST = 32_767  # Word's own; a roman numeral of a larger one would be a wall of M


@dataclass(frozen=True, slots=True)
class Level:
    """One level of a list.

    `text` has "%1" for the number of the first level and so on. `restart`: the level, counted from
    1, that restarts this one; 0 for none, None for every higher one. `legal`: all numbers as 1, 2,
    3.
    """

    start: int = 1
    kind: str = "decimal"
    text: str = ""
    restart: int | None = None
    legal: bool = False
    joined: bool = False
    style: str = ""


@dataclass(frozen=True, slots=True)
class Label:
    """What stands before a paragraph, "-" for a bullet.

    `joined`: without a blank between it and the text.
    """

    text: str
    level: int
    joined: bool = False

    def before(self, text: str) -> str:
        """Return the text of a paragraph behind its label."""
        return f"{self.text}{'' if self.joined or not self.text else ' '}{text}"


@dataclass(slots=True)
class _List:
    """A `w:num`: the counters it shares with others (`abstract`), its levels, and levels that it
    starts anew."""

    abstract: str
    levels: dict[int, Level]
    starts: dict[int, int] = field(default_factory=dict)


class Numbering:
    """Counts the paragraphs of one document, in order.

    `numbers`, `styles`: roots of numbering.xml (None where there is none) and of styles.xml.
    `unknown`: formats that are shown as 1, 2, 3 because we do not know them.
    """

    def __init__(self, numbers: Any | None, styles: Any) -> None:
        self.unknown: set[str] = set()
        self._styled = _numbers_of_styles(styles)
        self._lists: dict[str, _List] = {}
        self._counts: dict[str, list[int | None]] = {}
        self._started: set[tuple[str, int]] = set()
        if numbers is not None:
            self._read(numbers)

    def label(self, paragraph: Any, style: str) -> Label | None:
        """Count `paragraph`, a `w:p` in the style of id `style`; None where it has no number."""
        own = paragraph.find(f"{_W}pPr/{_W}numPr")
        number, level = _number_of(own)
        if number is None:
            number, styled_level = self._styled.get(style, (None, None))
            level = styled_level if level is None else level
            if level is None and number in self._lists:
                levels = self._lists[number].levels.items()
                level = next(
                    (place for place, entry in levels if style and entry.style == style), None
                )
        if number is None or number == "0" or number not in self._lists:
            return None
        return self._next_label(number, min(level or 0, _LEVELS - 1))

    def _next_label(self, number: str, at: int) -> Label:
        own = self._lists[number]
        counts = self._counts.setdefault(own.abstract, [None] * _LEVELS)
        if at in own.starts and (number, at) not in self._started:
            self._started.add((number, at))
            counts[at] = own.starts[at]
        else:
            counts[at] = self._start(own, at) if (now := counts[at]) is None else now + 1
        for higher in range(at):
            if counts[higher] is None:  # a clause 1.1 before any clause 1 stands in clause 1
                counts[higher] = self._start(own, higher)
        for deeper in range(at + 1, _LEVELS):
            restart = own.levels.get(deeper, Level()).restart
            if restart is None or (restart and at < restart):
                counts[deeper] = None
        level = own.levels.get(at, Level(kind="bullet"))
        if level.kind == "bullet":
            return Label("-", at)

        def part(place: re.Match[str]) -> str:
            referred = int(place[1]) - 1
            kind = own.levels.get(referred, Level()).kind
            if kind in ("bullet", "none") or (value := counts[referred]) is None:
                return ""
            return self._formatted(value, "decimal" if level.legal else kind)

        return Label(re.sub("%([1-9])", part, level.text).strip(), at, level.joined)

    def _formatted(self, value: int, kind: str) -> str:
        known = FORMATS.get(kind)
        if known is None:
            self.unknown.add(kind)
        shown = known(value) if known and 0 < value <= _LARGEST else ""
        return shown or str(value)

    def _start(self, own: _List, at: int) -> int:
        return own.starts.get(at, own.levels.get(at, Level()).start)

    def _read(self, root: Any) -> None:
        abstracts = {
            entry.get(f"{_W}abstractNumId"): entry for entry in root.iter(f"{_W}abstractNum")
        }
        targets = {
            number.get(f"{_W}numId"): _value(number, "abstractNumId")
            for number in root.iter(f"{_W}num")
        }
        for number in root.iter(f"{_W}num"):
            own = targets[number.get(f"{_W}numId")] or ""
            abstract = abstracts.get(own)
            # A list style keeps its levels in one abstract list, which others link to.
            link = _value(abstract, "numStyleLink") if abstract is not None else None
            if link and (linked := targets.get(self._styled.get(link, (None, None))[0])):
                own, abstract = linked, abstracts.get(linked)
            if abstract is None:
                continue
            levels = {
                place: _level(entry)
                for entry in abstract.iter(f"{_W}lvl")
                if (place := _place(entry)) is not None
            }
            entry = _List(own, levels)
            for override in number.iter(f"{_W}lvlOverride"):
                place = _place(override)
                if place is None:
                    continue
                if (level := override.find(f"{_W}lvl")) is not None:
                    levels[place] = _level(level)
                    entry.starts.setdefault(place, levels[place].start)
                if (start := _whole(_value(override, "startOverride"))) is not None:
                    entry.starts[place] = start
                    levels[place] = replace(levels.get(place, Level()), start=start)
            self._lists[number.get(f"{_W}numId")] = entry


def _level(entry: Any) -> Level:
    place = _place(entry) or 0
    start, text = _whole(_value(entry, "start")), _value(entry, "lvlText")
    kind = _value(entry, "numFmt")
    if not kind:
        # Word 2010 writes formats that are newer than the standard into a choice beside a fallback.
        stated = next(entry.iter(f"{_W}numFmt"), None)
        kind = stated.get(f"{_W}val") if stated is not None else None
        if kind == "custom" and stated is not None:
            shape = stated.get(f"{_W}format") or ""
            kind = "decimalZero" if shape.startswith("01,") else f"custom {shape}"
    legal = entry.find(f"{_W}isLgl")
    return Level(
        # Without `start` a level begins with 0 (17.9.25); python-docx's and Word's own templates
        # always state it.
        start=0 if start is None else start,
        kind=kind or "decimal",
        text=f"%{place + 1}." if text is None else text,
        restart=_whole(_value(entry, "lvlRestart")),
        legal=legal is not None and legal.get(f"{_W}val", "1") not in ("0", "false", "off"),
        joined=_value(entry, "suff") == "nothing",
        style=_value(entry, "pStyle") or "",
    )


def _numbers_of_styles(root: Any) -> dict[str, tuple[str | None, int | None]]:
    """For each style of its own or inherited numbering: the list and the level."""
    elements = {style.get(f"{_W}styleId"): style for style in root.iter(f"{_W}style")}
    numbers: dict[str, tuple[str | None, int | None]] = {}
    for name, element in elements.items():
        level = None
        for _ in range(_BASES_DEEP):
            number, own_level = _number_of(element.find(f"{_W}pPr/{_W}numPr"))
            level = own_level if level is None else level
            if number is not None:
                numbers[name] = number, level
                break
            element = elements.get(_value(element, "basedOn"))
            if element is None:
                break
    return numbers


def _number_of(numbering: Any | None) -> tuple[str | None, int | None]:
    if numbering is None:
        return None, None
    return _value(numbering, "numId"), _whole(_value(numbering, "ilvl"))


def _place(entry: Any) -> int | None:
    place = _whole(entry.get(f"{_W}ilvl"))
    return place if place is not None and place < _LEVELS else None


def _value(element: Any, name: str) -> str | None:
    inner = element.find(f"{_W}{name}")
    value: str | None = None if inner is None else inner.get(f"{_W}val")
    return value


def _whole(value: str | None) -> int | None:
    return int(value) if value is not None and re.fullmatch("[0-9]{1,6}", value) else None


# --- formats --------------------------------------------------------------------------------------


def roman(value: int) -> str:
    """Return a positive whole number in capital roman numerals."""
    steps = (
        (1000, "M"),
        (900, "CM"),
        (500, "D"),
        (400, "CD"),
        (100, "C"),
        (90, "XC"),
        (50, "L"),
        (40, "XL"),
        (10, "X"),
        (9, "IX"),
        (5, "V"),
        (4, "IV"),
        (1, "I"),
    )
    written = ""
    for size, letters in steps:
        written += letters * (value // size)
        value %= size
    return written


def letters(value: int, alphabet: str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ") -> str:
    """Return A to Z, then AA, BB, CC, as Word counts (and not AA, AB as a spreadsheet does)."""
    return alphabet[(value - 1) % len(alphabet)] * ((value - 1) // len(alphabet) + 1)


def ordinal(value: int) -> str:
    """Return 1st, 2nd, 3rd, 11th."""
    ending = (
        "th" if value % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(value % 10, "th")
    )
    return f"{value}{ending}"


def chinese(value: int) -> str:
    """Return 一 to 九十九, "" beyond."""
    if value > 99:
        return ""
    tens, ones = divmod(value, 10)
    return (
        ("" if tens < 2 else _CHINESE[tens])
        + ("十" if tens else "")
        + (_CHINESE[ones] if ones else "")
    )


def _enclosed(first: str) -> Callable[[int], str]:
    """20 signs in a row of Unicode, such as the numbers in circles."""
    return lambda value: chr(ord(first) + value - 1) if value <= 20 else ""


FORMATS: Mapping[str, Callable[[int], str]] = {
    "decimal": str,
    "decimalHalfWidth": str,
    "Arabic": str,
    "decimalZero": lambda value: f"{value:02}",
    "numberInDash": lambda value: f"- {value} -",
    "upperRoman": roman,
    "lowerRoman": lambda value: roman(value).lower(),
    "upperLetter": letters,
    "lowerLetter": lambda value: letters(value).lower(),
    "russianLower": lambda value: letters(value, _CYRILLIC),
    "russianUpper": lambda value: letters(value, _CYRILLIC.upper()),
    "ordinal": ordinal,
    "hex": lambda value: f"{value:X}",
    "chicago": lambda value: letters(value, "*†‡§"),
    "decimalFullWidth": lambda value: str(value).translate(
        str.maketrans("0123456789", "０１２３４５６７８９")
    ),
    "ideographDigital": lambda value: str(value).translate(
        str.maketrans("0123456789", "〇一二三四五六七八九")
    ),
    **dict.fromkeys(
        (
            "chineseCounting",
            "chineseCountingThousand",
            "japaneseCounting",
            "taiwaneseCounting",
            "taiwaneseCountingThousand",
        ),
        chinese,
    ),
    "decimalEnclosedCircle": _enclosed("①"),
    "decimalEnclosedCircleChinese": _enclosed("①"),
    "decimalEnclosedParen": _enclosed("⑴"),
    "decimalEnclosedFullstop": _enclosed("⒈"),
}
