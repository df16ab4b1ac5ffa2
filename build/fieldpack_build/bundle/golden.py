"""Which test questions travel with a bundle: a few that it answered right and one that it refused
rightly, with what it said. Knows nothing of files or of how they are asked again."""

from __future__ import annotations

from collections.abc import Iterable

from fieldpack.bundle.golden import Golden

from ..evaluation.report_file import QuestionRow, Report

ANSWERED, REFUSED = 4, 1
_ORDER = {True: 0, None: 1, False: 2}  # right, not judged, wrong


def choose(report: Report, *, unsure: str = "") -> list[Golden]:
    """Choose from a report's questions. Right answers before those that could
    not be judged and before wrong ones, the better before the worse,
    one a document where there are enough: what comes out the same here as there need not be right,
    but one that is tells more. `unsure`: what the bundle says in the place of an answer that is not
    sure enough for the risk in the report."""
    arm = report.shipped
    rows = [row for row in report.questions if arm in row.arms]
    if report.risk is not None:
        threshold = report.risk.threshold
        rows = [
            row
            for row in rows
            if row.arms[arm].refused or (row.arms[arm].sureness or 0.0) >= threshold
        ] or [_unsure(row, arm, unsure) for row in rows]
    answered = [row for row in rows if row.expected is not None and not row.arms[arm].refused]
    answered.sort(
        key=lambda row: (
            _ORDER[row.arms[arm].value_match],
            -(row.arms[arm].f1 or 0.0),
            row.line or 0,
        )
    )
    refused = [row for row in rows if row.expected is None and row.arms[arm].refused]
    if not answered and not refused:
        refused = [row for row in rows if row.arms[arm].refused and row.arms[arm].answer == unsure]
    chosen = [*_spread(answered)[:ANSWERED], *refused[:REFUSED]]
    return [
        Golden(
            row.question,
            row.arms[arm].answer,
            row.arms[arm].refused,
            row.passages[0].document if row.passages else None,
        )
        for row in chosen
    ]


def _unsure(row: QuestionRow, arm: str, text: str) -> QuestionRow:
    """The row as a bundle answers it that is not sure enough."""
    answer = row.arms[arm].model_copy(update={"refused": True, "answer": text})
    return row.model_copy(update={"arms": {**row.arms, arm: answer}, "expected": None})


def _spread(rows: Iterable[QuestionRow]) -> list[QuestionRow]:
    """The first row of each document, then the others."""
    first: dict[str | None, QuestionRow] = {}
    rest = [row for row in rows if first.setdefault(row.document, row) is not row]
    return [*first.values(), *rest]
