"""What became of one question in one arm: right, or wrong in which way. Knows nothing of reports."""

from __future__ import annotations

from typing import Any

WRONG_REFUSAL, NO_VALUE, ANSWERED, OTHER_SOURCE, UNJUDGED, RIGHT = (
    "wrong refusal",
    "value missing",
    "answered, not refused",
    "other source",
    "not judged",
    "right",
)


def outcome(row: dict[str, Any], arm: str) -> str | None:
    """What became of one question in one arm; None where it was not asked."""
    said = row["arms"].get(arm)
    if said is None:
        return None
    if row["expected"] is None:
        return RIGHT if said["refused"] else ANSWERED
    if said["refused"]:
        return WRONG_REFUSAL
    if said.get("value_match") is None:
        return UNJUDGED
    if not said["value_match"]:
        return NO_VALUE
    return OTHER_SOURCE if said.get("cites_right") is False else RIGHT
