"""Goes through an HTML tree in order and hands headings, paragraphs, lists and tables to a page.

Knows nothing of what is left out of a tree before.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import islice

from fieldpack_build.documents.merged import Cell, lay_out
from fieldpack_build.documents.office.docx_numbering import FORMATS
from fieldpack_build.documents.pages import PageBuilder, squeeze
from fieldpack_build.documents.raised import settle
from fieldpack_build.documents.web.inline import (
    BLOCKS,
    HEADINGS,
    LINE,
    LISTS,
    WRITERS,
    inline,
    one_line,
    strings,
    text_of,
    words,
)
from fieldpack_build.documents.web.tree import Element

_LIST_TYPES = {
    "a": "lowerLetter",
    "A": "upperLetter",
    "i": "lowerRoman",
    "I": "upperRoman",
    "lower-alpha": "lowerLetter",
    "lower-latin": "lowerLetter",
    "upper-alpha": "upperLetter",
    "upper-latin": "upperLetter",
    "lower-roman": "lowerRoman",
    "upper-roman": "upperRoman",
}
_LIST_STYLE = re.compile(r"list-style(?:-type)?\s*:[^;]*?\b((?:lower|upper)-(?:alpha|latin|roman))")
_SPAN_LIMIT = 50  # columns or rows; a larger span is a mistake or an attack
# Of a list's item or a definition, what is more than words on a line.
_STRUCTURE = ("pre", "table", "dl", *HEADINGS)
# Characters from which on what is said of a term is a section under it: about a chunk of the
# default 220 tokens, so that the second chunk still says what it is about.
_LONG_ENTRY = 900
_UNDER_HEADINGS = len(HEADINGS) + 1  # the level of a term, below all headings


class Walk:
    """Goes through the tree in order; inline text gathers until a block begins or ends.

    A block is taken out of the tree when it has been read, for its memory.

    What stands in a definition or an item of a list that holds more than words gathers too, as
    lines of one block below the term or number, until a table or a list of definitions in it.
    """

    def __init__(self, builder: PageBuilder) -> None:
        self._builder = builder
        self._inline: list[str] = []
        self._entry: list[str] | None = None
        self._depth = 0  # of lists of definitions in each other
        self._readers: dict[str, Callable[[Element], None]] = {
            **dict.fromkeys(HEADINGS, self._heading),
            **dict.fromkeys(LISTS, self._list),
            "table": self._table,
            "dl": self._definitions,
            "pre": lambda element: self._say(
                settle("".join(strings(element, None))).replace(LINE, "\n").strip("\n")
            ),
        }

    def block(self, element: Element) -> None:
        """Read an element that is a block of its own."""
        self._flush()
        reader = self._readers.get(element.name)
        if reader is not None:
            reader(element)
        else:
            self._children(element)
            self._flush()
        element.contents = ()

    def _children(self, element: Element) -> None:
        for child in element.contents:
            if isinstance(child, str):
                self._inline.append(words(child))
            elif child.name in BLOCKS:
                self.block(child)
            elif child.name in WRITERS or not any(
                inner.name in BLOCKS for inner in child.descendants()
            ):
                self._inline.append(inline(child).replace("\n", " "))
            else:
                self._children(child)

    def _flush(self) -> None:
        lines = (squeeze(line) for line in settle("".join(self._inline)).split(LINE))
        self._say("\n".join(line for line in lines if line))
        self._inline.clear()

    def _say(self, text: str) -> None:
        if self._entry is None:
            self._builder.text(text)
        elif text.strip():
            self._entry.append(text)

    def _interrupt(self) -> None:
        """Write what has gathered of an entry before something that is a block of its own."""
        if self._entry is not None:
            self._builder.text("\n".join(self._entry))
            self._entry = []

    def _heading(self, element: Element) -> None:
        if text := text_of(element):  # an empty one would end those above it
            self._interrupt()
            self._builder.heading(int(element.name[1]), text)

    def _definitions(self, element: Element) -> None:
        """Each term with what is said of it: one block, or a section where it is long."""
        self._interrupt()
        outer, self._entry = self._entry, None
        level = _UNDER_HEADINGS + self._depth
        self._depth += 1
        terms: list[str] = []
        for item in _entries(element):
            if item.name == "dt":
                if self._entry is not None:
                    self._end_entry(terms, level)
                    terms = []
                terms.append(text_of(item))
                continue
            if self._entry is None:
                self._entry = list(filter(None, terms))
                if item.first("dl") or sum(map(len, item.strings())) > _LONG_ENTRY:
                    self._builder.under(level, "; ".join(filter(None, terms)))
            self._children(item)
            self._flush()
        if self._entry is None and terms:
            self._entry = list(filter(None, terms))
        self._end_entry(terms, level)
        self._depth -= 1
        self._entry = outer

    def _end_entry(self, terms: list[str], level: int) -> None:
        self._interrupt()
        self._entry = None
        if terms:
            self._builder.close(level)

    def _list(self, element: Element) -> None:
        """A list of words alone is one block; where items hold code or tables each is its own."""
        if not element.first(*_STRUCTURE):
            self._say("\n".join(_list_lines(element, "")))
            return
        self._interrupt()
        outer = self._entry
        for marker, item in _items(element):
            self._entry = []
            self._inline.append(f"{marker} ")
            self._children(item)
            self._flush()
            self._interrupt()
        self._entry = outer

    def _table(self, element: Element) -> None:
        self._interrupt()
        # A table around tables, or around headings, is layout, and so is one row around code: its
        # cells are read one after the other.
        has_rows = len(list(islice(element.all("tr"), 2))) > 1
        if element.first(*(("table", *HEADINGS) if has_rows else _STRUCTURE)):
            self._children(element)
            self._flush()
            return
        if caption := element.first("caption"):
            self._builder.text(text_of(caption))
        heads = sum(1 for part in element.all("thead") for _ in part.all("tr"))
        table = lay_out(_cells(element), heads)
        self._builder.text(table.title)
        self._builder.table(table.rows)


def _cells(table: Element) -> Iterator[list[Cell]]:
    """The cells of each row of a table, which are taken out of the tree. A foot may be written
    before the body and is always shown below it."""
    rows = list(_rows(table, in_foot=False))
    for row, below, _ in sorted(rows, key=lambda entry: entry[2]):
        yield [
            Cell(text_of(cell), _row_span(cell, below), _span(cell, "colspan"), cell.name == "th")
            for cell in row.all("td", "th")
        ]
        row.contents = ()


def _rows(element: Element, *, in_foot: bool) -> Iterator[tuple[Element, int, bool]]:
    """The rows in an element, how many follow each one in the same head, body or foot, and whether
    that is a foot."""
    below = sum(child.name == "tr" for child in element.elements())
    for child in element.elements():
        if child.name == "tr":
            below -= 1
            yield child, below, in_foot
        if child.contents:
            yield from _rows(child, in_foot=in_foot or child.name == "tfoot")


def _span(cell: Element, name: str) -> int:
    value = (cell.get(name) or "").strip()
    return min(max(int(value), 1), _SPAN_LIMIT) if re.fullmatch(r"[0-9]{1,6}", value) else 1


def _row_span(cell: Element, below: int) -> int:
    """A span of 0 reaches to the end of the head, body or foot that the row stands in, where
    `below` more rows are."""
    if (cell.get("rowspan") or "").strip() != "0":
        return _span(cell, "rowspan")
    return min(below + 1, _SPAN_LIMIT)


def _entries(definitions: Element) -> Iterator[Element]:
    """The terms and descriptions of a list of definitions, those in a <div> around a group too;
    what else stands in it is read as a description."""
    for child in definitions.elements():
        if child.name == "div" and any(inner.name in ("dt", "dd") for inner in child.elements()):
            yield from _entries(child)
        else:
            yield child


def _items(listed: Element) -> Iterator[tuple[str, Element]]:
    """The items of a list with the bullet or number that stands before each."""
    items = [child for child in listed.elements() if child.name == "li"]
    style = _LIST_STYLE.search(listed.get("style") or "")
    kind = style[1] if style else listed.get("type")
    form = FORMATS.get(_LIST_TYPES.get(kind or "", "decimal"), str)
    is_reversed = listed.has("reversed")
    number = _whole(listed.get("start"), len(items) if is_reversed else 1)
    for item in items:
        number = _whole(item.get("value"), number)
        shown = form(number) if 0 < number < 10_000 else number
        yield (f"{shown}." if listed.name == "ol" else "-"), item
        number += -1 if is_reversed else 1


def _list_lines(listed: Element, indent: str) -> Iterator[str]:
    for marker, item in _items(listed):
        nested: list[Element] = []  # the lists inside the item, whose words are not its own
        text = one_line(strings(item, nested))
        if text:
            yield f"{indent}{marker} {text}"
        for inner in nested:
            yield from _list_lines(inner, indent + "  ")


def _whole(stated: str | None, otherwise: int) -> int:
    text = (stated or "").strip()
    return int(text) if re.fullmatch("-?[0-9]{1,9}", text) else otherwise
