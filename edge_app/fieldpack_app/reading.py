"""What an answer was written from, as a person reads it: each passage under its number, the quoted words in bold. Runs no
model."""

from __future__ import annotations

from collections.abc import Iterator

from fieldpack import Answer, Passage

from .excerpt import Line
from .highlight import shifted
from .render import bold, emphasized, place, printable

_INSIDE = "   | "


def read_passages(answer: Answer) -> str:
    """Every passage that the model read, under its number in the answer."""
    quotes = {citation.passage: citation.quote for citation in answer.citations}
    return "\n\n".join("\n".join(_shown(n, p, quotes.get(n, ""))) for n, p in enumerate(answer.passages, 1))


def _shown(number: int, passage: Passage, quote: str) -> Iterator[str]:
    yield bold(f"[{number}] {place(passage.document, passage.page)}") + ("" if quote else "  (not cited)")
    heading = " > ".join(" ".join(printable(part).split()) for part in passage.heading)
    if heading:
        yield f"   {heading}"
    yield from _inside(passage.text, quote)


def _inside(text: str, quote: str) -> Iterator[str]:
    start = text.find(quote) if quote else -1
    spans = [(start, start + len(quote))] if start >= 0 else []
    at = 0
    for line in text.split("\n"):
        yield (_INSIDE + emphasized(Line(printable(line), tuple(shifted(spans, at, at + len(line)))))).rstrip()
        at += len(line) + 1
