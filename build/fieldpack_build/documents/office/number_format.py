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

    def show(self, value: Decimal) -> str:
        if self.general:
            # As many digits as fit a cell of usual width.
            is_whole = value == value.to_integral_value() and abs(value) < 10**15
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
        sections = _parse(number_format)
        if len(sections) > 2 and exact == 0:
            return sections[2].show(exact)
        if len(sections) > 1 and exact < 0:
            return sections[1].show(-exact)
        sign = "-" if exact < 0 else ""
        return sign + sections[0].show(abs(exact))
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
        return _Section(_literal(before), _literal(after), None, False, True)
    bare = re.sub(r'"[^"]*"|\\.|\[[^\]]*\]|_.|\*.', lambda match: "\0" * len(match[0]), text)
    digits = _DIGITS.search(bare)
    if digits is None:
        return _Section(_literal(text), "", None, False, "@" in bare)
    if re.search(
        r"[eE][+-]|[#0?]\s*/\s*[#0?\d]", bare
    ):  # powers of ten and fractions: as a plain number
        return _Section("", "", None, False, True)
    before, after = _literal(text[: digits.start()]), _literal(text[digits.end() :])
    return _Section(before, after, digits[0], "%" in bare, False)


def _literal(text: str) -> str:
    """The words that a format shows as they are."""
    pieces = []
    for token in _TOKEN.finditer(text):
        other = token["other"] if token["other"] not in (None, "#", "0", "?", "@") else ""
        pieces.append(token["quoted"] or token["escaped"] or token["currency"] or other)
    return "".join(pieces)
