"""Reads Word files: headings by style, paragraphs, lists and tables in the order of the document,
with the numbers that Word shows; notes below their paragraph; headers and footers once, at the end.

Reads the XML itself where python-docx looks away: content controls and accepted insertions are
text. What is left out, deletions, struck and hidden text, comments and pictures, is counted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from io import BytesIO
from itertools import takewhile
from typing import Any, NamedTuple

from fieldpack_build.documents.merged import Cell, lay_out
from fieldpack_build.documents.office.docx_numbering import Label, Numbering
from fieldpack_build.documents.office.docx_text import Notes, Runs, is_placeholder, style_of
from fieldpack_build.documents.office.package import (
    PACKAGE_ERRORS,
    open_package,
    parse_xml,
    without_address,
)
from fieldpack_build.documents.omissions import Omissions
from fieldpack_build.documents.pages import Content, HeadingPath, PageBuilder, label, squeeze
from fieldpack_build.documents.titles import says_something
from fieldpack_build.documents.vocabulary import DEFAULT, read_vocabulary
from fieldpack_build.errors import DocumentError

_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_WRAPPERS = frozenset(
    _W + name for name in ("sdt", "sdtContent", "ins", "moveTo", "customXml", "smartTag")
)
_HEADING_STYLE = re.compile(r"heading ([1-9])", re.IGNORECASE)
_PAGE_FIELD = re.compile(r"\b(?:PAGE|NUMPAGES|SECTIONPAGES)\b")
_PAGE_WORDS = (
    4  # beside the number of a page: "Page 3 of 9" says nothing, "Policy HR-12, page 3" does
)


class _Parts(NamedTuple):
    """What we take from python-docx: the roots of XML parts, None where there is none; headers and
    footers in order."""

    body: Any
    styles: Any
    numbering: Any | None
    settings: Any | None
    footnotes: Any | None
    endnotes: Any | None
    comments: Any | None
    headers: list[Any]
    footers: list[Any]


def read(data: bytes, name: str, *, hidden: bool = False, vocabulary: str = DEFAULT) -> Content:
    """Read a Word file. `hidden`: its hidden text and comments too.

    Raises DocumentError for a file that is encrypted, damaged or of another format.
    """
    data, properties = open_package(data, name, "Word file", ".doc of Word 97 to 2003")
    from docx.opc.exceptions import PackageNotFoundError
    from lxml.etree import XMLSyntaxError

    try:
        parts = _parts(data)
    except (*PACKAGE_ERRORS, PackageNotFoundError) as error:
        raise DocumentError(f"{name}: is no Word file: {without_address(error)}") from error
    # ValueError: a package of another kind, such as a workbook; KeyError: a part is missing from
    # the package.
    except (KeyError, ValueError, XMLSyntaxError) as error:
        raise DocumentError(f"{name}: is a damaged Word file: {without_address(error)}") from error
    # python-docx 1.2 checks no part: one of the wrong kind, or a relation without a target, ends in
    # these.
    except (AttributeError, TypeError) as error:
        raise DocumentError(
            f"{name}: is a damaged Word file: a part is of the wrong kind"
        ) from error
    builder = PageBuilder(HeadingPath())
    omissions = Omissions()
    reader = _Reader(parts, builder, omissions, hidden=hidden)
    for element in _unwrapped(parts.body):
        reader.element(element)
    reader.flush()
    reader.margins("Page header", parts.headers)
    reader.margins("Page footer", parts.footers)
    # The title on the page, then that of the properties, which a template may have left there, then
    # a heading.
    stated = (
        properties.title if says_something(properties.title, read_vocabulary(vocabulary)) else ""
    )
    title = reader.title or stated or reader.first_heading
    return Content(
        title,
        (builder.page(),),
        properties.date,
        properties.tags,
        (*reader.warnings(), *omissions.sentences()),
    )


def _parts(data: bytes) -> _Parts:
    import docx

    document = docx.Document(BytesIO(data))
    related: dict[str, list[Any]] = {}
    for entry in document.part.rels.values():
        if not entry.is_external:
            related.setdefault(entry.reltype.rpartition("/")[2], []).append(entry.target_part)

    def root(kind: str) -> Any | None:
        return parse_xml(related[kind][0].blob) if kind in related else None

    margins = {
        kind: [tree for part in related.get(kind, ()) if (tree := parse_xml(part.blob)) is not None]
        for kind in ("header", "footer")
    }
    return _Parts(
        document.element.body,
        document.styles.element,
        root("numbering"),
        root("settings"),
        root("footnotes"),
        root("endnotes"),
        root("comments"),
        margins["header"],
        margins["footer"],
    )


class _Reader:
    def __init__(
        self, parts: _Parts, builder: PageBuilder, omissions: Omissions, *, hidden: bool
    ) -> None:
        self._builder = builder
        self._omissions = omissions
        self._hidden = hidden
        self._styles = _styles(parts.styles)
        self._numbering = Numbering(parts.numbering, parts.styles)
        self._runs = Runs(parts.styles, _notes(parts), omissions, hidden=hidden)
        self._list: list[tuple[int, str]] = []
        self.title = ""
        self.first_heading = ""

    def element(self, element: Any) -> None:
        if element.tag == _W + "p":
            self._paragraph(element)
        elif element.tag == _W + "tbl":
            self.flush()
            # Rows at the top that Word repeats on every page; one alone says nothing of the rows
            # below it.
            rows = (entry for entry in _unwrapped(element) if entry.tag == _W + "tr")
            repeated = takewhile(lambda row: row.find(f"{_W}trPr/{_W}tblHeader") is not None, rows)
            heads = len(list(repeated))
            table = lay_out(list(self._rows(element)), heads if heads > 1 else 0)
            self._builder.text(table.title)
            self._builder.table(table.rows)
            self._flush_aside()
        elif element.tag == _W + "altChunk":
            self._omissions.add("embedded documents")

    def flush(self) -> None:
        """The list that was gathered, and the notes to it."""
        top = min((level for level, _ in self._list), default=0)
        self._builder.text("\n".join("  " * (level - top) + text for level, text in self._list))
        self._list.clear()
        self._flush_aside()

    def margins(self, heading: str, roots: list[Any]) -> None:
        """What headers or footers say, each text once and none that is only the number of the page."""
        texts: dict[str, None] = {}
        for root in roots:
            for paragraph in root.iter(_W + "p"):
                text = squeeze(self._runs.text(paragraph))
                fields = "".join(node.text or "" for node in paragraph.iter(_W + "instrText"))
                fields += " ".join(
                    node.get(_W + "instr") or "" for node in paragraph.iter(_W + "fldSimple")
                )
                if (
                    text
                    and not (_PAGE_FIELD.search(fields) and len(text.split()) <= _PAGE_WORDS)
                    and not text.isdigit()
                ):
                    texts[text] = None
        if texts:
            self._builder.close(0)
            self._builder.heading(1, heading)
            self._builder.text("\n".join(texts))
        self._flush_aside()

    def warnings(self) -> Iterator[str]:
        if unknown := self._numbering.unknown:
            yield f"list numbers in the format {', '.join(sorted(unknown))} are shown as 1, 2, 3"

    def _flush_aside(self) -> None:
        waiting, self._runs.aside = self._runs.aside, []
        for text in waiting:
            self._builder.text(text)

    def _paragraph(self, paragraph: Any) -> None:
        style_name, level = self._style(paragraph)
        text = self._runs.text(paragraph, marks=level is None).strip()
        mark = self._label(paragraph, style_name, text)
        if not text:
            self._flush_aside()
            return
        if level is not None:
            self.flush()
            numbered = mark.before(text) if mark is not None and mark.text != "-" else text
            self._builder.heading(level, numbered)
            if level == 0:
                self.title = self.title or label(text)
            else:
                self.first_heading = self.first_heading or label(text)
            self._flush_aside()
        elif mark is not None:
            self._list.append((mark.level, mark.before(text)))
        else:
            if self._list:
                waiting, self._runs.aside = self._runs.aside, []
                self.flush()
                self._runs.aside = waiting
            self._builder.text(text)
            self._flush_aside()

    def _label(self, paragraph: Any, style_name: str, text: str) -> Label | None:
        """Of an empty paragraph too, as it takes a number in Word; not of one that is hidden or
        whose deletion is tracked."""
        own = paragraph.find(f"{_W}pPr/{_W}rPr")
        reasons = ("del",) if self._hidden else ("del", "vanish")
        gone = own is not None and any(own.find(_W + reason) is not None for reason in reasons)
        if gone and not text:
            return None
        mark = self._numbering.label(paragraph, style_of(paragraph))
        if (
            mark is None
            and style_name.lower().startswith("list bullet")
            and _value(paragraph, "pPr/numPr/numId") != "0"
        ):
            return Label("-", 0)
        return mark

    def _style(self, paragraph: Any) -> tuple[str, int | None]:
        """The style's name and the heading level, 0 for the document's title, None for body text."""
        name, level = self._styles.get(style_of(paragraph), ("", None))
        own = _value(paragraph, "pPr/outlineLvl")
        if (number := _digit(own)) is not None:
            level = number + 1 if number < 9 else None
        return name, level

    # --- tables

    def _rows(self, table: Any) -> Iterator[list[Cell]]:
        rows: list[list[Cell]] = []
        # Column -> where the cell stands that reaches down to here.
        open_cells: dict[int, tuple[int, int]] = {}
        for element in _unwrapped(table):
            if element.tag != _W + "tr":
                continue
            if element.find(f"{_W}trPr/{_W}del") is not None:
                self._omissions.add("table rows of tracked deletions")
                continue
            if element.find(f"{_W}trPr/{_W}hidden") is not None and not self._hidden:
                self._omissions.add("hidden table rows", hidden=True)
                continue
            row: list[Cell] = []
            at = _number(_value(element, "trPr/gridBefore")) or 0
            if at:
                row.append(Cell("", columns=at))
            for cell in (entry for entry in _unwrapped(element) if entry.tag == _W + "tc"):
                width = max(_number(_value(cell, "tcPr/gridSpan")) or 1, 1)
                merged, beside = (
                    cell.find(f"{_W}tcPr/{_W}{kind}") for kind in ("vMerge", "hMerge")
                )
                if beside is not None and beside.get(_W + "val") != "restart" and row:
                    row[-1] = row[-1]._replace(columns=row[-1].columns + width)
                    at += width
                    continue
                text = self._cell_text(cell)
                if merged is not None and merged.get(_W + "val") != "restart" and at in open_cells:
                    top, place = open_cells[at]
                    above = rows[top][place]
                    rows[top][place] = above._replace(
                        rows=above.rows + 1, text=squeeze(f"{above.text} {text}")
                    )
                else:
                    open_cells.pop(at, None)
                    if merged is not None:
                        open_cells[at] = len(rows), len(row)
                    row.append(Cell(text, columns=width))
                at += width
            rows.append(row)
        yield from rows

    def _cell_text(self, cell: Any) -> str:
        """Paragraphs with their numbers; a table inside is read row by row."""
        parts: list[str] = []
        for element in _unwrapped(cell):
            if element.tag == _W + "p":
                text = self._runs.text(element).strip()
                mark = self._label(element, self._style(element)[0], text)
                parts.append(mark.before(text) if mark is not None and mark.text != "-" else text)
            elif element.tag == _W + "tbl":
                inner = lay_out(list(self._rows(element)))
                lines = (", ".join(filter(None, row)) for row in inner.rows)
                parts += [inner.title, "; ".join(filter(None, lines))]
        return " ".join(filter(None, parts))


def _notes(parts: _Parts) -> Notes:
    def by_id(root: Any | None, name: str) -> dict[str, Any]:
        return (
            {} if root is None else {entry.get(_W + "id"): entry for entry in root.iter(_W + name)}
        )

    def form(kind: str, otherwise: str) -> str:
        for root in (parts.body, parts.settings):
            stated = root.find(f".//{_W}{kind}Pr/{_W}numFmt") if root is not None else None
            if stated is not None:
                return stated.get(_W + "val") or otherwise
        return otherwise

    return Notes(
        by_id(parts.footnotes, "footnote"),
        by_id(parts.endnotes, "endnote"),
        by_id(parts.comments, "comment"),
        form("footnote", "decimal"),
        form("endnote", "lowerRoman"),
    )


def _styles(root: Any) -> dict[str, tuple[str, int | None]]:
    """For each paragraph style its name and heading level, which a style takes from the one it is
    based on."""
    elements = {style.get(_W + "styleId"): style for style in root.iter(_W + "style")}

    def level(style: Any, depth: int) -> int | None:
        name = _value(style, "name") or ""
        outline = _value(style, "pPr/outlineLvl")
        if name.lower() == "title":
            return 0
        if heading := _HEADING_STYLE.fullmatch(name):
            return int(heading[1])
        if (number := _digit(outline)) is not None:
            return number + 1 if number < 9 else None  # level 9 is body text
        base = elements.get(_value(style, "basedOn"))
        return level(base, depth - 1) if base is not None and depth else None

    return {key: (_value(style, "name") or "", level(style, 10)) for key, style in elements.items()}


def _digit(value: str | None) -> int | None:
    """Levels have one digit; a file may state anything."""
    return int(value) if value is not None and re.fullmatch("[0-9]", value) else None


def _number(value: str | None) -> int | None:
    """Columns of a merged cell; Word has 63 at most."""
    return min(int(value), 63) if value is not None and re.fullmatch("[0-9]{1,6}", value) else None


def _value(element: Any, path: str) -> str | None:
    inner = element.find("/".join(_W + step for step in path.split("/")))
    return None if inner is None else inner.get(_W + "val")


def _unwrapped(parent: Any) -> Iterator[Any]:
    """The children, those of content controls and insertions in the place of these."""
    for child in parent:
        if child.tag in _WRAPPERS:
            if not is_placeholder(child):
                yield from _unwrapped(child)
        else:
            yield child
