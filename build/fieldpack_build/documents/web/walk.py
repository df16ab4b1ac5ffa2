"""Goes through an HTML tree in order and hands headings, paragraphs, lists and tables to a page.

Knows nothing of what is left out of a tree before.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

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
    as_tag,
    inline,
    one_line,
    strings,
    text_of,
    words,
)

if TYPE_CHECKING:
    from bs4.element import Tag

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

    What stands in a definition or an item of a list that holds more than words gathers too, as
    lines of one block below the term or number, until a table or a list of definitions in it.
    """

    def __init__(self, builder: PageBuilder) -> None:
        self._builder = builder
        self._inline: list[str] = []
        self._entry: list[str] | None = None
        self._depth = 0  # of lists of definitions in each other
        self._readers: dict[str, Callable[[Tag], None]] = {
            **dict.fromkeys(HEADINGS, self._heading),
            **dict.fromkeys(LISTS, self._list),
            "table": self._table,
            "dl": self._definitions,
            "pre": lambda tag: self._say(
                settle("".join(strings(tag, None))).replace(LINE, "\n").strip("\n")
            ),
        }

    def block(self, tag: Tag) -> None:
        """Read an element that is a block of its own."""
        self._flush()
        reader = self._readers.get(tag.name)
        if reader is not None:
            reader(tag)
        else:
            self._children(tag)
            self._flush()

    def _children(self, tag: Tag) -> None:
        for child in tag.children:
            inner = as_tag(child)
            if inner is None:
                self._inline.append(words(child))
            elif inner.name in BLOCKS:
                self.block(inner)
            elif inner.name in WRITERS or not any(
                getattr(entry, "name", None) in BLOCKS for entry in inner.descendants
            ):
                self._inline.append("".join(inline(inner, None)).replace("\n", " "))
            else:
                self._children(inner)

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

    def _heading(self, tag: Tag) -> None:
        if text := text_of(tag):  # an empty one would end those above it
            self._interrupt()
            self._builder.heading(int(tag.name[1]), text)

    def _definitions(self, tag: Tag) -> None:
        """Each term with what is said of it: one block, or a section where it is long."""
        self._interrupt()
        outer, self._entry = self._entry, None
        level = _UNDER_HEADINGS + self._depth
        self._depth += 1
        terms: list[str] = []
        for item in _entries(tag):
            if item.name == "dt":
                if self._entry is not None:
                    self._end_entry(terms, level)
                    terms = []
                terms.append(text_of(item))
                continue
            if self._entry is None:
                self._entry = list(filter(None, terms))
                if item.find("dl") or len(item.get_text()) > _LONG_ENTRY:
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

    def _list(self, tag: Tag) -> None:
        """A list of words alone is one block; where items hold code or tables each is its own."""
        if not tag.find(_STRUCTURE):
            self._say("\n".join(_list_lines(tag, "")))
            return
        self._interrupt()
        outer = self._entry
        for marker, item in _items(tag):
            self._entry = []
            self._inline.append(f"{marker} ")
            self._children(item)
            self._flush()
            self._interrupt()
        self._entry = outer

    def _table(self, tag: Tag) -> None:
        self._interrupt()
        # A table around tables, or around headings, is layout, and so is one row around code: its
        # cells are read one after the other.
        around = ("table", *HEADINGS) if len(tag.find_all("tr", limit=2)) > 1 else _STRUCTURE
        if tag.find(around):
            self._children(tag)
            self._flush()
            return
        if tag.caption:
            self._builder.text(text_of(tag.caption))
        heads = sum(len(part.find_all("tr")) for part in tag.find_all("thead"))
        rows = [
            [
                Cell(text_of(cell), _row_span(cell), _span(cell, "colspan"), cell.name == "th")
                for cell in row.find_all(("td", "th"))
            ]
            # A foot may be written before the body and is always shown below it.
            for row in sorted(
                tag.find_all("tr"), key=lambda row: row.find_parent("tfoot") is not None
            )
        ]
        table = lay_out(rows, heads)
        self._builder.text(table.title)
        self._builder.table(table.rows)


def _span(cell: Tag, name: str) -> int:
    value = str(cell.get(name, "1")).strip()
    return min(max(int(value), 1), _SPAN_LIMIT) if re.fullmatch(r"[0-9]{1,6}", value) else 1


def _row_span(cell: Tag) -> int:
    """A span of 0 reaches to the end of the head, body or foot that the row stands in."""
    if str(cell.get("rowspan")).strip() != "0" or cell.parent is None:
        return _span(cell, "rowspan")
    return min(len(cell.parent.find_next_siblings("tr")) + 1, _SPAN_LIMIT)


def _entries(tag: Tag) -> Iterator[Tag]:
    """The terms and descriptions of a list of definitions, those in a <div> around a group too;
    what else stands in it is read as a description."""
    for child in tag.children:
        inner = as_tag(child)
        if inner is None:
            continue
        if inner.name == "div" and inner.find(("dt", "dd"), recursive=False):
            yield from _entries(inner)
        else:
            yield inner


def _items(tag: Tag) -> Iterator[tuple[str, Tag]]:
    """The items of a list with the bullet or number that stands before each."""
    items = tag.find_all("li", recursive=False)
    style = _LIST_STYLE.search(str(tag.get("style") or ""))
    kind = style[1] if style else str(tag.get("type"))
    form = FORMATS.get(_LIST_TYPES.get(kind, "decimal"), str)
    number = _whole(tag.get("start"), len(items) if tag.has_attr("reversed") else 1)
    for item in items:
        number = _whole(item.get("value"), number)
        shown = form(number) if 0 < number < 10_000 else number
        yield (f"{shown}." if tag.name == "ol" else "-"), item
        number += -1 if tag.has_attr("reversed") else 1


def _list_lines(tag: Tag, indent: str) -> Iterator[str]:
    for marker, item in _items(tag):
        nested: list[Tag] = []  # the lists inside the item, whose words are not its own
        text = one_line(strings(item, nested))
        if text:
            yield f"{indent}{marker} {text}"
        for inner in nested:
            yield from _list_lines(inner, indent + "  ")


def _whole(stated: object, otherwise: int) -> int:
    text = str(stated or "").strip()
    return int(text) if re.fullmatch("-?[0-9]{1,9}", text) else otherwise
