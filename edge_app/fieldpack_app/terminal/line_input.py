"""Reads lines typed at a terminal, with editing, completion, and a history across sessions. Knows
nothing of questions or answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from ..state import append_line, read_regular

_PROMPT = "> "
_MAX_HISTORY = 1000  # lines of earlier sessions that the arrow keys reach


def read_lines(commands: Sequence[str], history: Path | None) -> Iterator[str]:
    """Yield a line at a time. Ctrl-C at the prompt drops the line, Ctrl-D ends. `history`: a file
    that lines are appended to as they are typed, so that neither a kill nor a second window loses
    any; None keeps none."""
    lines: list[str] = []
    try:
        text = read_regular(history).decode("utf-8", "replace") if history else ""
        # NUL bytes are what a power cut leaves of lines; readline takes none.
        lines = [line for line in text.replace("\0", "").splitlines() if line][-_MAX_HISTORY:]
    except FileNotFoundError:
        pass
    except OSError as error:
        _warn(history, error)
        history = None
    _set_up_readline(commands, lines)
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
            try:
                append_line(history, " ".join(line.split()))  # a pasted text may hold line ends
            except OSError as error:  # a full or read-only disk is no reason not to answer
                _warn(history, error)
                history = None
        yield line


def _set_up_readline(commands: Sequence[str], lines: Sequence[str]) -> None:
    """Let `input()` edit and complete lines. A Python without readline takes lines as the terminal
    gives them."""
    try:
        import readline
    except ImportError:
        return
    if hasattr(readline, "clear_history"):
        readline.clear_history()
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


def _warn(history: Path | None, error: OSError) -> None:
    click.echo(
        f"history is not kept: {error.filename or history}: {error.strerror}; --no-history or "
        "--state DIR",
        err=True,
    )
