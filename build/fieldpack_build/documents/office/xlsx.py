"""Reads workbooks: each visible sheet a page under its name, cells as Excel shows them, formulas as
their last result.

What is hidden, sheets, rows and columns, and comments are left out and counted, charts, pictures
and error values too; text boxes come below the cells. openpyxl's read-only mode, which keeps memory
flat, has none of them: they are looked up in the package.
"""

from __future__ import annotations

import posixpath
import re
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from io import BytesIO
from typing import Any, NamedTuple

from fieldpack_build.documents.grid import REPEATED_LIMIT, Span, add_grid
from fieldpack_build.documents.office.number_format import shown
from fieldpack_build.documents.office.package import PACKAGE_ERRORS, open_package, parse_xml
from fieldpack_build.documents.omissions import Omissions
from fieldpack_build.documents.pages import (
    Content,
    HeadingPath,
    OnProgress,
    Page,
    PageBuilder,
    say_nothing,
    squeeze,
)
from fieldpack_build.documents.raised import lower, raise_, settle
from fieldpack_build.errors import DocumentError

_MAX_ROWS = (
    1 << 20
)  # Excel's own; a row that states a higher number would be waited for through all those before it
# Cells, empty ones to the left of a full one included, and their characters. A text that is stored
# once can be shown in each of 20,000 cells: a workbook of 110 KB took 21 GB.
_MAX_SHOWN = 100_000_000
_MAX_MERGED_ROWS = 2_000_000
_MERGED = re.compile(
    rb'<(?:\w+:)?mergeCell\s+ref="([A-Z]{1,3})([0-9]{1,7}):([A-Z]{1,3})([0-9]{1,7})"'
)
_ROW = re.compile(rb"<(?:\w+:)?row\s([^>]*)>")
_COLUMN = re.compile(rb"<(?:\w+:)?col\s([^>]*)>")
_HIDDEN = re.compile(rb"""\bhidden=["'](?:1|true)["']""")
_NUMBER = rb"""\b%s=["']([0-9]{1,7})["']"""
_ERROR_CELL = re.compile(rb"""<(?:\w+:)?c\s[^>]*\bt=["']e["']""")
_STRINGS = "xl/sharedStrings.xml"
_MAX_COLUMNS = 1 << 14
_SHOWS_NOTHING = ";;;"
_ESCAPED = re.compile("_x([0-9A-Fa-f]{4})_")  # a character that XML has not, or such a sequence
_OBJECTS = {"image": "pictures", "chart": "charts", "chartEx": "charts", "diagramData": "diagrams"}
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
    hidden_rows: set[int] = field(default_factory=set)
    hidden_columns: set[int] = field(default_factory=set)
    comments: list[tuple[str, str]] = field(default_factory=list)
    objects: list[str] = field(default_factory=list)
    boxes: list[str] = field(default_factory=list)
    struck_words: int = 0  # words of struck-out text
    errors: int = 0  # cells that show #N/A and the like
    unshown: int = 0  # values whose format shows nothing: ";;;"


def read(
    data: bytes, name: str, *, hidden: bool = False, on_progress: OnProgress = say_nothing
) -> Content:
    """Read a workbook, each visible sheet a page.

    `hidden`: its hidden sheets, rows and columns too, and comments. Raises DocumentError for a file
    that is encrypted, damaged, too large or of another format.
    """
    data, properties = open_package(data, name, "Excel file", ".xls of Excel 97 to 2003")
    try:
        sheets = _sheets(data, hidden=hidden, on_progress=on_progress)
    except _TooLarge as error:
        raise DocumentError(f"{name}: {error}; is it a bomb? split it") from error
    # What openpyxl 3.1 ends in on parts that are missing, cut off or of another kind (found with
    # damaged files).
    except (
        *PACKAGE_ERRORS,
        KeyError,
        IndexError,
        ValueError,
        TypeError,
        AttributeError,
        OSError,
        SyntaxError,
    ) as error:
        raise DocumentError(f"{name}: is a damaged Excel file: {squeeze(str(error))}") from error
    shown_sheets = [sheet for sheet in sheets if sheet.visible]
    uncalculated = sum(sheet.uncalculated for sheet in shown_sheets)
    warnings = []
    if uncalculated:
        warnings.append(
            f"{uncalculated} formulas have no result in the file: open it in Excel and save it"
        )
    omissions = Omissions()
    for sheet in sheets:
        if not sheet.visible:
            omissions.add("hidden sheets", sheet.title, hidden=True)
        if sheet.struck_words:
            omissions.add("words of struck-out text", sheet.title, count=sheet.struck_words)
        if sheet.errors:
            omissions.add("error values", sheet.title, count=sheet.errors)
        for kind in sheet.objects:
            omissions.add(kind, sheet.title)
        if hidden:
            continue
        # Hidden rows and columns without a cell count for nothing.
        rows = [r for r in sheet.hidden_rows if r < len(sheet.rows) and any(sheet.rows[r])]
        columns = [
            c for c in sheet.hidden_columns if any(c < len(row) and row[c] for row in sheet.rows)
        ]
        counts = {
            "hidden rows": len(rows),
            "hidden columns": len(columns),
            "hidden values": sheet.unshown,
            "comments": len(sheet.comments),
        }
        for kind, count in counts.items():
            if count:
                omissions.add(kind, sheet.title, count=count, hidden=True)
    pages = tuple(_page(sheet, hidden=hidden) for sheet in shown_sheets)
    return Content(
        properties.title,
        pages,
        properties.date,
        properties.tags,
        (*warnings, *omissions.sentences()),
    )


def _sheets(data: bytes, *, hidden: bool, on_progress: OnProgress) -> list[_Sheet]:
    import openpyxl

    with zipfile.ZipFile(BytesIO(data)) as package:
        strings = package.read(_STRINGS) if _STRINGS in package.namelist() else b""
    shaped = b"vertAlign" in strings or b"<strike" in strings
    book = openpyxl.load_workbook(
        BytesIO(data), read_only=True, data_only=True, keep_links=False, rich_text=shaped
    )
    fonts = book._fonts
    struck = {
        number for number, style in enumerate(book._cell_styles) if fonts[style.fontId].strike
    }
    try:
        # openpyxl passes over a sheet that is not in the package, and over sheets of Excel 4
        # macros.
        if not book.worksheets:
            raise ValueError("none of its sheets is there")
        sheets: list[_Sheet] = []
        with zipfile.ZipFile(BytesIO(data)) as package:
            total = sum(_xml(sheet, package).count(b"<row") for sheet in book.worksheets)
            for number, sheet in enumerate(book.worksheets, start=1):
                done = sum(len(before.rows) for before in sheets)
                on_row = partial(_say_row, on_progress, done, total)
                sheets.append(_sheet(sheet, number, package, struck, hidden=hidden, on_row=on_row))
        return sheets
    finally:
        book.close()


def _say_row(on_progress: OnProgress, done: int, total: int, row: int) -> None:
    on_progress(done + row, total, "row")


def _xml(sheet: Any, package: zipfile.ZipFile) -> bytes:
    return package.read(posixpath.normpath(sheet._worksheet_path))


def _sheet(
    sheet: Any,
    number: int,
    package: zipfile.ZipFile,
    struck: set[int],
    *,
    hidden: bool,
    on_row: Callable[[int], None],
) -> _Sheet:
    if sheet.sheet_state != "visible" and not hidden:
        return _Sheet(number, sheet.title, visible=False)
    sheet.reset_dimensions()  # what the file says of its size is often wrong
    rows: list[list[str]] = []
    budget = _MAX_SHOWN
    struck_words = unshown = 0
    for cells in sheet.iter_rows():
        if len(rows) >= _MAX_ROWS:
            raise _TooLarge(f"a sheet has more than {_MAX_ROWS:,} rows")
        row, budget, words, values = _row(cells, budget, struck, hidden=hidden)
        rows.append(row)
        struck_words += words
        unshown += values
        on_row(len(rows))
    path = posixpath.normpath(sheet._worksheet_path)
    xml = _xml(sheet, package)
    hidden_rows: set[int] = set()  # places from 0, those that a filter hides included
    if _HIDDEN.search(xml):
        for row_tag in (match[1] for match in _ROW.finditer(xml) if _HIDDEN.search(match[1])):
            if place := re.search(_NUMBER % b"r", row_tag):
                hidden_rows.add(int(place[1]) - 1)
    hidden_columns: set[int] = set()
    for column in _COLUMN.finditer(xml, 0, max(xml.find(b"<sheetData"), 0)):
        first, last = (re.search(_NUMBER % end, column[1]) for end in (b"min", b"max"))
        if _HIDDEN.search(column[1]) and first and last:
            hidden_columns.update(range(int(first[1]) - 1, min(int(last[1]), _MAX_COLUMNS)))
    comments, objects, boxes = _beside(package, path)
    return _Sheet(
        number,
        sheet.title,
        rows,
        _merges(xml),
        len(_NEVER_CALCULATED.findall(xml)),
        True,
        hidden_rows,
        hidden_columns,
        comments,
        objects,
        boxes,
        struck_words,
        len(_ERROR_CELL.findall(xml)),
        unshown,
    )


def _beside(
    package: zipfile.ZipFile, path: str
) -> tuple[list[tuple[str, str]], list[str], list[str]]:
    """Comments of a sheet as (cell, words), the kinds of objects drawn on it, and what its text
    boxes and shapes say."""
    comments: list[tuple[str, str]] = []
    objects: list[str] = []
    boxes: list[str] = []
    for kind, target in _relations(package, path):
        if kind == "comments" and (root := parse_xml(package.read(target))) is not None:
            for entry in root.iter("{*}comment"):
                words = squeeze("".join(node.text or "" for node in entry.iter("{*}t")))
                # Newer Excel keeps a conversation beside the comment, which then begins with advice
                # to older ones.
                if words.startswith("[Threaded comment]"):
                    words = words.partition("Comment: ")[2] or words
                comments.append((entry.get("ref") or "", words))
        elif kind == "drawing":
            objects += [
                _OBJECTS[inner] for inner, _ in _relations(package, target) if inner in _OBJECTS
            ]
            root = parse_xml(package.read(target))
            for shape in () if root is None else root.iter("{*}sp"):
                lines = (
                    squeeze("".join(node.text or "" for node in line.iter("{*}t")))
                    for line in shape.iterfind("{*}txBody/{*}p")
                )
                boxes.append("\n".join(filter(None, lines)))
    return comments, objects, boxes


def _relations(package: zipfile.ZipFile, path: str) -> list[tuple[str, str]]:
    """(kind, part) of what a part refers to, as far as it is in the package."""
    folder, name = posixpath.split(path)
    relations = f"{folder}/_rels/{name}.rels"
    members = set(package.namelist())
    root = parse_xml(package.read(relations)) if relations in members else None
    parts = []
    for entry in () if root is None else root.iter("{*}Relationship"):
        target = entry.get("Target") or ""
        whole = (
            target.lstrip("/")
            if target.startswith("/")
            else posixpath.normpath(posixpath.join(folder, target))
        )
        if whole in members:
            parts.append(((entry.get("Type") or "").rpartition("/")[2], whole))
    return parts


def _page(sheet: _Sheet, *, hidden: bool) -> Page:
    spans: dict[int, list[Span]] = {}
    for merge in sheet.merges:
        _repeat_down(sheet.rows, merge)
        if merge.last_column > merge.first_column:
            spans.setdefault(merge.first_row, []).append((merge.first_column, merge.last_column))
    builder = PageBuilder(HeadingPath())
    if any(any(row) for row in sheet.rows):
        builder.heading(1, sheet.title)
    rows = sheet.rows
    if not hidden and (sheet.hidden_rows or sheet.hidden_columns):
        rows, spans = _visible(sheet, spans)
    add_grid(builder, rows, spans)
    for box in sheet.boxes:
        builder.text(box)
    for cell, words in sheet.comments if hidden else ():
        builder.text(f"Comment on {cell}: {words}")
    return builder.page(sheet.number)


def _visible(
    sheet: _Sheet, spans: dict[int, list[Span]]
) -> tuple[list[list[str]], dict[int, list[Span]]]:
    """The rows and merged cells that are shown, at the places that they then have."""
    width = max(map(len, sheet.rows), default=0)
    place = [0]  # of each column, its new place: that of the next shown one for a hidden one
    for column in range(width):
        place.append(place[-1] + (column not in sheet.hidden_columns))
    rows: list[list[str]] = []
    kept: dict[int, list[Span]] = {}
    for at, row in enumerate(sheet.rows):
        if at in sheet.hidden_rows:
            continue
        for first, last in spans.get(at, ()):
            left, right = place[min(first, width)], place[min(last + 1, width)] - 1
            if right > left:
                kept.setdefault(len(rows), []).append((left, right))
        rows.append([text for column, text in enumerate(row) if column not in sheet.hidden_columns])
    return rows, kept


def _row(
    cells: Any, budget: int, struck: set[int], *, hidden: bool
) -> tuple[list[str], int, int, int]:
    """The texts of a row without the empty ones at its end, what is left of `budget` after it, how
    many words are struck out, by one of the styles in `struck` or within a cell, and how many
    values have a format that shows nothing."""
    texts: list[str] = []
    struck_words = unshown = 0
    for cell in cells:
        value, words = cell.value, 0
        if isinstance(value, list):
            value, words = _shaped(value)
        if isinstance(value, str) and "_x" in value:
            value = _ESCAPED.sub(lambda match: chr(int(match[1], 16)), value)
        text = squeeze(shown(value, cell.number_format)) if value is not None else ""
        if value and (not text or cell.number_format == _SHOWS_NOTHING):
            is_hidden = cell.number_format == _SHOWS_NOTHING or isinstance(value, int | float)
            unshown += is_hidden
            text = "" if not (is_hidden and hidden) else squeeze(shown(value, "General"))
        if text and struck and cell._style_id in struck:
            text, words = "", words + len(text.split())
        struck_words += words
        texts.append(text)
        budget -= 1 + len(text)
        if budget < 0:
            raise _TooLarge(f"a sheet shows more than {_MAX_SHOWN:,} cells and characters")
    while texts and not texts[-1]:
        texts.pop()
    return texts, budget, struck_words, unshown


def _shaped(pieces: list[Any]) -> tuple[str, int]:
    """The text of a cell whose parts look different, superscripts apart, and how many of its words
    are struck out."""
    text, struck_words = "", 0
    for piece in pieces:
        font, words = getattr(piece, "font", None), getattr(piece, "text", piece)
        if font is not None and font.strike:
            struck_words += len(words.split())
        elif font is not None and font.vertAlign == "superscript":
            text += raise_(words)
        else:
            text += lower(words) if font is not None and font.vertAlign == "subscript" else words
    return settle(text), struck_words


def _repeat_down(rows: list[list[str]], merge: _Merge) -> None:
    """A cell over several rows speaks for each of them. One over columns too is a note, and stays
    once."""
    column = merge.first_column
    if (
        merge.last_column != column
        or merge.first_row >= len(rows)
        or column >= len(rows[merge.first_row])
    ):
        return
    value = rows[merge.first_row][column]
    for row in (
        rows[merge.first_row + 1 : merge.last_row + 1] if len(value) <= REPEATED_LIMIT else ()
    ):
        if row:
            row += [""] * (column + 1 - len(row))
            row[column] = row[column] or value


def _merges(xml: bytes) -> list[_Merge]:
    merges = []
    rows = 0
    for left, top, right, bottom in _MERGED.findall(xml, max(xml.rfind(b"</sheetData>"), 0)):
        merges.append(_Merge(int(top) - 1, int(bottom) - 1, _column(left), _column(right)))
        rows += max(int(bottom) - int(top), 0)
        if rows > _MAX_MERGED_ROWS:
            break
    return merges


def _column(letters: bytes) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + letter - ord("A") + 1
    return number - 1
