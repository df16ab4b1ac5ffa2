"""From a model's words to an answer that can be checked: which passage each `[n]` points to, and
the sentence there that carries it. Knows nothing of models, indexes or bundles."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePath

from .figures import find_figures
from .passages import Citation, Passage

_MARK = re.compile(r"\s*\[(\d{1,3}(?:\s*,\s*\d{1,3})*)\]")
_SENTENCE = re.compile(r"[^\n.!?]*(?:[.!?](?!\s|$)[^\n.!?]*)*(?:[.!?]+|\n|$)")
_WORD = re.compile(r"\d+(?:[.,]\d+)*|\w+")
_LIST_NUMBER = re.compile(r"^[ \t]*(?:[-*] )?\(?(\d{1,3})[.)](?=\s+\S)", re.MULTILINE)
_PAGES = {".pptx": "slide", ".xlsx": "sheet"}  # what `page` counts there
_SUPPORT = 0.5  # share of the answer's words that a passage must hold to be cited without a mark


def words_of(text: str) -> list[str]:
    """Lower-case words; a figure with its separators ("1,250.50") is one word."""
    return _WORD.findall(text.lower())


def place(document: str, page: int | None) -> str:
    """Where a passage stands, as people name it: "fees.pdf, page 3", "plan.pptx, slide 3",
    "costs.xlsx, sheet 3"."""
    return (
        document
        if page is None
        else f"{document}, {_PAGES.get(PurePath(document).suffix.lower(), 'page')} {page}"
    )


def strip_marks(text: str) -> str:
    return _MARK.sub("", text).strip()


def cite(text: str, passages: Sequence[Passage]) -> tuple[str, tuple[Citation, ...]]:
    """The text with the marks that point nowhere removed, and a citation for each passage it points
    to.

    Without any mark, the passage that holds most of the answer's words is cited, if it holds at
    least half.
    """
    numbers: list[int] = []

    def keep_valid(mark: re.Match[str]) -> str:
        named = [int(n) for n in mark.group(1).split(",")]
        valid = [n for n in named if 1 <= n <= len(passages)]
        numbers.extend(valid)
        return f" [{', '.join(map(str, valid))}]" if valid else ""

    text = _MARK.sub(keep_valid, text).strip()
    if not numbers:
        numbers = _supporting(text, passages)
    citations = (_citation(text, passages[n - 1], n) for n in dict.fromkeys(numbers))
    return text, tuple(c for c in citations if c.quote)


def best_quote(answer: str, passage: str) -> str:
    """The sentence or line of `passage` that shares most words with `answer`: an exact slice of it."""
    wanted = set(words_of(answer))
    best, best_score = "", -1.0
    for match in _SENTENCE.finditer(passage):
        found = set(words_of(match.group()))
        # Shared words, less a little for length: of two that share as much the shorter one is the
        # quote.
        score = len(wanted & found) - 0.02 * len(found)
        if found and score > best_score:
            best, best_score = match.group().strip(), score
    return best


def support(answer: str, passage: str) -> float:
    """Share (0 to 1) of the answer's distinct words that occur in the passage."""
    wanted = set(words_of(answer))
    return len(wanted & set(words_of(passage))) / len(wanted) if wanted else 0.0


def unsupported(text: str, passages: Sequence[Passage]) -> tuple[tuple[int, int], ...]:
    """[start, end) of the figures in an answer that stand in no passage, title and headings
    included. "1,250.50", "1250.5" and "1 250,50" are one figure; a passage's number in brackets is
    none, nor is that of a list's item."""
    known = {f.value for p in passages for f in find_figures(f"{p.context}\n{p.text}")}
    marks = [*(mark.span() for mark in _MARK.finditer(text)), *_list_numbers(text)]
    return tuple(
        (figure.start, figure.end)
        for figure in find_figures(text)
        if figure.value not in known and not any(a <= figure.start < b for a, b in marks)
    )


def _list_numbers(text: str) -> list[tuple[int, int]]:
    """[start, end) of the numbers at the head of a list's items: lines that begin with 1, 2, 3 and
    so on. A line that begins with another number ("85. That is the fee.") begins with a figure, and
    so does one that is alone with its 1."""
    runs: list[list[tuple[int, int]]] = []
    for item in _LIST_NUMBER.finditer(text):
        number = int(item.group(1))
        if number == 1:
            runs.append([item.span(1)])
        elif runs and number == len(runs[-1]) + 1:
            runs[-1].append(item.span(1))
    return [span for run in runs if len(run) > 1 for span in run]


def _supporting(answer: str, passages: Sequence[Passage]) -> list[int]:
    scored = [(support(answer, p.text), -n) for n, p in enumerate(passages, 1)]
    share, number = max(scored, default=(0.0, 0))
    return [-number] if share >= _SUPPORT else []


def _citation(answer: str, passage: Passage, number: int) -> Citation:
    return Citation(
        passage.document, passage.page, best_quote(strip_marks(answer), passage.text), number
    )
