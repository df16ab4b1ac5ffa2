"""Writes the strings of an HTML element on a line: superscripts apart, formulas, fields of forms and
what pictures say of themselves. Knows nothing of paragraphs, lists and tables."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from fieldpack_build.documents.pages import squeeze
from fieldpack_build.documents.raised import lower, raise_, settle
from fieldpack_build.documents.web.tree import Element

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


def text_of(element: Element) -> str:
    """Return all words of an element on one line, with a space where a block begins or ends."""
    return one_line(strings(element, None))


def one_line(parts: Iterable[str]) -> str:
    """Return strings of an element joined on one line."""
    return squeeze(settle("".join(parts)).replace(LINE, " "))


def strings(element: Element, lists: list[Element] | None) -> list[str]:
    """Return the strings in an element; the lists in it are set aside in `lists`, if there is one."""
    parts: list[str] = []
    _add_inside(element, lists, parts)
    return parts


def inline(element: Element) -> str:
    """Return the text of an element, itself included.

    A superscript is marked as one, a formula is written on one line.
    """
    parts: list[str] = []
    _add(element, None, parts)
    return "".join(parts)


def words(text: str) -> str:
    """Return a string of the tree without places to break a line (soft hyphens, blanks of no
    width), which are no part of a word."""
    return text if text.isascii() else _BREAKS.sub("", text)


def _add_inside(element: Element, lists: list[Element] | None, parts: list[str]) -> None:
    for child in element.contents:
        if isinstance(child, str):
            parts.append(words(child))
        elif lists is not None and child.name in LISTS:
            lists.append(child)
        else:
            _add(child, lists, parts)


def _add(element: Element, lists: list[Element] | None, parts: list[str]) -> None:
    write = WRITERS.get(element.name)
    if write is not None:
        parts.append(write(element))
        return
    is_block = element.name in BLOCKS
    style = element.get("style")
    placed = _PLACED_STYLE.search(style) if style and not is_block else None
    if placed:
        inner = "".join(strings(element, lists)).strip()
        parts.append((raise_ if placed[1] else lower)(inner))
        return
    if is_block:
        parts.append(" ")
    _add_inside(element, lists, parts)
    if is_block:
        parts.append(" ")


def _inner(element: Element) -> str:
    return "".join(strings(element, None))


def _alternative(picture: Element) -> str:
    """What a picture says of itself; decoration says nothing, and the name of a file is nothing."""
    said = squeeze(picture.get("alt") or "")
    return "" if not said or re.fullmatch(r"\S+\.\w{3,4}", said) else f" [{said}] "


def _filled(field: Element) -> str:
    """What a field of a form shows."""
    kind = (field.get("type") or "").lower()
    if kind in ("checkbox", "radio"):
        return "☒ " if field.has("checked") else "☐ "
    return f" {field.get('value') or ''} " if kind in _SHOWN_INPUTS else ""


def _parts(formula: Element) -> list[str]:
    """The texts of a formula's parts."""
    return [inline(part).strip() for part in formula.elements()]


def _grouped(text: str) -> str:
    text = settle(text)
    return text if text.isalnum() else f"({text})"


def _scripts(formula: Element, *, places: Sequence[Callable[[str], str]]) -> str:
    """MathML's base with what stands at its upper or lower right."""
    base, *others = _parts(formula) or [""]
    settled = map(settle, others)
    return base + "".join(place(other) for place, other in zip(places, settled, strict=False))


def _below(text: str) -> str:
    return f"_{text}" if text.isalnum() else f"_({text})"


WRITERS: dict[str, Callable[[Element], str]] = {
    "br": lambda element: LINE,
    "sup": lambda element: raise_(_inner(element).strip()),
    "sub": lambda element: lower(_inner(element).strip()),
    "rt": lambda element: f"({_inner(element)})",
    "img": _alternative,
    "input": _filled,
    # Boxes: what one says does not touch what stands beside it.
    **dict.fromkeys(
        ("textarea", "option", "progress", "meter"), lambda element: f" {_inner(element)} "
    ),
    "msup": lambda element: _scripts(element, places=(raise_,)),
    "msub": lambda element: _scripts(element, places=(_below,)),
    "msubsup": lambda element: _scripts(element, places=(_below, raise_)),
    "munder": lambda element: _scripts(element, places=(_below,)),
    "mover": lambda element: _scripts(element, places=(raise_,)),
    "munderover": lambda element: _scripts(element, places=(_below, raise_)),
    "mfrac": lambda element: "/".join(_grouped(part) for part in _parts(element)),
    "msqrt": lambda element: f"√({settle(_inner(element))})",
    "mroot": lambda element: "√".join(_grouped(part) for part in reversed(_parts(element))),
}
