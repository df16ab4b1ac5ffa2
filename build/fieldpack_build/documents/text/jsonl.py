"""Reads JSONL: each record a paragraph of "key: value" lines, under its title and before its text
if it names them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, TypeGuard

from fieldpack_build.documents.encoding import read_text
from fieldpack_build.documents.pages import Content, HeadingPath, PageBuilder, label
from fieldpack_build.errors import DocumentError

_TITLE = "title"
_TEXT = "text"


class Figure(str):
    """A number as the file writes it: 4.10 is not 4.1, and a part's number has twenty digits."""

    __slots__ = ()


def parse(text: str) -> Any:
    """Return a JSON value whose numbers are `Figure`s, and whose names that stand twice have a list
    of their values. Raises ValueError for what is no JSON."""
    return json.loads(text, parse_float=Figure, parse_int=Figure, object_pairs_hook=_named)


def _named(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) == len(pairs):
        return values
    together: dict[str, list[Any]] = {}
    for name, value in pairs:
        together.setdefault(name, []).append(value)
    return {name: found[0] if len(found) == 1 else found for name, found in together.items()}


def read(data: bytes, name: str) -> Content:
    """Read JSONL, one record a line. Raises DocumentError where no line is one."""
    builder = PageBuilder(HeadingPath())
    records = 0
    bad: list[str] = []
    text, text_warnings = read_text(data, name)
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            record = parse(line)
        except ValueError as error:
            bad.append(f"line {number}: {error}")
            continue
        except RecursionError:
            bad.append(f"line {number}: nested too deeply")
            continue
        add_record(builder, record, 1)
        records += 1
    if not records and bad:
        raise DocumentError(f"{name}: is no JSONL: {bad[0]}; it needs one JSON record a line")
    warnings = (
        (f"{len(bad)} of {records + len(bad)} lines are no JSON records; {bad[0]}",) if bad else ()
    )
    return Content("", (builder.page(),), warnings=(*text_warnings, *warnings))


def add_record(builder: PageBuilder, record: Any, level: int) -> None:
    """Add a record to the page.

    Its title, if it has one, is a heading of `level`, its other values are lines.
    """
    if not isinstance(record, dict):
        builder.text("\n".join(_lines("", record)))
        return
    keys = {key.lower(): key for key in record}
    title, text = (record[keys[key]] if key in keys else None for key in (_TITLE, _TEXT))
    title, text = (value if is_words(value) else None for value in (title, text))
    named = {keys[key] for key, value in ((_TITLE, title), (_TEXT, text)) if value is not None}
    builder.close(level)
    if title is not None and title.strip():
        builder.heading(level, label(title))
    lines = list(_lines("", {key: value for key, value in record.items() if key not in named}))
    builder.text("\n".join(lines if text is None else [*lines, text]))


def is_words(value: Any) -> TypeGuard[str]:
    """Return whether a value is a string in the file, and not a number as it is written."""
    return isinstance(value, str) and not isinstance(value, Figure)


def _lines(path: str, value: Any) -> Iterator[str]:
    """ "address.city: Graz", and a list of plain values on one line."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _lines(f"{path}.{key}" if path else str(key), inner)
    elif isinstance(value, list) and any(isinstance(inner, dict | list) for inner in value):
        for inner in value:
            yield from _lines(path, inner)
    elif value not in (None, "", []):
        words = (
            ", ".join(_word(inner) for inner in value) if isinstance(value, list) else _word(value)
        )
        yield f"{path}: {words}" if path else words


def _word(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
