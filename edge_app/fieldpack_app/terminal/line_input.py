"""Lines typed at a terminal: edited, completed, and remembered across sessions. Knows nothing of
questions or answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from ..state import append_line

_PROMPT = "> "
_KEPT = 1000  # lines of earlier sessions that the arrow keys reach


def read_lines(commands: Sequence[str], history: Path | None) -> Iterator[str]:
    """A line at a time. Ctrl-C at the prompt drops the line, Ctrl-D ends. `history`: lines are
    added to it as they are typed, so that neither a kill nor a second window loses any; None keeps
    none."""
    history, lines = _remembered(history)
    _prepare(commands, lines)
    while True:
        try:
            line = input(_PROMPT)
        except KeyboardInterrupt:
            click.echo()
            continue
        except EOFError:
            click.echo()
            return
        if history and line.strip():
            history = _kept(history, " ".join(line.split()))  # a pasted text may hold line ends
        yield line


def _prepare(commands: Sequence[str], lines: Sequence[str]) -> None:
    """`input()` edits lines once readline is there; a Python without it takes lines as the terminal
    gives them."""
    try:
        import readline
    except ImportError:
        return
    _forget(readline)
    for line in lines:
        readline.add_history(line)
    readline.set_completer_delims(" \t\n")  # a command's "/" is part of the word

    def complete(text: str, state: int) -> str | None:
        begins = readline.get_begidx() == 0 and text.startswith("/")
        fits = [f"{name} " for name in commands if begins and name.startswith(text)]
        return fits[state] if state < len(fits) else None

    readline.set_completer(complete)
    libedit = "libedit" in (readline.__doc__ or "")
    readline.parse_and_bind("bind ^I rl_complete" if libedit else "tab: complete")


def _forget(readline: Any) -> None:
    if hasattr(readline, "clear_history"):
        readline.clear_history()


def _remembered(history: Path | None) -> tuple[Path | None, list[str]]:
    """The file if it can be kept, and the lines of earlier sessions."""
    try:
        text = history.read_text(encoding="utf-8", errors="replace") if history else ""
        # NUL bytes are what a power cut leaves of lines; readline takes none.
        return history, [line for line in text.replace("\0", "").splitlines() if line][-_KEPT:]
    except FileNotFoundError:
        return history, []
    except OSError as error:
        _give_up(history, error)
        return None, []


def _kept(history: Path, line: str) -> Path | None:
    try:
        append_line(history, line)
        return history
    except OSError as error:  # a full or read-only disk is no reason not to answer
        _give_up(history, error)
        return None


def _give_up(history: Path | None, error: OSError) -> None:
    click.echo(
        f"history is not kept: {error.filename or history}: {error.strerror}; --no-history or "
        "--state DIR",
        err=True,
    )
