"""Reads JSON: a list of records as JSONL is read, else the values by their path; a list of records
inside under its name."""

from __future__ import annotations

from typing import Any

from fieldpack_build.documents.encoding import read_text
from fieldpack_build.documents.pages import Content, HeadingPath, PageBuilder
from fieldpack_build.documents.text.jsonl import add_record, is_words, parse
from fieldpack_build.errors import DocumentError

_DEEPEST = 4  # names of lists in lists that become headings


def read(data: bytes, name: str) -> Content:
    """Read JSON. Raises DocumentError for what is none."""
    try:
        text, warnings = read_text(data, name)
        value = parse(text)
    except ValueError as error:
        raise DocumentError(f"{name}: is no JSON: {error}; one record a line is .jsonl") from error
    builder = PageBuilder(HeadingPath())
    _add(builder, value, 1)
    title = value.get("title") if isinstance(value, dict) else None
    stated = title if is_words(title) else ""
    return Content(stated, (builder.page(),), warnings=warnings)


def _add(builder: PageBuilder, value: Any, level: int) -> None:
    if isinstance(value, list):
        for entry in value:
            add_record(builder, entry, level)
        return
    entries = value.items() if isinstance(value, dict) else ()
    lists = {
        key: inner
        for key, inner in entries
        if isinstance(inner, list) and inner and all(isinstance(entry, dict) for entry in inner)
    }
    plain = {key: inner for key, inner in value.items() if key not in lists} if lists else value
    add_record(builder, plain, level)
    for key, inner in lists.items():
        builder.close(level)
        builder.heading(level, str(key))
        for entry in inner:
            if level < _DEEPEST:
                _add(builder, entry, level + 1)
            else:
                add_record(builder, entry, level + 1)
