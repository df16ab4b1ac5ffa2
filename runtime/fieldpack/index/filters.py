"""A filter's documents, as the ranges of chunk ids that may answer. Knows nothing of vectors or
words."""

from __future__ import annotations

import sqlite3
from fnmatch import translate
from re import compile as compile_pattern

from ..passages import Filter
from .schema import to_texts

_WILD = frozenset("*?[")


def allowed_ranges(database: sqlite3.Connection, where: Filter) -> list[tuple[int, int]]:
    """Return [first, end) of the chunks of each document that the filter lets through; neighbouring
    ones joined, ascending."""
    # ISO dates sort as text; a document without one meets neither bound.
    bounds = [("date >= ?", where.after), ("date <= ?", where.before)]
    conditions = "".join(f" AND {condition}" for condition, value in bounds if value)
    values = [value for _, value in bounds if value]
    if where.documents and not any(_WILD & set(document) for document in where.documents):
        conditions += f" AND path IN ({','.join('?' * len(where.documents))})"
        values += where.documents
    rows = database.execute(
        f"SELECT path, tags, first, first + chunks FROM documents WHERE chunks > 0 {conditions} "
        "ORDER BY first",
        values,
    )
    patterns = [compile_pattern(translate(glob)) for glob in where.documents]
    exact = frozenset(where.documents)
    folders = tuple(
        "" if folder in (".", "/", "") else f"{folder.strip('/')}/" for folder in where.folders
    )
    ranges: list[tuple[int, int]] = []
    for path, tags, first, end in rows:
        if (
            where.documents
            and path not in exact
            and not any(pattern.match(path) for pattern in patterns)
        ):
            continue
        if folders and not path.startswith(folders):
            continue
        if where.tags and not set(where.tags) <= set(to_texts(tags)):
            continue
        if ranges and ranges[-1][1] == first:
            ranges[-1] = (ranges[-1][0], end)
        else:
            ranges.append((first, end))
    return ranges
