"""What an answer was written from, as a person reads it: each passage under its number, in the text
around it, the quoted words in bold. Runs no model."""

from __future__ import annotations

from collections.abc import Iterator

from fieldpack import Answer, Expert, Passage

from .excerpt import Line
from .highlight import shifted
from .render import bold, dim, emphasized, place, plain, printable

_INSIDE, _AROUND = "   | ", "     "
_SHOWN = 300  # characters of the page before a passage and after it


def read_passages(expert: Expert, answer: Answer) -> str:
    """Every passage that the model read, under its number in the answer."""
    quotes = {citation.passage: citation.quote for citation in answer.citations}
    shown = (
        _shown(expert, n, passage, quotes.get(n, ""))
        for n, passage in enumerate(answer.passages, 1)
    )
    return "\n\n".join("\n".join(lines) for lines in shown)


def _shown(expert: Expert, number: int, passage: Passage, quote: str) -> Iterator[str]:
    around = expert.context(passage.chunk_id, characters=_SHOWN, end=passage.end)
    yield bold(f"[{number}] {place(passage.document, passage.page)}") + (
        "" if quote else "  (not cited)"
    )
    heading = " > ".join(" ".join(printable(part).split()) for part in passage.heading)
    if heading:
        yield f"   {heading}"
    yield from _around(around.before, cut_first=len(around.before) == _SHOWN)
    yield from _inside(passage.text, quote)
    yield from _around(around.after, cut_last=len(around.after) == _SHOWN)


def _inside(text: str, quote: str) -> Iterator[str]:
    start = text.find(quote) if quote else -1
    spans = [(start, start + len(quote))] if start >= 0 else []
    at = 0
    for line in text.split("\n"):
        yield (
            _INSIDE + emphasized(Line(plain(line), tuple(shifted(spans, at, at + len(line)))))
        ).rstrip()
        at += len(line) + 1


def _around(text: str, *, cut_first: bool = False, cut_last: bool = False) -> Iterator[str]:
    """Lines with words; a word that the cut went through is left away."""
    if cut_first:
        text = "… " + text.partition(" ")[2]
    if cut_last:
        text = text.rpartition(" ")[0] + " …"
    yield from (dim(_AROUND + printable(line).strip()) for line in text.split("\n") if line.strip())
