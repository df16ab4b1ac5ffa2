"""From a model's words to an answer that can be checked: which passage each `[n]` points to, and the sentence there
that carries it. Knows nothing of models, indexes or bundles."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePath

from .passages import Citation, Passage

_MARK = re.compile(r"\s*\[(\d{1,3}(?:\s*,\s*\d{1,3})*)\]")
_SENTENCE = re.compile(r"[^\n.!?]*(?:[.!?](?!\s|$)[^\n.!?]*)*(?:[.!?]+|\n|$)")
_WORD = re.compile(r"\d+(?:[.,]\d+)*|\w+")
_PAGES = {".pptx": "slide", ".xlsx": "sheet"}  # what `page` counts there
_SUPPORT = 0.5  # share of the answer's words that a passage must hold to be cited without a mark


def words_of(text: str) -> list[str]:
    """Lower-case words; a figure with its separators ("1,250.50") is one word."""
    return _WORD.findall(text.lower())


def place(document: str, page: int | None) -> str:
    """Where a passage stands, as people name it: "fees.pdf, page 3", "plan.pptx, slide 3", "costs.xlsx, sheet 3"."""
    return document if page is None else f"{document}, {_PAGES.get(PurePath(document).suffix.lower(), 'page')} {page}"


def strip_marks(text: str) -> str:
    return _MARK.sub("", text).strip()


def cite(text: str, passages: Sequence[Passage]) -> tuple[str, tuple[Citation, ...]]:
    """The text with the marks that point nowhere removed, and a citation for each passage it points to.

    Without any mark, the passage that holds most of the answer's words is cited, if it holds at least half.
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
        # Shared words, less a little for length: of two that share as much the shorter one is the quote.
        score = len(wanted & found) - 0.02 * len(found)
        if found and score > best_score:
            best, best_score = match.group().strip(), score
    return best


def support(answer: str, passage: str) -> float:
    """Share (0 to 1) of the answer's distinct words that occur in the passage."""
    wanted = set(words_of(answer))
    return len(wanted & set(words_of(passage))) / len(wanted) if wanted else 0.0


def _supporting(answer: str, passages: Sequence[Passage]) -> list[int]:
    scored = [(support(answer, p.text), -n) for n, p in enumerate(passages, 1)]
    share, number = max(scored, default=(0.0, 0))
    return [-number] if share >= _SUPPORT else []


def _citation(answer: str, passage: Passage, number: int) -> Citation:
    return Citation(passage.document, passage.page, best_quote(strip_marks(answer), passage.text), number)
