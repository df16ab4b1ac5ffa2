"""`fieldpack chat`: question after question, each going on from the answer before it. Knows nothing
of bundles' files, of models or of how a line is typed."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import click

from fieldpack import Answer, Done, Event, Expert, FieldpackError, PassagesFound, QuestionError

from ..terminal import render
from ..terminal.line_input import read_lines
from ..terminal.sources_view import read_passages
from ..terminal.spinner import Spinner

COMMANDS = {
    "/sources": "what the last answer was written from, with the text around it",
    "/search": "WORDS: the passages that fit, without an answer",
    "/new": "forget the conversation",
    "/help": "this",
    "/quit": "end; Ctrl-D does too",
}
_FOUND = 5  # passages that /search shows, as `fieldpack search` does


def talk(expert: Expert, *, history: Path | None) -> None:
    """Answer stdin's lines until its end or /quit. Ctrl-C stops an answer, not the program.
    `history`: where a terminal's lines are kept; None keeps none."""
    terminal = sys.stdin.isatty() and render.on_terminal()
    with _opening(expert) as still_opening:
        conversation = Conversation(expert, still_opening, terminal=terminal)
        if terminal:
            named = f"{expert.manifest.name} {expert.manifest.version}"
            click.echo(
                f"{render.printable(named)}. Ask in plain words; /help shows the commands, Ctrl-D "
                "ends."
            )
        for line in read_lines(tuple(COMMANDS), history) if terminal else _piped():
            if not conversation.take(line.strip()):
                return


class Conversation:
    """What is said to one line, and what is remembered from it for the next."""

    def __init__(
        self, expert: Expert, still_opening: Callable[[], bool], *, terminal: bool
    ) -> None:
        self._expert = expert
        self._still_opening = still_opening
        self._terminal = terminal
        self.last: Answer | None = None

    def take(self, line: str) -> bool:
        """False where the conversation ends."""
        command, _, words = line.partition(" ")
        match command:
            case "/quit" | "/exit":
                return False
            case "/sources":
                self._show_sources()
            case "/search":
                self._search(words.strip())
            case "/new":
                self.last = None
                click.echo("forgotten")
            case "/help":
                click.echo(_help())
            case _ if command.startswith("/"):
                click.echo(
                    f"unknown command {render.printable(command)}: {', '.join(COMMANDS)}", err=True
                )
            case _ if line:
                self._ask(line)
        return True

    def _ask(self, question: str) -> None:
        hint = Spinner("opening the models" if self._still_opening() else "searching")
        events: Any = self._expert.stream(
            question, previous=self.last.previous if self.last else None
        )
        try:
            with hint, closing(events):
                answer = render.stream_text(_hinted(events, hint))
        except QuestionError as error:
            click.echo(f"fieldpack: {render.printable(str(error))}", err=True)
        except KeyboardInterrupt:
            click.echo("\n(stopped)\n")
        else:
            self.last = answer
            click.echo(
                "".join(f"\n{part}\n" for part in (*self._how(answer), *render.below(answer)))
            )

    def _how(self, answer: Answer) -> list[str]:
        """A person may not have meant to go on; a script knows what it asked."""
        together = self._terminal and len(answer.asked) > len(answer.question)
        return ["(read together with the question before; /new forgets it)"] if together else []

    def _search(self, words: str) -> None:
        if not words:
            click.echo("say what to look for: /search WORDS", err=True)
            return
        try:
            found = self._expert.search(words, _FOUND)
        except QuestionError as error:
            click.echo(f"fieldpack: {render.printable(str(error))}", err=True)
            return
        click.echo(
            (render.passages(found, words) if found else "no passages in this bundle") + "\n"
        )

    def _show_sources(self) -> None:
        if self.last is None or not self.last.passages:
            click.echo(
                "no sources" if self.last else "nothing was answered yet", err=self.last is None
            )
            return
        click.echo(read_passages(self._expert, self.last) + "\n")


def _hinted(events: Iterator[Event], hint: Spinner) -> Iterator[Event]:
    """The same events; the hint says what is waited for, and is gone before the first word."""
    for event in events:
        if isinstance(event, PassagesFound):
            hint.say(_reading(event.passages))
        else:
            hint.clear()
        yield event
        if isinstance(event, Done):
            return


def _reading(passages: Sequence[object]) -> str:
    count = len(passages)
    return f"reading {count} passage{'s' if count != 1 else ''}" if count else "thinking"


def _help() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {says}" for name, says in COMMANDS.items()]
    return "\n".join(
        [
            (
                "A question goes on from the answer before it. Ctrl-C stops an answer, or clears the "
                "line."
            ),
            *lines,
        ]
    )


@contextmanager
def _opening(expert: Expert) -> Iterator[Callable[[], bool]]:
    """Open the models while the first question is typed; gives what says whether they still are.
    What goes wrong there, the first question meets again and says."""

    def load() -> None:
        with suppress(FieldpackError, OSError):
            expert.load()

    thread = threading.Thread(target=load)
    thread.start()
    try:
        yield thread.is_alive
    finally:
        thread.join()  # a thread inside onnxruntime at the interpreter's end crashes it


def _piped() -> Iterator[str]:
    for line in sys.stdin.buffer:
        yield line.decode("utf-8", "replace")
