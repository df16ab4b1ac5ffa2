"""Shows what an answer was written from: each passage under its number, in the text around it, the
quoted words in bold. Runs no model."""

from __future__ import annotations

from collections.abc import Iterator

from fieldpack import Answer, Expert, Passage
from fieldpack.citations import headings_of

from .excerpt import Line
from .highlight import shifted
from .render import bold, dim, emphasized, place, plain, printable

_PASSAGE_INDENT, _CONTEXT_INDENT = "   | ", "     "
_CONTEXT = 300  # characters of the page before a passage and after it


def show_sources(expert: Expert, answer: Answer) -> str:
    """Return every passage that the model read as text, under its number in the answer."""
    quotes = {citation.passage: citation.quote for citation in answer.citations}
    return "\n\n".join(
        "\n".join(_passage_lines(expert, number, passage, quotes.get(number, "")))
        for number, passage in enumerate(answer.passages, 1)
    )


def _passage_lines(expert: Expert, number: int, passage: Passage, quote: str) -> Iterator[str]:
    context = expert.context(passage.chunk_id, characters=_CONTEXT, end=passage.end)
    cited = "" if quote else "  (not cited)"
    yield bold(f"[{number}] {place(passage.document, passage.page, passage.heading)}") + cited
    headings = headings_of(passage.document, passage.heading)
    heading = " > ".join(" ".join(printable(part).split()) for part in headings)
    if heading:
        yield f"   {heading}"
    yield from _context_lines(context.before, cut_first=len(context.before) == _CONTEXT)
    start = passage.text.find(quote) if quote else -1
    spans = [(start, start + len(quote))] if start >= 0 else []
    at = 0
    for line in passage.text.split("\n"):
        text = emphasized(Line(plain(line), tuple(shifted(spans, at, at + len(line)))))
        yield (_PASSAGE_INDENT + text).rstrip()
        at += len(line) + 1
    yield from _context_lines(context.after, cut_last=len(context.after) == _CONTEXT)


def _context_lines(text: str, *, cut_first: bool = False, cut_last: bool = False) -> Iterator[str]:
    """Yield the lines that have words; a word that the cut went through is left out."""
    if cut_first:
        text = "… " + text.partition(" ")[2]
    if cut_last:
        text = text.rpartition(" ")[0] + " …"
    for line in text.split("\n"):
        if line.strip():
            yield dim(_CONTEXT_INDENT + printable(line).strip())
