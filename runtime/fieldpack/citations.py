"""Makes a model's words an answer that can be checked: which passage each mark `[n]` points to, and
the sentence there that carries it. Knows nothing of models, indexes or bundles."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePath

from .figures import COMMA, find_figures, possible_marks
from .language import sentence_spans
from .passages import COLUMNS, Citation, Passage

MARK = re.compile(r"\s*\[(\d{1,3}(?:\s*,\s*\d{1,3})*)\]")
_WORD = re.compile(r"\d+(?:[.,]\d+)*|\w+")
_LIST_NUMBER = re.compile(r"^[ \t]*(?:[-*] )?\(?(\d{1,3})[.)](?=\s+\S)", re.MULTILINE)
_PAGES = {".odp": "slide", ".pptx": "slide"}  # what `page` counts there
# Each of their pages is a sheet, whose name is the outermost heading.
_SHEETS = frozenset((".ods", ".xlsm", ".xlsx"))
_MIN_SUPPORT = 0.5  # share of the answer's words that a passage must hold to be cited unmarked


def words_of(text: str) -> list[str]:
    """Return the words of `text` in lower case; a figure with its separators ("1,250.50") is one
    word."""
    return _WORD.findall(text.lower())


def place(document: str, page: int | None, heading: Sequence[str] = ()) -> str:
    """Return where a passage stands, as people name it: "fees.pdf, page 3", "plan.pptx, slide 3",
    "costs.xlsx, sheet Travel", or "costs.xlsx, sheet 3" without the passage's `heading`."""
    if page is None:
        return document
    if _has_sheets(document):
        return f"{document}, sheet {heading[0] if heading else page}"
    return f"{document}, {_PAGES.get(PurePath(document).suffix.lower(), 'page')} {page}"


def headings_of(document: str, heading: Sequence[str]) -> tuple[str, ...]:
    """Return the titles and headings that a passage stands below, outermost first: its `heading`
    without a table's column heads, and without the sheet's name, which `place` has."""
    own = tuple(part for part in heading if not part.startswith(COLUMNS))
    return own[1:] if _has_sheets(document) else own


def _has_sheets(document: str) -> bool:
    return PurePath(document).suffix.lower() in _SHEETS


def marked_numbers(text: str) -> list[int]:
    """Return the passage numbers that the marks of `text` name, in order: "[2] and [1, 3]" names 2,
    1 and 3."""
    return [int(number) for mark in MARK.finditer(text) for number in mark.group(1).split(",")]


def strip_marks(text: str) -> str:
    """Return `text` without its marks."""
    return MARK.sub("", text).strip()


def cite(text: str, passages: Sequence[Passage]) -> tuple[str, tuple[Citation, ...]]:
    """Return the text without the marks that point nowhere, and a citation for each passage that it
    points to.

    Without any mark, the passage that holds most of the answer's words is cited, if it holds at
    least half.
    """

    def keep_valid(mark: re.Match[str]) -> str:
        valid = [n for n in marked_numbers(mark.group()) if 1 <= n <= len(passages)]
        return f" [{', '.join(map(str, valid))}]" if valid else ""

    numbers = [n for n in marked_numbers(text) if 1 <= n <= len(passages)]
    text = MARK.sub(keep_valid, text).strip()
    if not numbers:
        scored = [(support(text, p.text), -n) for n, p in enumerate(passages, 1)]
        share, negative = max(scored, default=(0.0, 0))
        numbers = [-negative] if share >= _MIN_SUPPORT else []
    citations = []
    for number in dict.fromkeys(numbers):
        passage = passages[number - 1]
        quote = best_quote(strip_marks(text), passage.text)
        if quote:
            citations.append(Citation(passage.document, passage.page, quote, number))
    return text, tuple(citations)


def best_quote(answer: str, passage: str) -> str:
    """Return the sentence or line of `passage` that shares most words with `answer`: an exact slice
    of it."""
    answer_words = set(words_of(answer))
    best, best_score = "", -1.0
    for start, end in sentence_spans(passage):
        words = set(words_of(passage[start:end]))
        # Shared words, less a little for length: of two that share as much the shorter one is the
        # quote.
        score = len(answer_words & words) - 0.02 * len(words)
        if words and score > best_score:
            best, best_score = passage[start:end], score
    return best


def support(answer: str, passage: str) -> float:
    """Return the share (0 to 1) of the answer's distinct words that occur in the passage."""
    words = set(words_of(answer))
    return len(words & set(words_of(passage))) / len(words) if words else 0.0


def unsupported(
    text: str, passages: Sequence[Passage], decimal_mark: str | None = None
) -> tuple[tuple[int, int], ...]:
    """Return [start, end) of the figures in an answer that stand in no passage, nor in its title
    and headings. "1,250.50", "1250.5" and "1'250.50" are one figure; a passage's number in brackets
    is none, nor is that of a list's item.

    "1.250" is read as its text shows (`figures.possible_marks`), else as the passages do, else by
    `decimal_mark`, the usual one in the library's languages; in either way where nothing tells."""
    texts = [f"{passage.context}\n{passage.text}" for passage in passages]
    known = set()
    for number, passage in enumerate(texts):
        others = texts[:number] + texts[number + 1 :]
        for mark in possible_marks(passage, beside=others, expected=decimal_mark):
            known |= {figure.value for figure in find_figures(passage, mark)}
            if mark == COMMA:  # "12 250" is one figure, or two columns
                known |= {figure.value for figure in find_figures(passage, mark, spaced=True)}
    marks = [*(mark.span() for mark in MARK.finditer(text)), *_list_numbers(text)]
    missing: set[tuple[int, int]] = set()
    for number, mark in enumerate(possible_marks(text, beside=texts, expected=decimal_mark)):
        whole = find_figures(text, mark, spaced=True) if mark == COMMA else iter(())
        fine = [*marks, *((f.start, f.end) for f in whole if f.value in known)]
        lacking = {
            (figure.start, figure.end)
            for figure in find_figures(text, mark)
            if figure.value not in known and not any(a <= figure.start < b for a, b in fine)
        }
        missing = missing & lacking if number else lacking
    return tuple(sorted(missing))


def _list_numbers(text: str) -> list[tuple[int, int]]:
    """Return [start, end) of the numbers at the head of a list's items: lines that begin with 1, 2,
    3 and so on. A line that begins with another number ("85. That is the fee.") begins with a
    figure, and so does one that is alone with its 1."""
    runs: list[list[tuple[int, int]]] = []
    for item in _LIST_NUMBER.finditer(text):
        number = int(item.group(1))
        if number == 1:
            runs.append([item.span(1)])
        elif runs and number == len(runs[-1]) + 1:
            runs[-1].append(item.span(1))
    return [span for run in runs if len(run) > 1 for span in run]
