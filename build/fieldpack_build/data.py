"""Training examples and test questions: JSON Lines in, typed rows out. All bad lines are reported together, each with
its number. Knows nothing of prompts or models."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import DataError

_SHOWN = 10
_NULL = " (null means: the documents do not say)"


@dataclass(frozen=True, slots=True)
class Example:
    """`answer` None: the documents do not say, and the refusal is the right answer. `line` counts from 1."""

    question: str
    answer: str | None
    document: str | None
    line: int


@dataclass(frozen=True, slots=True)
class TestQuestion:
    """`value`: what a right answer must contain, a figure or a phrase; None where only `answer` is known.
    `pages`: those of `document` that hold the answer, from 1; none where they are not known. `scale`: what a figure in
    the answer counts ("million", "percent"), as TAT-QA says it."""

    question: str
    answer: str | None
    value: str | None
    document: str | None
    line: int
    pages: tuple[int, ...] = ()
    scale: str | None = None


def read_examples(path: Path) -> list[Example]:
    """Rows {"question", "answer", "document"?}; an answer of null is a refusal. Raises DataError."""
    rows = _read(path, needed=("question", "answer"), known={"question", "answer", "document", "id"})
    return [Example(r["question"], r["answer"], r.get("document"), line) for line, r in rows]


def read_questions(path: Path, *, needed: tuple[str, ...] = ("question", "answer")) -> list[TestQuestion]:
    """Rows {"question", "answer", "value"?, "document"?, "pages"?}; where only passages are looked for, `needed` leaves
    the answer away. Raises DataError."""
    known = {"question", "answer", "value", "document", "id", "pages", "type", "scale"}
    rows = _read(path, needed=needed, known=known)
    return [
        TestQuestion(
            r["question"], r.get("answer"), r.get("value"), r.get("document"), line, tuple(r.get("pages") or ()),
            r.get("scale") or None,
        )
        for line, r in rows
    ]


def _read(path: Path, *, needed: tuple[str, ...], known: set[str]) -> list[tuple[int, dict[str, Any]]]:
    try:
        # Not splitlines(): U+2028 and U+0085 may stand inside a JSON string, and end no line of JSON Lines.
        lines = path.read_bytes().decode("utf-8-sig").split("\n")
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 (byte {error.start}); save it as UTF-8") from None
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from None
    rows, problems = [], []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        row, problem = _parse(line, needed, known)
        if problem:
            problems.append(f"{path}:{number}: {problem}")
        else:
            rows.append((number, row))
    if problems:
        more = [f"... and {len(problems) - _SHOWN} more lines"] if len(problems) > _SHOWN else []
        raise DataError("\n".join(problems[:_SHOWN] + more))
    if not rows:
        raise DataError(f"{path}: no rows")
    return rows


def _parse(line: str, needed: tuple[str, ...], known: set[str]) -> tuple[dict[str, Any], str | None]:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        return {}, f"not JSON: {error.msg} (column {error.colno})"
    except (ValueError, RecursionError):  # a number of 5,000 digits, a thousand brackets
        return {}, "not JSON that can be read: a number is too long or lists are too deep"
    if not isinstance(row, dict):
        return {}, "not a JSON object"
    missing = [key for key in needed if key not in row]
    if missing:
        return {}, f"no {' and no '.join(missing)}" + (_NULL if "answer" in missing else "")
    unknown = sorted(row.keys() - known)
    if unknown:
        return {}, f"unknown key {unknown[0]}; known: {', '.join(sorted(known))}"
    for key in ("question", "answer", "value", "document", "scale"):
        value = row.get(key)
        if key == "scale" and value == "":
            continue  # TAT-QA's way to say that there is none
        if value is not None and not (isinstance(value, str) and value.strip()):
            empty = ", not empty" + (_NULL if key == "answer" else "")
            return {}, f"{key} must be text" + (empty if isinstance(value, str) else "")
    if row["question"] is None:
        return {}, "question must be text"
    if not _are_pages(row.get("pages")):
        return {}, "pages must be a list of page numbers, from 1"
    return row, None


def _are_pages(value: object) -> bool:
    return value is None or (isinstance(value, list) and all(type(page) is int and page >= 1 for page in value))
