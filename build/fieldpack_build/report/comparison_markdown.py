"""Two bundles compared as Markdown: one comment under a change, in CI."""

from __future__ import annotations

from collections.abc import Iterator

from ..evaluation.compare import Comparison
from .comparison import differences, figure_lines, headline

_SHOWN = 10
_MARKS = {ord(mark): f"&#{ord(mark)};" for mark in "&<>|[]`*_~@#\\"}


def markdown(compared: Comparison) -> str:
    """Return the comparison as GitHub's Markdown: headline, figures, questions that turned for the
    worse, what was built differently. Texts of documents and questions cannot end a table's cell or
    begin a tag."""
    return "\n".join(_lines(compared)) + "\n"


def _lines(compared: Comparison) -> Iterator[str]:
    one, other = (f"{bundle.name} {bundle.version}" for bundle in (compared.a, compared.b))
    yield f"### {_cell(other)} against {_cell(one)}"
    yield ""
    yield headline(compared)
    yield ""
    yield "| | A | B | B - A | 95% interval | |"
    yield "|---|---:|---:|---:|---|---|"
    for line in figure_lines(compared):
        tone = line.tone if line.tone in ("better", "worse") else ""
        yield (
            f"| {_cell(line.label)} | {line.one} | {line.other} | {line.difference} | {line.range}"
            f" | {tone} |"
        )
    turned = compared.turned
    for rows, word in (
        (turned.worse, "right in A, not in B"),
        (turned.better, "right in B, not in A"),
    ):
        if rows:
            yield ""
            yield (
                f"<details{' open' if rows is turned.worse else ''}><summary>{len(rows)}"
                f" {word}</summary>"
            )
            yield ""
            for row in rows[:_SHOWN]:
                yield f"- {_cell(row.question)} ({row.a.outcome} -> {row.b.outcome})"
            yield from [f"- and {len(rows) - _SHOWN} more"] if len(rows) > _SHOWN else []
            yield ""
            yield "</details>"
    for heading, changed in differences(compared):
        yield ""
        yield f"<details><summary>{heading}: {len(changed)}</summary>"
        yield ""
        for what, before, now in changed[: 3 * _SHOWN]:
            yield (
                f"- {_cell(what)}: {_cell(before)} -> {_cell(now)}"
                if before
                else f"- {_cell(what)}: {_cell(now)}"
            )
        yield from [f"- and {len(changed) - 3 * _SHOWN} more"] if len(changed) > 3 * _SHOWN else []
        yield ""
        yield "</details>"


def _cell(text: str) -> str:
    """Return text that stays text: no end of a cell, no tag, no mention of a person, no link."""
    return " ".join(str(text).split()).translate(_MARKS)
