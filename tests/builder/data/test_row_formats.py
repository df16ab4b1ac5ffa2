"""The shapes and files that training rows come in, told apart by themselves; what a shape holds and
training does not see is said; whatever stands in a file, its rows are read or its lines are named.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fieldpack_build.data.load import LoadOptions, read_examples, read_file, read_questions
from fieldpack_build.errors import DataError

Q, A = "What does it cost?", "It costs 4."
SYSTEM = {"role": "system", "content": "Be brief."}
TURNS = [{"role": "user", "content": Q}, {"role": "assistant", "content": A}]
MORE = [{"role": "user", "content": "And in June?"}, {"role": "assistant", "content": "5."}]
ROWS: dict[str, dict[str, Any]] = {
    "question": {"question": Q, "answer": A},
    "messages": {"messages": TURNS},
    "alpaca": {"instruction": Q, "input": "", "output": A},
    "sharegpt": {"conversations": [{"from": "human", "value": Q}, {"from": "gpt", "value": A}]},
    "prompt": {"prompt": Q, "completion": f" {A}"},
}
NEAR = settings(max_examples=60)


def write(path: Path, rows: Sequence[Any]) -> Path:
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows, indent=1))
    elif path.suffix in (".csv", ".tsv"):
        with path.open("w", newline="") as file:
            table = csv.DictWriter(
                file, list(rows[0]), delimiter="\t" if path.suffix == ".tsv" else ","
            )
            table.writeheader()
            table.writerows(
                {k: json.dumps(v) if isinstance(v, list) else v for k, v in row.items()}
                for row in rows
            )
    else:
        pyarrow = pytest.importorskip("pyarrow")
        from pyarrow.parquet import write_table

        write_table(pyarrow.Table.from_pylist(list(rows)), path)
    return path


def pairs(path: Path, **manner: Any) -> list[tuple[str, str | None]]:
    return [(row.question, row.answer) for row in read_examples(path, LoadOptions(**manner))]


def problem(path: Path, **manner: Any) -> str:
    (said,) = read_file(path, LoadOptions(**manner)).problems
    return said.removeprefix(str(path))


# --- shapes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", [".jsonl", ".json", ".csv", ".tsv", ".parquet"])
@pytest.mark.parametrize("shape", ROWS)
def test_a_shape_is_known_by_its_keys_in_every_file(
    tmp_path: Path, shape: str, ending: str
) -> None:
    read = read_file(write(tmp_path / f"rows{ending}", [ROWS[shape], ROWS[shape]]), LoadOptions())
    assert [(row.question, row.answer) for row in read.examples] == [(Q, A)] * 2
    assert read.shapes == {shape: 2} and not read.problems and not read.warnings


def test_shapes_may_be_mixed_in_a_file_of_lines(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.jsonl", list(ROWS.values()))
    assert pairs(path) == [(Q, A)] * 5
    assert read_file(path, LoadOptions()).shapes == dict.fromkeys(ROWS, 1)


def test_every_shape_may_name_its_document(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.jsonl", [row | {"document": "fees.md"} for row in ROWS.values()])
    assert {row.document for row in read_examples(path)} == {"fees.md"}


@pytest.mark.parametrize(
    ("turns", "expected"),
    [
        ("first", [(Q, A)]),
        ("last", [("And in June?", "5.")]),
        ("each", [(Q, A), ("And in June?", "5.")]),
    ],
)
def test_of_a_conversation_the_first_question_is_taken(
    tmp_path: Path, turns: str, expected: list[Any]
) -> None:
    path = write(tmp_path / "rows.jsonl", [{"messages": [SYSTEM, *TURNS, *MORE]}])
    assert pairs(path, turns=turns) == expected


def test_what_training_does_not_see_is_said(tmp_path: Path) -> None:
    rows = [{"messages": TURNS}, {"messages": [SYSTEM, *TURNS, *MORE], "source": "x"}]
    path = write(tmp_path / "rows.jsonl", rows)
    assert [said.removeprefix(str(path)) for said in read_file(path, LoadOptions()).warnings] == [
        (
            ":2: a system text of its own, as in 1 rows; left away, the device says the recipe's "
            "answer.system"
        ),
        (
            ":2: further turns, 1 in 1 conversations; left away, the device answers each question by "
            "itself (train.conversation_turns)"
        ),
        ": keys that are not read: source",
    ]
    assert not [
        said
        for said in read_file(path, LoadOptions(system="Be  brief.")).warnings
        if "system" in said
    ]


def test_turns_as_they_come_in_real_files(tmp_path: Path) -> None:
    parts = [{"type": "text", "text": "What does "}, {"type": "text", "text": "it cost?"}]
    rows = [
        {"messages": [{"role": "assistant", "content": "Hello!"}, *TURNS]},
        {
            "messages": [
                {"role": "user", "content": parts},
                TURNS[1],
                {"role": "user", "content": "Thanks."},
            ]
        },
        {
            "messages": [
                {"role": "user", "content": "Hi"},
                {"role": "assistant", "content": "No.", "weight": 0},
                *TURNS,
            ]
        },
        {"messages": [TURNS[0], {"role": "user", "content": "In euros."}, TURNS[1]]},
        {"prompt": TURNS[:1], "completion": TURNS[1:]},
        {"instruction": Q, "input": "A fund.", "output": A},
    ]
    assert pairs(write(tmp_path / "rows.jsonl", rows)) == [
        (Q, A),
        (Q, A),
        (Q, A),
        (f"{Q}\n\nIn euros.", A),
        (Q, A),
        (f"{Q}\n\nA fund.", A),
    ]


def test_the_refusals_own_words_are_a_refusal(tmp_path: Path) -> None:
    said = {"role": "assistant", "content": "the documents do NOT say"}
    path = write(tmp_path / "rows.jsonl", [{"messages": [TURNS[0], said]}, ROWS["question"]])
    assert pairs(path, refusal="The documents do not say.") == [(Q, None), (Q, A)]
    assert read_questions(path, refusal="The documents do not say.")[0].answer is None


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "unknown": (
        {"ask": Q, "reply": A},
        "no known shape; its keys: ask, reply; known are question: question, answer; ",
    ),
    "two shapes": (
        {**ROWS["messages"], **ROWS["prompt"]},
        "could be messages and prompt; say which with train.format",
    ),
    "half a shape": ({"prompt": Q}, "no completion"),
    "no answer": ({"messages": TURNS[:1]}, "no answer: no assistant's turn follows a user's"),
    "an empty turn": (
        {"messages": [TURNS[0], {"role": "assistant", "content": " "}]},
        "turn 2 (assistant) is empty",
    ),
    "a tool": (
        {"messages": [TURNS[0], {"role": "tool", "content": "4"}]},
        "turn 2 calls a tool, which the device cannot",
    ),
    "a role": (
        {"messages": [{"role": "boss", "content": "4"}]},
        "turn 1: role 'boss'; known: system, user, assistant",
    ),
    "a picture": (
        {"messages": [{"role": "user", "content": [{"type": "file"}]}]},
        "turn 1 holds something other than text",
    ),
    "no list": ({"conversations": "What?"}, "conversations must be a list of turns"),
    "no object": ({"messages": ["What?"]}, "turn 1 is no object with a role and a text"),
    "an empty output": ({"instruction": Q, "output": ""}, "output must be text, not empty"),
    "a number": ({"prompt": Q, "completion": 4}, "completion must be text"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_row_of_no_use_is_named(tmp_path: Path, case: str) -> None:
    row, expected = BAD[case]
    assert problem(write(tmp_path / "rows.jsonl", [row])).startswith(f":1: {expected}")


def test_a_recipe_may_say_the_format(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.jsonl", [{**ROWS["messages"], "prompt": "x", "completion": "y"}])
    assert pairs(path, format="messages") == [(Q, A)] and pairs(path, format="prompt") == [
        ("x", "y")
    ]
    assert problem(path, format="alpaca") == ":1: no instruction and no output"


# --- files ----------------------------------------------------------------------------------------


def test_line_617_is_named(tmp_path: Path) -> None:
    lines = [json.dumps({"question": f"What is {i}?", "answer": str(i)}) for i in range(1, 701)]
    lines[616] = lines[616][:-9]
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(lines))
    assert problem(path).startswith(":617: not JSON: ")


@pytest.mark.parametrize("held", [None, "data", "train"])
def test_json_has_lines_too(tmp_path: Path, held: str | None) -> None:
    text = '[\n {"question": "a", "answer": "b"},\n {"question": "c",\n  "answer": ""}\n ,\n 4]'
    path = tmp_path / "rows.json"
    path.write_text(text if held is None else f'{{"version": [1, {{}}],\n "{held}": {text}}}')
    at = 1 if held is None else 2
    assert [said.split(":")[1] for said in read_file(path, LoadOptions()).problems] == [
        str(at + 2),
        str(at + 5),
    ]


def test_lines_under_the_name_of_json(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_text("".join(json.dumps(ROWS["question"]) + "\n" for _ in range(3)) + "{\n")
    assert problem(path).startswith(":4: not JSON")
    path.write_text(json.dumps(ROWS["question"]))
    assert pairs(path) == [(Q, A)]


def test_a_broken_list_says_where(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_text('[{"question": "a", "answer": "b"},\n{"question": "c" "answer"}]')
    read = read_file(path, LoadOptions())
    assert (
        read.problems == [f"{path}:2: not JSON: Expecting ',' delimiter (column 18)"]
        and len(read.examples) == 1
    )
    path.write_text('[{"question": "a", "answer": "b"}')
    assert problem(path).startswith(":1: not JSON: Expecting ',' delimiter")
    path.write_text("question: a")
    assert (
        problem(path)
        == ": neither a list of rows nor {\"data\": [...]}; it begins with 'question: a'"
    )


def test_tables_count_lines_and_not_rows(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(
        'question;answer;document\n"What, in\nall?";4;a.md\nWho?;;\nWhy?;x\nWhen, then?;now;\n'
    )
    read = read_file(path, LoadOptions())
    assert [(row.line, row.question, row.document) for row in read.examples] == [
        (2, "What, in\nall?", "a.md"),
        (6, "When, then?", None),
    ]
    assert read.problems == [
        (
            f"{path}:4: answer must be text, not empty (where the documents do not say, write the "
            "refusal)"
        ),
        f"{path}:5: 2 cells, the header has 3",
    ]


def test_a_wrong_column_is_said_once(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("question,anwser\n" + "a,b\n" * 50)
    assert problem(path).startswith(":1: no answer")
    path.write_text("question,answer,documnet\n" + "a,b,c\n" * 50)
    assert problem(path) == ":1: unknown key documnet; known: answer, document, id, question"


def test_an_open_quotation_mark_is_where_it_opens(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text('question,answer\na,b\nc,"d\ne,f\n')
    assert problem(path).startswith(":3: not CSV from here on: ")


def test_what_is_no_parquet(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    path = tmp_path / "rows.parquet"
    assert problem(path) == ": no such file"
    path.write_bytes(b"PAR1 nothing")
    assert problem(path).startswith(": no Parquet file, or a damaged one: ")


def test_questions_come_in_tables_too(tmp_path: Path) -> None:
    path = tmp_path / "q.csv"
    path.write_text(
        'question,answer,value,document,pages\nWho?,Ann.,Ann,a.pdf,"3, 4"\nWhy?,So.,,,\n'
    )
    first, second = read_questions(path)
    assert (first.value, first.document, first.pages, first.line) == ("Ann", "a.pdf", (3, 4), 2)
    assert (second.value, second.document, second.pages, second.line) == (None, None, (), 3)


# --- whatever comes -------------------------------------------------------------------------------

texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30).filter(
    lambda text: bool(text.strip())
)
rows_of_text = st.lists(st.tuples(texts, texts), min_size=1, max_size=8)


@NEAR
@given(rows_of_text, st.sampled_from([".jsonl", ".json", ".csv", ".tsv"]))
def test_any_rows_come_back(tmp_path: Path, rows: list[tuple[str, str]], ending: str) -> None:
    if ending in (".csv", ".tsv"):  # a table's cells keep no NUL, and a lone \r is its own line end
        rows = [
            (q.replace("\0", " ").replace("\r", "\n"), a.replace("\0", " ").replace("\r", "\n"))
            for q, a in rows
        ]
        rows = [(f"q{q}", f"a{a}") for q, a in rows]
    path = write(tmp_path / f"rows{ending}", [{"question": q, "answer": a} for q, a in rows])
    assert pairs(path) == rows


@NEAR
@given(rows_of_text, st.integers(0, 7), st.booleans())
def test_lines_are_right_whatever_stands_in_them(
    tmp_path: Path, rows: list[tuple[str, str]], broken: int, listed: bool
) -> None:
    """One row is broken; it is named by its line, and the others have theirs."""
    lines = [json.dumps({"question": q, "answer": a}, ensure_ascii=False) for q, a in rows]
    broken = min(broken, len(lines) - 1)
    lines[broken] = '{"question": "?", "answer": ""}'
    path = tmp_path / ("rows.json" if listed else "rows.jsonl")
    path.write_text(
        "[" + ",\n".join(lines) + "]" if listed else "\n".join(lines), encoding="utf-8", newline=""
    )
    read = read_file(path, LoadOptions())
    assert [said.removeprefix(f"{path}:").split(":")[0] for said in read.problems] == [
        str(broken + 1)
    ]
    assert [row.line for row in read.examples] == [
        n for n in range(1, len(lines) + 1) if n != broken + 1
    ]


@NEAR
@given(
    st.binary(max_size=60) | st.text('[]{}",:\n\\ adtquesionwr0', max_size=60).map(str.encode),
    st.sampled_from([".jsonl", ".json", ".csv", ".tsv", ".parquet"]),
)
def test_no_bytes_crash_a_reader(tmp_path: Path, data: bytes, ending: str) -> None:
    path = tmp_path / f"rows{ending}"
    path.write_bytes(data)
    read = read_file(path, LoadOptions())
    assert read.examples or read.problems
    assert all(said.startswith(str(path)) for said in read.problems)
    if read.problems:
        with pytest.raises(DataError):
            read_examples(path)


# --- half a character -----------------------------------------------------------------------------

HALF = "It costs 4 \ud83d"  # as json writes what was cut in the middle of an emoji


@pytest.mark.parametrize("kind", ["jsonl", "json", "csv"])
def test_half_a_surrogate_pair_is_a_problem_with_its_line(tmp_path: Path, kind: str) -> None:
    """No tokenizer reads it. A table's cell can only hold it within JSON."""
    turns = [{"role": "user", "content": Q}, {"role": "assistant", "content": HALF}]
    plain, table = (
        [{"question": Q, "answer": A}, {"question": Q, "answer": HALF}],
        [{"messages": TURNS}, {"messages": turns}],
    )
    said = problem(write(tmp_path / f"rows.{kind}", table if kind == "csv" else plain))
    line = {"jsonl": 2, "json": 6, "csv": 3}[kind]
    assert said == (
        f":{line}: holds \\ud83d, half of a surrogate pair (character 12 of a text); write the "
        "whole one"
    )


@pytest.mark.parametrize(
    "row", [{"question": HALF, "answer": A}, {"question": Q, "answer": A, "value": HALF}, {HALF: 1}]
)
def test_so_it_is_in_test_questions_and_keys(tmp_path: Path, row: dict[str, Any]) -> None:
    with pytest.raises(
        DataError, match=r"q\.jsonl:1: holds \\ud83d, half of a surrogate pair"
    ) as caught:
        read_questions(write(tmp_path / "q.jsonl", [row]))
    assert caught.value.exit_code == 6


def test_a_whole_pair_is_a_character(tmp_path: Path) -> None:
    assert pairs(write(tmp_path / "rows.jsonl", [{"question": Q, "answer": "4 \U0001f4b6"}])) == [
        (Q, "4 \U0001f4b6")
    ]
