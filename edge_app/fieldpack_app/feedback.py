"""Turns STATE/feedback.jsonl, as `fieldpack serve` writes it, into test questions that a build
reads. Runs no model."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import NotRequired, TypedDict

import click

from fieldpack import Expert, InputError, NoSuchPassage
from fieldpack.citations import marked_numbers, strip_marks
from fieldpack.passages import MAX_CHUNK_ID

from .state import read_regular
from .terminal.render import printable

FILL_IN = "fill_in"  # a key that no build knows: it refuses the row until a person has edited it
_RATINGS = ("up", "down", "unanswered")


@dataclass(frozen=True, slots=True)
class Note:
    """A rating or an unanswered question. `rating`: up, down or unanswered. `passages`: chunk ids,
    in the order of the answer's numbers; `cited`: the one that the answer cites first, None where it
    cites none or it is not known. `answer_id`: the same in all notes that one reader left on one
    answer; empty where it is not known. `raw`: the line."""

    time: datetime
    rating: str
    bundle: str
    question: str
    answer: str
    refused: bool
    note: str
    passages: tuple[int, ...]
    cited: int | None
    answer_id: str
    raw: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class NoteFilter:
    """Which notes to read: those since a time, those of a rating."""

    since: datetime | None = None
    rating: str | None = None

    @classmethod
    def parse(cls, since: str | None, rating: str | None) -> NoteFilter:
        """Return the filter of two options. A time without a zone is this machine's. Raises
        click.BadParameter."""
        try:
            return cls(datetime.fromisoformat(since).astimezone() if since else None, rating)
        except (ValueError, OverflowError):
            raise click.BadParameter(
                f"{since!r} is no date; want YYYY-MM-DD", param_hint="--since"
            ) from None

    def accepts(self, note: Note) -> bool:
        """Return whether the filter lets a note through."""
        return (self.since is None or note.time >= self.since) and self.rating in (
            None,
            note.rating,
        )


class QuestionRow(TypedDict):
    """A row of test questions (`evaluate.questions`). `fill_in`: what a person has to say."""

    question: str
    answer: str | None
    document: str | None
    pages: NotRequired[list[int]]
    fill_in: NotRequired[str]


def read_notes(
    path: Path, note_filter: NoteFilter, *, on_bad_line: Callable[[str], None]
) -> list[Note]:
    """Return the notes in the order of the file; none where there is no file.

    A line that cannot be read is reported and left out. Of several notes that one reader left on
    one answer (a thumb, then a sentence; a change of mind) the last counts. Raises OSError, also
    where it is no regular file."""
    try:
        lines = read_regular(path).split(b"\n")
    except FileNotFoundError:
        return []
    notes: dict[str | int, Note] = {}
    for number, line in enumerate(lines, 1):
        try:
            if not line.strip():
                continue
            text = line.strip(b"\0 \t\r")  # a power cut can leave NUL bytes before a line
            if not text:
                raise ValueError(f"{len(line)} NUL bytes, as a power cut leaves them")
            note = _note(json.loads(text.decode("utf-8")))
        except (ValueError, OverflowError, RecursionError) as error:
            on_bad_line(f"{path}, line {number}: {error}; left out")
        else:
            key = f"{note.bundle} {note.answer_id}" if note.answer_id else number
            notes.pop(key, None)  # the later one comes at its own place in the file
            notes[key] = note
    return [note for note in notes.values() if note_filter.accepts(note)]


def _note(row: object) -> Note:
    """Return the note that a line stands for. Raises ValueError, OverflowError."""
    if (
        not isinstance(row, dict)
        or not isinstance(row.get("question"), str)
        or not row["question"].strip()
    ):
        raise ValueError("no question here")
    rating = "unanswered" if row.get("kind") == "unanswered" else row.get("rating")
    if rating not in _RATINGS:
        raise ValueError(f"rating {rating!r} is none of up and down")
    passages = row.get("passages") or []
    if not isinstance(passages, list) or not all(
        type(number) is int and 0 <= number < MAX_CHUNK_ID for number in passages
    ):
        raise ValueError("passages are no list of chunk numbers")
    cited = row["cited"] if "cited" in row else _marked(str(row.get("answer") or ""), passages)
    if cited is not None and (type(cited) is not int or cited not in passages):
        raise ValueError("what is cited is none of the passages")
    time = datetime.fromisoformat(str(row.get("time")))
    return Note(
        time if time.tzinfo else time.astimezone(),
        rating,
        str(row.get("bundle", "")),
        row["question"].strip(),
        str(row.get("answer") or ""),
        bool(row.get("refused")),
        str(row.get("note") or ""),
        tuple(passages),
        cited,
        str(row.get("answer_id") or ""),
        row,
    )


def _marked(answer: str, passages: Sequence[int]) -> int | None:
    """Return the passage that an answer's first mark points to, None where it has none."""
    number = next(iter(marked_numbers(answer)), 0)
    return passages[number - 1] if 1 <= number <= len(passages) else None


def to_rows(notes: Iterable[Note], expert: Expert | None = None) -> list[QuestionRow]:
    """Return a row for each question, in the order they were first asked. `expert`: of the bundle
    that was asked, to name documents.

    An answer that was rated up, and never down, is the expected one; all else needs a person."""
    groups: dict[str, list[Note]] = {}
    for note in notes:
        key = " ".join(note.question.casefold().split()).rstrip("?!. ")
        groups.setdefault(key, []).append(note)
    rows: list[QuestionRow] = []
    for group in groups.values():
        up = [note for note in group if note.rating == "up"]
        down = [note for note in group if note.rating == "down"]
        if up and not down:
            rows.append(_answered(up[-1], expert))
        else:
            last = (down or group)[-1]
            rows.append(
                {
                    "question": last.question,
                    "answer": None,
                    "document": None,
                    "fill_in": _task(last, disputed=bool(up)),
                }
            )
    return rows


def _answered(note: Note, expert: Expert | None) -> QuestionRow:
    """Return the row of a right answer, with document and page of the passage that it cites, where
    it cites one and that is still there."""
    row: QuestionRow = {
        "question": note.question,
        "answer": None if note.refused else strip_marks(note.answer) or None,
        "document": None,
    }
    if expert is None or note.refused or note.cited is None:
        return row
    if note.bundle != f"{expert.manifest.name}-{expert.manifest.version}":
        return row  # the numbers are another library's
    try:
        passage = expert.passage(note.cited)
    except NoSuchPassage:
        return row
    row["document"] = passage.document
    if passage.page:
        row["pages"] = [passage.page]
    return row


def _task(note: Note, *, disputed: bool) -> str:
    """Return what a person has to do about a question that has no right answer."""
    answer = f"; it said: {note.answer}" if note.answer else ""
    remark = f"; the reader: {note.note}" if note.note else ""
    how = "rated down" if note.rating == "down" else "not answered"
    return (
        f"{'rated up and down' if disputed else how}{answer}{remark}; write the answer and its "
        "document, or leave null if the documents do not say; remove this key"
    )


def shown(note: Note) -> str:
    """Return a note as a few lines for a person."""
    answer = " ".join(printable(note.answer).split())
    question = " ".join(printable(note.question).split())
    remark = f"({' '.join(printable(note.note).split())})" if note.note else ""
    lines = [f"{note.time:%Y-%m-%d %H:%M}  {note.rating:<10}  {question}"]
    return "\n".join([*lines, *(f"{'':<30}{part}" for part in (answer, remark) if part)])


class BadLines:
    """Prints what is wrong with lines of the feedback as they are read, and counts them."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, text: str) -> None:
        self.count += 1
        click.echo(f"fieldpack: {printable(text)}", err=True)

    def raise_any(self) -> None:
        """Raise InputError if there were any."""
        if self.count:
            lines = "line" if self.count == 1 else "lines"
            raise InputError(
                f"{self.count} {lines} of the feedback could not be read, named above; the others "
                "were"
            )
