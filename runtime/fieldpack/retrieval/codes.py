"""Codes in a question and in text: part numbers, serials and references, however their parts are
joined. "AB-1234-X", "ab 1234 x" and "AB1234X" are one code.

Which words of a question are a code cannot be seen from the question alone ("Q4 2023", "HX 220/7"),
so `code_spans` names all that may be one, and the library decides: a code stands there word for
word, in few places. Knows nothing of indexes.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ..index.query_terms import left_out
from ..language import UNSPACED_LETTERS, fold

_RAISED = "⁰¹²³⁴⁵⁶⁷⁸⁹"  # the mark of a note, no part of a code
_DASHES = "-‐‑‒–—−"
_MARKS = rf"[{_DASHES}./_\\:+#*·]"
_BLANK = "[ \t\u00a0\u202f]"
# No script without blanks has codes of its letters, and a code may stand right among them.
_ALNUM = rf"[^\W_{_RAISED}{UNSPACED_LETTERS}]"
_RUN = re.compile(rf"{_ALNUM}+")
_TIGHT = re.compile(_MARKS)
_LOOSE = re.compile(rf"{_BLANK}?(?:{_BLANK}|[{_DASHES}/]){_BLANK}?")
# What may stand between two characters of a code in a text: no line's end and no table's cell ends
# inside a code.
_BETWEEN = rf"(?:{_BLANK}?{_MARKS}{_BLANK}?|{_BLANK})?"
_JOINED_BEFORE = re.compile(rf"{_ALNUM}{_MARKS}")
_JOINED_AFTER = re.compile(rf"{_MARKS}{_ALNUM}")
_SHORTEST, _LONGEST = 4, 32  # characters of a code without what stands between them
_LEAST_DIGITS = 5  # of a code without letters: fewer are a year, a page or an amount
_LEAST_DIGITS_APART = 3  # of a code with letters whose words a blank parts: "level 2" is none
_MOST_WORDS = 6  # of a code that is written with blanks
_LETTERS, _CAPITALS = 3, 5  # the longest word without digits that is part of a code: "hx", "DIN"
_MOST_SPANS = 48  # of a question; each may cost a millisecond
# What looks like a code and is none: quantities, amounts and periods.
# "250m", "19th", "250мм", "0.75"
_QUANTITY = re.compile(r"\d+(?:[a-zµ]{1,3}|[а-яіїєґ]{1,3})|\d{1,3}\.\d{1,2}")
_SIGNS = "$€£¥%"
_CURRENCIES = frozenset(
    "usd eur gbp chf jpy cny inr cad aud nzd sek nok dkk pln czk huf ron bgn uah rub try brl mxn zar "
    "krw sgd hkd kč грн".split()
)
_YEAR = re.compile(r"(?:19|20)\d\d")
_PERIOD = re.compile(r"(?:fy|cy|[qh]\d)?(?:(?:19|20)\d\d){1,2}(?:\d\d|[qh]\d)?|fy\d\d")


@dataclass(frozen=True, slots=True)
class CodeSpan:
    """Words of a question that may be a code. `parts`: its runs of letters and digits in small
    letters, as they are written; `first` and `end`: its words' numbers, end exclusive."""

    parts: tuple[str, ...]
    first: int
    end: int

    @property
    def glued(self) -> str:
        """The code with nothing between its parts."""
        return "".join(self.parts)


@dataclass(frozen=True, slots=True)
class _Word:
    """Runs that are joined without a blank, "220/7", and the text around them."""

    runs: tuple[str, ...]
    start: int
    end: int


def code_spans(question: str, languages: Collection[str] = ()) -> list[CodeSpan]:
    """Return what may be a code in a question, each once, spans of more words first: one word ("AB-1234-X"),
    or several with a blank between ("HX 220/7", "AB 1234 X"). `languages`: those of the library's
    documents; a question word is no part of a code."""
    words = list(_words(question))
    leave_out = left_out(question, languages)
    usable = [_is_part(word, question, leave_out) for word in words]
    spans = []
    for first in range(len(words)):
        for end in range(first + 1, min(first + _MOST_WORDS, len(words)) + 1):
            if not usable[end - 1] or (end - first > 1 and not _linked(words, end - 1, question)):
                break
            parts = tuple(run.lower() for word in words[first:end] for run in word.runs)
            written = question[words[first].start : words[end - 1].end]
            if _may_be_code(parts, written, apart=end - first > 1):
                spans.append(CodeSpan(parts, first, end))
    spans.sort(key=lambda span: (span.first - span.end, span.first))
    by_code: dict[str, CodeSpan] = {}
    for span in spans:
        by_code.setdefault(span.glued, span)
    return list(by_code.values())[:_MOST_SPANS]


def holders(glued: str, texts: Mapping[int, str]) -> list[int]:
    """Return the keys of the texts in which a code stands, whatever marks or blanks are between its
    characters. Where it stands nowhere by itself, those in which it is the beginning or end of a
    longer one, as AB-1234 is of AB-1234-X."""
    code = _BETWEEN.join(map(re.escape, glued))
    pattern = re.compile(rf"(?<!{_ALNUM})({code})(?!{_ALNUM})", re.IGNORECASE)
    within: list[int] = []
    alone: list[int] = []
    for key, text in texts.items():
        matches = list(pattern.finditer(text))
        if matches:
            within.append(key)
            if any(_is_alone(text, match.start(), match.end()) for match in matches):
                alone.append(key)
    return alone or within


def held_codes(question: str, texts: Sequence[str], languages: Collection[str] = ()) -> list[int]:
    """Return how many of the question's codes each text holds. `languages`: as of `code_spans`."""
    counts = [0] * len(texts)
    taken: set[int] = set()
    for span in code_spans(question, languages):
        words = set(range(span.first, span.end))
        if not words & taken and (holding := holders(span.glued, dict(enumerate(texts)))):
            taken |= words
            for i in holding:
                counts[i] += 1
    return counts


def _is_alone(text: str, start: int, end: int) -> bool:
    """Return whether no mark joins what stands at [start, end) to a letter or digit beside it."""
    before, after = text[max(start - 2, 0) : start], text[end : end + 2]
    return not (_JOINED_BEFORE.fullmatch(before) or _JOINED_AFTER.fullmatch(after))


def _words(question: str) -> Iterator[_Word]:
    """Yield the question's words, runs with a single mark between them joined."""
    runs: list[re.Match[str]] = []
    for run in _RUN.finditer(question):
        if runs and not _TIGHT.fullmatch(question[runs[-1].end() : run.start()]):
            yield _Word(tuple(r.group() for r in runs), runs[0].start(), runs[-1].end())
            runs = []
        runs.append(run)
    if runs:
        yield _Word(tuple(r.group() for r in runs), runs[0].start(), runs[-1].end())


def _is_part(word: _Word, question: str, question_words: Collection[str]) -> bool:
    """Return whether a word may be a code or a part of one: with a digit, or a few letters alone.
    "12-month" is none: a long word in small letters is of the language. Nor is a quantity, or a
    piece of a figure."""
    written = question[word.start : word.end]
    before, after = question[: word.start], question[word.end :]
    if before[-1:] in ("'", "\u2019") and before[-2:-1].isalnum():  # the "s" of "Boeing's"
        return False
    longest = max((len(r) for r in word.runs if r.isalpha() and r.islower()), default=0)
    if any(map(str.isdigit, written)):
        in_figure = re.search(r"\d[,']$", before) or re.match(r"[,']\d", after)
        has_sign = before[-1:] in tuple(_SIGNS) or after[:1] in tuple(_SIGNS)
        is_quantity = _QUANTITY.fullmatch(written) is not None
        return longest <= _LETTERS and not (in_figure or has_sign or is_quantity)
    if len(word.runs) > 1:
        return False
    (run,) = word.runs
    folded = fold(run)
    if run.isupper() and (not question.isupper() or folded not in question_words):
        return len(run) <= _CAPITALS
    # English has few words of one letter; Slovak and Ukrainian join whole sentences by them.
    is_letter = folded in ("a", "i") and "the" in question_words
    return len(run) <= _LETTERS and (is_letter or folded not in question_words)


def _linked(words: Sequence[_Word], i: int, question: str) -> bool:
    """Return whether a word goes on where the one before it ended."""
    return _LOOSE.fullmatch(question[words[i - 1].end : words[i].start]) is not None


def _may_be_code(parts: tuple[str, ...], written: str, *, apart: bool) -> bool:
    """Return whether parts are long enough, have digits, and are no amount, decimal or period.
    `apart`: whether the code has several words."""
    glued = "".join(parts)
    digits = sum(map(str.isdigit, glued))
    if not digits or not _SHORTEST <= len(glued) <= _LONGEST or _PERIOD.fullmatch(glued):
        return False
    if digits == len(glued):
        return digits >= _LEAST_DIGITS and not re.fullmatch(r"\d+\.\d+", written)
    if any(part in _CURRENCIES for part in (parts[0], parts[-1])) and len(parts) == 2:
        return False
    words = [run for run in _RUN.findall(written) if run.isalpha()]
    if not all(map(str.isupper, words)) and all(
        map(_YEAR.fullmatch, set(parts) - set(map(str.lower, words)))
    ):
        return False
    return not apart or digits >= _LEAST_DIGITS_APART
