"""What a library came to: the content of library.json, and what of it a receipt and a screen have
room for. Knows nothing of how it was made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NotRequired, Required, TypedDict

from ..documents.omissions import is_routine

SHOWN = 40  # rows of a list on a screen; twenty broken files are all named


class DocumentRow(TypedDict, total=False):
    """A file of the library. One that was read has all of the first group (`own_tags`: what the
    file itself states; `warnings` where there are any), one that was not has `skipped`, a reason."""

    document: Required[str]
    title: str
    date: str | None
    language: str  # as `fieldpack.language` has it; not there for English and unknown ones
    tags: list[str]
    own_tags: list[str]
    pages: int
    chunks: int
    characters: int
    warnings: list[str]

    sha256: str  # of its bytes; none of one that was not opened
    skipped: str
    lasting: bool  # its bytes are at fault, so it is not tried again before they change
    same_as: str  # the document with the same bytes, which was read in its place


class Totals(TypedDict):
    """How many documents were read, are the same as another, skipped, or read in part (`warned`);
    the others are of those that were read."""

    documents: int
    same: int
    skipped: int
    warned: int
    pages: int
    chunks: int
    characters: int


class Library(TypedDict):
    """library.json: rows by path, totals, and what was no document at all, counted by suffix."""

    documents: list[DocumentRow]
    totals: Totals
    other_formats: dict[str, int]


class Listed(TypedDict):
    """Skipped, same and warned documents as [document, words] pairs, as far as there is room.

    `around`: how many of those that were read in part lack the site around their content alone;
    they are in no list.
    """

    skipped: list[list[str]]
    same: list[list[str]]
    warned: list[list[str]]
    around: NotRequired[int]
    other_formats: dict[str, int]


class LibraryResult(Totals):
    """What the receipt of a knowledge stage says of it. `embedded`, `read_now`: chunks and documents
    that were new; `resumed`: an interrupted run went on."""

    listed: Listed
    embedded: NotRequired[int]
    read_now: NotRequired[int]
    resumed: NotRequired[bool]


def library_of(rows: Iterable[DocumentRow], *, other_formats: Mapping[str, int]) -> Library:
    """Return the content of library.json for the rows of all files, in any order."""
    ordered = sorted(rows, key=lambda row: row["document"])
    return {"documents": ordered, "totals": totals(ordered), "other_formats": dict(other_formats)}


def totals(rows: Sequence[DocumentRow]) -> Totals:
    """Return the totals of the rows of all files."""
    read = [row for row in rows if "chunks" in row]
    return {
        "documents": len(read),
        "same": sum("same_as" in row for row in rows),
        "skipped": sum("skipped" in row for row in rows),
        "warned": sum(bool(row.get("warnings")) for row in read),
        "pages": sum(row["pages"] for row in read),
        "chunks": sum(row["chunks"] for row in read),
        "characters": sum(row["characters"] for row in read),
    }


def listed(library: Library, max_rows: int = SHOWN) -> Listed:
    """Return what a receipt lists, at most `max_rows` of each kind."""
    rows = library["documents"]

    def reason(row: DocumentRow, words: str) -> str:
        return words.removeprefix(f"{row['document']}: ")

    skipped = [[row["document"], reason(row, row["skipped"])] for row in rows if "skipped" in row]
    same = [[row["document"], f"same as {row['same_as']}"] for row in rows if "same_as" in row]
    in_part = [row for row in rows if row.get("warnings")]
    warned = [
        [row["document"], "; ".join(reason(row, warning) for warning in row["warnings"])]
        for row in in_part
        if not all(map(is_routine, row["warnings"]))
    ]
    return {
        "skipped": skipped[:max_rows],
        "same": same[:max_rows],
        "warned": warned[:max_rows],
        "around": len(in_part) - len(warned),
        "other_formats": library["other_formats"],
    }
