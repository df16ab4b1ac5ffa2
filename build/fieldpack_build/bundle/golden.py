"""Which test questions travel with a bundle: a few that it answered right and one that it refused
rightly, with what it said. Knows nothing of files or of how they are asked again."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from fieldpack.bundle.golden import Golden

from ..evaluation.report_file import QuestionRow, Report

ANSWERED, REFUSED = 4, 1
_ORDER = {True: 0, None: 1, False: 2}  # right, not judged, wrong
_QUESTION_MARKS = ("?", "？", "؟", ";", "\u037e")


def choose(
    report: Report, *, unsure: str = "", holds_words: Callable[[str], bool] = lambda _: True
) -> list[Golden]:
    """Choose from a report's questions. Those that the page may propose come first, then right
    answers before those that could not be judged and before wrong ones, the surer and the better
    before the others, one a document where there are enough: what comes out the same here as there
    need not be right, but one that is tells more. The page proposes what was answered rightly, ends
    with a question mark if half of the test's questions do, and has no word that the library lacks
    (`holds_words`), which is most often a slip of the pen. `unsure`: what the bundle says in the
    place of an answer that is not sure enough for the risk in the report."""
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
    marked = [row.question.rstrip().endswith(_QUESTION_MARKS) for row in report.questions]
    wants_mark = 2 * sum(marked) >= len(marked)
    examples = {
        row.question
        for row in answered
        if row.arms[arm].value_match
        and (not wants_mark or row.question.rstrip().endswith(_QUESTION_MARKS))
        and holds_words(row.question)
    }
    answered.sort(
        key=lambda row: (
            row.question not in examples,
            _ORDER[row.arms[arm].value_match],
            -(row.arms[arm].sureness or 0.0),
            -(row.arms[arm].f1 or 0.0),
            row.line or 0,
        )
    )
    answered = sorted(_spread(answered), key=lambda row: row.question not in examples)
    refused = [row for row in rows if row.expected is None and row.arms[arm].refused]
    if not answered and not refused:
        refused = [row for row in rows if row.arms[arm].refused and row.arms[arm].answer == unsure]
    chosen = [*answered[:ANSWERED], *refused[:REFUSED]]
    return [
        Golden(
            row.question,
            row.arms[arm].answer,
            row.arms[arm].refused,
            row.passages[0].document if row.passages else None,
            example=row.question in examples,
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
