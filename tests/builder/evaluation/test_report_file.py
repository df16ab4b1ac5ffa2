"""report.json as types: what a real build wrote is read and written again to the byte."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fieldpack_build.errors import DataError
from fieldpack_build.evaluation.report_file import NAME, Report
from fieldpack_build.report import render
from toys import Project

pytest_plugins = ["toys"]


def test_a_report_is_read_and_written_to_the_byte(toy: Project, built: dict[str, Any]) -> None:
    folder = toy.store.folder("evaluate", built["keys"]["evaluate"]) / "report"
    report = Report.read(folder)
    assert report.to_json() == (folder / NAME).read_text(encoding="utf-8")
    assert render(report) == (folder / "report.html").read_text(encoding="utf-8")
    assert list(json.loads((folder / NAME).read_text(encoding="utf-8"))) == [
        "name",
        "version",
        "schema",
        "shipped",
        "arms",
        "intervals",
        "differences",
        "choice",
        "retrieval",
        "library",
        "calibration",
        "attribution",
        "silence",
        "gates",
        "sample",
        "questions",
        "model",
        "training",
        "tools",
        "ship",
        "guarantee",
    ]


def test_keys_that_are_absent_stay_absent_and_unknown_ones_are_passed_over(tmp_path: Path) -> None:
    old = {"shipped": "rag", "arms": {"rag": {"f1": 0.5, "questions": 3}}, "gates": []}
    (tmp_path / NAME).write_text(json.dumps(old | {"later": 1}))
    report = Report.read(tmp_path)
    assert report.to_dict() == old and report.choice is None
    report.write(tmp_path)
    assert Report.read(tmp_path) == report


@pytest.mark.parametrize("text", ["{", "[]", '{"arms": {}}', '{"shipped": "rag", "arms": 5}'])
def test_what_is_no_report_is_a_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / NAME).write_text(text)
    with pytest.raises(DataError, match=r"report\.json: not a report of an evaluation"):
        Report.read(tmp_path)
    with pytest.raises(FileNotFoundError):
        Report.read(tmp_path / "elsewhere")
