"""Where the app writes: one folder, for its user alone."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import pytest

from fieldpack import InputError
from fieldpack_app.feedback import NoteFilter, read_notes
from fieldpack_app.state import append_line, state_folder
from fieldpack_app.terminal.line_input import read_lines

# Appends a line and says so once it is on the disk; is killed before the system call of that number
# within the append.
KILLED = """
import os, signal, sys
from pathlib import Path
from fieldpack_app.state import append_line

left = int(sys.argv[2])

def count(frame, event, function):
    global left
    if event == "c_call" and getattr(function, "__module__", "") in ("posix", "fcntl"):
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

sys.setprofile(count)
append_line(Path(sys.argv[1]), sys.argv[3])
sys.setprofile(None)
print("kept", flush=True)
"""


@pytest.mark.parametrize(
    ("xdg", "wanted"),
    [("", "home/.local/state"), ("relative", "home/.local/state"), ("{t}/x", "x")],
)
def test_the_folder_is_where_others_keep_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, xdg: str, wanted: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_STATE_HOME", xdg.replace("{t}", str(tmp_path)))
    assert state_folder() == tmp_path / wanted / "fieldpack"
    assert state_folder(tmp_path / "given") == tmp_path / "given"
    assert list(tmp_path.iterdir()) == [], "asking for it makes nothing"


def test_lines_are_added_and_nobody_else_reads_them(tmp_path: Path) -> None:
    path = tmp_path / "state" / "fieldpack" / "lines"
    append_line(path, "one")
    append_line(path, "zwei \ud800")
    assert path.read_text("utf-8") == "one\nzwei \\ud800\n"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_without_a_home_a_sentence_says_what_to_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container that runs under a number: no HOME, and no entry in passwd for its user."""

    def unknown(uid: int) -> NoReturn:
        raise KeyError(uid)

    for name in ("HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", unknown)
    with pytest.raises(
        InputError, match="no home folder to keep anything in; name one with --state DIR"
    ):
        state_folder()
    assert state_folder(Path("/srv/state")) == Path("/srv/state")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'{"half": "a li', b'{"half": "a li\nnew\n'),
        (b"\0" * 4096, b"\0" * 4096 + b"\nnew\n"),
        (b"whole\n", b"whole\nnew\n"),
    ],
)
def test_a_line_begins_behind_what_a_power_cut_left(
    tmp_path: Path, before: bytes, after: bytes
) -> None:
    path = tmp_path / "lines"
    path.write_bytes(before)
    append_line(path, "new")
    assert path.read_bytes() == after


def test_of_a_line_that_finds_no_room_nothing_stays(tmp_path: Path) -> None:
    """A limit on the file's size gives what a full disk gives: a short write, then none."""
    path = tmp_path / "lines"
    append_line(path, "x" * 90)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            append_line(path, "y" * 50)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == b"x" * 90 + b"\n"
    append_line(path, "z")
    assert path.read_bytes() == b"x" * 90 + b"\nz\n"


def test_a_pipe_in_the_files_place_holds_nobody_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "lines")
    with pytest.raises(OSError, match="no regular file"):
        append_line(tmp_path / "lines", "x")


def test_a_kill_before_any_system_call_loses_nothing_that_was_kept(tmp_path: Path) -> None:
    """Feedback and the terminal's history are written by the same function. The first append makes
    folder and file."""
    path = tmp_path / "state" / "feedback.jsonl"
    kept: list[str] = []
    kills = 0
    for call in range(60):
        note = {
            "rating": "up",
            "time": "2026-03-01T12:00:00+00:00",
            "question": f"Question {call}?",
        }
        child = subprocess.run(
            [sys.executable, "-c", KILLED, path, str(call), json.dumps(note)],
            capture_output=True,
            text=True,
            check=False,
        )
        if child.stdout == "kept\n":
            assert child.returncode == 0, child.stderr
            kept.append(note["question"])
            break
        assert child.returncode == -signal.SIGKILL, child.stderr
        kills += 1
        after = {**note, "question": f"After {call}?"}
        append_line(path, json.dumps(after))
        kept.append(after["question"])
        found = [one.question for one in read_notes(path, NoteFilter(), on_bad_line=pytest.fail)]
        assert [question for question in found if question in kept] == kept
    assert kept[-1].startswith("Question") and kills >= 8, (
        "mkdir, open, fstat, flock, fstat, write, fsync, close"
    )


def test_the_history_of_a_disk_that_lost_power_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import readline

    path = tmp_path / "history"
    path.write_bytes(b"first\n" + b"\0" * 512 + b"second\nthi")
    monkeypatch.setattr("builtins.input", lambda prompt: "next")
    assert next(read_lines([], path)) == "next"
    count = readline.get_current_history_length()
    assert [readline.get_history_item(n + 1) for n in range(count)] == ["first", "second", "thi"]
    assert path.read_bytes().endswith(b"\nthi\nnext\n")
