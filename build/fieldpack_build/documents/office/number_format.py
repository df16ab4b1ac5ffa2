"""Shows a cell of a spreadsheet as the program shows it: 0.125 under "0.0%" is "12.5%". Knows
nothing of sheets."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from functools import lru_cache

Value = str | bool | int | float | datetime | date | time | timedelta | None

_LONGEST = 255  # characters of a format, which is Excel's own limit; a million zeros would be shown
_ERRORS = ("#N/A", "#DIV/0!", "#REF!", "#VALUE!", "#NAME?", "#NUM!", "#NULL!")
_TOKEN = re.compile(
    r"""
    "(?P<quoted>[^"]*)"
    | \\(?P<escaped>.)
    | _.                                  # the width of a character, as a gap
    | \*.                                 # a character to fill the cell with
    | \[\$(?P<currency>[^\]-]*)[^\]]*\]
    | \[[^\]]*\]                          # a colour or a condition
    | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_DIGITS = re.compile(r"[#0?](?:[#0?,]*)(?:\.[#0?]*)?,*|\.[#0?]+,*")
_CONDITION = re.compile(r"\[(<=|>=|<>|<|>|=)\s*(-?[0-9]+(?:\.[0-9]+)?)\]")
_WORDS = "\0"
_DIGIT, _PLACES = ("#", "0", "?"), ("#", "0", "?", ",", ".")
_SECTIONS = re.compile(r"""((?:"[^"]*"|\\.|\[[^\]]*\]|[^;"\\\[]|["\\\[])*)(?:;|$)""", re.DOTALL)


@dataclass(frozen=True, slots=True)
class _Section:
    """One of the up to four formats between semicolons. `digits` is None for one that shows words
    only."""

    before: str
    after: str
    digits: str | None
    percent: bool
    general: bool
    mask: tuple[str, ...] = ()  # of digits with words between them, each a piece: "(###) ###-####"
    condition: tuple[str, Decimal] | None = None  # under which it holds: "[>=100]"

    def holds(self, value: Decimal) -> bool:
        """Return whether a value meets its condition; True where it has none."""
        if self.condition is None:
            return True
        operator, bound = self.condition
        order = (value > bound) - (value < bound)
        return {"<": order < 0, "=": order == 0, ">": order > 0, "<>": order != 0}.get(
            operator, order <= 0 if operator == "<=" else order >= 0
        )

    def show(self, value: Decimal) -> str:
        if self.general:
            # As many digits as fit a cell of usual width.
            is_whole = value == value.to_integral_value() and abs(value) < 10**21  # an account
            text = f"{int(value)}" if is_whole else f"{float(value):.10g}"
            return f"{self.before}{text}{self.after}"
        if self.digits is None:
            return self.before.strip()
        whole, _, places = self.digits.rstrip(",").partition(".")
        value = (
            value * 100
            if self.percent
            else value.scaleb(-3 * (len(self.digits) - len(self.digits.rstrip(","))))
        )
        value = value.quantize(Decimal(1).scaleb(-len(places)), ROUND_HALF_UP)
        text = f"{value:,f}" if "," in whole else f"{value:f}"
        if self.mask:
            return f"{self.before}{_masked(text, self.mask)}{self.after}".strip()
        if optional := len(places) - len(places.rstrip("#")):
            text = re.sub(rf"0{{1,{optional}}}$", "", text).rstrip(".")
        if "0" not in self.digits and value == 0:  # "-"?? of an accountant's nought: the dash alone
            text = ""
        elif "," not in whole:
            integer, dot, rest = text.partition(".")
            text = integer.zfill(whole.count("0")) + dot + rest
        return f"{self.before}{text}{self.after}".strip()


def shown(value: Value, number_format: str) -> str:
    """Return a cell's value as the program shows it.

    Dates are always YYYY-MM-DD, or "Jan 2024" where the format has no day; errors such as #N/A
    are "".
    """
    if value is None:
        return ""
    if isinstance(value, str):
        return "" if value in _ERRORS else value
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, int | float):
        return _number(value, number_format)
    if isinstance(value, timedelta):
        minutes, seconds = divmod(round(value.total_seconds()), 60)
        return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"
    if isinstance(value, time):
        return value.strftime("%H:%M:%S").removesuffix(":00")
    has_time = isinstance(value, datetime) and (value.hour, value.minute, value.second) != (0, 0, 0)
    form = re.sub(r'"[^"]*"|\[[^\]]*\]|\\.', "", number_format.split(";")[0]).lower()
    if not has_time and "y" in form and "d" not in form:
        return value.strftime("%b %Y" if "m" in form else "%Y")
    return value.strftime("%Y-%m-%d %H:%M" if has_time else "%Y-%m-%d")


def _number(value: int | float, number_format: str) -> str:
    try:
        exact = Decimal(repr(value))
        sections = _parse(number_format)[:3]  # the fourth is of texts
        section = sections[0]
        if any(one.condition for one in sections):
            section = next((one for one in sections if one.holds(exact)), sections[-1])
        elif len(sections) > 2 and exact == 0:
            section = sections[2]
        elif len(sections) > 1 and exact < 0:
            section = sections[1]
        text = section.show(abs(exact))
        # A format of its own says of a negative number that it is one, with a sign, brackets or a
        # word; one that does it by its colour alone gets its sign back.
        own = section.before[:1] in ("(", "-") or (
            section is not sections[0]
            and (section.before, section.after) != (sections[0].before, sections[0].after)
        )
        return f"-{text}" if text and exact < 0 and not own else text
    except InvalidOperation:  # infinite, not a number, or with more than 28 digits
        return f"{value:g}"


@lru_cache(maxsize=1024)
def _parse(number_format: str) -> tuple[_Section, ...]:
    if len(number_format) > _LONGEST:
        number_format = "General"
    sections = [match[1] for match in _SECTIONS.finditer(number_format) if match[0]]
    return tuple(_section(text) for text in sections or ["General"])


def _section(text: str) -> _Section:
    if re.search(r"general", text, re.IGNORECASE):
        before, after = re.split(r"general", text, maxsplit=1, flags=re.IGNORECASE)
        return _Section(_literal(before), _literal(after), None, False, True, (), _condition(text))
    bare = re.sub(r'"[^"]*"|\\.|\[[^\]]*\]|_.|\*.', lambda match: "\0" * len(match[0]), text)
    digits = _DIGITS.search(bare)
    if digits is None:
        return _Section(_literal(text), "", None, False, "@" in bare, (), _condition(text))
    if re.search(
        r"[eE][+-]|[#0?]\s*/\s*[#0?\d]", bare
    ):  # powers of ten and fractions: as a plain number
        return _Section("", "", None, False, True, (), _condition(text))
    percent = "%" in bare
    condition = _condition(text)
    last = max(bare.rfind(sign) for sign in "#0?") + 1
    if last > digits.end():  # words between the digits
        before, after = _literal(text[: digits.start()]), _literal(text[last:])
        mask = _mask(text[digits.start() : last])
        form = "".join(piece for piece in mask if piece in _PLACES)
        return _Section(before, after, form, percent, False, mask, condition)
    before, after = _literal(text[: digits.start()]), _literal(text[digits.end() :])
    return _Section(before, after, digits[0], percent, False, (), condition)


def _condition(text: str) -> tuple[str, Decimal] | None:
    condition = _CONDITION.search(text)
    return (condition[1], Decimal(condition[2])) if condition else None


def _mask(text: str) -> tuple[str, ...]:
    """The places of digits, and the words between them, each of which begins with _WORDS."""
    pieces = []
    for token in _TOKEN.finditer(text):
        other = token["other"] or ""
        words = token["quoted"] or token["escaped"] or token["currency"] or other
        pieces.append(words if other in _PLACES else f"{_WORDS}{words}")
    return tuple(pieces)


def _masked(text: str, mask: tuple[str, ...]) -> str:
    """The digits of a number at the places of a mask, from the dot to both sides."""
    whole, _, places = text.replace(",", "").partition(".")
    dot = mask.index(".") if "." in mask else len(mask)
    shown: list[str] = []
    left = list(whole.lstrip("0"))
    first = next(at for at, piece in enumerate(mask) if piece in _DIGIT)
    for at in range(dot - 1, -1, -1):
        piece = mask[at]
        if piece.startswith(_WORDS):
            shown.append(piece[1:])
        elif piece in _DIGIT:
            shown.append(left.pop() if left else "0" if piece == "0" else "")
        if at == first:  # more digits than places
            shown.extend(reversed(left))
            left = []
    right = list(reversed(places))
    after = [
        (right.pop() if right else "") if piece in _DIGIT else piece.removeprefix(_WORDS)
        for piece in mask[dot:]
    ]
    return "".join([*reversed(shown), *after])


def _literal(text: str) -> str:
    """The words that a format shows as they are."""
    pieces = []
    for token in _TOKEN.finditer(text):
        other = token["other"] if token["other"] not in (None, "#", "0", "?", "@") else ""
        pieces.append(token["quoted"] or token["escaped"] or token["currency"] or other)
    return "".join(pieces)
