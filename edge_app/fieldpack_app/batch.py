"""Answers a file of questions, a line of JSON for each. Knows nothing of terminals' colours or of
models."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import click

from fieldpack import Expert, InputError, QuestionError

from .state import partial_path, written_whole
from .terminal.render import dumps

_EXPECTED = 'want {"question": "..."} or a JSON string'


@dataclass(frozen=True, slots=True)
class Row:
    """A question. `extra`: {"id": ...} if the row has one."""

    question: str
    extra: Mapping[str, object]


def answer_all(expert: Expert, source: str, output: Path | None) -> None:
    """Answer each row of `source` ("-": stdin) on stdout or in the file `output`.

    Raises InputError: at once for a line that is no question, with the answers before it kept; at
    the end when a question was empty or too long (its line then has an `error`)."""
    failed = count = 0
    started = time.perf_counter()
    with _input(source) as lines, _writer(output) as write:
        for count, row in enumerate(read_rows(lines, "stdin" if source == "-" else source), 1):
            try:
                write({**row.extra, **expert.ask(row.question).to_dict()})
            except QuestionError as error:
                failed += 1
                write({**row.extra, "question": row.question, "error": str(error)})
            if sys.stderr.isatty():
                each = (time.perf_counter() - started) / count
                with suppress(OSError):
                    click.echo(f"\r{count} answered, {each:.1f} s each ", err=True, nl=False)
    if count and sys.stderr.isatty():
        click.echo(err=True)
    if failed:
        raise InputError(
            f'{failed} of {count} questions could not be asked; their lines say why under "error"'
        )


def read_rows(lines: IO[bytes], name: str) -> Iterator[Row]:
    """Yield the rows of JSON lines; empty lines are skipped. Raises InputError with file and
    line."""
    for number, line in enumerate(lines, 1):
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8").strip()
            if not text:
                continue
            value = json.loads(text)
            if isinstance(value, str):
                row = Row(value, {})
            elif isinstance(value, dict) and isinstance(value.get("question"), str):
                row = Row(value["question"], {"id": value["id"]} if "id" in value else {})
            else:
                raise ValueError("no question here")
        except (ValueError, RecursionError) as error:
            raise InputError(f"{name}, line {number}: {error}; {_EXPECTED}") from None
        yield row


@contextmanager
def _input(source: str) -> Iterator[IO[bytes]]:
    """Open a file, or stdin for "-". Raises InputError."""
    if source == "-":
        yield sys.stdin.buffer
        return
    try:
        file = Path(source).open("rb")  # noqa: SIM115 (closed below, outside of this try)
    except (OSError, ValueError) as error:
        raise InputError(f"{source}: {getattr(error, 'strerror', None) or error}") from None
    with file:
        yield file


@contextmanager
def _writer(output: Path | None) -> Iterator[Callable[[Mapping[str, object]], None]]:
    """Yield a function that writes a row to stdout, or to `output`, which appears when all is
    written; the answers before an error stay beside it, and the error says where."""
    if output is None:
        yield lambda row: click.echo(dumps(row))
        return
    try:
        with written_whole(output) as file:

            def write(row: Mapping[str, object]) -> None:
                file.write(dumps(row) + "\n")
                file.flush()

            yield write
    except InputError as error:
        partial = partial_path(output)
        raise InputError(f"{error}; the answers before it are in {partial}") from None
