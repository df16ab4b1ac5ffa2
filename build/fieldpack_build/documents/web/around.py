"""Takes out of an HTML tree what is no text of the document, and counts it: scripts, the site around
the content, what is struck out or hidden. Knows nothing of how the rest is read."""

from __future__ import annotations

import re
from collections.abc import Iterator

from fieldpack_build.documents.omissions import AROUND, Omissions
from fieldpack_build.documents.web.tree import WITHOUT_TEXT, Element, Markup

# The site around the content; a header, footer or aside inside an article is part of it.
_AROUND = ("nav", "noscript", "svg", "button", "datalist", "iframe")
_AROUND_OUTSIDE = ("header", "footer", "aside")
_AROUND_ROLES = ("navigation", "search")
_AROUND_ROLES_OUTSIDE = ("banner", "contentinfo", "complementary")
# Notes of a book (EPUB), which stand in an aside.
_NOTES = frozenset(
    ("footnote", "endnote", "rearnote", "note", "doc-footnote", "doc-endnote", "doc-endnotes")
)
# Classes and ids of navigation in pages that are older than <nav>: those of DocBook and Publican, and
# the path to a page, are nothing else; others have to be links for the most part.
_AROUND_NAMES = frozenset(("navheader", "navfooter", "docnav", "breadcrumb", "breadcrumbs"))
_AROUND_IF_LINKS = frozenset(
    ("menu", "mainmenu", "navbar", "navigation", "related", "sidebar", "sidenav", "topnav")
)
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


def word_count(element: Element) -> int:
    """Return how many words the text of an element has."""
    return sum(len(text.split()) for text in element.strings())


def words_of(markup: str) -> str:
    """Return the words of some markup, roughly: for comparing, not for reading."""
    return _MARKUP.sub(" ", markup)


def leave_out(
    markup: Markup, omissions: Omissions, *, hidden: bool, in_content: bool = False
) -> None:
    """Take out what is no text of the document, and count the words of what a person would see or
    could unhide. `in_content`: the whole page is content, as in an article.

    Raises RecursionError for elements that are nested too deeply.
    """
    _write_styles_inline(markup)
    # An element that is being gone through, what of it is still to come, and what of it stays.
    kept: list[Element | str] = []
    open_ = [(markup.root, iter(markup.root.contents), kept, in_content)]
    while open_:
        element, children, kept, in_content = open_[-1]
        for child in children:
            if isinstance(child, Element):
                if child.name in WITHOUT_TEXT:
                    continue
                if len(open_) > _DEEPEST:
                    raise RecursionError
                if _is_left_out(child, omissions, hidden=hidden, in_content=in_content):
                    continue
                if child.contents:
                    kept.append(child)
                    inside = in_content or child.name in ("main", "article")
                    open_.append((child, iter(child.contents), [], inside))
                    break
            kept.append(child)
        else:
            if len(kept) < len(element.contents):
                element.contents = tuple(kept)
            open_.pop()


def _is_left_out(element: Element, omissions: Omissions, *, hidden: bool, in_content: bool) -> bool:
    """Whether an element is no text of the document, its words counted where they are to be;
    `in_content`: an article is around it."""
    style = element.get("style") or ""
    if element.name in _STRUCK or (style and _STRUCK_STYLE.search(style)):
        _count(element, omissions, "words of struck-out text")
    elif not hidden and element.name not in ("html", "body") and _is_hidden(element, style):
        _count(element, omissions, "words of hidden elements", hidden=True)
    elif name := _site_part(element, in_content=in_content):
        _count(element, omissions, AROUND, name=name)
    elif element.name != "a" or not _is_permalink(element):
        if element.name == "select":
            _keep_chosen(element, omissions)
        return False
    return True


def _is_hidden(element: Element, style: str) -> bool:
    if element.has("hidden") or element.get("aria-hidden") == "true":
        return True
    if element.name == "dialog":
        return not element.has("open")
    if not style:
        return False
    stated = dict(_declarations(style))  # the last one counts
    return any(stated.get(name) in values for name, values in _HIDING.items())


def _site_part(element: Element, *, in_content: bool) -> str:
    """What the site shows of itself in this element: a name for the list of what was left out."""
    role = (element.get("role") or "").lower()
    if role in _NOTES or _NOTES.intersection((element.get("epub:type") or "").lower().split()):
        return ""
    if element.name in _AROUND or role in _AROUND_ROLES:
        return element.name if element.name in _AROUND else role
    outside = element.name in _AROUND_OUTSIDE or role in _AROUND_ROLES_OUTSIDE
    if outside and not in_content:
        return element.name if element.name in _AROUND_OUTSIDE else role
    called = {*_classes(element), element.get("id") or ""}
    names = _AROUND_NAMES & called
    likely = _AROUND_IF_LINKS & called
    if likely and 2 * sum(map(word_count, element.all("a"))) >= word_count(element):
        names |= likely
    return min(names, default="")


def _classes(element: Element) -> list[str]:
    return (element.get("class") or "").split()


def _is_permalink(link: Element) -> bool:
    return link.get("href") == "#" and (
        "".join(link.strings()).strip() in _PERMALINKS and link.first("img") is None
    )


def _keep_chosen(select: Element, omissions: Omissions) -> None:
    """Of a list to choose from, what was chosen is content; the rest is the form's."""
    groups = [element for element in select.descendants() if element.name != "option"]
    for group in (select, *groups):
        kept: list[Element | str] = []
        for child in group.contents:
            if isinstance(child, str) or child.name != "option" or child.has("selected"):
                kept.append(child)
            else:
                _count(child, omissions, AROUND, name="select")
        group.contents = tuple(kept)


def _count(
    element: Element, omissions: Omissions, kind: str, *, name: str = "", hidden: bool = False
) -> None:
    words = word_count(element) + len(words_of(element.get("srcdoc") or "").split())
    if words:
        omissions.add(kind, name, count=words, hidden=hidden)


def _write_styles_inline(markup: Markup) -> None:
    """Give elements the styles that a <style> sheet states for their name, class or id, as far as
    they hide, strike or raise text. Longer selectors and those within @media are passed over."""
    styles: dict[str, list[tuple[str, str]]] = {}  # ".class", "#id" or "name" -> (name, style)
    for selectors, body in _rules(_COMMENT.sub(" ", markup.sheet)):
        stated = [entry for entry in _declarations(body) if entry[0] in _READ_STYLES]
        style = "; ".join(f"{name}: {value}" for name, value in stated)
        for selector in selectors.split(",") if style else ():
            simple = _SIMPLE.fullmatch(selector.strip())
            if simple and simple[0]:
                name = (simple[1] or "").lower()
                key = f"{simple[2]}{simple[3]}" if simple[2] else name
                styles.setdefault(key, []).append((name, style))
    shared: dict[str, str] = {}
    for element in markup.root.descendants() if styles else ():
        names = (f".{name}" for name in _classes(element))
        keys = [element.name, *names, f"#{element.get('id') or ''}"]
        own = [
            style
            for key in keys
            for name, style in styles.get(key, ())
            if name in ("", element.name)
        ]
        if own:
            style = "; ".join([*own, element.get("style") or ""])
            element.put("style", shared.setdefault(style, style))


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
