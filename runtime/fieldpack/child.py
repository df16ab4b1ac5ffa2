"""How one of our processes starts another Python, and asks it one question.

It has the same interpreter, and never the current folder on its import path: a stray `http.py` or
`json.py` there (in a bundle, in a folder of documents) would be run in place of the library's.
A question is one line of JSON on the child's stdin, its answer the last line on its stdout. Knows
nothing of what the child does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

_QUOTED = 300  # characters of a child's last words


def python(*arguments: str | Path) -> list[str]:
    """Return the command line that runs this interpreter with `arguments`, such as `"-m", "pip",
    "install"`.

    `-P` (Python 3.11) keeps `sys.path` free of the current folder and of a script's own folder;
    PYTHONPATH still counts."""
    return [sys.executable, "-P", *map(str, arguments)]


def safe_environment(changes: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment of this process with `changes`, for a child that may start further
    Pythons (torchrun's ranks, spawned workers, pip): PYTHONSAFEPATH does for these what -P does for
    the child.

    An empty entry of PYTHONPATH, as in ":/opt/lib", means the current folder to Python: it is left
    out, all others stay."""
    environment = {**os.environ, **(changes or {}), "PYTHONSAFEPATH": "1"}
    if "PYTHONPATH" in environment:
        entries = [entry for entry in environment.pop("PYTHONPATH").split(os.pathsep) if entry]
        if entries:
            environment["PYTHONPATH"] = os.pathsep.join(entries)
    return environment


class ChildFailed(Exception):
    """A child ended with another exit code than 0: `code`, negative for a signal. `last_line` is
    the last that it wrote on stderr."""

    def __init__(self, code: int, stderr: str) -> None:
        self.code, self.last_line = code, last_line(stderr)
        ended = f"exit code {code}" if code >= 0 else f"killed by {_signal_name(-code)}"
        super().__init__(f"{self.last_line} ({ended})")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def last_line(text: str, *, otherwise: str = "no word") -> str:
    """Return the last line of a process's output that is not blank, at most 300 characters of it;
    `otherwise` where there is none."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:_QUOTED] if lines else otherwise


def ask_child(
    command: Sequence[str], question: object, *, changes: Mapping[str, str] | None = None
) -> Any:
    """Start a child whose program is `answer_parent`, put a question to it, and return its answer;
    both are what JSON can hold. `changes`: to the environment, as in `safe_environment`.

    What the child writes on stderr goes to ours when it has ended. Raises ChildFailed."""
    done = subprocess.run(
        command,
        env=safe_environment(changes),
        input=json.dumps(question) + "\n",
        capture_output=True,
        text=True,
        errors="replace",
    )
    sys.stderr.write(done.stderr)
    if done.returncode:
        raise ChildFailed(done.returncode, done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def answer_parent(answer: Callable[[Any], object]) -> None:
    """Be the child of `ask_child`: give `answer` the question, and print what it returns."""
    print(json.dumps(answer(json.loads(sys.stdin.readline()))), flush=True)
