"""Reads HTML: the main content without the site around it; headings, lists and tables as lines of
text.

What is struck out, hidden or around the content is left out and counted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from fieldpack_build.documents.dates import iso_date
from fieldpack_build.documents.encoding import (
    declared_encoding,
    decode_markup,
    guess_warning,
    refuse_binary,
)
from fieldpack_build.documents.merged import Cell, lay_out
from fieldpack_build.documents.office.docx_numbering import FORMATS
from fieldpack_build.documents.office.package import split_tags
from fieldpack_build.documents.omissions import Omissions
from fieldpack_build.documents.pages import Content, HeadingPath, PageBuilder, label, squeeze
from fieldpack_build.documents.raised import lower, raise_, settle
from fieldpack_build.errors import DocumentError

if TYPE_CHECKING:
    from bs4 import BeautifulSoup
    from bs4.element import PageElement, Tag

# No words of the page: ix:header holds the hidden facts of an inline XBRL filing, an annotation
# repeats a formula in TeX.
_DROPPED = ("script", "style", "template", "ix:header", "annotation", "annotation-xml", "rp")
# The site around the content; a header, footer or aside inside an article is part of it.
_AROUND = ("nav", "noscript", "svg", "button", "select", "iframe")
_AROUND_OUTSIDE = ("header", "footer", "aside")
_STRUCK = ("del", "s", "strike")
_STRUCK_STYLE = re.compile(r"text-decoration(?:-line)?\s*:[^;]*line-through", re.IGNORECASE)
_HIDDEN_STYLE = re.compile(
    r"(?:display\s*:\s*none|visibility\s*:\s*(?:hidden|collapse))", re.IGNORECASE
)
_PLACED_STYLE = re.compile(r"vertical-align\s*:\s*(super|sub)\b", re.IGNORECASE)
_SHOWN_INPUTS = (
    "",
    "text",
    "number",
    "date",
    "datetime-local",
    "email",
    "month",
    "tel",
    "time",
    "url",
    "week",
)
# as many words outside of <main> as this share of its own: then it holds an intro, not the content
_OUTSIDE_SHARE = 0.5
_LIST_TYPES = {"a": "lowerLetter", "A": "upperLetter", "i": "lowerRoman", "I": "upperRoman"}
_HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
_LISTS = ("ul", "ol", "menu")
_BLOCKS = frozenset(
    (
        *(
            *_HEADINGS,
            *_LISTS,
            "html",
            "body",
            "main",
            "article",
            "section",
            "header",
            "div",
            "p",
            "table",
            "caption",
        ),
        *(
            "dl",
            "dt",
            "dd",
            "pre",
            "blockquote",
            "figure",
            "figcaption",
            "details",
            "summary",
            "address",
            "hr",
            "form",
        ),
        *(
            "fieldset",
            "legend",
            "hgroup",
            "center",
            "li",
            "tr",
            "td",
            "th",
            "thead",
            "tbody",
            "tfoot",
        ),
    )
)
_DATES = (
    "article:modified_time",
    "datemodified",
    "last-modified",
    "dcterms.modified",
    "article:published_time",
    "datepublished",
    "date",
    "dc.date",
    "dcterms.date",
    "dcterms.created",
    "dc.date.issued",
    "pubdate",
)
_KEYWORDS = ("keywords", "article:tag", "dc.subject", "dcterms.subject")
_LINE = "\0"  # a line's end inside a paragraph; decoded text has no such character
_BREAKS = re.compile("[\u00ad\u200b\u2060]")
_SPAN_LIMIT = 50  # columns or rows; a larger span is a mistake or an attack


def read(data: bytes, name: str, *, hidden: bool = False) -> Content:
    """Read an HTML page. `hidden`: what it hides too.

    Raises DocumentError for what is no text, or nested too deeply.
    """
    from bs4 import BeautifulSoup

    refuse_binary(data, name)
    soup = BeautifulSoup(decode_markup(data), "lxml")
    builder = PageBuilder(HeadingPath())
    omissions = Omissions()
    try:
        date, tags = _meta(soup)
        _leave_out(soup, omissions, hidden=hidden)
        # The only h1, else the title element, which often carries the name of the site too.
        tops = soup.find_all("h1")
        only_top = _text(tops[0]) if len(tops) == 1 else ""
        title = label(only_top or (_text(soup.title) if soup.title else ""))
        _Walk(builder).block(_main_content(soup, omissions))
    except RecursionError as error:
        raise DocumentError(f"{name}: its elements are nested too deeply") from error
    warnings = (*guess_warning(data, declared_encoding(data)), *omissions.sentences())
    return Content(title, (builder.page(),), date, tags, warnings)


def words_of(markup: str) -> str:
    """Return the words of some markup, roughly: for comparing, not for reading."""
    return re.sub(
        r"<(style|script)\b.*?</\1\s*>|<[^>]*>", " ", markup, flags=re.DOTALL | re.IGNORECASE
    )


def _meta(soup: BeautifulSoup) -> tuple[str | None, tuple[str, ...]]:
    """The date of the last change, else of publication, and the keywords that the head states."""
    stated: dict[str, list[str]] = {}
    for tag in soup.find_all("meta"):
        key = str(tag.get("property") or tag.get("name") or tag.get("itemprop") or "").lower()
        stated.setdefault(key, []).append(str(tag.get("content") or ""))
    dates = (iso_date(value) for key in _DATES for value in stated.get(key, ()))
    words = (tag for key in _KEYWORDS for value in stated.get(key, ()) for tag in split_tags(value))
    return next((date for date in dates if date), None), tuple(dict.fromkeys(words))


def _leave_out(soup: BeautifulSoup, omissions: Omissions, *, hidden: bool) -> None:
    """Take out what is no text of the document, and count the words of what a person would see or
    could unhide."""
    for tag in soup.find_all(_DROPPED):
        tag.decompose()
    for tag in soup.find_all(True):
        if tag.decomposed:
            continue
        style = str(tag.get("style") or "")
        if tag.name in _STRUCK or (style and _STRUCK_STYLE.search(style)):
            _drop(tag, omissions, "words of struck-out text")
        elif (
            not hidden
            and tag.name not in ("html", "body")
            and (
                tag.has_attr("hidden")
                or tag.get("aria-hidden") == "true"
                or (style and _HIDDEN_STYLE.search(style))
            )
        ):
            _drop(tag, omissions, "words of hidden elements", hidden=True)
        elif tag.name in _AROUND or (
            tag.name in _AROUND_OUTSIDE and not tag.find_parent(("main", "article"))
        ):
            _drop(tag, omissions, "words of the site around the content", name=tag.name)


def _drop(
    tag: Tag, omissions: Omissions, kind: str, *, name: str = "", hidden: bool = False
) -> None:
    words = _word_count(tag) + len(words_of(str(tag.get("srcdoc") or "")).split())
    if words:
        omissions.add(kind, name, count=words, hidden=hidden)
    tag.decompose()


def _word_count(tag: Tag) -> int:
    return len(tag.get_text(" ").split())


def _main_content(soup: BeautifulSoup, omissions: Omissions) -> Tag:
    """The element that holds the content, or the whole page where much of it stands elsewhere."""
    page = soup.body or soup
    articles = soup.find_all("article")
    only_article = articles[0] if len(articles) == 1 else None
    main = soup.find("main") or soup.find(role="main") or only_article
    if main is None:
        return page
    inside, whole = _word_count(main), _word_count(page)
    if whole - inside > _OUTSIDE_SHARE * inside:
        return page
    if whole > inside:
        omissions.add(
            "words of the site around the content",
            f"outside of <{main.name}>",
            count=whole - inside,
        )
    return main


class _Walk:
    """Goes through the tree in order; inline text gathers until a block begins or ends."""

    def __init__(self, builder: PageBuilder) -> None:
        self._builder = builder
        self._inline: list[str] = []
        self._readers: dict[str, Callable[[Tag], None]] = {
            **dict.fromkeys(_HEADINGS, self._heading),
            **dict.fromkeys(
                _LISTS, lambda tag: self._builder.text("\n".join(_list_lines(tag, "")))
            ),
            "table": self._table,
            "dl": self._definitions,
            "pre": lambda tag: self._builder.text(
                settle("".join(_strings(tag, None))).replace(_LINE, "\n")
            ),
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
            elif inner.name in _INLINE or not any(
                getattr(entry, "name", None) in _BLOCKS for entry in inner.descendants
            ):
                self._inline.append("".join(_inline(inner, None)).replace("\n", " "))
            else:
                self._children(inner)

    def _flush(self) -> None:
        lines = (squeeze(line) for line in settle("".join(self._inline)).split(_LINE))
        self._builder.text("\n".join(line for line in lines if line))
        self._inline.clear()

    def _heading(self, tag: Tag) -> None:
        if text := _text(tag):  # an empty one would end those above it
            self._builder.heading(int(tag.name[1]), text)

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
        # A table around tables, or around headings, is layout: its cells are read one after the
        # other.
        if tag.find(("table", *_HEADINGS)):
            self._children(tag)
            self._flush()
            return
        if tag.caption:
            self._builder.text(_text(tag.caption))
        heads = sum(len(part.find_all("tr")) for part in tag.find_all("thead"))
        rows = [
            [
                Cell(_text(cell), _span(cell, "rowspan"), _span(cell, "colspan"), cell.name == "th")
                for cell in row.find_all(("td", "th"))
            ]
            for row in tag.find_all("tr")
        ]
        table = lay_out(rows, heads)
        self._builder.text(table.title)
        self._builder.table(table.rows)


def _span(cell: Tag, name: str) -> int:
    value = str(cell.get(name, "1")).strip()
    return min(max(int(value), 1), _SPAN_LIMIT) if re.fullmatch(r"[0-9]{1,6}", value) else 1


def _list_lines(tag: Tag, indent: str) -> Iterator[str]:
    items = tag.find_all("li", recursive=False)
    number = _whole(tag.get("start"), len(items) if tag.has_attr("reversed") else 1)
    for item in items:
        number = _whole(item.get("value"), number)
        nested: list[Tag] = []  # the lists inside the item, whose words are not its own
        text = _one_line(_strings(item, nested))
        if text:
            form = FORMATS.get(_LIST_TYPES.get(str(tag.get("type")), "decimal"), str)
            shown = form(number) if 0 < number < 10_000 else number
            yield f"{indent}{f'{shown}.' if tag.name == 'ol' else '-'} {text}"
        for inner in nested:
            yield from _list_lines(inner, indent + "  ")
        number += -1 if tag.has_attr("reversed") else 1


def _whole(stated: object, otherwise: int) -> int:
    text = str(stated or "").strip()
    return int(text) if re.fullmatch("-?[0-9]{1,9}", text) else otherwise


def _text(tag: Tag) -> str:
    """All words of an element on one line, with a space where a block begins or ends."""
    return _one_line(_strings(tag, None))


def _one_line(strings: Iterator[str]) -> str:
    return squeeze(settle("".join(strings)).replace(_LINE, " "))


def _strings(tag: Tag, lists: list[Tag] | None) -> Iterator[str]:
    """The strings in an element; the lists in it are set aside in `lists`, if there is one."""
    for child in tag.children:
        inner = _as_tag(child)
        if inner is None:
            yield _words(child)
        elif lists is not None and inner.name in _LISTS:
            lists.append(inner)
        else:
            yield from _inline(inner, lists)


def _inline(tag: Tag, lists: list[Tag] | None) -> Iterator[str]:
    """The strings of an element, itself included: a superscript is marked as one, a formula written
    on one line."""
    write = _INLINE.get(tag.name)
    if write is not None:
        yield write(tag)
        return
    style = tag.get("style")
    placed = _PLACED_STYLE.search(str(style)) if style else None
    if placed and tag.name not in _BLOCKS:
        yield (raise_ if placed[1].lower() == "super" else lower)(
            "".join(_strings(tag, lists)).strip()
        )
        return
    space = " " if tag.name in _BLOCKS else ""
    yield space
    yield from _strings(tag, lists)
    yield space


def _inner(tag: Tag) -> str:
    return "".join(_strings(tag, None))


def _alternative(tag: Tag) -> str:
    """What a picture says of itself; decoration says nothing, and the name of a file is nothing."""
    said = squeeze(str(tag.get("alt") or ""))
    return "" if not said or re.fullmatch(r"\S+\.\w{3,4}", said) else f" [{said}] "


def _filled(tag: Tag) -> str:
    """What a field of a form shows."""
    kind = str(tag.get("type") or "").lower()
    if kind in ("checkbox", "radio"):
        return "☒ " if tag.has_attr("checked") else "☐ "
    return f" {tag.get('value') or ''} " if kind in _SHOWN_INPUTS else ""


def _parts(tag: Tag) -> list[str]:
    """The texts of a formula's parts."""
    return [
        "".join(_inline(part, None)).strip()
        for child in tag.children
        if (part := _as_tag(child)) is not None
    ]


def _grouped(text: str) -> str:
    text = settle(text)
    return text if text.isalnum() else f"({text})"


def _scripts(tag: Tag, *, places: Sequence[Callable[[str], str]]) -> str:
    """MathML's base with what stands at its upper or lower right."""
    base, *others = _parts(tag) or [""]
    settled = map(settle, others)
    return base + "".join(place(other) for place, other in zip(places, settled, strict=False))


def _below(text: str) -> str:
    return f"_{text}" if text.isalnum() else f"_({text})"


_INLINE: dict[str, Callable[[Tag], str]] = {
    "br": lambda tag: _LINE,
    "sup": lambda tag: raise_(_inner(tag).strip()),
    "sub": lambda tag: lower(_inner(tag).strip()),
    "rt": lambda tag: f"({_inner(tag)})",
    "img": _alternative,
    "input": _filled,
    "msup": lambda tag: _scripts(tag, places=(raise_,)),
    "msub": lambda tag: _scripts(tag, places=(_below,)),
    "msubsup": lambda tag: _scripts(tag, places=(_below, raise_)),
    "munder": lambda tag: _scripts(tag, places=(_below,)),
    "mover": lambda tag: _scripts(tag, places=(raise_,)),
    "munderover": lambda tag: _scripts(tag, places=(_below, raise_)),
    "mfrac": lambda tag: "/".join(_grouped(part) for part in _parts(tag)),
    "msqrt": lambda tag: f"√({settle(_inner(tag))})",
    "mroot": lambda tag: "√".join(_grouped(part) for part in reversed(_parts(tag))),
}


def _as_tag(element: PageElement) -> Tag | None:
    from bs4.element import Tag

    return element if isinstance(element, Tag) else None


def _words(element: PageElement) -> str:
    """The text of a string in the tree; comments, doctypes and CDATA are none."""
    from bs4.element import NavigableString

    # Soft hyphens and blanks of no width are places to break a line, and no part of the word.
    return _BREAKS.sub("", str(element)) if type(element) is NavigableString else ""
