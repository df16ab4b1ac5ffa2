"""Rows in, typed rows out; every bad line is named with its number, all of them at once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fieldpack_build import data
from fieldpack_build.errors import DataError

GOOD = '{"question": "What does it cost?", "answer": "It costs 4.", "document": "fees.md"}'
KNOWN = "known: answer, document, id, question"


def write(folder: Path, *lines: str | bytes) -> Path:
    path = folder / "rows.jsonl"
    path.write_bytes(
        b"\n".join(line if isinstance(line, bytes) else line.encode() for line in lines)
    )
    return path


def problems(path: Path) -> list[str]:
    with pytest.raises(DataError) as caught:
        data.read_examples(path)
    return [line.removeprefix(f"{path}") for line in str(caught.value).splitlines()]


def test_examples_keep_their_line_numbers(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD, "", "  ", '{"question": "Who?", "answer": null, "id": 7}', "")
    assert data.read_examples(path) == [
        data.Example("What does it cost?", "It costs 4.", "fees.md", 1),
        data.Example("Who?", None, None, 4),
    ]


def test_questions_have_a_value_and_may_have_more(tmp_path: Path) -> None:
    row = {
        "question": "Q?",
        "answer": "A 4.",
        "value": "4",
        "document": "a.md",
        "pages": [1],
        "type": "x",
        "scale": None,
    }
    path = write(tmp_path, json.dumps(row), '{"question": "Q?", "answer": null}')
    assert data.read_questions(path) == [
        data.TestQuestion("Q?", "A 4.", "4", "a.md", 1, pages=(1,)),
        data.TestQuestion("Q?", None, None, None, 2),
    ]


def test_where_only_passages_are_looked_for_no_answer_is_needed(tmp_path: Path) -> None:
    path = write(tmp_path, '{"question": "Q?", "document": "a.pdf", "pages": [3, 4]}')
    assert data.read_questions(path, needed=("question",))[0].pages == (3, 4)
    with pytest.raises(DataError, match="no answer"):
        data.read_questions(path)


@pytest.mark.parametrize("pages", ["3", [0], ["3"], [True], {"3": 4}])
def test_pages_are_numbers_from_one(tmp_path: Path, pages: object) -> None:
    path = write(tmp_path, json.dumps({"question": "Q?", "answer": "A.", "pages": pages}))
    with pytest.raises(DataError, match=":1: pages must be a list of page numbers, from 1"):
        data.read_questions(path)


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_windows_writes_a_mark_and_its_own_line_ends(tmp_path: Path, ending: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + (GOOD + ending + GOOD + ending).encode())
    assert [row.line for row in data.read_examples(path)] == [1, 2]


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85"])
def test_a_line_separator_inside_a_text_ends_no_row(tmp_path: Path, separator: str) -> None:
    """JSON allows them in a string as they are, and PDFs bring them along."""
    path = write(
        tmp_path, json.dumps({"question": f"a{separator}b", "answer": None}, ensure_ascii=False)
    )
    assert data.read_examples(path)[0].question == f"a{separator}b"


BAD = {
    "not JSON": ("{", ":1: not JSON: Expecting property name enclosed in double quotes (column 2)"),
    "single quotes": (
        "{'question': 1}",
        ":1: not JSON: Expecting property name enclosed in double quotes (column 2)",
    ),
    "an array": ("[1]", ":1: not a JSON object"),
    "no answer": ('{"question": "Q?"}', ":1: no answer (null means: the documents do not say)"),
    "no question": ('{"answer": "A."}', ":1: no question"),
    "nothing": (
        "{}",
        (
            ":1: no known shape; its keys: none; known are question: question, answer; messages: "
            "messages; "
            "alpaca: instruction, output; sharegpt: conversations; prompt: prompt, completion"
        ),
    ),
    "unknown key": (
        '{"question": "Q?", "answer": "A.", "anwser": 1}',
        f":1: unknown key anwser; {KNOWN}",
    ),
    "a number": ('{"question": "Q?", "answer": 4}', ":1: answer must be text"),
    "an empty answer": (
        '{"question": "Q?", "answer": ""}',
        ":1: answer must be text, not empty (null means: the documents do not say)",
    ),
    "a blank question": (
        '{"question": " ", "answer": "A."}',
        ":1: question must be text, not empty",
    ),
    "a null question": ('{"question": null, "answer": "A."}', ":1: question must be text"),
    "an empty document": (
        '{"question": "Q?", "answer": "A.", "document": ""}',
        ":1: document must be text, not empty",
    ),
    "a very long number": (
        '{"question": ' + "9" * 5000 + "}",
        ":1: not JSON that can be read: a number is too long or lists are too deep",
    ),
    "very deep": (
        "[" * 100_000,
        ":1: not JSON that can be read: a number is too long or lists are too deep",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_row_is_named(tmp_path: Path, case: str) -> None:
    line, expected = BAD[case]
    assert problems(write(tmp_path, line)) == [expected]


def test_all_bad_rows_come_at_once(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD, "{", "", GOOD, "[]", '{"question": "Q?"}')
    assert [line.split(":")[1] for line in problems(path)] == ["2", "5", "6"]


def test_hundreds_of_bad_rows_are_ten_and_a_count(tmp_path: Path) -> None:
    found = problems(write(tmp_path, *["nonsense"] * 300))
    assert len(found) == 11 and found[-1] == "... and 290 more lines"


def test_files_that_are_none(tmp_path: Path) -> None:
    assert problems(tmp_path / "none.jsonl") == [": no such file"]
    assert problems(tmp_path) == [": Is a directory"]
    assert problems(write(tmp_path)) == [": no rows"]
    assert problems(write(tmp_path, "", "\t")) == [": no rows"]
    assert problems(write(tmp_path, b'{"question": "caf\xe9"}')) == [
        ":1: not UTF-8 (byte 17 of the line); save it as UTF-8"
    ]
    assert problems(write(tmp_path, GOOD.encode("utf-16"))) == [
        ": not UTF-8 but UTF-16; save it as UTF-8"
    ]


@settings(max_examples=150)
@given(
    st.lists(
        st.binary(max_size=20)
        | st.sampled_from([GOOD.encode(), b"{}", b"NaN", b"\xef\xbb\xbf" + GOOD.encode()])
    )
)
def test_any_bytes_are_rows_or_a_data_error(tmp_path: Path, lines: list[bytes]) -> None:
    path = write(tmp_path, *lines)
    try:
        assert all(row.question.strip() for row in data.read_examples(path))
    except DataError as error:
        assert str(error).startswith(str(path))
