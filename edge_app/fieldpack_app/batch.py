"""A file of questions in, a line of JSON an answer out. Knows nothing of terminals' colours or of
models."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import click

from fieldpack import Expert, InputError, QuestionError

from .terminal.render import dumps

_WANTED = 'want {"question": "..."} or a JSON string'


@dataclass(frozen=True, slots=True)
class Row:
    question: str
    extra: dict[str, Any]  # {"id": ...} if the row has one


def answer_all(expert: Expert, source: str, output: Path | None) -> None:
    """Answer each row of `source` ("-": stdin) on stdout or in `output`.

    Raises InputError: at once for a line that is no question, with the answers before it kept; at
    the end when a question was empty or too long (its line then has an `error`)."""
    failed = count = 0
    started = time.perf_counter()
    with _lines(source) as lines, _writer(output) as write:
        for count, row in enumerate(read_rows(lines, "stdin" if source == "-" else source), 1):
            try:
                write({**row.extra, **expert.ask(row.question).to_dict()})
            except QuestionError as error:
                failed += 1
                write({**row.extra, "question": row.question, "error": str(error)})
            _progress(count, time.perf_counter() - started)
    if count and sys.stderr.isatty():
        click.echo(err=True)
    if failed:
        raise InputError(
            f'{failed} of {count} questions could not be asked; their lines say why under "error"'
        )


def read_rows(lines: IO[bytes], name: str) -> Iterator[Row]:
    """JSON lines -> rows; empty lines are skipped. Raises InputError with file and line."""
    for number, line in enumerate(lines, 1):
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8").strip()
            if text:
                yield _row(json.loads(text))
        except (ValueError, RecursionError) as error:
            raise InputError(f"{name}, line {number}: {error}; {_WANTED}") from None


def _row(value: object) -> Row:
    if isinstance(value, str):
        return Row(value, {})
    if not isinstance(value, dict) or not isinstance(value.get("question"), str):
        raise ValueError("no question here")
    return Row(value["question"], {"id": value["id"]} if "id" in value else {})


@contextmanager
def _lines(source: str) -> Iterator[IO[bytes]]:
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
def _writer(output: Path | None) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Stdout, or `output`: written under another name, renamed when all is done; what was written
    before an error stays under that name, and the error says so."""
    if output is None:
        yield lambda row: click.echo(dumps(row))
        return
    partial = output.with_name(output.name + ".partial")
    with partial.open("w", encoding="utf-8") as file:

        def write(row: dict[str, Any]) -> None:
            file.write(dumps(row) + "\n")
            file.flush()

        try:
            yield write
        except InputError as error:
            raise InputError(f"{error}; the answers before it are in {partial}") from None
    partial.replace(output)


def _progress(count: int, seconds: float) -> None:
    if sys.stderr.isatty():
        with contextlib.suppress(OSError):
            click.echo(f"\r{count} answered, {seconds / count:.1f} s each ", err=True, nl=False)
