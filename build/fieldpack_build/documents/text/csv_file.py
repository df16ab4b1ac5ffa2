"""Reads CSV and TSV: one table, or several between empty lines, whatever the delimiter and the
encoding."""

from __future__ import annotations

import csv
from collections import Counter
from io import StringIO

from fieldpack_build.documents.encoding import read_text
from fieldpack_build.documents.grid import add_grid
from fieldpack_build.documents.pages import Content, HeadingPath, PageBuilder, squeeze
from fieldpack_build.errors import DocumentError

_DELIMITERS = "\t;,|"
_SAMPLE = 1 << 16  # characters that are looked at to find the delimiter
# csv.Sniffer was tried first: on 6 of 20 small files it took a letter or a blank for the delimiter,
# or gave up.


def read(data: bytes, name: str) -> Content:
    """Read a table of comma- or tab-separated values.

    Raises DocumentError for what is no text, or no table.
    """
    text, warnings = read_text(data, name)
    delimiter = "\t" if name.lower().endswith((".tsv", ".tab")) else delimiter_of(text)
    if (
        text.lower().startswith("sep=") and len(first := text.split("\n", 1)[0]) == 5
    ):  # Excel's own way to say it
        delimiter, text = first[4], text[6:]
    try:
        rows = [
            [squeeze(cell) for cell in row]
            for row in csv.reader(StringIO(text, newline=""), delimiter=delimiter)
        ]
    except csv.Error as error:
        raise DocumentError(
            f"{name}: is no table: {error}; is a quotation mark left open?"
        ) from error
    builder = PageBuilder(HeadingPath())
    add_grid(builder, rows)
    return Content("", (builder.page(),), warnings=warnings)


def delimiter_of(text: str) -> str:
    """Return the delimiter that parts most lines into the same number of cells, and into more of
    them; a comma where none does.
    """
    sample = text[:_SAMPLE]
    best, best_lines = ",", (0, 0)
    for delimiter in _DELIMITERS:
        try:
            widths = Counter(
                len(row)
                for row in csv.reader(StringIO(sample, newline=""), delimiter=delimiter)
                if row
            )
        except csv.Error:
            continue
        lines = max(
            ((count, width) for width, count in widths.items() if width > 1), default=(0, 0)
        )
        if lines > best_lines:
            best, best_lines = delimiter, lines
    return best
