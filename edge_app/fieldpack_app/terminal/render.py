"""Answers, passages and facts as text for a terminal, a pipe or a JSON reader. Runs no model and
opens no file."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from shutil import get_terminal_size
from typing import Any

import click

from fieldpack import Answer, Citation, Done, Event, Passage, Quote, QuoteFound, TextPiece
from fieldpack.answers import RELATED, WRITTEN
from fieldpack.citations import place as plain_place

from .excerpt import Line, excerpt
from .highlight import Span, question_spans

_WIDTH = 200  # characters of a quote on a terminal
_INDENT = "   "
_WIDEST = 120  # columns; longer lines are hard to read
_CONTROL = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f]")
# Overrides, embeddings and isolates of direction; zero-width spaces; separators of lines;
# annotations; tags and variation selectors, which can carry whole hidden texts. Joiners and
# direction marks only where the letter before is of a script that uses them: Persian, Hindi,
# Hebrew, emoji.
_HIDDEN_LETTERS = (
    "[\u180e\u200b\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e0fff]"
    "|(?<![\u0300-\u036f\u0590-\U0010ffff])[\u200c-\u200f]"
)
_HIDDEN = re.compile(_HIDDEN_LETTERS)
_UNSEEN = re.compile(f"[\x7f-\x9f]|{_HIDDEN_LETTERS}")
# begins the heading of a table's later pieces: its header, which their text does not hold
_COLUMNS = "Columns: "


def on_terminal() -> bool:
    return sys.stdout is not None and sys.stdout.isatty()  # None: closed by who started us


def colours() -> bool:
    return on_terminal() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"


def printable(text: str) -> str:
    """Without control characters, lines and tabs aside: a document must not move the cursor or ring the bell. What changes
    the order of letters, or is not seen at all, as an escape: "fees\\u202efdp.exe"."""
    return _HIDDEN.sub(lambda found: _escape(found[0]), plain(text))


def plain(text: str) -> str:
    """Without control characters, as `printable`, and of the same length: so that places in `text`
    stay."""
    return _CONTROL.sub("\ufffd", text)


def dumps(value: object, *, indent: int | None = None) -> str:
    """JSON with plain letters; as escapes what no UTF-8 file can hold (a lone surrogate), what a
    terminal obeys (C1 controls) and what nobody sees. The value is the same."""
    text = (
        json.dumps(value, ensure_ascii=False, indent=indent)
        .encode("utf-8", "backslashreplace")
        .decode()
    )
    return _UNSEEN.sub(lambda found: json.dumps(found[0])[1:-1], text)


def _escape(letter: str) -> str:
    return f"\\u{ord(letter):04x}" if ord(letter) < 1 << 16 else f"\\U{ord(letter):08x}"


def megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"


# --- answers --------------------------------------------------------------------------------------


def answer(events: Iterator[Event]) -> Answer:
    """Print an answer and its sources: as it comes on a terminal, whole in a pipe."""
    finished = stream_text(events)
    for part in below(finished):
        click.echo(f"\n{part}")
    return finished


def stream_text(events: Iterator[Event]) -> Answer:
    """Print the words of a stream and give its answer back. A terminal shows a passage's words
    above the answer at once; in a pipe they are among the sources."""
    live, last = on_terminal(), ""
    for event in events:
        if live and isinstance(event, QuoteFound):
            click.echo(f"{quoted(event.quote)}\n")
        elif live and isinstance(event, TextPiece):
            click.echo(
                printable(last + event.text)[len(printable(last)) :], nl=False
            )  # a joiner belongs to what is before
            last = event.text[-1:] or last
        elif isinstance(event, Done):
            click.echo("" if live else printable(event.answer.text))
            return event.answer
    raise AssertionError("a stream ends with Done")


def quoted(quote: Quote) -> str:
    """A passage's words and where they stand."""
    text = _shorten(" ".join(printable(quote.text).split()))
    return f'"{text}"\n{dim(place(quote.citation.document, quote.citation.page))}'


def below(finished: Answer) -> list[str]:
    """What stands under an answer, block by block."""
    return [part for part in (doubts(finished), verbatim(finished), sources(finished)) if part]


def verbatim(finished: Answer) -> str:
    """That a question for yes or no, or for a figure to be worked out, got a passage's words, which
    do not say it."""
    if finished.refused or finished.kind != RELATED:
        return ""
    return "These are a passage's own words: what they mean for the question is for you to judge"


def doubts(finished: Answer) -> str:
    """The figures of an answer that no passage carries, so that nobody takes them for read."""
    figures = dict.fromkeys(
        printable(finished.text[start:end]) for start, end in finished.unsupported
    )
    return f"Check: no passage says {', '.join(figures)}" if figures else ""


def sources(finished: Answer) -> str:
    """The list under an answer; nothing under a refusal or where the bundle has no documents."""
    if finished.refused or not finished.passages:
        return ""
    if not finished.citations:
        return "Sources: none of the passages carries this answer"
    repeats = finished.kind != WRITTEN  # the answer is the quote
    return "Sources:\n" + "\n".join(
        _source(citation, repeats=repeats) for citation in finished.citations
    )


def _source(citation: Citation, *, repeats: bool) -> str:
    if repeats:
        return f"[{citation.passage}] {place(citation.document, citation.page)}"
    quote = " ".join(printable(citation.quote).split())
    return f'[{citation.passage}] {place(citation.document, citation.page)} — "{_shorten(quote)}"'


def place(document: str, page: int | None) -> str:
    """One line, safe for a terminal."""
    return plain_place(" ".join(printable(document).split()), page)


def _shorten(text: str) -> str:
    return text if len(text) <= _WIDTH or not on_terminal() else text[: _WIDTH - 1].rstrip() + "…"


# --- passages -------------------------------------------------------------------------------------


def passages(found: Sequence[Passage], question: str) -> str:
    """Ranked, the question's words in bold; on a terminal fitted to its width, elsewhere lines as
    they are."""
    width = min(get_terminal_size().columns, _WIDEST) - len(_INDENT) if on_terminal() else None
    lit = question_spans([passage.text for passage in found], question)
    return "\n\n".join(
        _ranked(rank, *pair, width) for rank, pair in enumerate(zip(found, lit, strict=True), 1)
    )


def _ranked(rank: int, passage: Passage, spans: Sequence[Span], width: int | None) -> str:
    head = f"{rank}. {place(passage.document, passage.page)}  (similarity {passage.similarity:.2f})"
    heading, header = [" ".join(printable(part).split()) for part in passage.heading], ""
    if heading and heading[-1].startswith(_COLUMNS) and width is not None:
        header = heading.pop().removeprefix(_COLUMNS)
    path = [" > ".join(heading)] if heading else []
    body = [
        emphasized(line) for line in excerpt(plain(passage.text), spans, width=width, header=header)
    ]
    return "\n".join([bold(head), *(f"{_INDENT}{row}" for row in (*path, *body))])


def emphasized(line: Line) -> str:
    """The line with what lights up in it in bold, where there are colours."""
    pieces, at = [], 0
    for start, end in line.spans:
        pieces += [printable(line.text[at:start]), bold(printable(line.text[start:end]))]
        at = end
    return "".join([*pieces, printable(line.text[at:])])


def bold(text: str) -> str:
    return click.style(text, bold=True) if colours() else text


def dim(text: str) -> str:
    return click.style(text, dim=True) if colours() else text


# --- facts ----------------------------------------------------------------------------------------


def facts(data: Mapping[str, Any]) -> str:
    """`info`'s facts, aligned, a line each."""
    rows = [
        (name.removesuffix(" bytes"), _figure(name, value))
        for name, value in data.items()
        if value not in ("", None)
    ]
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{printable(name):<{width}}  {printable(value)}" for name, value in rows)


def _figure(name: str, value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return " ".join(str(value).split())
    if name.split()[-1] == "bytes":
        return megabytes(int(value))
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
