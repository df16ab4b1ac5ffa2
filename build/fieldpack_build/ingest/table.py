"""Shows what a knowledge build came to: what was read, what was not and why.

Lines for a log, a rich table for a terminal, from the result that the stage's receipt keeps.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from .summary import LibraryResult

_Kind = Literal["skipped", "same", "warned"]
_LISTS: tuple[tuple[_Kind, str], ...] = (
    ("skipped", "skipped"),
    ("same", "the same as another"),
    ("warned", "read in part"),
)
_HEAD = ("", "documents", "pages", "chunks")


def figures(result: LibraryResult) -> list[tuple[str, str, str, str]]:
    """Return (what, documents, pages, chunks) as text, a row a kind."""
    rows = [("read", f"{result['documents']:,}", f"{result['pages']:,}", f"{result['chunks']:,}")]
    for what, count in (("the same as another", result["same"]), ("skipped", result["skipped"])):
        if count:
            rows.append((what, f"{count:,}", "", ""))
    return rows


def lines(result: LibraryResult) -> list[str]:
    """Return the table as plain text, without an indentation."""
    table = [_HEAD, *figures(result)]
    widths = [max(len(row[column]) for row in table) for column in range(len(_HEAD))]
    shown = [
        f"{row[0]:<{widths[0]}}  " + "  ".join(f"{row[i]:>{widths[i]}}" for i in (1, 2, 3))
        for row in table
    ]
    for title, rows, more in lists(result):
        shown.append(f"{title}:")
        shown += [f"  {document}  {words}" for document, words in rows]
        shown += [f"  {more}"] if more else []
    if passed := passed_over(result):
        shown.append(passed)
    return [line.rstrip() for line in shown]


def lists(result: LibraryResult) -> Iterable[tuple[str, list[list[str]], str]]:
    """Return each list that is not empty.

    It is (title, [document, words] rows, how many more there are).
    """
    for key, title in _LISTS:
        rows = result["listed"][key]
        around = result["listed"].get("around", 0) if key == "warned" else 0
        if rows or around:
            more = result[key] - len(rows) - around
            rest = [f"{more:,} more"] if more else []
            if around:
                pages = f"{around:,} web page" + ("s" if around > 1 else "")
                rest.append(f"{pages} without the site around the content (menus, heads, feet)")
            where = "all in library.json" if rows else "in library.json"
            start = "... and " if rows else ""
            yield title, rows, f"{start}{' and '.join(rest)}, {where}" if rest else ""


def passed_over(result: LibraryResult) -> str:
    """Return a line that counts, by suffix, the files that are no documents; "" for none."""
    counts = result["listed"]["other_formats"]
    return (
        "no documents: " + ", ".join(f"{count:,} {suffix}" for suffix, count in counts.items())
        if counts
        else ""
    )


def print_rich(result: LibraryResult) -> None:
    """Print the table on stderr, as wide as the terminal; long reasons wrap in their column."""
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
