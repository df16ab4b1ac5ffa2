"""`fieldpack chat`: a question a line, each on its own. Knows nothing of bundles' files or of models."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import click

from fieldpack import Answer, Expert, QuestionError

from . import render

_COMMANDS = "/sources shows where the last answer comes from, /quit ends"


def talk(expert: Expert) -> None:
    """Answer stdin's lines until its end or /quit. Ctrl-C stops the answer, not the program."""
    typing = sys.stdin.isatty()
    expert.load()
    if typing:
        manifest = expert.manifest
        click.echo(f"{render.printable(manifest.name)} {render.printable(manifest.version)}. {_COMMANDS}.")
    last: Answer | None = None
    for line in _typed() if typing else _piped():
        match line.strip():
            case "":
                continue
            case "/quit" | "/exit":
                return
            case "/sources":
                click.echo((render.sources(last) if last else "") or "no sources")
            case command if command.startswith("/"):
                click.echo(f"unknown command {render.printable(command)}: {_COMMANDS}", err=True)
            case question:
                last = _answer(expert, question)


def _answer(expert: Expert, question: str) -> Answer | None:
    events: Any = expert.stream(question)
    try:
        with closing(events):
            answer = render.stream_text(events)
        click.echo()
        return answer
    except QuestionError as error:
        click.echo(f"fieldpack: {error}", err=True)
    except KeyboardInterrupt:
        click.echo("\n(stopped)\n")
    return None


def _typed() -> Iterator[str]:
    """Lines with a prompt; Ctrl-C at the prompt drops the line, Ctrl-D ends."""
    while True:
        try:
            yield input("> ")
        except KeyboardInterrupt:
            click.echo(f"\n({_COMMANDS})")
        except EOFError:
            click.echo()
            return


def _piped() -> Iterator[str]:
    for line in sys.stdin.buffer:
        yield line.decode("utf-8", "replace")
