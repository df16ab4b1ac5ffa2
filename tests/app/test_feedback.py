"""From what readers thought to rows that a build reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import fieldpack
from fieldpack_app.cli import cli
from fieldpack_app.feedback import NoteFilter, read_notes, to_rows
from fieldpack_build.data import read_questions
from fieldpack_build.errors import DataError


def note(
    question: str, rating: str | None = None, *, at: str = "2026-03-01T12:00:00+00:00", **more: Any
) -> dict[str, Any]:
    kind = (
        {"kind": "rating", "rating": rating} if rating else {"kind": "unanswered", "refused": True}
    )
    return {**kind, "time": at, "bundle": "tiny-1.0.0", "question": question, **more}


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


def write(state: Path, *notes: dict[str, Any] | str) -> None:
    state.mkdir()
    lines = [one if isinstance(one, str) else json.dumps(one) for one in notes]
    (state / "feedback.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def run(*args: object) -> Result:
    return CliRunner().invoke(cli, ["feedback", *map(str, args)])


def test_what_was_rated_up_is_expected_and_the_rest_wants_a_person(
    state: Path, tmp_path: Path
) -> None:
    write(
        state,
        note(
            "What does it cost?", "up", answer="It costs 0.85% [1].", at="2026-02-01T12:00:00+00:00"
        ),
        note("what  does it cost", "up", answer="0.85% a year [2]."),
        note("Who audits?"),
        note("Who may open it?", "down", answer="Anyone.", note="no!"),
        note("Who may open it?", "up", answer="An operator."),
        note("Is it blue?", "up", answer="I cannot answer that.", refused=True),
    )
    out = tmp_path / "questions.jsonl"
    result = run("export", "--state", state, "-o", out)
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "4 questions, 2 of them for a person to answer (fill_in)\n"
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert rows[0] == {
        "question": "what  does it cost",
        "answer": "0.85% a year.",
        "document": None,
    }
    assert rows[1]["answer"] is None and rows[1]["fill_in"].startswith(
        "not answered; write the answer"
    )
    assert rows[2]["fill_in"].startswith(
        "rated up and down; it said: Anyone.; the reader: no!; write"
    )
    assert rows[3] == {"question": "Is it blue?", "answer": None, "document": None}
    with pytest.raises(
        DataError, match=r"questions.jsonl:2: unknown key fill_in.*\n.*:3: unknown key fill_in"
    ):
        read_questions(out)
    for row in rows:
        row.pop("fill_in", None)
    out.write_text("\n".join(map(json.dumps, rows)))
    assert [one.answer for one in read_questions(out)] == ["0.85% a year.", None, None, None]


def test_the_bundle_names_the_document(state: Path, sealed: Path, expert: fieldpack.Expert) -> None:
    first, second = (passage.chunk_id for passage in expert.search("zone zz zz", 2))
    told = note("Where?", "up", answer="In zone zz [2].", passages=[second, first])
    lost = [
        note("Gone?", "up", answer="Yes [1].", passages=[99999]),
        note("Far?", "up", answer="Yes [7].", passages=[first]),
    ]
    other = {**told, "question": "Elsewhere?", "bundle": "tiny-2.0.0"}
    write(state, told, other, *lost)
    rows = json.loads(run("export", "--state", state, "--bundle", sealed, "--json").stdout)
    assert rows[0] == {
        "question": "Where?",
        "answer": "In zone zz.",
        "document": "fees.pdf",
        "pages": [2],
    }
    assert [row["document"] for row in rows[1:]] == [None, None, None]


def test_only_a_cited_passage_names_the_document(
    state: Path, sealed: Path, expert: fieldpack.Expert
) -> None:
    """An answer without a mark may rest on any passage: the note says which, or nobody knows."""
    first, second = expert.search("zone zz zz", 2)
    assert first.document != second.document
    both = [second.chunk_id, first.chunk_id]
    write(
        state,
        note("Cited?", "up", answer="In zone zz.", passages=both, cited=first.chunk_id),
        note("None?", "up", answer="In zone zz.", passages=both, cited=None),
        note("Marked?", "up", answer="In zone zz [2].", passages=both),
        note("Unknown?", "up", answer="In zone zz.", passages=both),
    )
    rows = json.loads(run("export", "--state", state, "--bundle", sealed, "--json").stdout)
    assert [row["document"] for row in rows] == [first.document, None, first.document, None]


def test_a_citation_of_no_passage_breaks_no_export(state: Path, sealed: Path) -> None:
    write(
        state,
        note("Other?", "up", answer="Yes.", passages=[0], cited=1),
        note("Text?", "up", answer="Yes.", passages=[0], cited="x"),
        note("Good?", "up", answer="Yes.", passages=[0], cited=0),
    )
    result = run("export", "--state", state, "--bundle", sealed)
    assert result.exit_code == 4 and result.stderr.count("none of the passages") == 2
    assert [json.loads(line)["question"] for line in result.stdout.splitlines()] == ["Good?"]


def test_a_broken_line_is_named_and_the_others_are_kept(state: Path) -> None:
    write(
        state,
        note("One?", "up", answer="1"),
        "{",
        '{"rating": "up"}',
        note("Two?", "sideways"),
        note("Three?"),
        "",
    )
    result = run("export", "--state", state)
    assert result.exit_code == 4
    assert [json.loads(line)["question"] for line in result.stdout.splitlines()] == [
        "One?",
        "Three?",
    ]
    for number in (2, 3, 4):
        assert f"feedback.jsonl, line {number}: " in result.stderr
    assert "3 lines of the feedback could not be read" in result.stderr.splitlines()[-1]


def test_a_number_that_is_no_passage_breaks_no_export(state: Path, sealed: Path) -> None:
    write(
        state,
        note("Poison?", "up", answer="Yes [1].", passages=[10**400]),
        note("Huge?", "up", answer="Yes [1].", passages=[1 << 63]),
        note("Minus?", "up", answer="Yes [1].", passages=[-1]),
        note("Early?", "up", at="0001-01-01T00:00:00"),
        note("Good?", "up", answer="Yes [1].", passages=[0]),
    )
    result = run("export", "--state", state, "--bundle", sealed)
    assert result.exit_code == 4, result.output
    assert [json.loads(line)["question"] for line in result.stdout.splitlines()][-1] == "Good?"
    assert all(
        f"line {number}: passages are no list of chunk numbers" in result.stderr
        for number in (1, 2, 3)
    )
    assert run("list", "--state", state, "--since", "0001-01-01").exit_code in (2, 4)


def test_what_a_power_cut_left_is_named_and_the_rest_is_read(state: Path) -> None:
    state.mkdir()
    good = json.dumps(note("Good?", "up", answer="1")).encode()
    nul = b"\0" * 512
    (state / "feedback.jsonl").write_bytes(
        good[:20] + b"\n" + nul + b"\n" + nul + good + b"\n" + good.replace(b"Good", b"Last")
    )
    said: list[str] = []
    found = read_notes(state / "feedback.jsonl", NoteFilter(), on_bad_line=said.append)
    assert [one.question for one in found] == ["Good?", "Last?"]
    assert (
        len(said) == 2
        and "line 1: " in said[0]
        and "line 2: 512 NUL bytes, as a power cut leaves them" in said[1]
    )


def test_the_last_that_a_reader_said_of_an_answer_counts(state: Path) -> None:
    write(
        state,
        note("One?", "up", answer="1", answer_id="a"),
        note("One?", "down", answer="1", answer_id="a"),
        note("One?", "down", answer="1", answer_id="a", note="old"),
        note("Two?", "up", answer="2", answer_id="b"),
        note("Two?", "up", answer="2", answer_id="b", bundle="tiny-2.0.0"),
    )
    found = read_notes(state / "feedback.jsonl", NoteFilter(), on_bad_line=pytest.fail)
    said = [(one.question, one.rating, one.note) for one in found]
    assert said == [("One?", "down", "old"), ("Two?", "up", ""), ("Two?", "up", "")]


def test_only_some_are_wanted(state: Path) -> None:
    write(
        state,
        note("Old?", "up", at="2025-12-31T23:59:59+00:00"),
        note("New?", "down"),
        note("Open?"),
    )
    path = state / "feedback.jsonl"

    def asked(since: str | None, rating: str | None) -> list[str]:
        return [
            one.question
            for one in read_notes(path, NoteFilter.parse(since, rating), on_bad_line=pytest.fail)
        ]

    assert asked(None, None) == ["Old?", "New?", "Open?"]
    assert asked("2026-02-01", None) == ["New?", "Open?"]
    assert asked(None, "down") == ["New?"] and asked(None, "unanswered") == ["Open?"]
    assert run("list", "--state", state, "--since", "yesterday").exit_code == 2


def test_the_list_is_for_people(state: Path) -> None:
    write(state, note("Wer\x1b[2J?", "down", answer="Niemand\n[1].", note="falsch"))
    assert run("list", "--state", state).stdout.splitlines() == [
        "2026-03-01 12:00  down        Wer\ufffd[2J?",
        f"{'':<30}Niemand [1].",
        f"{'':<30}(falsch)",
    ]
    assert json.loads(run("list", "--state", state, "--json").stdout)[0]["note"] == "falsch"


def test_nothing_there_is_no_error_and_makes_nothing(state: Path) -> None:
    assert run("list", "--state", state).stdout == "nothing rated, and nothing unanswered\n"
    assert run("export", "--state", state).exit_code == 0
    assert not state.exists() and to_rows([]) == []
