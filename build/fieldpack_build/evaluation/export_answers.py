"""A report's questions and answers as JSON Lines that other tools of evaluation read: RAGAS'
EvaluationDataset, and inspect's json_dataset (inspect.aisi.org.uk). Knows nothing of how they were
measured."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from ..errors import DataError
from .report_file import NAME, QuestionRow, Report

Format = Literal["ragas", "inspect", "rows"]


def read_report(path: Path) -> Report:
    """Read the report of a bundle, of a folder with a report.json, or a report.json itself. Raises
    DataError where there is none."""
    folders = [path.parent] if path.name == NAME else [path / "report", path]
    for folder in folders:
        if (folder / NAME).is_file():
            return Report.read(folder)
    raise DataError(f"{path}: no {NAME} there; name a bundle that was built with `evaluate`")


def answer_lines(report: Report, format: Format, arm: str | None = None) -> Iterator[str]:
    """Yield a JSON object a question. `arm`: whose answers; the shipped arm's without one. Raises
    DataError for an arm that was not asked."""
    arm = arm or report.shipped
    if arm not in report.arms:
        raise DataError(f"--arm {arm}: not measured; there are {', '.join(report.arms)}")
    refusal = _refusal(report)
    writer = {"ragas": _ragas, "inspect": _inspect, "rows": _row}[format]
    for number, row in enumerate(report.questions, 1):
        if arm in row.arms:
            yield json.dumps(writer(row, arm, number, refusal), ensure_ascii=False)


def _refusal(report: Report) -> str:
    """The words that an arm refused with, which stand for a right answer where none is expected."""
    answers = (answer for row in report.questions for answer in row.arms.values())
    return next((one.answer for one in answers if one.refused and one.answer), "")


def _ragas(row: QuestionRow, arm: str, number: int, refusal: str) -> dict[str, Any]:
    """RAGAS' SingleTurnSample. An arm without retrieval read no passages."""
    return {
        "user_input": row.question,
        "retrieved_contexts": [] if arm in ("base", "tuned") else [p.text for p in row.passages],
        "response": row.arms[arm].answer,
        "reference": refusal if row.expected is None else row.expected,
    }


def _inspect(row: QuestionRow, arm: str, number: int, refusal: str) -> dict[str, Any]:
    """A sample of inspect; what was answered and cited stands in its metadata."""
    answer = row.arms[arm]
    return {
        "id": number,
        "input": row.question,
        "target": refusal if row.expected is None else row.expected,
        "metadata": {
            "arm": arm,
            "answer": answer.answer,
            "refused": answer.refused,
            "f1": answer.f1,
            "value": row.value,
            "document": row.document,
            "citations": [cited.model_dump() for cited in answer.citations],
        },
    }


def _row(row: QuestionRow, arm: str, number: int, refusal: str) -> dict[str, Any]:
    """A test question as a recipe has it, without the answer given."""
    question = {"question": row.question, "answer": row.expected}
    optional = {"value": row.value, "document": row.document}
    return question | {key: value for key, value in optional.items() if value}
