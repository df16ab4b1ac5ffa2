"""STATE/feedback.jsonl, as `fieldpack serve` writes it, into test questions that a build reads.
Runs no model."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from fieldpack import Expert, InputError, NoSuchPassage
from fieldpack.citations import strip_marks

from .terminal.render import printable

FILL_IN = "fill_in"  # a key that no build knows: it refuses the row until a person has been there
MOST_CHUNK = 1 << 62  # chunk ids lie below: SQLite holds no number above 2**63 - 1
_MARK = re.compile(r"\[(\d{1,3})")
_RATINGS = ("up", "down", "unanswered")


@dataclass(frozen=True, slots=True)
class Note:
    """`rating`: up, down or unanswered. `passages`: chunk ids, as the answer's numbers count them.
    `answer_id`: the same in all notes that one reader left on one answer; empty where it is not
    known. `raw`: the line."""

    time: datetime
    rating: str
    bundle: str
    question: str
    answer: str
    refused: bool
    note: str
    passages: tuple[int, ...]
    answer_id: str
    raw: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Wanted:
    since: datetime | None = None
    rating: str | None = None

    @classmethod
    def of(cls, since: str | None, rating: str | None) -> Wanted:
        """Raises click.BadParameter. A time without a zone is this machine's."""
        try:
            return cls(datetime.fromisoformat(since).astimezone() if since else None, rating)
        except (ValueError, OverflowError):
            raise click.BadParameter(
                f"{since!r} is no date; want YYYY-MM-DD", param_hint="--since"
            ) from None

    def lets(self, note: Note) -> bool:
        return (self.since is None or note.time >= self.since) and self.rating in (
            None,
            note.rating,
        )


def read_notes(path: Path, wanted: Wanted, *, complain: Callable[[str], None]) -> list[Note]:
    """Return the notes in the order of the file; none where there is no file.

    A line that cannot be read is complained of and left out. Of several notes that one reader left
    on one answer (a thumb, then a sentence; a change of mind) the last counts."""
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return []
    notes: dict[str | int, Note] = {}
    for number, line in enumerate(lines, 1):
        try:
            if not line.strip():
                continue
            note = _note(_object(line))
        except (ValueError, OverflowError, RecursionError) as error:
            complain(f"{path}, line {number}: {error}; left out")
        else:
            key = f"{note.bundle} {note.answer_id}" if note.answer_id else number
            notes.pop(key, None)  # the later one stands where it was said
            notes[key] = note
    return [note for note in notes.values() if wanted.lets(note)]


def _object(line: bytes) -> object:
    """Parse a line. Before it may stand the NUL bytes that a power cut left."""
    text = line.strip(b"\0 \t\r")
    if not text:
        raise ValueError(f"{len(line)} NUL bytes, as a power cut leaves them")
    return json.loads(text.decode("utf-8"))


def _note(row: object) -> Note:
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
        type(number) is int and 0 <= number < MOST_CHUNK for number in passages
    ):
        raise ValueError("passages are no list of chunk numbers")
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
        str(row.get("answer_id") or ""),
        row,
    )


def to_rows(notes: Iterable[Note], expert: Expert | None = None) -> list[dict[str, Any]]:
    """A row a question, in the order they were first asked. `expert`: of the bundle that was asked,
    to name documents."""
    groups: dict[str, list[Note]] = {}
    for note in notes:
        groups.setdefault(_same(note.question), []).append(note)
    return [_row(group, expert) for group in groups.values()]


def _row(notes: Sequence[Note], expert: Expert | None) -> dict[str, Any]:
    """An answer that was rated up, and never down, is the expected one; all else wants a person."""
    up = [note for note in notes if note.rating == "up"]
    down = [note for note in notes if note.rating == "down"]
    if up and not down:
        best = up[-1]
        answer = None if best.refused else strip_marks(best.answer) or None
        return {"question": best.question, "answer": answer, **_source(best, expert)}
    last = (down or notes)[-1]
    return {
        "question": last.question,
        "answer": None,
        "document": None,
        FILL_IN: _what_is_wanted(last, bool(up)),
    }


def _what_is_wanted(note: Note, disputed: bool) -> str:
    said = f"; it said: {note.answer}" if note.answer else ""
    remark = f"; the reader: {note.note}" if note.note else ""
    how = (
        "rated up and down"
        if disputed
        else "rated down"
        if note.rating == "down"
        else "not answered"
    )
    return (
        f"{how}{said}{remark}; write the answer and its document, or leave null if the documents "
        "do not say; remove this key"
    )


def _source(note: Note, expert: Expert | None) -> dict[str, Any]:
    """Document and page of the first passage that the answer points to, where it is still there."""
    mark = _MARK.search(note.answer)
    number = int(mark[1]) if mark else 1
    if expert is None or note.refused or number > len(note.passages) or number < 1:
        return {"document": None}
    if (
        note.bundle != f"{expert.manifest.name}-{expert.manifest.version}"
    ):  # another library's numbers
        return {"document": None}
    try:
        passage = expert.passage(note.passages[number - 1])
    except NoSuchPassage:
        return {"document": None}
    return {"document": passage.document, **({"pages": [passage.page]} if passage.page else {})}


def _same(question: str) -> str:
    return " ".join(question.casefold().split()).rstrip("?!. ")


def shown(note: Note) -> str:
    """For a person, in a few lines."""
    said = " ".join(printable(note.answer).split())
    head = (
        f"{note.time:%Y-%m-%d %H:%M}  {note.rating:<10}  "
        f"{' '.join(printable(note.question).split())}"
    )
    remark = f"({' '.join(printable(note.note).split())})" if note.note else ""
    return "\n".join([head, *(f"{'':<30}{part}" for part in (said, remark) if part)])


def write_rows(output: Path, text: str) -> None:
    """Beside, then renamed: never half a file."""
    partial = output.with_name(output.name + ".partial")
    partial.write_text(text + "\n" if text else "", encoding="utf-8")
    partial.replace(output)


class Complaints:
    """Said as they come; the command's end knows that there were some."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, text: str) -> None:
        self.count += 1
        click.echo(f"fieldpack: {printable(text)}", err=True)

    def raise_any(self) -> None:
        if self.count:
            lines = "line" if self.count == 1 else "lines"
            raise InputError(
                f"{self.count} {lines} of the feedback could not be read, named above; the others "
                "were"
            )
