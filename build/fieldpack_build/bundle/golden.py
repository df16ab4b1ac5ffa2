"""Which test questions travel with a bundle: a few that it answered right and one that it refused
rightly, with what it said. Knows nothing of files or of how they are asked again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from fieldpack.bundle.golden import Golden

ANSWERED, REFUSED = 4, 1
_RIGHT = 0.5  # F1 from which on an answer without a value to look for counts as right

_Row = Mapping[str, Any]


def choose(report: Mapping[str, Any]) -> list[Golden]:
    """From a report's questions. Right answers before others, the better before the worse, one a
    document where there are enough: what comes out the same here as there need not be right, but
    one that is tells more."""
    arm = report["shipped"]
    asked = [row for row in report["questions"] if arm in row["arms"]]
    answered = [
        row for row in asked if row["expected"] is not None and not row["arms"][arm]["refused"]
    ]
    answered.sort(
        key=lambda row: (not _right(row["arms"][arm]), -row["arms"][arm]["f1"], row["line"])
    )
    refused = [row for row in asked if row["expected"] is None and row["arms"][arm]["refused"]]
    chosen = [*_spread(answered)[:ANSWERED], *refused[:REFUSED]]
    return [_golden(row, arm) for row in chosen]


def _right(said: _Row) -> bool:
    return bool(said["f1"] >= _RIGHT if said["value_match"] is None else said["value_match"])


def _spread(rows: Iterable[_Row]) -> list[_Row]:
    """The first row of each document, then the others."""
    first: dict[object, _Row] = {}
    rest = [row for row in rows if first.setdefault(row["document"], row) is not row]
    return [*first.values(), *rest]


def _golden(row: _Row, arm: str) -> Golden:
    said, passages = row["arms"][arm], row.get("passages") or []
    return Golden(
        row["question"],
        said["answer"],
        said["refused"],
        passages[0]["document"] if passages else None,
    )
