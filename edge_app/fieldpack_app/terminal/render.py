"""Shows answers, passages and facts as text for a terminal, a pipe or a JSON reader. Runs no model
and opens no file."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from shutil import get_terminal_size

import click

from fieldpack import Answer, Done, Event, Passage, PassagesFound, Quote, QuoteFound, TextPiece
from fieldpack.answers import RELATED, UNSURE, WRITTEN
from fieldpack.citations import headings_of
from fieldpack.citations import place as plain_place
from fieldpack.figures import megabytes
from fieldpack.passages import COLUMNS

from .excerpt import Line, excerpt
from .highlight import question_spans

_QUOTE_CHARACTERS = 200  # on a terminal
_INDENT = "   "
_MAX_COLUMNS = 120  # longer lines are hard to read
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


def on_terminal() -> bool:
    """Return whether a person reads stdout."""
    return sys.stdout is not None and sys.stdout.isatty()  # None: closed by who started us


def colours() -> bool:
    """Return whether the terminal shows colours and bold text."""
    return on_terminal() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"


def printable(text: str) -> str:
    """Return `text` without control characters, line ends and tabs aside: a document must not move
    the cursor or ring the bell. What changes the order of letters, or is not seen at all, becomes an
    escape: "fees\\u202efdp.exe"."""

    def escape(match: re.Match[str]) -> str:
        code = ord(match[0])
        return f"\\u{code:04x}" if code < 1 << 16 else f"\\U{code:08x}"

    return _HIDDEN.sub(escape, plain(text))


def plain(text: str) -> str:
    """Return `text` without control characters, and of the same length, so that offsets into it
    stay right."""
    return _CONTROL.sub("\ufffd", text)


def dumps(value: object, *, indent: int | None = None) -> str:
    """Return JSON with plain letters; what no UTF-8 file can hold (a lone surrogate), what a terminal
    obeys (C1 controls) and what nobody sees are escapes. The value is the same."""
    text = (
        json.dumps(value, ensure_ascii=False, indent=indent)
        .encode("utf-8", "backslashreplace")
        .decode()
    )
    return _UNSEEN.sub(lambda match: json.dumps(match[0])[1:-1], text)


# --- answers --------------------------------------------------------------------------------------


def answer(events: Iterator[Event]) -> Answer:
    """Print an answer and its sources: as it comes on a terminal, whole in a pipe."""
    finished = stream_text(events)
    for part in below(finished):
        click.echo(f"\n{part}")
    return finished


def stream_text(events: Iterator[Event]) -> Answer:
    """Print the words of a stream and return its answer. A follow-up's begins with how it is read. A
    terminal shows the quote of a passage above the answer at once; in a pipe it is among the
    sources."""
    live, last = on_terminal(), ""
    passages: Sequence[Passage] = ()
    for event in events:
        if isinstance(event, PassagesFound):
            passages = event.passages
            if event.read_as:
                click.echo(f"{dim(f'Read as: {printable(event.read_as)}')}\n")
        elif live and isinstance(event, QuoteFound):
            click.echo(f"{quoted(event.quote, passages)}\n")
        elif live and isinstance(event, TextPiece):
            # A joiner belongs to the letter before it.
            click.echo(printable(last + event.text)[len(printable(last)) :], nl=False)
            last = event.text[-1:] or last
        elif isinstance(event, Done):
            click.echo("" if live else printable(event.answer.text))
            return event.answer
    raise AssertionError("a stream ends with Done")


def quoted(quote: Quote, passages: Sequence[Passage]) -> str:
    """Return the quote of one of the passages and where it stands."""
    text = _shorten(" ".join(printable(quote.text).split()))
    return f'"{text}"\n{dim(source(passages[quote.citation.passage - 1]))}'


def below(finished: Answer) -> list[str]:
    """Return what stands below an answer, block by block."""
    parts = (
        unknown(finished),
        cut(finished),
        doubts(finished),
        verbatim(finished),
        sources(finished),
    )
    return [part for part in parts if part]


def unknown(finished: Answer) -> str:
    """Return the warning that no document has words of the question; empty where all of them have."""
    words = ", ".join(f'"{printable(word)}"' for word in finished.unknown_words)
    return f"No document contains {words}." if words else ""


def cut(finished: Answer) -> str:
    """Return the warning that a limit on tokens ended an answer; empty for others."""
    return "Cut: the answer reached its longest length; its end is missing" if finished.cut else ""


def verbatim(finished: Answer) -> str:
    """Return the warning that a question for yes or no, or for a figure to be worked out, got a
    passage's words, which do not say it; empty for other answers."""
    if finished.refused or finished.kind != RELATED:
        return ""
    return "These are a passage's own words: what they mean for the question is for you to judge"


def doubts(finished: Answer) -> str:
    """Return the warning of figures in an answer that no passage has; empty where there are none."""
    figures = dict.fromkeys(
        printable(finished.text[start:end]) for start, end in finished.unsupported
    )
    return f"Check: no passage says {', '.join(figures)}" if figures else ""


def sources(finished: Answer) -> str:
    """Return the list below an answer: its sources, or the passage nearest to an answer that names
    none; of an answer that was not sure enough the passages. Empty for a refusal or a bundle
    without documents."""
    if finished.kind == UNSURE and finished.passages:
        places = [
            f"[{number}] {source(passage)}" for number, passage in enumerate(finished.passages, 1)
        ]
        return "\n".join(["Passages:", *places])
    if finished.refused or not finished.passages:
        return ""
    if not finished.citations:
        return "Sources: none of the passages carries this answer"
    lines = ["Related (the answer names no source):" if finished.guessed else "Sources:"]
    for citation in finished.citations:
        line = f"[{citation.passage}] {source(finished.passages[citation.passage - 1])}"
        if finished.kind == WRITTEN:  # else the answer is the quote
            line += f' — "{_shorten(" ".join(printable(citation.quote).split()))}"'
        lines.append(line)
    return "\n".join(lines)


def place(document: str, page: int | None, heading: Sequence[str] = ()) -> str:
    """Return where a passage stands, on one line and safe for a terminal."""
    return " ".join(printable(plain_place(document, page, heading)).split())


def source(passage: Passage) -> str:
    """Return where a passage stands, with the titles and headings above it, on one line and safe for
    a terminal: "doses.docx, page 1: Dosing in adults > Standard doses"."""
    headings = " > ".join(headings_of(passage.document, passage.heading))
    where = place(passage.document, passage.page, passage.heading)
    return f"{where}: {' '.join(printable(headings).split())}" if headings.strip() else where


def _shorten(text: str) -> str:
    if len(text) <= _QUOTE_CHARACTERS or not on_terminal():
        return text
    return text[: _QUOTE_CHARACTERS - 1].rstrip() + "…"


# --- passages -------------------------------------------------------------------------------------


def passages(ranked: Sequence[Passage], question: str, languages: Sequence[str] = ()) -> str:
    """Return passages as text, with their rank, the question's words in bold; on a terminal fitted
    to its width, elsewhere lines as they are."""
    width = None
    if on_terminal():
        width = min(get_terminal_size().columns, _MAX_COLUMNS) - len(_INDENT)
    all_spans = question_spans([passage.text for passage in ranked], question, languages)
    blocks = []
    for rank, (passage, spans) in enumerate(zip(ranked, all_spans, strict=True), 1):
        where = place(passage.document, passage.page, passage.heading)
        columns = [part for part in passage.heading if part.startswith(COLUMNS)]
        parts = [*headings_of(passage.document, passage.heading), *columns]
        heading, header = [" ".join(printable(part).split()) for part in parts], ""
        if heading and heading[-1].startswith(COLUMNS) and width is not None:
            header = heading.pop().removeprefix(COLUMNS)
        lines = excerpt(plain(passage.text), spans, width=width, header=header)
        rows = [*([" > ".join(heading)] if heading else []), *map(emphasized, lines)]
        head = bold(f"{rank}. {where}  (similarity {passage.similarity:.2f})")
        blocks.append("\n".join([head, *(f"{_INDENT}{row}" for row in rows)]))
    return "\n\n".join(blocks)


def emphasized(line: Line) -> str:
    """Return the line with its highlights in bold, where there are colours."""
    pieces, at = [], 0
    for start, end in line.spans:
        pieces += [printable(line.text[at:start]), bold(printable(line.text[start:end]))]
        at = end
    return "".join([*pieces, printable(line.text[at:])])


def bold(text: str) -> str:
    """Return the text in bold, where there are colours."""
    return click.style(text, bold=True) if colours() else text


def dim(text: str) -> str:
    """Return the text dimmed, where there are colours."""
    return click.style(text, dim=True) if colours() else text


# --- facts ----------------------------------------------------------------------------------------


def facts(data: Mapping[str, object]) -> str:
    """Return `info`'s facts, aligned, a line each."""
    rows = []
    for name, value in data.items():
        if value in ("", None):
            continue
        if isinstance(value, bool) or not isinstance(value, int | float):
            text = " ".join(str(value).split())
        elif name.split()[-1] == "bytes":
            text = megabytes(int(value))
        else:
            text = f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
        rows.append((name.removesuffix(" bytes"), text))
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{printable(name):<{width}}  {printable(text)}" for name, text in rows)
