"""Writes Word's equations (OMML, ECMA-376 part 1, 22.1) on one line that a person can read:
"E=mc²", "(a+b)/(2c)", "√(x)".

Knows nothing of paragraphs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fieldpack_build.documents.raised import raise_, settle

M = "{http://schemas.openxmlformats.org/officeDocument/2006/math}"
_PROPERTIES = frozenset(
    f"{M}{name}Pr"
    for name in (
        "ctrl",
        "f",
        "sSup",
        "sSub",
        "sSubSup",
        "sPre",
        "rad",
        "nary",
        "d",
        "func",
        "m",
        "eqArr",
        "acc",
        "bar",
        "limLow",
        "limUpp",
        "box",
        "borderBox",
        "groupChr",
        "phant",
        "r",
        "oMathPara",
    )
)


def written(equation: Any) -> str:
    """Return the text of an `m:oMath` or `m:oMathPara`."""
    return settle(_all(equation)).strip()


def _all(element: Any | None) -> str:
    """The text of all that is inside an element, its properties aside."""
    texts: list[str] = []
    for child in element if element is not None else ():
        if child.tag in _PROPERTIES or not isinstance(child.tag, str):
            continue
        if child.tag.rpartition("}")[2] == "t":
            texts.append(child.text or "")
        else:
            texts.append(_WRITERS.get(child.tag.removeprefix(M), _all)(child))
    return "".join(texts)


def _part(element: Any, name: str) -> str:
    return _all(element.find(f"{M}{name}"))


def _grouped(text: str) -> str:
    """In parentheses where it is more than one number or name."""
    text = settle(text)
    return text if len(text) < 2 or text.replace(".", "").isalnum() else f"({text})"


def _property(element: Any, name: str, otherwise: str) -> str:
    """A character that the element's properties state; an empty one is none."""
    kind = element.tag.removeprefix(M)
    stated = element.find(f"{M}{kind}Pr/{M}{name}")
    return otherwise if stated is None else stated.get(f"{M}val", "")


def _up(text: str) -> str:
    return raise_(settle(text))


def _down(text: str) -> str:
    text = settle(text)
    return f"_{text}" if text.isalnum() else f"_({text})" if text else ""


def _root(element: Any) -> str:
    degree = settle(_part(element, "deg"))
    return f"{settle(raise_(degree)) if degree else ''}√({settle(_part(element, 'e'))})"


def _sum(element: Any) -> str:
    sign = _property(element, "chr", "∫")
    under, over = (settle(_part(element, name)) for name in ("sub", "sup"))
    limits = f" from {under}" * bool(under) + f" to {over}" * bool(over)
    return f"{sign}{limits and f'[{limits.strip()}]'} {_part(element, 'e')}"


def _delimited(element: Any) -> str:
    begin, end = _property(element, "begChr", "("), _property(element, "endChr", ")")
    between = _property(element, "sepChr", "|")
    return f"{begin}{between.join(_all(part) for part in element.findall(f'{M}e'))}{end}"


def _matrix(element: Any) -> str:
    rows = (
        ", ".join(_all(cell) for cell in row.findall(f"{M}e")) for row in element.findall(f"{M}mr")
    )
    return f"[{'; '.join(rows)}]"


_WRITERS: dict[str, Callable[[Any], str]] = {
    "f": lambda e: f"{_grouped(_part(e, 'num'))}/{_grouped(_part(e, 'den'))}",
    "rad": _root,
    "nary": _sum,
    "d": _delimited,
    "m": _matrix,
    "func": lambda e: f"{_part(e, 'fName')} {_part(e, 'e')}",
    "sSup": lambda e: _part(e, "e") + _up(_part(e, "sup")),
    "sSub": lambda e: _part(e, "e") + _down(_part(e, "sub")),
    "sSubSup": lambda e: _part(e, "e") + _down(_part(e, "sub")) + _up(_part(e, "sup")),
    "sPre": lambda e: _up(_part(e, "sup")) + _down(_part(e, "sub")) + _part(e, "e"),
    "eqArr": lambda e: "; ".join(_all(line) for line in e.findall(f"{M}e")),
    "acc": lambda e: _part(e, "e") + _property(e, "chr", "̂"),
    "limLow": lambda e: f"{_part(e, 'e')}[{settle(_part(e, 'lim'))}]",
    "limUpp": lambda e: f"{_part(e, 'e')}[{settle(_part(e, 'lim'))}]",
}
