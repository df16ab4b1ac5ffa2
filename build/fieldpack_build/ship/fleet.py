"""Which device runs what, from the status files that came back on sticks. Knows nothing of how they
were made."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ..errors import DataError

_KIND = "fieldpack-status"
_MAX_BYTES = 1 << 20  # bytes of one status


def read_statuses(places: Iterable[Path]) -> list[dict[str, Any]]:
    """Read status files, or all `*.json` of folders that are some; of one device the newest by the
    signatures that it has seen. Raises DataError for a file that is named and is none."""
    newest: dict[str, dict[str, Any]] = {}
    for place in places:
        inside = sorted(place.glob("*.json")) if place.is_dir() else [place]
        for path in inside:
            status = _read(path, required=not place.is_dir())
            if status is not None:
                before = newest.get(status["device"])
                if before is None or status["signed"] >= before["signed"]:
                    newest[status["device"]] = {**status, "file": path.name}
    return [newest[device] for device in sorted(newest)]


def rows(statuses: Sequence[dict[str, Any]]) -> list[list[str]]:
    """Return a row for each bundle on each device; those behind the highest release of a bundle's
    channel say so."""
    highest: dict[tuple[str, str], int] = {}
    for bundle in (one for status in statuses for one in status["bundles"]):
        key = (bundle["name"], bundle["channel"])
        highest[key] = max(highest.get(key, 0), bundle["current"]["number"])
    table_rows = []
    for status in statuses:
        for bundle in status["bundles"]:
            notes = []
            behind = highest[bundle["name"], bundle["channel"]] - bundle["current"]["number"]
            notes += [f"{behind} behind"] if behind else []
            notes += ["WITHDRAWN"] if bundle["withdrawn"] else []
            notes += [bundle["failed"]] if bundle["failed"] else []
            now = bundle["current"]
            table_rows.append(
                [
                    status["device"],
                    status["fieldpack"],
                    status["system"],
                    bundle["name"],
                    now["version"],
                    str(now["number"]),
                    bundle["channel"],
                    now["installed"][:10],
                    "; ".join(notes),
                ]
            )
        if not status["bundles"]:
            table_rows.append(
                [
                    status["device"],
                    status["fieldpack"],
                    status["system"],
                    "-",
                    "-",
                    "-",
                    "-",
                    "-",
                    "nothing installed",
                ]
            )
    return table_rows


HEAD = (
    "device",
    "fieldpack",
    "system",
    "bundle",
    "version",
    "release",
    "channel",
    "since",
    "notes",
)


def table(statuses: Sequence[dict[str, Any]]) -> list[str]:
    """Return the rows in columns, for a terminal."""
    every = [list(HEAD), *rows(statuses)]
    widths = [max(len(row[n]) for row in every) for n in range(len(HEAD))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in every
    ]


def _read(path: Path, *, required: bool) -> dict[str, Any] | None:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ValueError(f"more than {_MAX_BYTES:,} bytes")
        data = json.loads(path.read_text(encoding="utf-8"))
        if data["kind"] != _KIND:
            raise ValueError(f"its kind is {data['kind']!r:.40}")
        for bundle in data["bundles"]:
            int(bundle["current"]["number"])
            [str(bundle[name]) for name in ("name", "channel", "failed", "withdrawn")]
            [bundle["current"][name][:0] for name in ("version", "installed")]
        if not all(
            isinstance(data[name], str) for name in ("device", "fieldpack", "system", "signed")
        ):
            raise ValueError("a field is no text")
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        if not required:
            return None
        raise DataError(
            f"{path}: no status of a device ({error}); `fieldpack status --json -o FILE` writes one"
        ) from None
    return dict(data)
