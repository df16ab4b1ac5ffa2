"""A report's answers as JSON Lines for other tools."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from fieldpack_build.cli import cli
from fieldpack_build.errors import DataError
from fieldpack_build.evaluation.export_answers import answer_lines, read_report
from fieldpack_build.evaluation.report_file import Report

REFUSAL = "The documents do not say."


@pytest.fixture
def report(tmp_path: Path) -> Path:
    """A bundle's folder with a report of two questions, of which the second is to be refused."""
    passages = [{"document": "a.md", "text": "Six months."}, {"document": "b.md", "text": "«Nö»"}]
    cited = {"document": "a.md", "quote": "Six months.", "passage": 1}

    def row(question: str, expected: str | None, arms: dict[str, Any]) -> dict[str, Any]:
        return {"question": question, "expected": expected, "arms": arms, "passages": passages}

    questions = [
        row(
            "How long?",
            "Six months.",
            {
                "rag": {"answer": "Six months. [1]", "f1": 1.0, "citations": [cited]},
                "tuned": {"answer": "Nö"},
            },
        ),
        row("Who?", None, {"rag": {"answer": REFUSAL, "refused": True}, "tuned": {"answer": "Me"}}),
    ]
    data = {"shipped": "rag", "arms": {"rag": {}, "tuned": {}}, "questions": questions}
    folder = tmp_path / "bundle" / "report"
    folder.mkdir(parents=True)
    Report.model_validate(data).write(folder)
    return folder.parent


def _lines(report: Path, *arguments: str) -> list[dict[str, Any]]:
    result = CliRunner().invoke(cli, ["answers", str(report), *arguments])
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_ragas_reads_samples(report: Path) -> None:
    first, second = _lines(report, "--as", "ragas")
    assert first == {
        "user_input": "How long?",
        "retrieved_contexts": ["Six months.", "«Nö»"],
        "response": "Six months. [1]",
        "reference": "Six months.",
    }
    assert second["reference"] == second["response"] == REFUSAL


def test_an_arm_without_retrieval_read_nothing(report: Path) -> None:
    lines = _lines(report, "--as", "ragas", "--arm", "tuned")
    assert [line["retrieved_contexts"] for line in lines] == [[], []]
    assert [line["response"] for line in lines] == ["Nö", "Me"]


def test_inspect_reads_samples(report: Path) -> None:
    first, second = _lines(report, "--as", "inspect")
    assert (first["id"], first["input"], first["target"]) == (1, "How long?", "Six months.")
    assert first["metadata"]["citations"][0]["quote"] == "Six months."
    assert second["target"] == REFUSAL and second["metadata"]["refused"]


def test_rows_are_test_questions_again(report: Path, tmp_path: Path) -> None:
    """What is written can be asked again, and its line ends do not depend on the platform."""
    from fieldpack_build.data import read_questions

    path = tmp_path / "new" / "rows.jsonl"
    result = CliRunner().invoke(cli, ["answers", str(report), "-o", str(path)])
    assert result.exit_code == 0 and "2 questions" in result.stderr
    assert [(one.question, one.answer) for one in read_questions(path)] == [
        ("How long?", "Six months."),
        ("Who?", None),
    ]


def test_what_is_not_there_is_said(report: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"--arm quote: not measured; there are rag, tuned"):
        list(answer_lines(read_report(report), "ragas", "quote"))
    with pytest.raises(DataError, match=r"no report\.json there"):
        read_report(tmp_path)
    assert read_report(report / "report" / "report.json").shipped == "rag"
