"""Writes the strings of an HTML element on a line: superscripts apart, formulas, fields of forms and
what pictures say of themselves. Knows nothing of paragraphs, lists and tables."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from fieldpack_build.documents.pages import squeeze
from fieldpack_build.documents.raised import lower, raise_, settle

if TYPE_CHECKING:
    from bs4.element import PageElement, Tag

HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
LISTS = ("ul", "ol", "menu")
# fmt: off
BLOCKS = frozenset((
    *HEADINGS, *LISTS, "html", "body", "main", "article", "section", "header", "div", "p", "table",
    "caption", "dl", "dt", "dd", "pre", "blockquote", "figure", "figcaption", "details", "summary",
    "address", "hr", "form", "fieldset", "legend", "hgroup", "center", "li", "tr", "td", "th",
    "thead", "tbody", "tfoot", "dialog",
))
# fmt: on
LINE = "\0"  # a line's end inside a paragraph; decoded text has no such character
_PLACED_STYLE = re.compile(
    r"vertical-align\s*:\s*(?:(super|[+]?(?=[\d.]*[1-9])[\d.]+(?:[a-z]+|%))|(sub|-[\d.]+(?:[a-z]+|%)))",
    re.IGNORECASE,
)
# fmt: off
_SHOWN_INPUTS = (
    "", "text", "number", "date", "datetime-local", "email", "month", "tel", "time", "url", "week",
)
# fmt: on
_BREAKS = re.compile("[\u00ad\u200b\u2060]")


def text_of(tag: Tag) -> str:
    """Return all words of an element on one line, with a space where a block begins or ends."""
    return one_line(strings(tag, None))


def one_line(parts: Iterator[str]) -> str:
    """Return strings of an element joined on one line."""
    return squeeze(settle("".join(parts)).replace(LINE, " "))


def strings(tag: Tag, lists: list[Tag] | None) -> Iterator[str]:
    """Yield the strings in an element; the lists in it are set aside in `lists`, if there is one."""
    for child in tag.children:
        inner = as_tag(child)
        if inner is None:
            yield words(child)
        elif lists is not None and inner.name in LISTS:
            lists.append(inner)
        else:
            yield from inline(inner, lists)


def inline(tag: Tag, lists: list[Tag] | None) -> Iterator[str]:
    """Yield the strings of an element, itself included.

    A superscript is marked as one, a formula is written on one line.
    """
    write = WRITERS.get(tag.name)
    if write is not None:
        yield write(tag)
        return
    style = tag.get("style")
    placed = _PLACED_STYLE.search(str(style)) if style else None
    if placed and tag.name not in BLOCKS:
        yield (raise_ if placed[1] else lower)("".join(strings(tag, lists)).strip())
        return
    space = " " if tag.name in BLOCKS else ""
    yield space
    yield from strings(tag, lists)
    yield space


def _inner(tag: Tag) -> str:
    return "".join(strings(tag, None))


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
        "".join(inline(part, None)).strip()
        for child in tag.children
        if (part := as_tag(child)) is not None
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


WRITERS: dict[str, Callable[[Tag], str]] = {
    "br": lambda tag: LINE,
    "sup": lambda tag: raise_(_inner(tag).strip()),
    "sub": lambda tag: lower(_inner(tag).strip()),
    "rt": lambda tag: f"({_inner(tag)})",
    "img": _alternative,
    "input": _filled,
    # Boxes: what one says does not touch what stands beside it.
    **dict.fromkeys(("textarea", "option", "progress", "meter"), lambda tag: f" {_inner(tag)} "),
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


def as_tag(element: PageElement) -> Tag | None:
    """Return `element` if it is a tag and not a string."""
    from bs4.element import Tag

    return element if isinstance(element, Tag) else None


def words(element: PageElement) -> str:
    """Return the text of a string in the tree; comments, doctypes and CDATA are none."""
    from bs4.element import NavigableString, RubyTextString

    # Soft hyphens and blanks of no width are places to break a line, and no part of the word.
    return (
        _BREAKS.sub("", str(element)) if type(element) in (NavigableString, RubyTextString) else ""
    )
