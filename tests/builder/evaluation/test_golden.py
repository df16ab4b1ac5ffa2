"""The questions that travel with a bundle: which are chosen, and when an answer counts as another
one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import fieldpack
from fieldpack.bundle.golden import FILENAME, Golden, read_golden, write_golden
from fieldpack_build.bundle.golden import choose
from fieldpack_build.evaluation.report_file import Report


def row(
    line: int,
    *,
    f1: float = 0.0,
    value: bool | None = None,
    document: str | None = "a.md",
    refused: bool = False,
    answerable: bool = True,
) -> dict[str, Any]:
    said = {"answer": f"answer {line}", "refused": refused, "f1": f1, "value_match": value}
    return {
        "question": f"question {line}",
        "line": line,
        "expected": "it is" if answerable else None,
        "document": document,
        "arms": {"rag": said},
        "passages": [{"document": f"found-{line}.md"}],
    }


def report_of(rows: list[dict[str, Any]]) -> Report:
    return Report.model_validate({"shipped": "rag", "arms": {}, "questions": rows})


def test_right_answers_of_several_documents_and_one_refusal() -> None:
    rows = [
        row(1, f1=0.9, value=False),
        row(2, f1=0.2, value=True),
        row(3, f1=0.6),
        row(4, f1=0.8, value=True, document="b.md"),
        row(5, refused=True),
        row(6, answerable=False),
        row(7, answerable=False, refused=True, document=None),
        row(8, answerable=False, refused=True),
    ]
    chosen = choose(report_of(rows))
    assert [one.question for one in chosen] == [f"question {n}" for n in (4, 2, 3, 1, 7)]
    assert chosen[0] == Golden("question 4", "answer 4", False, "found-4.md")
    assert chosen[-1].refused


def with_risk(rows: list[dict[str, Any]], sure_from: float | None) -> Report:
    none = {"questions": 0, "answered": 0, "wrong": 0}
    risk = {"wrong": 0.1, "sure": 0.9, "sure_from": sure_from, "missing": 0}
    report = report_of(rows).to_dict()
    return Report.model_validate({**report, "risk": {**risk, "learned": none, "measured": none}})


def test_under_a_risk_only_what_the_bundle_says_is_chosen() -> None:
    rows = [row(1, f1=0.9), row(2, f1=0.5), row(3, answerable=False, refused=True)]
    for one, sureness in zip(rows, (0.3, 0.8, None), strict=True):
        one["arms"]["rag"]["sureness"] = sureness
    chosen = choose(with_risk(rows, 0.7), unsure="Not sure.")
    assert [one.question for one in chosen] == ["question 2", "question 3"]
    (never,) = choose(with_risk(rows[:2], None), unsure="Not sure.")
    assert never.refused and never.answer == "Not sure."
    for one in rows[:2]:  # as they are measured: held back
        one["arms"]["rag"] |= {"refused": True, "answer": "Not sure."}
    assert [one.answer for one in choose(with_risk(rows[:2], None), unsure="Not sure.")] == [
        "Not sure."
    ]


def test_the_page_proposes_right_sure_and_well_formed_questions() -> None:
    rows = [row(line, value=True, document=f"{line}.md") for line in range(1, 7)]
    questions = (
        "vancomicin trough levl when",
        "What is the vancomicin dose?",
        "Who is called?",
        "What is the dose of digoxin?",
        "When is apixaban stopped?",
        "Where is the ward?",
    )
    for one, question, sureness in zip(
        rows, questions, (0.9, 0.9, 0.9, 0.5, 0.8, None), strict=True
    ):
        one["question"] = question
        one["arms"]["rag"]["sureness"] = sureness
    rows[2]["arms"]["rag"]["value_match"] = False
    chosen = choose(report_of(rows), holds_words=lambda question: "vancomicin" not in question)
    assert [(one.question, one.example) for one in chosen] == [
        ("When is apixaban stopped?", True),
        ("What is the dose of digoxin?", True),
        ("Where is the ward?", True),
        ("vancomicin trough levl when", False),
    ]
    (lower,) = choose(report_of([{**rows[3], "question": "dose of digoxin"}]))
    assert lower.example, "no question of this test has a question mark"


def test_an_older_bundle_does_not_say_which_are_examples(tmp_path: Path) -> None:
    old = {"question": "Who?", "answer": "x", "refused": False, "document": None}
    (tmp_path / FILENAME).write_text(json.dumps({"questions": [old]}))
    assert read_golden(tmp_path) == [Golden("Who?", "x", False, None, example=True)]


def test_nothing_was_asked_nothing_is_chosen() -> None:
    assert choose(report_of([])) == []


def test_there_and_back(tmp_path: Path) -> None:
    questions = [Golden("Wer?", "Ätsch [1]", False, "a.md"), Golden("?", "no", True, None)]
    write_golden(tmp_path, questions)
    assert read_golden(tmp_path) == questions
    assert read_golden(tmp_path / "elsewhere") == []


@pytest.mark.parametrize(
    "text", ["{", "[]", "{}", '{"questions": [{"question": "a"}]}', '{"questions": 5}']
)
def test_a_damaged_file_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / FILENAME).write_text(text)
    with pytest.raises(fieldpack.BundleCorrupt, match=FILENAME):
        read_golden(tmp_path)


def test_what_counts_as_another_answer(expert: fieldpack.Expert) -> None:
    answer = expert.ask("What does the A class cost a year?")
    same = Golden(answer.question, answer.text, answer.refused, "fees.pdf")
    assert same.differs(answer) is None
    assert replace(same, answer="rounded another way").differs(answer) == "text"
    assert replace(same, document="pump.md").differs(answer) == "document"
    assert replace(same, refused=True).differs(answer) == "refusal"


def test_it_is_json_that_people_can_read(tmp_path: Path) -> None:
    write_golden(tmp_path, [Golden("東京?", "x", False, None)])
    text = (tmp_path / FILENAME).read_text("utf-8")
    assert "東京" in text and json.loads(text)["questions"][0]["document"] is None
