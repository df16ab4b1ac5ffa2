"""What a library came to, in figures and in short lists: library.json, and what of it a receipt and
a screen have room for. Knows nothing of how it was made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

SHOWN = 40  # rows of a list on a screen; twenty broken files are all named
Row = Mapping[str, Any]


def library_of(rows: Iterable[Row], *, other_formats: Mapping[str, int]) -> dict[str, Any]:
    """The content of library.json: rows by path, totals, and what was no document at all."""
    ordered = sorted(rows, key=lambda row: row["document"])
    return {"documents": ordered, "totals": totals(ordered), "other_formats": dict(other_formats)}


def totals(rows: Sequence[Row]) -> dict[str, int]:
    read = [row for row in rows if "chunks" in row]
    return {
        "documents": len(read),
        "same": sum("same_as" in row for row in rows),
        "skipped": sum("skipped" in row for row in rows),
        "warned": sum(bool(row.get("warnings")) for row in read),
        **{name: sum(row[name] for row in read) for name in ("pages", "chunks", "characters")},
    }


def listed(library: Mapping[str, Any], most: int = SHOWN) -> dict[str, Any]:
    """Skipped, same and warned documents as [document, words] pairs, at most `most` of each: for a
    receipt."""
    rows = library["documents"]
    skipped = [
        [row["document"], _without_name(row["skipped"], row["document"])]
        for row in rows
        if "skipped" in row
    ]
    same = [[row["document"], f"same as {row['same_as']}"] for row in rows if "same_as" in row]
    warned = [
        [row["document"], "; ".join(_without_name(w, row["document"]) for w in row["warnings"])]
        for row in rows
        if row.get("warnings")
    ]
    return {
        "skipped": skipped[:most],
        "same": same[:most],
        "warned": warned[:most],
        "other_formats": library["other_formats"],
    }


def _without_name(reason: str, document: str) -> str:
    return reason.removeprefix(f"{document}: ")
