"""Reads HTML: the main content without the site around it; headings, lists and tables as lines of
text.

What is struck out, hidden or around the content is left out and counted.
"""

from __future__ import annotations

from fieldpack_build.documents.dates import iso_date
from fieldpack_build.documents.encoding import (
    declared_encoding,
    decode_markup,
    guess_warning,
    refuse_binary,
)
from fieldpack_build.documents.office.package import split_tags
from fieldpack_build.documents.omissions import AROUND, Omissions
from fieldpack_build.documents.pages import Content, HeadingPath, PageBuilder, label
from fieldpack_build.documents.web.around import leave_out, word_count
from fieldpack_build.documents.web.inline import text_of
from fieldpack_build.documents.web.tree import Element, parse
from fieldpack_build.documents.web.walk import Walk
from fieldpack_build.errors import DocumentError

# as many words outside of <main> as this share of its own: then it holds an intro, not the content
_OUTSIDE_SHARE = 0.5
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


def read(data: bytes, name: str, *, hidden: bool = False, chapter: bool = False) -> Content:
    """Read an HTML page. `hidden`: what it hides too. `chapter`: of a book, whose headers, footers
    and asides are its own and no site's.

    Raises DocumentError for what is no text, or nested too deeply.
    """
    refuse_binary(data, name)
    markup = parse(decode_markup(data))
    builder = PageBuilder(HeadingPath())
    omissions = Omissions()
    try:
        date, tags = _meta(markup.root)
        leave_out(markup, omissions, hidden=hidden, in_content=chapter)
        # The only h1, else the title element, which often carries the name of the site too.
        tops = list(markup.root.all("h1"))
        stated = markup.root.first("title")
        only_top = text_of(tops[0]) if len(tops) == 1 else ""
        title = label(only_top or (text_of(stated) if stated else ""))
        Walk(builder).block(_main_content(markup.root, omissions))
    except RecursionError as error:
        raise DocumentError(f"{name}: its elements are nested too deeply") from error
    parts = (*guess_warning(data, declared_encoding(data)), *omissions.sentences())
    return Content(title, (builder.page(),), date, tags, parts)


def _meta(root: Element) -> tuple[str | None, tuple[str, ...]]:
    """The date of the last change, else of publication, and the keywords that the head states."""
    stated: dict[str, list[str]] = {}
    for entry in root.all("meta"):
        key = entry.get("property") or entry.get("name") or entry.get("itemprop") or ""
        stated.setdefault(key.lower(), []).append(entry.get("content") or "")
    dates = (iso_date(value) for key in _DATES for value in stated.get(key, ()))
    words = (tag for key in _KEYWORDS for value in stated.get(key, ()) for tag in split_tags(value))
    return next((date for date in dates if date), None), tuple(dict.fromkeys(words))


def _main_content(root: Element, omissions: Omissions) -> Element:
    """The element that holds the content, or the whole page where much of it stands elsewhere."""
    page = root.first("body") or root
    articles = list(root.all("article"))
    only_article = articles[0] if len(articles) == 1 else None
    in_role = (element for element in root.descendants() if element.get("role") == "main")
    main = root.first("main") or next(in_role, None) or only_article
    if main is None:
        return page
    inside, whole = word_count(main), word_count(page)
    if whole - inside > _OUTSIDE_SHARE * inside:
        return page
    if whole > inside:
        omissions.add(
            AROUND,
            f"outside of <{main.name}>",
            count=whole - inside,
        )
    return main
