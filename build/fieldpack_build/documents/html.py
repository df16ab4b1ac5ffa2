"""Reads HTML: the main content without the site around it; headings, lists and tables as lines of text."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from fieldpack_build.documents.dates import iso_date
from fieldpack_build.documents.encoding import decode_markup, refuse_binary
from fieldpack_build.documents.grid import REPEATED_LIMIT
from fieldpack_build.documents.office import split_tags
from fieldpack_build.documents.pages import Content, HeadingPath, PageBuilder, label, squeeze
from fieldpack_build.errors import DocumentError

if TYPE_CHECKING:
    from bs4 import BeautifulSoup
    from bs4.element import PageElement, Tag

# ix:header holds the hidden facts of an inline XBRL filing.
_DROPPED = ("nav", "footer", "aside", "script", "style", "noscript", "template", "svg", "button", "select", "ix:header")
_HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
_LISTS = ("ul", "ol", "menu")
_BLOCKS = (
    *(*_HEADINGS, *_LISTS, "html", "body", "main", "article", "section", "header", "div", "p", "table", "caption"),
    *("dl", "dt", "dd", "pre", "blockquote", "figure", "figcaption", "details", "summary", "address", "hr", "form"),
    *("fieldset", "legend", "hgroup", "center", "li", "tr", "td", "th", "thead", "tbody", "tfoot"),
)
_DATES = (
    "article:modified_time", "datemodified", "last-modified", "dcterms.modified", "article:published_time", "datepublished",
    "date", "dc.date", "dcterms.date", "dcterms.created", "dc.date.issued", "pubdate",
)  # fmt: skip
_KEYWORDS = ("keywords", "article:tag", "dc.subject", "dcterms.subject")
_SPAN_LIMIT = 50  # columns or rows; a larger span is a mistake or an attack


def read(data: bytes, name: str) -> Content:
    from bs4 import BeautifulSoup

    refuse_binary(data, name)
    soup = BeautifulSoup(decode_markup(data), "lxml")
    builder = PageBuilder(HeadingPath())
    try:
        title = _title(soup)
        date, tags = _meta(soup)
        _Walk(builder).block(_main_content(soup))
    except RecursionError as error:
        raise DocumentError(f"{name}: its elements are nested too deeply") from error
    return Content(title, (builder.page(),), date, tags)


def _title(soup: BeautifulSoup) -> str:
    """The only h1, else the title element, which often carries the name of the site too."""
    tops = soup.find_all("h1")
    only_top = _text(tops[0]) if len(tops) == 1 else ""
    return label(only_top or (_text(soup.title) if soup.title else ""))


def _meta(soup: BeautifulSoup) -> tuple[str | None, tuple[str, ...]]:
    """The date of the last change, else of publication, and the keywords that the head states."""
    stated: dict[str, list[str]] = {}
    for tag in soup.find_all("meta"):
        key = str(tag.get("property") or tag.get("name") or tag.get("itemprop") or "").lower()
        stated.setdefault(key, []).append(str(tag.get("content") or ""))
    dates = (iso_date(value) for key in _DATES for value in stated.get(key, ()))
    words = (tag for key in _KEYWORDS for value in stated.get(key, ()) for tag in split_tags(value))
    return next((date for date in dates if date), None), tuple(dict.fromkeys(words))


def _main_content(soup: BeautifulSoup) -> Tag:
    for tag in soup.find_all(_DROPPED):
        tag.decompose()
    for tag in soup.find_all(hidden=True):
        if not tag.decomposed:
            tag.decompose()
    for tag in soup.find_all("header"):
        # The header of an article holds its heading and date; that of the page, the site's name and menu.
        if not tag.decomposed and not tag.find_parent(("main", "article")):
            tag.decompose()
    articles = soup.find_all("article")
    only_article = articles[0] if len(articles) == 1 else None
    return soup.find("main") or soup.find(role="main") or only_article or soup.body or soup


class _Walk:
    """Goes through the tree in order; inline text gathers until a block begins or ends."""

    def __init__(self, builder: PageBuilder) -> None:
        self._builder = builder
        self._inline: list[str] = []
        self._readers: dict[str, Callable[[Tag], None]] = {
            **dict.fromkeys(_HEADINGS, self._heading),
            **dict.fromkeys(_LISTS, self._list),
            "table": self._table,
            "dl": self._definitions,
            "pre": lambda tag: self._builder.text(tag.get_text()),
        }

    def block(self, tag: Tag) -> None:
        self._flush()
        reader = self._readers.get(tag.name)
        if reader is not None:
            reader(tag)
        else:
            self._children(tag)
            self._flush()

    def _children(self, tag: Tag) -> None:
        for child in tag.children:
            inner = _as_tag(child)
            if inner is None:
                self._inline.append(_words(child))
            elif inner.name in _BLOCKS:
                self.block(inner)
            elif inner.name == "br":
                self._inline.append("\0")
            else:
                self._children(inner)

    def _flush(self) -> None:
        lines = (squeeze(line) for line in "".join(self._inline).split("\0"))
        self._builder.text("\n".join(line for line in lines if line))
        self._inline.clear()

    def _heading(self, tag: Tag) -> None:
        text = _text(tag)
        if text:
            self._builder.heading(int(tag.name[1]), text)

    def _list(self, tag: Tag) -> None:
        self._builder.text("\n".join(_list_lines(tag, "")))

    def _definitions(self, tag: Tag) -> None:
        """Each term with what is said of it: one block."""
        lines: list[str] = []
        last = ""
        for item in tag.find_all(("dt", "dd")):
            if item.name == "dt" and last == "dd":
                self._builder.text("\n".join(lines))
                lines = []
            lines.append(_text(item))
            last = item.name
        self._builder.text("\n".join(lines))

    def _table(self, tag: Tag) -> None:
        # A table around tables, or around headings, is layout: its cells are read one after the other.
        if tag.find(("table", *_HEADINGS)):
            self._children(tag)
            self._flush()
            return
        if tag.caption:
            self._builder.text(_text(tag.caption))
        self._builder.table(list(_rows(tag)))


def _rows(table: Tag) -> Iterator[list[str]]:
    """A cell over several rows is repeated in each; one over several columns is followed by empty cells."""
    above: dict[int, tuple[int, str]] = {}
    for row in table.find_all("tr"):
        cells: list[str] = []
        for cell in row.find_all(("td", "th")):
            _fill_from_above(cells, above)
            text = _text(cell)
            if (rows := _span(cell, "rowspan")) > 1 and len(text) <= REPEATED_LIMIT:
                above[len(cells)] = (rows - 1, text)
            cells += [text] + [""] * (_span(cell, "colspan") - 1)
        _fill_from_above(cells, above)
        yield cells


def _fill_from_above(cells: list[str], above: dict[int, tuple[int, str]]) -> None:
    while len(cells) in above:
        left, text = above.pop(len(cells))
        if left > 1:
            above[len(cells)] = (left - 1, text)
        cells.append(text)


def _span(cell: Tag, name: str) -> int:
    value = str(cell.get(name, "1")).strip()
    return min(max(int(value), 1), _SPAN_LIMIT) if re.fullmatch(r"[0-9]{1,6}", value) else 1


def _list_lines(tag: Tag, indent: str) -> Iterator[str]:
    for number, item in enumerate(tag.find_all("li", recursive=False), start=1):
        mark = f"{number}." if tag.name == "ol" else "-"
        text, nested = _item_text(item)
        if text:
            yield f"{indent}{mark} {text}"
        for inner in nested:
            yield from _list_lines(inner, indent + "  ")


def _item_text(item: Tag) -> tuple[str, list[Tag]]:
    """The words of an item without those of the lists inside it, and these lists."""
    nested: list[Tag] = []
    return squeeze("".join(_strings(item, nested))), nested


def _text(tag: Tag) -> str:
    """All words of an element on one line, with a space where a block begins or ends."""
    return squeeze("".join(_strings(tag, None)))


def _strings(tag: Tag, lists: list[Tag] | None) -> Iterator[str]:
    """The strings in an element; the lists in it are set aside in `lists`, if there is one."""
    for child in tag.children:
        inner = _as_tag(child)
        if inner is None:
            yield _words(child)
        elif lists is not None and inner.name in _LISTS:
            lists.append(inner)
        else:
            space = " " if inner.name in _BLOCKS or inner.name == "br" else ""
            yield space
            yield from _strings(inner, lists)
            yield space


def _as_tag(element: PageElement) -> Tag | None:
    from bs4.element import Tag

    return element if isinstance(element, Tag) else None


def _words(element: PageElement) -> str:
    """The text of a string in the tree; comments, doctypes and CDATA are none."""
    from bs4.element import NavigableString

    return str(element) if type(element) is NavigableString else ""
