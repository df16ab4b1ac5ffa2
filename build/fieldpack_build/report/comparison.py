"""Two bundles compared, as lines for a terminal and as a page. Knows nothing of how the comparison
was made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .tables import COLUMNS, NONE, Column, signed, text_of

_COLUMNS = {column.key: column for column in COLUMNS}
_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Line:
    """One figure: `tone` is better, worse, noise or empty."""

    label: str
    one: str
    other: str
    difference: str
    range: str
    tone: str


def figure_lines(compared: Mapping[str, Any]) -> list[Line]:
    found = []
    for row in compared["figures"]:
        column = _COLUMNS.get(row["figure"], Column(row["figure"], row["figure"]))
        gap, low, high = row["difference"], row["low"], row["high"]
        edges = "" if low is None else f"{signed(column, low)} to {signed(column, high)}"
        found.append(
            Line(
                column.label,
                text_of(column, row["A"]),
                text_of(column, row["B"]),
                NONE if gap is None else signed(column, gap),
                edges,
                row["tone"],
            )
        )
    return found


def headline(compared: Mapping[str, Any]) -> str:
    """B against A in a sentence."""
    score = compared["score"]
    if score is None:
        return "No question was asked of both: their answers cannot be compared."
    words = (
        "better"
        if score["low"] > 0
        else "worse"
        if score["high"] < 0
        else "not told apart from A by noise"
    )
    return (
        f"B is {words}: {score['B']:.3f} against {score['A']:.3f} in score, a difference of "
        f"{score['value']:+.3f} "
        f"(95% {score['low']:+.3f} to {score['high']:+.3f}) on {compared['questions']['common']} "
        "common questions."
    )


def lines(compared: Mapping[str, Any]) -> list[str]:
    """What `build compare` prints."""
    found = [f"{name}: {_name(compared[name])}" for name in ("A", "B")]
    found += [
        "",
        headline(compared),
        *notes(compared),
        "",
        f"{'':<18}{'A':>10}{'B':>10}{'B - A':>10}   95% interval",
    ]
    for line in figure_lines(compared):
        word = f"  {line.tone}" if line.tone in ("better", "worse") else ""
        found.append(
            f"{line.label:<18}{line.one:>10}{line.other:>10}{line.difference:>10}   "
            f"{line.range}{word}".rstrip()
        )
    for kind, word in (("worse", "right in A, not in B"), ("better", "right in B, not in A")):
        rows = compared["turned"][kind]
        if rows:
            found += ["", f"{word}: {len(rows)}"]
            found += [
                f"  {row['question']}  ({row['A']['outcome']} -> {row['B']['outcome']})"
                for row in rows[:_SHOWN]
            ]
            found += [f"  ... and {len(rows) - _SHOWN} more"] if len(rows) > _SHOWN else []
    return [*found, *_built(compared)]


def differences(compared: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, str, str]]]]:
    """(heading, [(what, in A, in B)]) of what was built differently; headings without a row are
    left out."""
    documents = [
        (name, *_marks(kind))
        for kind in ("added", "removed", "changed")
        for name in compared["documents"][kind]
    ]
    stages = [(name, "", word) for name, word in compared["stages"].items() if word != "same"]
    sizes = [
        (role, f"{a:,.1f} MB", f"{b:,.1f} MB")
        for role, (a, b) in compared["sizes"].items()
        if a != b
    ]
    recipe = [(key, _value(a), _value(b)) for key, (a, b) in compared["recipe"].items()]
    tools = [(key, _value(a), _value(b)) for key, (a, b) in compared["tools"].items()]
    parts = [
        ("Recipe", recipe),
        ("Documents", documents),
        ("Stages", stages),
        ("Tools", tools),
        ("Sizes", sizes),
    ]
    return [(heading, rows) for heading, rows in parts if rows]


def _built(compared: Mapping[str, Any]) -> list[str]:
    found = []
    for heading, rows in differences(compared):
        found += ["", f"{heading.lower()}:"]
        found += [
            f"  {what}: {one} -> {other}" if one else f"  {what}: {other}"
            for what, one, other in rows[: 3 * _SHOWN]
        ]
        found += [f"  ... and {len(rows) - 3 * _SHOWN} more"] if len(rows) > 3 * _SHOWN else []
    return found or ["", "built alike"]


def _marks(kind: str) -> tuple[str, str]:
    return {
        "added": ("–", "added"),
        "removed": ("there", "removed"),
        "changed": ("there", "changed"),
    }[kind]


def notes(compared: Mapping[str, Any]) -> list[str]:
    asked = compared["questions"]
    parts = [
        (asked["changed"], "expect another answer now"),
        (asked["only_a"], "were asked of A alone"),
        (asked["only_b"], "were asked of B alone"),
    ]
    told = [f"{count} {words}" for count, words in parts if count]
    return [f"Left out: {', '.join(told)}."] if told else []


def _name(about: Mapping[str, Any]) -> str:
    return (
        f"{about['name']} {about['version']} ({about['arm']}, {about['asked']} questions), "
        f"{about['folder']}"
    )


def _value(value: object) -> str:
    if value is None:
        return NONE
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= 120 else text[:119] + "…"
