"""What became of one question in one arm: right, or wrong in which way. Knows nothing of pages."""

from __future__ import annotations

from .report_file import QuestionRow

WRONG_REFUSAL, NO_VALUE, ANSWERED, OTHER_SOURCE, UNJUDGED, RIGHT = (
    "wrong refusal",
    "value missing",
    "answered, not refused",
    "other source",
    "not judged",
    "right",
)


def outcome(row: QuestionRow, arm: str) -> str | None:
    """Return what became of one question in one arm; None where it was not asked."""
    answer = row.arms.get(arm)
    if answer is None:
        return None
    if row.expected is None:
        return RIGHT if answer.refused else ANSWERED
    if answer.refused:
        return WRONG_REFUSAL
    if answer.value_match is None:
        return UNJUDGED
    if not answer.value_match:
        return NO_VALUE
    return OTHER_SOURCE if answer.cites_right is False else RIGHT
