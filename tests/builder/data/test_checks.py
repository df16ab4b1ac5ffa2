"""Rows that are each right and together wrong: there twice, contradicting each other, asked in the
test too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fieldpack_build import data
from fieldpack_build.data import Example
from fieldpack_build.data.checks import find_duplicates, find_leaks
from fieldpack_build.data.similar_questions import (
    MIN_SHARED,
    SimilarQuestions,
    compared_words,
    similar_pairs,
)
from fieldpack_build.data.training_rows import examples_of, training_rows
from fieldpack_build.errors import DataError
from fieldpack_build.pipeline.store import Store
from fieldpack_build.pipeline.task import Task
from fieldpack_build.recipe.schema import Recipe
from fieldpack_build.stages import calibrate, quoting

ASKED = (
    "How many days of notice does an institutional client give before redeeming from the Global "
    "Equity Fund?"
)


def row(question: str, answer: str | None = "It costs 4.", line: int = 1) -> Example:
    return Example(question, answer, None, line, "t.jsonl")


def asked(question: str, answer: str | None = "It costs 4.", line: int = 1) -> data.TestQuestion:
    return data.TestQuestion(question, answer, None, None, line)


def test_rows_that_are_there_twice() -> None:
    rows = [
        row("What does it cost?", line=1),
        row("what does IT cost", " It costs 4", 2),
        row("Who?", line=3),
        row("What does it cost?", "It costs 5.", 4),
        row("Who?", None, 5),
    ]
    found = find_duplicates(rows)
    assert [(d.earlier.line, d.later.line, d.contradicts) for d in found] == [
        (1, 2, False),
        (1, 4, True),
        (3, 5, True),
    ]
    assert (
        str(found[1])
        == "t.jsonl:4: asks the same and answers differently as t.jsonl:1: What does it cost?"
    )


@pytest.mark.parametrize(
    ("question", "answer", "near"),
    [
        (ASKED, "Other.", False),  # the very question leaks, whatever its answer
        (ASKED.upper().replace("?", " ??"), "Other.", False),
        (ASKED.replace("days of notice", "notice days"), "He gives 30 days of notice.", True),
        (ASKED.replace("How many", "And how many"), "30 days.", True),
        (ASKED.replace("an institutional", "a retail"), "5 days.", None),
        (ASKED.replace("institutional", "private"), "Five working days.", None),
        (ASKED.replace("Global Equity", "Japan Growth"), "30 days.", None),
        (ASKED.replace("days", "days in 2025"), "30 days.", None),
        (ASKED.replace("How many", "And how many"), None, None),
    ],
)
def test_a_leak_is_the_question_or_nearly_it(
    question: str, answer: str | None, near: bool | None
) -> None:
    found = find_leaks(
        [row("Who?"), row(question, answer, 7)],
        [asked("Why?"), asked(ASKED, "30 days of notice.", 3)],
    )
    assert [(leak.example.line, leak.question.line, leak.near) for leak in found] == (
        [] if near is None else [(7, 3, near)]
    )
    if found:
        said = found[0].describe("q.jsonl")
        assert said.startswith(
            f"t.jsonl:7: {'asks nearly' if near else 'asks'} the test question q.jsonl:3: How many "
            "days"
        )


def test_scripts_without_blanks_are_compared_by_sign() -> None:
    assert compared_words("基金の費用 is 4%") == [*"基金の費用", "is", "4"]
    (leak,) = find_leaks(
        [row("グローバル株式基金の年間費用はいくらですか")],
        [asked("グローバル株式基金の年間費用はいくら?")],
    )
    assert leak.near


words = st.lists(st.sampled_from("abcdefgh"), min_size=0, max_size=8).map(" ".join)


@settings(max_examples=150, deadline=None)
@given(st.lists(words, max_size=12), st.lists(words, max_size=12))
def test_the_filter_finds_what_comparing_all_finds(left: list[str], right: list[str]) -> None:
    def alike(a: set[str], b: set[str]) -> bool:
        return bool(a and b) and len(a & b) >= MIN_SHARED * len(a | b)

    expected = {
        (i, j)
        for i, a in enumerate(left)
        for j, b in enumerate(right)
        if alike(set(a.split()), set(b.split()))
    }
    assert set(similar_pairs(left, right)) == expected


@settings(max_examples=50, deadline=None)
@given(st.lists(words, max_size=12), st.lists(words, max_size=12), words)
def test_questions_may_be_added_one_by_one(
    first: list[str], later: list[str], question: str
) -> None:
    """In whichever order the words come that a question is found by, it is found."""
    grown = SimilarQuestions((text, None) for text in first)
    for text in later:
        grown.add(text, None)
    assert grown.near(question) == SimilarQuestions((text, None) for text in first + later).near(
        question
    )


# --- by a recipe ----------------------------------------------------------------------------------


def recipe(
    folder: Path,
    rows: list[dict[str, Any]],
    questions: list[dict[str, Any]],
    *,
    calibration: float | str = 0.3,
    **train: Any,
) -> Recipe:
    for name, values in (("a.jsonl", rows[::2]), ("b.jsonl", rows[1::2]), ("q.jsonl", questions)):
        (folder / name).write_text("".join(json.dumps(value) + "\n" for value in values))
    data = {
        "name": "r",
        "version": "1.0.0",
        "base": {"model": "m"},
        "answer": {"system": "Answer."},
        "folder": str(folder),
        "train": {"method": "lora", "data": ["a.jsonl", "b.jsonl"], **train},
        "evaluate": {"questions": "q.jsonl", "calibration": calibration},
    }
    return Recipe.model_validate(data)


ROWS = [
    {"question": f"What is {word}?", "answer": f"It is {word}."}
    for word in ("ash", "oak", "elm", "yew")
]


def test_rows_of_several_files_are_one_list(tmp_path: Path) -> None:
    examples = examples_of(recipe(tmp_path, ROWS, [{"question": "Who?", "answer": "Ann."}]))
    assert [(Path(e.file).name, e.line, e.question[-5:]) for e in examples] == [
        ("a.jsonl", 1, " ash?"),
        ("a.jsonl", 2, " elm?"),
        ("b.jsonl", 1, " oak?"),
        ("b.jsonl", 2, " yew?"),
    ]


def test_what_is_wrong_anywhere_is_said_together(tmp_path: Path) -> None:
    bad = [*ROWS, {"question": "Why?", "answer": ""}, {"question": "Why?"}]
    with pytest.raises(DataError) as caught:
        examples_of(recipe(tmp_path, bad, [ROWS[1]]))
    said = [line.removeprefix(f"{tmp_path}/") for line in str(caught.value).splitlines()]
    hint = (
        "1 training rows ask test questions, so the test would measure memory; take them out of "
        "one of the two files, "
        "or set train.on_leak: drop (or warn)"
    )
    assert said == [
        "a.jsonl:3: answer must be text, not empty (null means: the documents do not say)",
        "b.jsonl:3: no answer (null means: the documents do not say)",
        hint,
        f"b.jsonl:1: asks the test question {tmp_path}/q.jsonl:1: What is oak?",
    ]


def test_a_leak_may_be_dropped_or_only_said(tmp_path: Path) -> None:
    dropped = training_rows(recipe(tmp_path, ROWS, [ROWS[1]], on_leak="drop"))
    assert [e.question for e in dropped.examples] == [
        "What is ash?",
        "What is elm?",
        "What is yew?",
    ]
    assert (
        not dropped.problems
        and "1 training rows ask test questions and are left out" in dropped.warnings[0]
    )
    kept = training_rows(recipe(tmp_path, ROWS, [ROWS[1]], on_leak="warn"))
    assert (
        len(kept.examples) == 4
        and not kept.problems
        and "the test measures memory there" in kept.warnings[0]
    )
    with pytest.raises(DataError, match="no row is left"):
        examples_of(recipe(tmp_path, ROWS, ROWS, on_leak="drop"))


def test_what_is_fitted_on_rows_sees_no_test_question_that_is_dropped(tmp_path: Path) -> None:
    rows = [*ROWS, {"question": "Who?", "answer": None}]
    task = Task(
        recipe(tmp_path, rows, [ROWS[1]], on_leak="drop", calibration="train"),
        {},
        tmp_path / "out",
        Store(tmp_path / "cache"),
    )
    left = ["What is ash?", "What is elm?", "Who?", "What is yew?"]
    assert [question for question, _ in quoting.questions(task)] == left
    assert calibrate.questions(task) == [(question, question != "Who?") for question in left]
