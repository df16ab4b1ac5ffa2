"""What a build says of its library: documents that lack what a reader would miss are named before
those that lack the menus around a page alone."""

from __future__ import annotations

from fieldpack_build.ingest.summary import DocumentRow, LibraryResult, library_of, listed
from fieldpack_build.ingest.table import lines

AROUND = "not read: 19 words of the site around the content (header, footer)"


def row(name: str, *warnings: str) -> DocumentRow:
    return {
        "document": name,
        "pages": 1,
        "chunks": 2,
        "characters": 9,
        "warnings": [f"{name}: {warning}" for warning in warnings],
    }


def result(*rows: DocumentRow, max_rows: int = 40) -> LibraryResult:
    library = library_of(rows, other_formats={})
    return {**library["totals"], "listed": listed(library, max_rows)}


def test_pages_without_their_menus_alone_are_counted_and_not_listed() -> None:
    struck = "not read: 2 words of struck-out text"
    rows = [
        row("a.html", AROUND),
        row("b.html", AROUND, struck),
        row("c.html", AROUND),
        row("d.md"),
    ]
    site = "without the site around the content (menus, heads, feet)"
    assert lines(result(*rows))[2:] == [
        "read in part:",
        f"  b.html  {AROUND}; {struck}",
        f"  ... and 2 web pages {site}, all in library.json",
    ]
    assert lines(result(row("a.html", AROUND)))[2:] == [
        "read in part:",
        f"  1 web page {site}, in library.json",
    ]


def test_what_a_screen_has_no_room_for_is_counted() -> None:
    rows = [row(f"{name}.pdf", "1 struck passage is left out") for name in "abc"]
    assert lines(result(*rows, row("d.html", AROUND), max_rows=2))[-1] == (
        "  ... and 1 more and 1 web page without the site around the content (menus, heads, feet),"
        " all in library.json"
    )
    assert lines(result(*rows, max_rows=2))[-1] == "  ... and 1 more, all in library.json"
