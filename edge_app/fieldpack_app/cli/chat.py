"""Answers question after question for `fieldpack chat`, each following up on the answer before it.
Knows nothing of bundles' files, of models or of how a line is typed."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, cast

import click

from fieldpack import Answer, Done, Event, Expert, FieldpackError, PassagesFound, QuestionError

from ..terminal import render
from ..terminal.line_input import read_lines
from ..terminal.sources_view import show_sources
from ..terminal.spinner import Spinner

COMMANDS = {
    "/sources": "what the last answer was written from, with the text around it",
    "/search": "WORDS: the passages that fit, without an answer",
    "/new": "forget the conversation",
    "/help": "this",
    "/quit": "end; Ctrl-D does too",
}
_SEARCH_RESULTS = 5  # passages that /search shows, as `fieldpack search` does


def talk(expert: Expert, *, history: Path | None) -> None:
    """Answer stdin's lines until its end or /quit. Ctrl-C stops an answer, not the program.
    `history`: where a terminal's lines are kept; None keeps none."""
    terminal = sys.stdin.isatty() and render.on_terminal()
    with _opening(expert) as is_opening:
        conversation = Conversation(expert, is_opening, terminal=terminal)
        lines: Iterator[str]
        lines = (line.decode("utf-8", "replace") for line in sys.stdin.buffer)
        if terminal:
            name = render.printable(f"{expert.manifest.name} {expert.manifest.version}")
            click.echo(f"{name}. Ask in plain words; /help shows the commands, Ctrl-D ends.")
            lines = read_lines(tuple(COMMANDS), history)
        for line in lines:
            if not conversation.take(line.strip()):
                return


class Conversation:
    """Answers line by line, and remembers the last answer for the next line."""

    def __init__(self, expert: Expert, is_opening: Callable[[], bool], *, terminal: bool) -> None:
        """`is_opening`: tells whether the models are still being opened."""
        self._expert = expert
        self._is_opening = is_opening
        self._terminal = terminal
        self.last: Answer | None = None

    def take(self, line: str) -> bool:
        """Answer a question or obey a command; return False where the conversation ends."""
        command, _, words = line.partition(" ")
        match command:
            case "/quit" | "/exit":
                return False
            case "/sources":
                if self.last is None:
                    click.echo("nothing was answered yet", err=True)
                elif self.last.passages:
                    click.echo(show_sources(self._expert, self.last) + "\n")
                else:
                    click.echo("no sources")
            case "/search":
                self._search(words.strip())
            case "/new":
                self.last = None
                click.echo("forgotten")
            case "/help":
                width = max(map(len, COMMANDS))
                click.echo(
                    "A question that needs the one before it is read together with it, and the answer "
                    "begins with how. Ctrl-C stops an answer, or clears the line."
                )
                for name, about in COMMANDS.items():
                    click.echo(f"  {name:<{width}}  {about}")
            case _ if command.startswith("/"):
                click.echo(
                    f"unknown command {render.printable(command)}: {', '.join(COMMANDS)}", err=True
                )
            case _ if line:
                self._ask(line)
        return True

    def _ask(self, question: str) -> None:
        """Print the answer to a question."""
        spinner = Spinner("opening the models" if self._is_opening() else "searching")
        previous = self.last.previous if self.last else None
        events = cast(Any, self._expert.stream(question, previous=previous))
        try:
            with spinner, closing(events):
                answer = render.stream_text(_spinning(events, spinner))
        except QuestionError as error:
            click.echo(f"fieldpack: {render.printable(str(error))}", err=True)
        except KeyboardInterrupt:
            click.echo("\n(stopped)\n")
        else:
            self.last = answer
            parts = render.below(answer)
            click.echo("".join(f"\n{part}\n" for part in parts))

    def _search(self, words: str) -> None:
        """Print the passages that fit, without an answer."""
        if not words:
            click.echo("say what to look for: /search WORDS", err=True)
            return
        try:
            passages = self._expert.search(words, _SEARCH_RESULTS)
        except QuestionError as error:
            click.echo(f"fieldpack: {render.printable(str(error))}", err=True)
            return
        text = (
            render.passages(passages, words, self._expert.languages)
            if passages
            else "no passages in this bundle"
        )
        click.echo(text + "\n")


def _spinning(events: Iterator[Event], spinner: Spinner) -> Iterator[Event]:
    """Yield the same events, while the spinner says what is waited for; it is gone before the first
    word."""
    for event in events:
        if isinstance(event, PassagesFound):
            count = len(event.passages)
            passages = f"reading {count} passage{'s' if count != 1 else ''}"
            if event.read_as:  # said above the answer
                spinner.clear()
            else:
                spinner.say(passages if count else "thinking")
        else:
            spinner.clear()
        yield event
        if isinstance(event, Done):
            return


@contextmanager
def _opening(expert: Expert) -> Iterator[Callable[[], bool]]:
    """Open the models while the first question is typed; yields a function that tells whether they
    are still being opened. What goes wrong, the first question meets again and says."""

    def load() -> None:
        with suppress(FieldpackError, OSError):
            expert.load()

    thread = threading.Thread(target=load)
    thread.start()
    try:
        yield thread.is_alive
    finally:
        thread.join()  # a thread inside onnxruntime at the interpreter's end crashes it
