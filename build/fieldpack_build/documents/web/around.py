"""Takes out of an HTML tree what is no text of the document, and counts it: scripts, the site around
the content, what is struck out or hidden. Knows nothing of how the rest is read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from fieldpack_build.documents.omissions import AROUND, Omissions

if TYPE_CHECKING:
    from bs4 import BeautifulSoup
    from bs4.element import Tag

# No words of the page: ix:header holds the hidden facts of an inline XBRL filing, an annotation
# repeats a formula in TeX.
_DROPPED = ("script", "style", "template", "ix:header", "annotation", "annotation-xml", "rp")
# The site around the content; a header, footer or aside inside an article is part of it.
_AROUND = ("nav", "noscript", "svg", "button", "datalist", "iframe")
_AROUND_OUTSIDE = ("header", "footer", "aside")
_AROUND_ROLES = ("navigation", "search")
_AROUND_ROLES_OUTSIDE = ("banner", "contentinfo", "complementary")
# Notes of a book (EPUB), which stand in an aside.
_NOTES = frozenset(
    ("footnote", "endnote", "rearnote", "note", "doc-footnote", "doc-endnote", "doc-endnotes")
)
# Class names of navigation in manuals that are older than <nav>: those of DocBook and Publican are
# nothing else, others have to be links for the most part.
_AROUND_CLASSES = frozenset(("navheader", "navfooter", "docnav"))
_AROUND_IF_LINKS = frozenset(("navbar", "navigation", "breadcrumb", "breadcrumbs", "related"))
# A link to the place where it stands itself, which a site shows beside each heading.
_PERMALINKS = ("", "¶", "#", "§", "🔗", "∞", "⚓")
_STRUCK = ("del", "s", "strike")
_STRUCK_STYLE = re.compile(r"text-decoration(?:-line)?\s*:[^;]*line-through", re.IGNORECASE)
# mso-hide: what Outlook hides, such as the lines that a list of mails shows before one is opened.
_HIDING = {"display": ("none",), "visibility": ("hidden", "collapse"), "mso-hide": ("all",)}
_READ_STYLES = (
    "display",
    "visibility",
    "text-decoration",
    "text-decoration-line",
    "vertical-align",
    "list-style",
    "list-style-type",
    "mso-hide",
)
_SIMPLE = re.compile(r"([a-z][a-z0-9]*)?(?:([.#])([\w-]+))?", re.IGNORECASE)
# One that does not end reaches to the end of all: each would be looked for through the rest.
_MARKUP = re.compile(r"<(style|script)\b.*?(?:</\1\s*>|\Z)|<[^<>]*>", re.DOTALL | re.IGNORECASE)
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_BRACES = re.compile("[{}]")
_DEEPEST = 500  # elements in each other; pages have some dozens
_MANY = 1_000  # children of one element; pages have some hundreds
_SHEET_LIMIT = 1 << 20  # characters of style sheets; what hides a thing stands in the first of them


def word_count(tag: Tag) -> int:
    """Return how many words the text of an element has."""
    return len(tag.get_text(" ").split())


def words_of(markup: str) -> str:
    """Return the words of some markup, roughly: for comparing, not for reading."""
    return _MARKUP.sub(" ", markup)


def leave_out(
    soup: BeautifulSoup, omissions: Omissions, *, hidden: bool, in_content: bool = False
) -> None:
    """Take out what is no text of the document, and count the words of what a person would see or
    could unhide. `in_content`: the whole page is content, as in an article.

    Raises RecursionError for elements that are nested too deeply.
    """
    from bs4.element import Tag

    _write_styles_inline(soup)
    for tag in soup.find_all(_DROPPED):
        _take_out(tag)
    # Not soup.find_all(True) with tag.decomposed: that property searches below each tag for an
    # element of the name "_decomposed", which takes the square of a page's length.
    waiting: list[tuple[Tag, int, bool]] = [(soup, 0, in_content)]
    while waiting:
        tag, depth, in_content = waiting.pop()
        if depth > _DEEPEST:
            raise RecursionError
        if tag is not soup and _is_left_out(tag, omissions, hidden=hidden, in_content=in_content):
            continue
        in_content = in_content or tag.name in ("main", "article")
        waiting += [
            (child, depth + 1, in_content)
            for child in reversed(tag.contents)
            if isinstance(child, Tag)
        ]


def _is_left_out(tag: Tag, omissions: Omissions, *, hidden: bool, in_content: bool) -> bool:
    """Take an element out if it is no text of the document; `in_content`: an article is around it."""
    style = str(tag.get("style") or "")
    if tag.name in _STRUCK or (style and _STRUCK_STYLE.search(style)):
        _drop(tag, omissions, "words of struck-out text")
    elif not hidden and tag.name not in ("html", "body") and _is_hidden(tag, style):
        _drop(tag, omissions, "words of hidden elements", hidden=True)
    elif name := _site_part(tag, in_content=in_content):
        _drop(tag, omissions, AROUND, name=name)
    elif tag.name == "a" and _is_permalink(tag):
        _take_out(tag)
    else:
        if tag.name == "select":
            _keep_chosen(tag, omissions)
        return False
    return True


def _is_hidden(tag: Tag, style: str) -> bool:
    if tag.has_attr("hidden") or tag.get("aria-hidden") == "true":
        return True
    if tag.name == "dialog":
        return not tag.has_attr("open")
    if not style:
        return False
    stated = dict(_declarations(style))  # the last one counts
    return any(stated.get(name) in values for name, values in _HIDING.items())


def _site_part(tag: Tag, *, in_content: bool) -> str:
    """What the site shows of itself in this element: a name for the list of what was left out."""
    role = str(tag.get("role") or "").lower()
    if role in _NOTES or _NOTES.intersection(str(tag.get("epub:type") or "").lower().split()):
        return ""
    if tag.name in _AROUND or role in _AROUND_ROLES:
        return tag.name if tag.name in _AROUND else role
    outside = tag.name in _AROUND_OUTSIDE or role in _AROUND_ROLES_OUTSIDE
    if outside and not in_content:
        return tag.name if tag.name in _AROUND_OUTSIDE else role
    classes = _classes(tag)
    names = _AROUND_CLASSES.intersection(classes)
    likely = _AROUND_IF_LINKS.intersection(classes)
    if likely and 2 * sum(map(word_count, tag.find_all("a"))) >= word_count(tag):
        names |= likely
    return min(names, default="")


def _classes(tag: Tag) -> list[str]:
    value = tag.get("class")
    return value if isinstance(value, list) else str(value or "").split()


def _is_permalink(tag: Tag) -> bool:
    return str(tag.get("href") or "").startswith("#") and (
        tag.get_text().strip() in _PERMALINKS and tag.find("img") is None
    )


def _keep_chosen(tag: Tag, omissions: Omissions) -> None:
    """Of a list to choose from, what was chosen is content; the rest is the form's."""
    for option in tag.find_all("option"):
        if not option.has_attr("selected"):
            _drop(option, omissions, AROUND, name="select")


def _drop(
    tag: Tag, omissions: Omissions, kind: str, *, name: str = "", hidden: bool = False
) -> None:
    words = word_count(tag) + len(words_of(str(tag.get("srcdoc") or "")).split())
    if words:
        omissions.add(kind, name, count=words, hidden=hidden)
    _take_out(tag)


def _take_out(tag: Tag) -> None:
    """Take an element out of the page. bs4 looks for it among its parent's children one by one, so
    where they are many it stays there as an empty element without a meaning."""
    if tag.parent is not None and len(tag.parent.contents) > _MANY:
        tag.clear(decompose=True)
        tag.name, tag.attrs = "span", {}
    else:
        tag.decompose()


def _write_styles_inline(soup: BeautifulSoup) -> None:
    """Give elements the styles that a <style> sheet states for their name, class or id, as far as
    they hide, strike or raise text. Longer selectors and those within @media are passed over."""
    sheet = "\n".join(tag.string or "" for tag in soup.find_all("style"))[:_SHEET_LIMIT]
    styles: dict[str, list[tuple[str, str]]] = {}  # ".class", "#id" or "name" -> (name, style)
    for selectors, body in _rules(_COMMENT.sub(" ", sheet)):
        stated = [entry for entry in _declarations(body) if entry[0] in _READ_STYLES]
        style = "; ".join(f"{name}: {value}" for name, value in stated)
        for selector in selectors.split(",") if style else ():
            simple = _SIMPLE.fullmatch(selector.strip())
            if simple and simple[0]:
                name = (simple[1] or "").lower()
                key = f"{simple[2]}{simple[3]}" if simple[2] else name
                styles.setdefault(key, []).append((name, style))
    for tag in soup.find_all(True) if styles else ():
        keys = [tag.name, *(f".{name}" for name in _classes(tag)), f"#{tag.get('id') or ''}"]
        own = [
            style for key in keys for name, style in styles.get(key, ()) if name in ("", tag.name)
        ]
        if own:
            tag["style"] = "; ".join([*own, str(tag.get("style") or "")])


def _rules(sheet: str) -> Iterator[tuple[str, str]]:
    """The selectors and declarations of the rules that stand in no @-rule."""
    depth, start, selectors = 0, 0, ""
    for brace in _BRACES.finditer(sheet):
        if brace[0] == "{":
            if depth == 0:
                selectors = sheet[start : brace.start()].rpartition(";")[2].strip()
                start = brace.end()
            depth += 1
        elif depth:
            depth -= 1
            if depth == 0:
                if not selectors.startswith("@"):
                    yield selectors, sheet[start : brace.start()]
                start = brace.end()


def _declarations(style: str) -> Iterator[tuple[str, str]]:
    for entry in style.split(";"):
        name, _, value = entry.partition(":")
        yield name.strip().lower(), value.replace("!important", "").strip().lower()
