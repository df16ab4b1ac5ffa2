"""Reads Word files: headings by style, paragraphs, lists and tables in the order of the document.

Reads the XML itself where python-docx looks away: content controls and accepted insertions are text, deletions,
headers, footers and comments are not.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from io import BytesIO
from typing import Any, NamedTuple

from fieldpack_build.documents.office import PACKAGE_ERRORS, open_package, without_address
from fieldpack_build.documents.pages import Content, HeadingPath, PageBuilder, label
from fieldpack_build.documents.titles import says_something
from fieldpack_build.errors import DocumentError

_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"  # a second copy of a text box
_WRAPPERS = frozenset(_W + name for name in ("sdt", "sdtContent", "ins", "moveTo", "customXml", "smartTag"))
_MARKS = {_W + "tab": "\t", _W + "br": "\n", _W + "cr": "\n", _W + "noBreakHyphen": "-"}
_HEADING_STYLE = re.compile(r"heading ([1-9])", re.IGNORECASE)


class _Parts(NamedTuple):
    """What we take from python-docx: the roots of three XML parts."""

    body: Any
    styles: Any
    numbering: Any | None


def read(data: bytes, name: str) -> Content:
    data, properties = open_package(data, name, "Word file", ".doc of Word 97 to 2003")
    parts = _open(data, name)
    builder = PageBuilder(HeadingPath())
    reader = _Reader(parts, builder)
    for element in _unwrapped(parts.body):
        reader.element(element)
    reader.flush_list()
    # The title on the page, then that of the properties, which a template may have left there, then a heading.
    stated = properties.title if says_something(properties.title) else ""
    title = reader.title or stated or reader.first_heading
    return Content(title, (builder.page(),), properties.date, properties.tags)


def _open(data: bytes, name: str) -> _Parts:
    from docx.opc.exceptions import PackageNotFoundError
    from lxml.etree import XMLSyntaxError

    try:
        return _parts(data)
    except (*PACKAGE_ERRORS, PackageNotFoundError) as error:
        raise DocumentError(f"{name}: is no Word file: {without_address(error)}") from error
    # ValueError: a package of another kind, such as a workbook; KeyError: a part is missing from the package.
    except (KeyError, ValueError, XMLSyntaxError) as error:
        raise DocumentError(f"{name}: is a damaged Word file: {without_address(error)}") from error
    # python-docx 1.2 checks no part: one of the wrong kind, or a relation without a target, ends in these.
    except (AttributeError, TypeError) as error:
        raise DocumentError(f"{name}: is a damaged Word file: a part is of the wrong kind") from error


def _parts(data: bytes) -> _Parts:
    import docx

    document = docx.Document(BytesIO(data))
    related = [entry for entry in document.part.rels.values() if entry.reltype.endswith("/numbering")]
    numbering = related[0].target_part.element if related and not related[0].is_external else None
    return _Parts(document.element.body, document.styles.element, numbering)


class _Reader:
    def __init__(self, parts: _Parts, builder: PageBuilder) -> None:
        self._builder = builder
        self._styles = _styles(parts.styles)
        self._numbering = _Numbering(parts.numbering)
        self._list: list[str] = []
        self.title = ""
        self.first_heading = ""

    def element(self, element: Any) -> None:
        if element.tag == _W + "p":
            self._paragraph(element)
        elif element.tag == _W + "tbl":
            self.flush_list()
            self._builder.table([[_cell_text(cell) for cell in cells] for cells in _rows(element)])

    def flush_list(self) -> None:
        self._builder.text("\n".join(self._list))
        self._list.clear()

    def _paragraph(self, paragraph: Any) -> None:
        text = _text(paragraph).strip()
        if not text:
            return
        style_name, level = self._style(paragraph)
        mark = "" if level is not None else self._numbering.mark(paragraph, style_name)
        if mark:
            self._list.append(f"{mark} {text}")
            return
        self.flush_list()
        if level is None:
            self._builder.text(text)
            return
        self._builder.heading(level, text)
        if level == 0:
            self.title = self.title or label(text)
        else:
            self.first_heading = self.first_heading or label(text)

    def _style(self, paragraph: Any) -> tuple[str, int | None]:
        """The style's name and the heading level, 0 for the document's title, None for body text."""
        style_id = _value(paragraph, "pPr/pStyle")
        name, level = self._styles.get(style_id or "", ("", None))
        own = _value(paragraph, "pPr/outlineLvl")
        if (number := _digit(own)) is not None:
            level = number + 1 if number < 9 else None
        return name, level


def _styles(root: Any) -> dict[str, tuple[str, int | None]]:
    """For each paragraph style its name and heading level, which a style takes from the one it is based on."""
    elements = {style.get(_W + "styleId"): style for style in root.iter(_W + "style")}

    def level(style: Any, depth: int) -> int | None:
        name = _value(style, "name") or ""
        outline = _value(style, "pPr/outlineLvl")
        if name.lower() == "title":
            return 0
        if found := _HEADING_STYLE.fullmatch(name):
            return int(found[1])
        if (number := _digit(outline)) is not None:
            return number + 1 if number < 9 else None  # level 9 is body text
        base = elements.get(_value(style, "basedOn"))
        return level(base, depth - 1) if base is not None and depth else None

    return {key: (_value(style, "name") or "", level(style, 10)) for key, style in elements.items()}


class _Numbering:
    """Marks of list items: "-" for bullets, a running number for numbers, whatever letters Word would show."""

    def __init__(self, root: Any | None) -> None:
        self._formats: dict[tuple[str, str], str] = {}
        self._counts: Counter[tuple[str, str]] = Counter()
        if root is not None:
            self._read(root)

    def _read(self, root: Any) -> None:
        abstract = {
            entry.get(_W + "abstractNumId"): {
                level.get(_W + "ilvl"): _value(level, "numFmt") or "bullet" for level in entry.iter(_W + "lvl")
            }
            for entry in root.iter(_W + "abstractNum")
        }
        for number in root.iter(_W + "num"):
            for level, kind in abstract.get(_value(number, "abstractNumId"), {}).items():
                self._formats[number.get(_W + "numId"), level] = kind

    def mark(self, paragraph: Any, style_name: str) -> str:
        """The mark with its indent, "" for a paragraph that is no list item."""
        number = _value(paragraph, "pPr/numPr/numId")
        if number is None:
            return "-" if style_name.lower().startswith("list") else ""
        if number == "0":
            return ""
        level = _value(paragraph, "pPr/numPr/ilvl") or "0"
        kind = self._formats.get((number, level), "bullet")
        indent = "  " * (_digit(level) or 0)
        for deeper in [key for key in self._counts if key[0] == number and key[1] > level]:
            del self._counts[deeper]
        if kind in ("bullet", "none"):
            return indent + "-"
        self._counts[number, level] += 1
        return f"{indent}{self._counts[number, level]}."


def _digit(value: str | None) -> int | None:
    """Levels have one digit; a file may state anything."""
    return int(value) if value is not None and re.fullmatch("[0-9]", value) else None


def _value(element: Any, path: str) -> str | None:
    found = element.find("/".join(_W + step for step in path.split("/")))
    return None if found is None else found.get(_W + "val")


def _unwrapped(parent: Any) -> Iterator[Any]:
    """The children, those of content controls and insertions in the place of these."""
    for child in parent:
        if child.tag in _WRAPPERS:
            yield from _unwrapped(child)
        else:
            yield child


def _rows(table: Any) -> Iterator[list[Any]]:
    for row in _unwrapped(table):
        if row.tag == _W + "tr":
            yield [cell for cell in _unwrapped(row) if cell.tag == _W + "tc"]


def _cell_text(cell: Any) -> str:
    return " ".join(_text(paragraph) for paragraph in cell.iter(_W + "p"))


def _text(element: Any) -> str:
    return "".join(_pieces(element))


def _pieces(element: Any) -> Iterator[str]:
    for child in element:
        if child.tag == _W + "t":
            yield child.text or ""
        elif child.tag in _MARKS:
            yield _MARKS[child.tag]
        elif child.tag not in (_W + "moveFrom", _W + "pPr", _W + "rPr", _FALLBACK):
            yield from _pieces(child)
