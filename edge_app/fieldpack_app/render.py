"""Answers, passages and facts as text for a terminal, a pipe or a JSON reader. Runs no model and opens no file."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import click

from fieldpack import Answer, Citation, Done, Event, Passage, TextPiece

_WORD = re.compile(r"\w+")
_LINES = 4  # of a passage in `search`
_WIDTH = 200  # characters of a quote or a line on a terminal


def on_terminal() -> bool:
    return sys.stdout.isatty()


def colours() -> bool:
    return on_terminal() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"


def printable(text: str) -> str:
    """Without control characters, lines and tabs aside: a document must not move the cursor or ring the bell."""
    return "".join(c if c in "\n\t" or " " <= c < "\x7f" or c > "\x9f" else "\ufffd" for c in text)


def dumps(value: object, *, indent: int | None = None) -> str:
    """JSON with plain letters; a lone surrogate, which no UTF-8 file can hold, as its escape."""
    return json.dumps(value, ensure_ascii=False, indent=indent).encode("utf-8", "backslashreplace").decode()


def megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"


def passage_dict(passage: Passage) -> dict[str, Any]:
    keys = ("document", "page", "text", "score", "similarity", "heading", "title")
    data = asdict(passage)
    return {key: data[key] for key in keys}


# --- answers -------------------------------------------------------------------------------------------------------


def answer(events: Iterator[Event]) -> Answer:
    """Print an answer and its sources: as it comes on a terminal, whole in a pipe."""
    finished = stream_text(events)
    listing = sources(finished)
    if listing:
        click.echo(f"\n{listing}")
    return finished


def stream_text(events: Iterator[Event]) -> Answer:
    """Print the words of a stream and give its answer back."""
    live = on_terminal()
    for event in events:
        if live and isinstance(event, TextPiece):
            click.echo(printable(event.text), nl=False)
        elif isinstance(event, Done):
            click.echo("" if live else printable(event.answer.text))
            return event.answer
    raise AssertionError("a stream ends with Done")


def sources(finished: Answer) -> str:
    """The list under an answer; nothing under a refusal or where the bundle has no documents."""
    if finished.refused or not finished.passages:
        return ""
    if not finished.citations:
        return "Sources: none of the passages carries this answer"
    return "Sources:\n" + "\n".join(_source(citation) for citation in finished.citations)


def _source(citation: Citation) -> str:
    quote = " ".join(printable(citation.quote).split())
    return f'[{citation.passage}] {_place(citation.document, citation.page)} — "{_shorten(quote)}"'


def _place(document: str, page: int | None) -> str:
    name = " ".join(printable(document).split())
    return f"{name}, page {page}" if page is not None else name


def _shorten(text: str) -> str:
    return text if len(text) <= _WIDTH or not on_terminal() else text[: _WIDTH - 1].rstrip() + "…"


# --- passages ------------------------------------------------------------------------------------------------------


def passages(found: Sequence[Passage], question: str) -> str:
    if not found:
        return "no passages: this bundle holds no documents"
    return "\n\n".join(_ranked(rank, passage, question) for rank, passage in enumerate(found, 1))


def _ranked(rank: int, passage: Passage, question: str) -> str:
    head = f"{rank}. {_place(passage.document, passage.page)}  (similarity {passage.similarity:.2f})"
    heading = " > ".join(printable(part) for part in passage.heading)
    lines = [line for line in printable(passage.text).splitlines() if line.strip()]
    body = [f"   {highlight(_shorten(line), question)}" for line in lines[:_LINES]]
    more = ["   …"] if len(lines) > _LINES else []
    return "\n".join([bold(head), *([f"   {heading}"] if heading else []), *body, *more])


def highlight(text: str, question: str) -> str:
    """The question's words of three letters and more in bold, on a terminal."""
    wanted = {word for word in _WORD.findall(question.casefold()) if len(word) > 2}
    return _WORD.sub(lambda m: bold(m.group()) if m.group().casefold() in wanted else m.group(), text)


def bold(text: str) -> str:
    return click.style(text, bold=True) if colours() else text


# --- facts ---------------------------------------------------------------------------------------------------------


def facts(data: Mapping[str, Any]) -> str:
    """`info`'s facts, aligned, a line each."""
    rows = [(name.removesuffix(" bytes"), _figure(name, value)) for name, value in data.items() if value not in ("", None)]
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{printable(name):<{width}}  {printable(value)}" for name, value in rows)


def _figure(name: str, value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return " ".join(str(value).split())
    if name.split()[-1] == "bytes":
        return megabytes(int(value))
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
