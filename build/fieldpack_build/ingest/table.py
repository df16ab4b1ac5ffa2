"""The table at the end of a knowledge build: what was read, what was not and why. Lines for a log,
a rich table for a terminal, from the result that the stage's receipt keeps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

_LISTS = (("skipped", "skipped"), ("same", "the same as another"), ("warned", "read in part"))
_HEAD = ("", "documents", "pages", "chunks")


def figures(result: Mapping[str, Any]) -> list[tuple[str, str, str, str]]:
    """(what, documents, pages, chunks) as text."""
    rows = [("read", f"{result['documents']:,}", f"{result['pages']:,}", f"{result['chunks']:,}")]
    for what, key in (("the same as another", "same"), ("skipped", "skipped")):
        if result[key]:
            rows.append((what, f"{result[key]:,}", "", ""))
    return rows


def lines(result: Mapping[str, Any]) -> list[str]:
    """Plain text, without an indentation."""
    table = [_HEAD, *figures(result)]
    widths = [max(len(row[column]) for row in table) for column in range(len(_HEAD))]
    found = [
        f"{row[0]:<{widths[0]}}  " + "  ".join(f"{row[i]:>{widths[i]}}" for i in (1, 2, 3))
        for row in table
    ]
    for title, rows, more in lists(result):
        found.append(f"{title}:")
        found += [f"  {document}  {words}" for document, words in rows]
        found += [f"  {more}"] if more else []
    if passed := passed_over(result):
        found.append(passed)
    return [line.rstrip() for line in found]


def lists(result: Mapping[str, Any]) -> Iterable[tuple[str, list[list[str]], str]]:
    """(title, [document, words] rows, how many more there are) of each list that is not empty."""
    for key, title in _LISTS:
        rows = result["listed"][key]
        if rows:
            more = result[key] - len(rows)
            yield title, rows, f"... and {more:,} more, all in library.json" if more else ""


def passed_over(result: Mapping[str, Any]) -> str:
    counts = result["listed"]["other_formats"]
    return (
        "no documents: " + ", ".join(f"{count:,} {suffix}" for suffix, count in counts.items())
        if counts
        else ""
    )


def print_rich(result: Mapping[str, Any]) -> None:
    """On stderr, as wide as the terminal; long reasons wrap in their column."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(stderr=True)
    head = Table(box=None, pad_edge=False, show_edge=False, padding=(0, 2, 0, 0))
    for name in _HEAD:
        head.add_column(name, justify="left" if not name else "right")
    for figure in figures(result):
        head.add_row(*figure)
    console.print(head)
    for title, rows, more in lists(result):
        table = Table(
            box=None,
            pad_edge=False,
            show_header=False,
            padding=(0, 2, 0, 0),
            title=title,
            title_justify="left",
        )
        table.add_column(overflow="fold", ratio=2)
        table.add_column(overflow="fold", ratio=5)
        for row in rows:
            table.add_row(
                *(Text(cell) for cell in row)
            )  # as it is: a name may look like rich's markup
        console.print(table)
        if more:
            console.print(Text(more))
    if passed := passed_over(result):
        console.print(Text(passed))
