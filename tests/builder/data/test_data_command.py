"""`build data` on the toy project: real stages, a real tokenizer, a real process."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from fieldpack_build.data.inspection import Inspection
from fieldpack_build.data.show import page
from toys import EXAMPLES, QUESTIONS, REFUSAL, SYSTEM, Project, run

pytest_plugins = ["toys"]


def look(project: Project, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-m",
        "fieldpack_build.cli",
        "data",
        "toy.yaml",
        "--cache",
        str(project.cache),
        *arguments,
    ]
    return run(command, cwd=project.folder)


def rows(count: int) -> list[dict[str, Any]]:
    return [{"question": f"What is number {i}?", "answer": f"It is {i}."} for i in range(count)]


def write(project: Project, lines: Sequence[object]) -> None:
    text = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    (project.folder / "train.jsonl").write_text("\n".join(text), encoding="utf-8")


def test_rows_are_shown_as_a_model_reads_them(toy: Project) -> None:
    done = look(toy)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "toy 1.0.0: 12 training rows"
    assert lines[1] == "  train.jsonl       12 rows, 2 of them refusals (17%); question 12"
    assert (
        "  problems: none" in lines
        and f"  leaks between rows and {len(QUESTIONS)} test questions: none" in lines
    )
    assert any(line.startswith("  tokens a row, with 1 passages: ") for line in lines)
    assert (
        "    train.max_tokens 768, export.max_context 768, the base model reads 1,024; too long: 0"
        in lines
    )
    first = done.stdout[done.stdout.index("train.jsonl:1: ") :]
    assert f"<|im_start|>system\n{SYSTEM}<|im_end|>\n<|im_start|>user\n[1] The dinghy\n" in first
    assert (
        f"Question: {EXAMPLES[0][0]}<|im_end|>\n<|im_start|>assistant\n⟦{EXAMPLES[0][1]} "
        "[1]<|im_end|>⟧\n" in first
    )
    assert (
        f"⟦{REFUSAL}<|im_end|>⟧" in first and done.stdout.count("⟦") == 6
    )  # three rows, each with a heading
    assert "\x1b" not in done.stdout


def test_the_same_as_json_and_without_an_index(toy: Project) -> None:
    done = look(toy, "--json", "--no-passages")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["rows"], found["refusals"], found["passages"], found["problems"]) == (
        12,
        2,
        0,
        [],
    )
    assert sum(count for _, _, count in found["tokens"]["bars"]) == 12
    assert found["documents"]["fog.md"] == 1 and found["documents"][""] == 2
    for example in found["examples"]:
        assert [part["supervised"] for part in example["parts"]] == [False, True]
        assert "[1] " not in example["parts"][0]["text"]
    assert 0 < found["supervised"]["share"] < 0.5
    assert (found["supervised"]["refuse"], found["supervised"]["cite"]) == (
        2,
        0,
    )  # nothing to point to
    assert found["supervised"]["tokens"] == sum(
        example["supervised"] for example in found["examples"]
    )
    coloured = [
        piece
        for line in page(Inspection.model_validate(found), 1, title="", marks=False)
        for piece in line
    ]
    assert {(EXAMPLES[0][1], "bold green"), ("assistant", "dim")} <= set(coloured)
    assert {("<|im_end|>", "bold magenta"), ("<|im_start|>", "dim magenta")} <= set(coloured)
    assert not any(mark in text for text, _ in coloured for mark in "⟦⟧")


def test_how_answers_without_a_value_are_judged_is_said_where_there_are_any() -> None:
    def lines(without: int) -> list[str]:
        rows = Inspection.model_validate(
            {name: [] for name in ("problems", "warnings", "duplicates", "contradictions")}
            | {"leaks": [], "files": []}
            | {"rows": 0, "refusals": 0, "questions": 5, "answerable": 4, "without_value": without}
            | {"documents": {}, "passages": 0, "limits": {}, "tokens": {"rows": 0, "bars": []}}
            | {"supervised": {"rows": 0, "tokens": 0, "share": 0, "refuse": 0, "cite": 0}}
            | {"special_tokens": [], "examples": []}
        )
        shown = page(rows, 0, title="r", marks=True)
        return ["".join(text for text, _ in line) for line in shown]

    assert not any("value" in line for line in lines(0))
    assert lines(3)[-1].startswith("  3 of 4 answerable test questions name no value: an answer is")


@pytest.fixture
def spoiled(toy: Project, tmp_path: Path) -> Project:
    """A leaked test question, an empty answer, a row longer than the context, a broken line 617;
    and one that is right."""
    project = toy.copy(tmp_path)
    lines: list[object] = [*rows(616), '{"question": "What is it', *rows(620)[617:]]
    lines[99] = {"question": QUESTIONS[0][0].lower(), "answer": "14 litres."}
    lines[199] = {"question": "Is it so?", "answer": " "}
    lines[299] = {"question": "Is it so?", "answer": "Yes. " * 500}
    write(project, lines)
    return project


def test_all_that_is_wrong_is_named_before_anything_is_trained(spoiled: Project) -> None:
    done = look(spoiled, "--no-passages", "--examples", "0")
    assert done.returncode == 6 and done.stderr.endswith(
        "build: toy.yaml: 5 problems in its training rows, named above\n"
    )
    problems = done.stdout[done.stdout.index("  problems: 5\n") :].splitlines()[1:6]
    assert [line.split(": ")[0].strip() for line in problems if "train.on_leak" not in line] == [
        "train.jsonl:200",
        "train.jsonl:617",
        "train.jsonl:100",
        "train.jsonl:300",
    ]
    assert "1 training rows ask test questions" in problems[2]
    assert "answer must be text, not empty" in problems[0] and "not JSON" in problems[1]
    assert "asks the test question questions.jsonl:1" in problems[3]
    assert "tokens with its passages, train.max_tokens is 768" in problems[4]
    assert "too long: 1" in done.stdout


def test_a_build_stops_before_its_first_stage(spoiled: Project) -> None:
    done = run([*spoiled.command(), "--only", "train"])
    assert done.returncode == 6
    said = [line.removeprefix(f"build: {spoiled.folder}/") for line in done.stderr.splitlines()]
    assert [line.split(": ")[0] for line in said if line.startswith("train")] == [
        "train.jsonl:200",
        "train.jsonl:617",
        "train.jsonl:100",
    ]


def test_rows_that_are_too_long_stop_the_train_stage_together(spoiled: Project) -> None:
    write(
        spoiled,
        [
            *rows(3),
            {"question": "Is it so?", "answer": "Yes. " * 500},
            {"question": "No?", "answer": "No. " * 500},
        ],
    )
    assert look(spoiled, "--no-passages").returncode == 6  # and the base model is there
    done = run([*spoiled.command("train.passages=0"), "--only", "train"])
    assert done.returncode == 6
    said = [
        line.removeprefix(f"build: {spoiled.folder}/")
        for line in done.stderr.splitlines()
        if "max_tokens" in line
    ]
    assert [line.split(": ")[0] for line in said] == ["train.jsonl:4", "train.jsonl:5"]
