"""The `fieldpack` command as people and scripts meet it: text, JSON, exit codes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import fakes
import fieldpack
from fieldpack.answers import UNSURE
from fieldpack.prompt import read_prompt, write_prompt
from fieldpack.retrieval.quoting import QuoteSettings
from fieldpack_app.cli import cli
from fieldpack_app.terminal import render
from terminal import wait_until_asleep

QUESTION = "What does the A class of the Global Equity Fund cost a year?"
COMMAND = [sys.executable, "-m", "fieldpack_app.cli"]


def run(*args: object, text: str | bytes | None = None) -> Result:
    return CliRunner().invoke(cli, [str(arg) for arg in args], input=text)


def shell(*args: str | bytes | Path, text: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*COMMAND, *args], input=text, capture_output=True, timeout=120)


def one_line(result: Result, code: int) -> str:
    """The error of a failed command: one line on stderr and its exit code."""
    assert result.exit_code == code, result.output
    assert result.stderr.startswith("fieldpack: ") and result.stderr.count("\n") == 1
    return result.stderr


# --- ask ------------------------------------------------------------------------------------------


def test_ask_in_a_pipe_is_plain(sealed: Path, expert: fieldpack.Expert) -> None:
    result = run("ask", sealed, QUESTION, "--threads", 1)
    assert result.exit_code == 0 and result.stderr == ""
    answer = expert.ask(QUESTION)
    text, figure = render.printable(answer.text), answer.text[slice(*answer.unsupported[0])]
    assert answer.cut, "the toy's noise ends at the limit alone"
    cut = "Cut: the answer reached its longest length; its end is missing"
    assert result.stdout.startswith(
        f"{text}\n\n{cut}\n\nCheck: no passage says {figure}\n\nSources:"
    )
    assert "\x1b" not in result.stdout


def test_what_stands_below_an_answer_says_what_it_is(expert: fieldpack.Expert) -> None:
    """An answer that ends by itself has no warning; a passage that it does not name is no source;
    one that is not sure enough has the passages."""
    whole = replace(expert.ask(QUESTION), cut=False, unsupported=())
    passage = whole.passages[0]
    cited = replace(
        whole,
        text="Forty a year. [1]",
        citations=(fieldpack.Citation(passage.document, passage.page, passage.text, 1),),
    )
    assert not cited.guessed and not cited.to_dict()["guessed"]
    (sources,) = render.below(cited)
    assert sources.startswith("Sources:\n[1] fees.pdf, page 1: Global Equity Fund — ")
    unknown = replace(cited, unknown_words=("digoxin", "wi\x1bfi"))
    assert render.below(unknown)[0] == 'No document contains "digoxin", "wi\ufffdfi".'
    refused = replace(unknown, text="No.", refused=True, citations=())
    assert render.below(refused) == render.below(unknown)[:1], "it is the reason"
    named_none = replace(cited, text="Forty a year.")
    assert named_none.guessed and named_none.to_dict()["guessed"]
    (related,) = render.below(named_none)
    assert related.startswith("Related (the answer names no source):\n[1] ")
    unsure = replace(whole, refused=True, kind=UNSURE, citations=(), text="Not sure.")
    (passages,) = render.below(unsure)
    assert passages.count("\n") == len(whole.passages) and passages.startswith("Passages:\n[1] ")
    assert not unsure.guessed


def test_ask_as_json(sealed: Path) -> None:
    data = json.loads(run("ask", sealed, QUESTION, "--json", "--quick").stdout)
    fields = [
        "question",
        "answer",
        "asked",
        "refused",
        "cut",
        "guessed",
        "kind",
        "sureness",
        "quote",
        "unsupported",
        "unknown_words",
        "citations",
        "passages",
        "timings",
    ]
    assert list(data) == fields and (data["kind"], data["quote"]) == ("written", None)
    assert {"retrieval_ms", "first_token_ms", "total_ms", "tokens", "tokens_per_s"} <= set(
        data["timings"]
    )
    assert data["passages"][0]["document"] == "fees.pdf"


@pytest.fixture
def quoting(bundle: Path) -> Path:
    """A bundle without a language model."""
    shutil.rmtree(bundle / "model")
    chat, settings = read_prompt(bundle)
    write_prompt(bundle, chat, replace(settings, quoting=QuoteSettings()))
    fakes.reseal(bundle)
    return bundle


def test_a_bundle_that_quotes_answers_and_says_what_it_is(quoting: Path, tmp_path: Path) -> None:
    said = run("ask", quoting, "After how many hours of use is the filter changed?")
    assert (said.exit_code, said.stdout) == (
        0,
        "Change the filter after 400 hours of use. [1]\n\nSources:\n[1] pump.md: Service > Filter\n",
    )
    bears = run("ask", quoting, "Is the filter changed after 400 hours of use?").stdout
    assert (
        "\nThese are a passage's own words: what they mean for the question is for you to judge\n"
        in bears
    )
    facts = run("info", quoting).stdout
    assert "none: answers are passages' own words" in facts and "embedder bytes" not in facts
    assert json.loads(run("info", quoting, "--json").stdout)["schema"] == "1.1"
    asked = run(
        "chat",
        quoting,
        "--no-history",
        text="After how many hours of use is the filter changed?\n/quit\n",
    )
    assert asked.exit_code == 0 and "Change the filter after 400 hours of use. [1]" in asked.stdout
    seen = json.loads(run("doctor", quoting, "--json", "--state", tmp_path).stdout)
    levels = {check["name"]: check["level"] for check in seen["checks"]}
    assert levels["bundle"] == levels["opening"] == levels["speed"] == "ok"
    measured = run("bench", quoting, "--rounds", 1, "--json")
    figures = json.loads(measured.stdout)["figures"]
    assert figures["quote_ms"]["median"] == figures["first_token_warm_ms"]["median"] > 0
    assert figures["quote_cold_s"]["median"] > 0 and "decode_tokens_per_s" not in figures


def test_a_question_from_stdin(sealed: Path) -> None:
    data = json.loads(
        run("ask", sealed, "-", "--json", text=f"  {QUESTION}\n\xff".encode("latin-1")).stdout
    )
    assert data["question"].startswith(QUESTION)


def test_a_refusal_is_an_answer(sealed: Path) -> None:
    result = run("ask", sealed, "東京")
    assert (result.exit_code, result.stdout) == (0, "I cannot answer that from these documents.\n")


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (["ask"], 2),
        (["ask", "{b}"], 2),
        (["ask", "{b}", "q", "--batch", "f"], 2),
        (["ask", "{b}", "q", "-o", "f"], 2),
        (["ask", "{b}", "q", "--threads", "0"], 2),
        (["ask", "{b}", "q", "--target", "abacus"], 3),
        (["sing"], 2),
        (["search", "{b}", "q", "-k", "0"], 2),
        (["ask", "{b}", ""], 4),
        (["ask", "{b}", "\0"], 4),
        (["ask", "{b}", "\ud800"], 4),
        (["ask", "{b}", "x" * 501], 4),
        (["ask", "nowhere", "q"], 3),
        (["ask", "{b}", "q", "--provider", "cuda"], 3),
    ],
)
def test_exit_codes(sealed: Path, args: list[str], code: int) -> None:
    result = run(*(arg.replace("{b}", str(sealed)) for arg in args))
    assert result.exit_code == code, result.output
    if code != 2:
        one_line(result, code)


# --- ask --batch ----------------------------------------------------------------------------------


def rows(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_batch_answers_line_by_line(sealed: Path, tmp_path: Path) -> None:
    file = tmp_path / "q.jsonl"
    file.write_text('\ufeff{"id": 7, "question": "Who may open the valve?", "x": 1}\n\n"東京"\n')
    result = run("ask", sealed, "--batch", file)
    first, second = rows(result.stdout)
    assert result.exit_code == 0
    assert list(first)[:3] == ["id", "question", "answer"] and first["id"] == 7
    assert "id" not in second and second["refused"] is True
    assert (
        rows(run("ask", sealed, "--batch", "-", text=file.read_bytes()).stdout)[0]["answer"]
        == first["answer"]
    )


def test_a_batch_file_appears_whole(sealed: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.jsonl"
    result = run("ask", sealed, "--batch", "-", "-o", out, text='"one"\n"two"')
    assert (result.exit_code, result.stdout) == (0, "")
    assert [row["question"] for row in rows(out.read_text("utf-8"))] == ["one", "two"]
    assert [p.name for p in tmp_path.iterdir()] == ["a.jsonl"]


def test_a_question_that_cannot_be_asked_does_not_stop_a_batch(
    sealed: Path, tmp_path: Path
) -> None:
    out = tmp_path / "a.jsonl"
    text = (
        '{"id": "e", "question": " "}\n'
        + json.dumps("\ud800" * 2)
        + "\n"
        + json.dumps("x" * 501)
        + '\n"fine"\n'
    )
    error = one_line(run("ask", sealed, "--batch", "-", "-o", out, text=text), 4)
    assert "3 of 4" in error
    empty, odd, long, fine = rows(out.read_text("utf-8"))
    assert list(empty) == ["id", "question", "error"] and "empty" in empty["error"]
    assert odd["question"] == "\ud800" * 2 and "501" in long["error"] and fine["answer"]


@pytest.mark.parametrize(
    "line", ["{", '{"q": 1}', '{"question": 5}', "17", "null", b"\xff\xfe", "[" * 100_000]
)
def test_a_bad_line_is_named_and_the_answers_before_it_stay(
    sealed: Path, tmp_path: Path, line: str | bytes
) -> None:
    file = tmp_path / "q.jsonl"
    file.write_bytes(
        b'"one"\n' + (line if isinstance(line, bytes) else line.encode()) + b'\n"three"\n'
    )
    result = run("ask", sealed, "--batch", file)
    assert f"{file}, line 2: " in one_line(result, 4)
    assert [row["question"] for row in rows(result.stdout)] == ["one"]
    kept = tmp_path / "a.jsonl.partial"
    assert str(kept) in one_line(run("ask", sealed, "--batch", file, "-o", tmp_path / "a.jsonl"), 4)
    assert len(rows(kept.read_text())) == 1 and not (tmp_path / "a.jsonl").exists()


def test_batch_files_that_cannot_be_used(sealed: Path, tmp_path: Path) -> None:
    assert "No such file" in one_line(run("ask", sealed, "--batch", tmp_path / "none"), 4)
    assert "Is a directory" in one_line(run("ask", sealed, "--batch", tmp_path), 4)
    assert "No such file" in one_line(
        run("ask", sealed, "--batch", "-", "-o", tmp_path / "no" / "a", text='"q"'), 1
    )
    assert run("ask", sealed, "--batch", "-", text="").exit_code == 0


# --- search, info, verify -------------------------------------------------------------------------


def test_search_as_text(sealed: Path) -> None:
    lines = run("search", sealed, "zz zone zz", "-k", 1).stdout.splitlines()
    assert lines[0].startswith("1. fees.pdf, page 2  (similarity 0.")
    assert lines[1:] == ["   Bond Fund", "   Zero fees are charged in zone zz zz."]


def test_info(sealed: Path) -> None:
    data = json.loads(run("info", sealed, "--json").stdout)
    assert (data["name"], data["version"]) == ("tiny", "1.0.0")
    assert data["knowledge"] == {
        "documents": 3,
        "chunks": 6,
        "folders": {"": 3},
        "dated": 0,
        "dates": [],
        "tags": {},
    }
    assert set(data["files"]) == {"model", "embedder", "knowledge", "report", "settings"}
    assert data["provenance"]["embedder"] == {"source": "letter counts"}
    assert data["report"]["scores"]["recall@5"] == 0.75
    text = run("info", sealed).stdout
    for words in ("name", "tiny", "documents", "provider", "context, tokens"):
        assert words in text
    assert "promised" not in text  # an older report has no guarantee
    assert "folders" not in text and "dates" not in text and "tags" not in text


def test_info_says_that_nothing_was_measured(sealed: Path, bundle: Path) -> None:
    assert "never measured" not in run("info", sealed).stdout
    shutil.rmtree(bundle / "report")
    fakes.reseal(bundle)
    lines = [line.split(None, 1) for line in run("info", bundle).stdout.splitlines()]
    assert ["quality", "never measured"] in lines


def test_info_says_what_is_promised(bundle: Path) -> None:
    sentence = "Of 100 questions like the test's at least 80 are answered."
    report = {"shipped": "rag", "arms": {"rag": {}}, "guarantee": {"sentence": sentence}}
    (bundle / "report" / "report.json").write_text(json.dumps(report))
    fakes.reseal(bundle)
    data = json.loads(run("info", bundle, "--json").stdout)
    assert data["report"]["guarantee"]["sentence"] == sentence
    line = next(line for line in run("info", bundle).stdout.splitlines() if sentence in line)
    assert line.split()[0] == "promised"


def test_info_of_damaged_small_files(bundle: Path) -> None:
    (bundle / "knowledge" / "chunks.sqlite").write_bytes(b"junk" * 1000)
    assert "chunks.sqlite" in one_line(run("info", bundle), 3)
    shutil.rmtree(bundle / "knowledge")
    fakes.reseal(bundle)
    (bundle / "report" / "report.json").write_text("{")
    assert "report.json" in one_line(run("info", bundle), 3)


def test_verify(bundle: Path) -> None:
    count = len(fieldpack.read_manifest(bundle).files)
    result = run("verify", bundle)
    assert result.exit_code == 0
    assert result.stdout.startswith(f"ok: {count} files, ") and result.stdout.endswith(" MB\n")
    assert json.loads(run("verify", bundle, "--json").stdout)["ok"] is True
    data = bytearray((bundle / "model" / "model.onnx.data").read_bytes())
    data[100] ^= 1
    (bundle / "model" / "model.onnx.data").write_bytes(data)
    assert "model/model.onnx.data: sha256 differs" in one_line(run("verify", bundle), 3)
    broken = json.loads(run("verify", bundle, "--json").stdout)
    assert broken["ok"] is False and "model.onnx.data" in broken["error"]
    one_line(run("ask", bundle, "q"), 3)
    assert (
        run("search", bundle, "valve", "--quick").exit_code == 0
    )  # the size is right: --quick does not look further


def test_every_command_s_help_has_an_example() -> None:
    for name in ("ask", "chat", "search", "info", "verify", "doctor", "bench"):
        text = run(name, "--help").stdout
        assert f"fieldpack {name} " in text and "Example" in text
    group = run("--help").stdout
    assert "130  stopped" in group and "3    the bundle" in group
    assert run("--version").stdout == f"fieldpack, version {fieldpack.__version__}\n"


# --- text -----------------------------------------------------------------------------------------


def test_control_characters_of_a_document_never_reach_a_terminal() -> None:
    assert render.printable("a\x1b[2J\x07\x9b\0\tb\n") == "a\ufffd[2J\ufffd\ufffd\ufffd\tb\n"
    assert render.printable("東京 e\u0301\u200d") == "東京 e\u0301\u200d"


def test_json_of_any_text_is_utf8() -> None:
    assert json.loads(render.dumps("\ud800é").encode("utf-8")) == "\ud800é"


# --- the real process -----------------------------------------------------------------------------


def test_odd_bytes_in_arguments_are_no_traceback(sealed: Path) -> None:
    done = shell("ask", sealed, b"\xff\xfe", "--quick")
    assert (done.returncode, done.stdout) == (4, b"") and done.stderr.startswith(
        b"fieldpack: the question is empty"
    )
    done = shell("ask", b"/tmp/no\xffwhere", "q")
    assert (
        done.returncode == 3 and b"Traceback" not in done.stderr and done.stderr.count(b"\n") == 1
    )


def test_help_is_light() -> None:
    code = (
        "import sys, fieldpack_app.cli as c\ntry: c.main()\nexcept SystemExit: "
        "pass\nprint(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "--help"], capture_output=True, text=True, check=True
    )
    assert "Exit codes:" in done.stdout
    assert not {"numpy", "onnxruntime", "usearch", "tokenizers"} & set(done.stdout.split())


def test_another_locale_gets_escapes_and_no_error(sealed: Path) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    done = subprocess.run(
        [*COMMAND, "search", sealed, "дверь", "--json"], env=environment, capture_output=True
    )
    assert done.returncode == 0 and "дверь" in json.loads(done.stdout)[0]["text"]


def test_a_closed_pipe_is_quiet(sealed: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [*COMMAND, "search", sealed, "valve"], stdout=writer, stderr=subprocess.PIPE, timeout=120
    )
    os.close(writer)
    assert done.stderr == b""


def test_ctrl_c_is_130_and_one_line_at_most(exported_llama: Path, tmp_path: Path) -> None:
    folder = fakes.write_bundle(tmp_path / "b", model=exported_llama)
    process = subprocess.Popen(
        [*COMMAND, "ask", folder, "--batch", "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin and process.stdout
    process.stdin.write(b'"one"\n')
    process.stdin.flush()
    assert b"one" in process.stdout.readline()
    wait_until_asleep(process)  # for the next line
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130 and b"Traceback" not in errors
