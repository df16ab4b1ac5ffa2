"""Reads workbooks: each visible sheet a page under its name, cells as Excel shows them, formulas as their last result.

Knows nothing of charts, comments and hidden rows: openpyxl's read-only mode, which keeps memory flat, has none of them.
"""

from __future__ import annotations

import posixpath
import re
import zipfile
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any, NamedTuple

from fieldpack_build.documents.grid import REPEATED_LIMIT, Span, add_grid
from fieldpack_build.documents.number_format import shown
from fieldpack_build.documents.office import PACKAGE_ERRORS, open_package
from fieldpack_build.documents.pages import Content, HeadingPath, Page, PageBuilder, squeeze
from fieldpack_build.errors import DocumentError

_MAX_ROWS = 1 << 20  # Excel's own; a row that states a higher number would be waited for through all those before it
# Cells, empty ones to the left of a full one included, and their characters. A text that is stored once can be shown in
# each of 20,000 cells: a workbook of 110 KB took 21 GB.
_MAX_SHOWN = 100_000_000
_MAX_MERGED_ROWS = 2_000_000
_MERGED = re.compile(rb'<(?:\w+:)?mergeCell\s+ref="([A-Z]{1,3})([0-9]{1,7}):([A-Z]{1,3})([0-9]{1,7})"')
# A formula whose result is not stored: written by a program that does not calculate.
_NEVER_CALCULATED = re.compile(rb"(?:</f>|<f[^>]*/>)\s*(?:<v>\s*</v>|<v\s*/>)?\s*</c>")


class _Merge(NamedTuple):
    first_row: int
    last_row: int
    first_column: int
    last_column: int


class _TooLarge(Exception):
    pass


@dataclass
class _Sheet:
    number: int
    title: str
    rows: list[list[str]] = field(default_factory=list)
    merges: list[_Merge] = field(default_factory=list)
    uncalculated: int = 0
    visible: bool = True


def read(data: bytes, name: str) -> Content:
    data, properties = open_package(data, name, "Excel file", ".xls of Excel 97 to 2003")
    try:
        sheets = _sheets(data)
    except _TooLarge as error:
        raise DocumentError(f"{name}: {error}; is it a bomb? split it") from error
    # What openpyxl 3.1 ends in on parts that are missing, cut off or of another kind (found with damaged files).
    except (*PACKAGE_ERRORS, KeyError, IndexError, ValueError, TypeError, AttributeError, OSError, SyntaxError) as error:
        raise DocumentError(f"{name}: is a damaged Excel file: {squeeze(str(error))}") from error
    shown_sheets = [sheet for sheet in sheets if sheet.visible]
    hidden = [sheet.title for sheet in sheets if not sheet.visible]
    uncalculated = sum(sheet.uncalculated for sheet in shown_sheets)
    warnings = []
    if uncalculated:
        warnings.append(f"{uncalculated} formulas have no result in the file: open it in Excel and save it")
    if hidden:
        warnings.append(f"hidden sheets not read: {', '.join(hidden)}")
    pages = tuple(_page(sheet) for sheet in shown_sheets)
    return Content(properties.title, pages, properties.date, properties.tags, tuple(warnings))


def _sheets(data: bytes) -> list[_Sheet]:
    import openpyxl

    book = openpyxl.load_workbook(BytesIO(data), read_only=True, data_only=True, keep_links=False)
    try:
        # openpyxl passes over a sheet that is not in the package, and over sheets of Excel 4 macros.
        if not book.worksheets:
            raise ValueError("none of its sheets is there")
        with zipfile.ZipFile(BytesIO(data)) as package:
            return [_sheet(sheet, number, package) for number, sheet in enumerate(book.worksheets, start=1)]
    finally:
        book.close()


def _sheet(sheet: Any, number: int, package: zipfile.ZipFile) -> _Sheet:
    if sheet.sheet_state != "visible":
        return _Sheet(number, sheet.title, visible=False)
    sheet.reset_dimensions()  # what the file says of its size is often wrong
    rows: list[list[str]] = []
    room = _MAX_SHOWN
    for cells in sheet.iter_rows():
        if len(rows) >= _MAX_ROWS:
            raise _TooLarge(f"a sheet has more than {_MAX_ROWS:,} rows")
        row, room = _row(cells, room)
        rows.append(row)
    xml = package.read(posixpath.normpath(sheet._worksheet_path))
    return _Sheet(number, sheet.title, rows, _merges(xml), len(_NEVER_CALCULATED.findall(xml)))


def _page(sheet: _Sheet) -> Page:
    spans: dict[int, list[Span]] = {}
    for merge in sheet.merges:
        _repeat_down(sheet.rows, merge)
        if merge.last_column > merge.first_column:
            spans.setdefault(merge.first_row, []).append((merge.first_column, merge.last_column))
    builder = PageBuilder(HeadingPath())
    if any(any(row) for row in sheet.rows):
        builder.heading(1, sheet.title)
    add_grid(builder, sheet.rows, spans)
    return builder.page(sheet.number)


def _row(cells: Any, room: int) -> tuple[list[str], int]:
    """The texts of a row without the empty ones at its end, and what is left of `room` after it."""
    found: list[str] = []
    for cell in cells:
        found.append(squeeze(shown(cell.value, cell.number_format)) if cell.value is not None else "")
        room -= 1 + len(found[-1])
        if room < 0:
            raise _TooLarge(f"a sheet shows more than {_MAX_SHOWN:,} cells and characters")
    while found and not found[-1]:
        found.pop()
    return found, room


def _repeat_down(rows: list[list[str]], merge: _Merge) -> None:
    """A cell over several rows speaks for each of them. One over columns too is a note, and stays once."""
    column = merge.first_column
    if merge.last_column != column or merge.first_row >= len(rows) or column >= len(rows[merge.first_row]):
        return
    value = rows[merge.first_row][column]
    for row in rows[merge.first_row + 1 : merge.last_row + 1] if len(value) <= REPEATED_LIMIT else ():
        if row:
            row += [""] * (column + 1 - len(row))
            row[column] = row[column] or value


def _merges(xml: bytes) -> list[_Merge]:
    found = []
    rows = 0
    for left, top, right, bottom in _MERGED.findall(xml, max(xml.rfind(b"</sheetData>"), 0)):
        found.append(_Merge(int(top) - 1, int(bottom) - 1, _column(left), _column(right)))
        rows += max(int(bottom) - int(top), 0)
        if rows > _MAX_MERGED_ROWS:
            break
    return found


def _column(letters: bytes) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + letter - ord("A") + 1
    return number - 1
