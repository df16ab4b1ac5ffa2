"""`fieldpack chat` as a person at a terminal and a script behind a pipe meet it."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

import fakes
from fieldpack.prompt import read_prompt, write_prompt
from fieldpack.retrieval.quoting import QuoteSettings
from terminal import COMMAND, Terminal

QUESTION = "What does the A class of the Global Equity Fund cost a year?"
UP, CTRL_A, CTRL_C, CTRL_D, TAB = "\x1b[A", "\x01", "\x03", "\x04", "\t"


def piped(
    bundle: Path, text: str, *args: str, home: Path | None = None
) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **({"HOME": str(home), "XDG_STATE_HOME": ""} if home else {})}
    command = [*COMMAND, "chat", str(bundle), "--quick", *args]
    return subprocess.run(
        command, input=text, env=environment, capture_output=True, text=True, timeout=120
    )


# --- in a pipe ------------------------------------------------------------------------------------


def test_in_a_pipe_each_answer_is_a_block_and_nothing_else_is_said(
    sealed: Path, tmp_path: Path
) -> None:
    done = piped(sealed, f"{QUESTION}\n/new\n東京\n", home=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout and "> " not in done.stdout.splitlines()
    assert "\n\nSources:" in done.stdout
    assert done.stdout.endswith("\n\nforgotten\nI cannot answer that from these documents.\n\n")
    assert list(tmp_path.iterdir()) == [], "a pipe's lines are nobody's history"


def test_commands(sealed: Path) -> None:
    lines = (
        f"/sources\n{QUESTION}\n/sources\n/search "
        "valve\n/search\n/new\n/sources\n/help\n/dance\n/quit\nnever asked\n"
    )
    done = piped(sealed, lines)
    assert done.returncode == 0
    assert done.stderr.splitlines() == [
        "nothing was answered yet",
        "say what to look for: /search WORDS",
        "nothing was answered yet",
        "unknown command /dance: /sources, /search, /new, /help, /quit",
    ]
    read, searched = done.stdout.index("[1] fees.pdf, page 1"), done.stdout.index("1. pump.md")
    assert done.stdout.index("   | The A class costs 0.85% a year.") > read
    assert read < searched < done.stdout.index("forgotten") < done.stdout.index("/quit     end")


def test_a_follow_up_goes_on_from_the_answer_before_it(sealed: Path) -> None:
    def read(text: str) -> str:
        return piped(sealed, text).stdout

    alone, after = read("And zz?\n/sources\n"), read(f"{QUESTION}\nAnd zz?\n/sources\n")
    assert alone.index("[1] fees.pdf, page 2"), "by itself the second page is the nearest"
    forgotten = read(f"{QUESTION}\n/new\nAnd zz?\n/sources\n")
    assert forgotten.partition("forgotten\n")[2] == alone
    assert after.rindex("[1] fees.pdf, page 1") and not after.endswith(alone)
    assert "Read as" not in alone
    # How it is read stands above its answer.
    assert after.index("Read as: ") < after.rindex("Sources:")
    assert after.count("Read as: ") == 1


def test_sources_stand_in_the_text_around_them(exported_llama: Path, tmp_path: Path) -> None:
    settings = replace(fakes.SETTINGS, passages=1)
    chunks = [replace(c, gap="\n\nValve\n\n") if c.start == 50 else c for c in fakes.CHUNKS]
    bundle = fakes.write_bundle(
        tmp_path / "one", model=exported_llama, settings=settings, chunks=chunks
    )
    lines = piped(bundle, "valve QX-7781\n/sources\n").stdout.splitlines()
    at = lines.index("   | Only a trained operator may open valve QX-7781.")
    assert lines[at - 4].startswith("[1] pump.md")
    assert lines[at - 3 : at] == [
        "   Service > Valve",
        "     Change the filter after 400 hours of use.",
        "     Valve",
    ]


def test_a_question_that_cannot_be_asked_does_not_end_the_conversation(sealed: Path) -> None:
    done = piped(sealed, f"{'x' * 501}\n/search {'x' * 501}\n東京\n")
    assert done.stderr.count("fieldpack: the question has 501 characters") == 2
    assert done.stdout == "I cannot answer that from these documents.\n\n"


# --- at a terminal --------------------------------------------------------------------------------


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


def test_on_a_terminal_the_passage_s_words_stand_above_the_answer(
    bundle: Path, tmp_path: Path
) -> None:
    chat, settings = read_prompt(bundle)
    write_prompt(bundle, chat, replace(settings, quoting=QuoteSettings()))
    fakes.reseal(bundle)
    with Terminal("chat", bundle, "--quick", "--state", tmp_path / "state") as t:
        t.until("> ")
        t.line("After how many hours of use is the filter changed?")
        shown = t.until("\n> ")
        assert (
            0 < shown.index('"Change the filter after 400 hours of use."') < shown.index("Sources:")
        )
        t.keys(CTRL_D)
        assert t.ended() == 0


def test_a_conversation_at_a_terminal(sealed: Path, state: Path) -> None:
    with Terminal("chat", sealed, "--quick", "--state", state) as t:
        assert "tiny 1.0.0." in t.until("> ")
        t.line("Who may open the valve?")
        shown = t.until("\n> ")
        assert (
            "passages ..." in shown or "searching ..." in shown or "opening the models ..." in shown
        )
        assert "Sources:" in shown
        assert "\r\x1b[K" in t.raw, "the hint goes before the first word"
        t.line("/sources")
        assert "[1] pump.md" in t.until("\n> ")
        t.keys(CTRL_D)
        assert t.ended() == 0
    assert (state / "history").read_text() == "Who may open the valve?\n/sources\n"
    assert (state / "history").stat().st_mode & 0o777 == 0o600


def test_lines_of_the_last_session_come_back_and_can_be_edited(sealed: Path, state: Path) -> None:
    state.mkdir()
    (state / "history").write_text("/search pump\n/search walve\n")
    with Terminal("chat", sealed, "--quick", "--state", state) as t:
        t.until("> ")
        t.keys(UP + UP + CTRL_A)
        t.until("pump")
        t.line("")
        assert "1. pump.md" in t.until("\n> ")
        t.line("/quit")
        assert t.ended() == 0
    assert (state / "history").read_text().splitlines()[2:] == ["/search pump", "/quit"]


def test_tab_completes_commands_and_only_those(sealed: Path, state: Path) -> None:
    with Terminal("chat", sealed, "--quick", "--state", state) as t:
        t.until("> ")
        t.keys(f"/sea{TAB}valve\r")
        assert "QX-7781" in t.until("\n> ")
        t.keys(f"/q{TAB}\r")
        assert t.ended() == 0
    assert (state / "history").read_text() == "/search valve\n/quit\n"


def test_no_history_writes_nothing(sealed: Path, state: Path) -> None:
    with Terminal("chat", sealed, "--quick", "--state", state, "--no-history") as t:
        t.until("> ")
        t.line("/help")
        t.until("\n> ")
        t.keys(CTRL_D)
        assert t.ended() == 0
    assert not state.exists()


def test_a_state_folder_that_cannot_be_written_is_said_once(sealed: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with Terminal("chat", sealed, "--quick", "--state", tmp_path / "file" / "below") as t:
        t.until("> ")
        t.line("/help")
        t.until("\n> ")
        t.line("/quit")
        assert t.ended() == 0
        assert t.raw.count("history is not kept") == 1


def test_ctrl_c_at_the_prompt_clears_the_line(sealed: Path, state: Path) -> None:
    with Terminal("chat", sealed, "--quick", "--state", state) as t:
        t.until("> ")
        t.keys("half a thou")
        t.until("half a thou")
        t.until_asleep()  # else readline sees the signal only at the next key
        t.keys(CTRL_C)
        t.until("\n> ")
        t.line("/quit")
        assert t.ended() == 0
    assert (state / "history").read_text() == "/quit\n"


def test_ctrl_c_stops_an_answer_and_not_the_program(state: Path, tmp_path: Path) -> None:
    """The answer is longer than what a terminal holds of output that nobody reads (about 20 kB), so
    that it cannot end before the key is pressed, however late that is."""
    positions = 1 << 15
    source = fakes.write_tiny_model(tmp_path / "hf", max_position_embeddings=positions)
    model = fakes.export_tiny_model(source, tmp_path / "onnx")
    talkative = replace(
        fakes.SETTINGS, max_context=positions, max_answer_tokens=positions - 1000, passages=1
    )
    bundle = fakes.write_bundle(tmp_path / "talkative", model=model, settings=talkative)
    with Terminal("chat", bundle, "--quick", "--state", state) as t:
        t.until("> ")
        t.line("Who may open the valve?")
        t.until("reading 1 passage ...")
        t.keys(CTRL_C)
        assert "Sources:" not in t.until("(stopped)")
        t.until("\n> ")
        t.line("/sources")
        assert "nothing was answered yet" in t.until("\n> ")
        t.keys(CTRL_D)
        assert t.ended() == 0
