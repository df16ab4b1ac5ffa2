"""`fieldpack bench`: a table to paste, with the machine's line."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner, Result

from fieldpack_app.cli import cli
from fieldpack_app.diagnostics.bench import table


def bench(bundle: Path, *args: object) -> Result:
    return CliRunner().invoke(
        cli, ["bench", str(bundle), "--threads", "1", "--rounds", "1", *map(str, args)]
    )


def test_everything_is_measured_and_fits_a_table(sealed: Path, tmp_path: Path) -> None:
    file = tmp_path / "q.jsonl"
    file.write_text(
        '"What does the A class cost a year?"\n{"question": "Who may open the valve?"}\n'
    )
    result = bench(sealed, "--questions", file, "--json")
    assert result.exit_code == 0, result.stderr
    measured = json.loads(result.stdout)
    assert (measured["questions"], measured["rounds"], measured["threads"]) == (2, 1, 1)
    figures = measured["figures"]
    assert {name: len(one["values"]) for name, one in figures.items()} == {
        "cold_start_s": 1,
        "hashing_s": 1,
        "load_s": 1,
        "first_token_cold_ms": 1,
        "peak_mb": 1,
        "first_token_warm_ms": 2,
        "first_token_follow_up_ms": 2,
        "prefill_tokens_per_s": 2,
        "decode_tokens_per_s": 2,
        "decode_plain_tokens_per_s": 2,
        "answer_ms": 2,
        "answer_plain_ms": 2,
        "embed_ms": 2,
        "search_ms": 2,
    }
    assert all(one["median"] > 0 for one in figures.values())
    assert (
        figures["cold_start_s"]["median"]
        > figures["hashing_s"]["median"] + figures["load_s"]["median"]
    )

    lines = table(measured, markdown=True).splitlines()
    assert lines[0].startswith("tiny 1.0.0, ") and "2 questions, 1 round," in lines[0]
    assert "1 thread," in lines[1] and "onnxruntime-genai" in lines[2]
    assert lines[4:6] == ["| | median | |", "|---|---:|---|"] and len(lines) == 6 + len(figures)
    assert "|" not in table(measured, markdown=False)


def test_in_a_pipe_it_is_markdown_and_questions_come_from_the_library(sealed: Path) -> None:
    result = bench(sealed)
    assert result.exit_code == 0 and "3 questions, 1 round," in result.stdout
    assert "| passages found | " in result.stdout and "\x1b" not in result.stdout + result.stderr


def test_questions_that_cannot_be_read(sealed: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("")
    assert "no questions" in bench(sealed, "--questions", tmp_path / "empty").stderr
    result = bench(sealed, "--questions", tmp_path / "none")
    assert result.exit_code == 4 and "No such file" in result.stderr
