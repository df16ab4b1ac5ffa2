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
from fieldpack_app.state import append_line, read_regular, state_folder, write_private
from fieldpack_app.terminal.line_input import read_lines

# Appends a line (to another file than .jsonl: writes it whole) and says so once it is on the disk; is
# killed before the system call of that number within the append.
KILLED = """
import os, signal, sys
from pathlib import Path
from fieldpack_app.state import append_line, write_private

left = int(sys.argv[2])

def count(frame, event, function):
    global left
    if event == "c_call" and getattr(function, "__module__", "") in ("posix", "fcntl"):
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

path, text = Path(sys.argv[1]), sys.argv[3]
sys.setprofile(count)
append_line(path, text) if path.suffix == ".jsonl" else write_private(path, text.encode())
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
    with pytest.raises(OSError, match="no regular file"):
        read_regular(tmp_path / "lines")
    with pytest.raises(OSError, match="no regular file"):
        read_notes(tmp_path / "lines", NoteFilter(), on_bad_line=pytest.fail)
    (tmp_path / "endless").symlink_to("/dev/zero")
    with pytest.raises(OSError, match="no regular file"):
        read_regular(tmp_path / "endless")


def test_a_pipe_in_the_historys_place_keeps_no_history(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo(tmp_path / "history")
    monkeypatch.setattr("builtins.input", lambda prompt: "next")
    assert next(read_lines([], tmp_path / "history")) == "next"
    assert "history is not kept" in capsys.readouterr().err


def test_feedback_in_a_pipe_is_named_by_the_command(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "feedback.jsonl")
    command = [sys.executable, "-m", "fieldpack_app.cli", "feedback", "list", "--state"]
    done = subprocess.run([*command, str(tmp_path)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 1 and "feedback.jsonl: it is no regular file" in done.stderr


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


def test_a_kill_while_a_whole_file_is_written_leaves_the_old_one_or_the_new_one(
    tmp_path: Path,
) -> None:
    """As the keys of paired devices are written. The next write needs no tidying up."""
    path = tmp_path / "keys.json"
    path.write_text("old")
    kills = 0
    for call in range(60):
        command = [sys.executable, "-c", KILLED, path, str(call), f"new {call}"]
        child = subprocess.run(command, capture_output=True, text=True, check=False)
        if child.stdout == "kept\n":
            assert path.read_text() == f"new {call}"
            break
        assert child.returncode == -signal.SIGKILL, child.stderr
        kills += 1
        assert path.read_text() in ("old", f"new {call}")
        write_private(path, b"old")
    assert kills >= 8, "mkdir, unlink, open, write, fsync, rename, open, fsync, close"
    assert [one.name for one in tmp_path.iterdir()] == ["keys.json"]
    assert path.stat().st_mode & 0o777 == 0o600


FILLED = """
import sys
from pathlib import Path
from fieldpack_app.state import append_line, write_private

folder = Path(sys.argv[1])
write_private(folder / "keys.json", b"old")
(folder / "ballast").write_bytes(bytes(8192))
kept = []
try:
    for number in range(10_000):
        append_line(folder / "feedback.jsonl", f"{number} " + "x" * 300)
        kept.append(number)
    sys.exit("the disk took everything")
except OSError as error:
    print(error.strerror)
lines = (folder / "feedback.jsonl").read_text().splitlines()
assert [int(line.split()[0]) for line in lines] == kept and len(kept) > 10, lines[-1]
assert all(len(line) > 300 for line in lines)
try:
    write_private(folder / "keys.json", b"new" * 3000)
except OSError:
    assert (folder / "keys.json").read_bytes() == b"old"
(folder / "ballast").unlink()
append_line(folder / "feedback.jsonl", "after")
write_private(folder / "keys.json", b"new")
assert (folder / "feedback.jsonl").read_text().splitlines() == [*lines, "after"]
print("held")
"""


def test_a_full_disk_keeps_every_line_that_was_kept(tmp_path: Path) -> None:
    """A real one, of 64 kB, in a mount namespace of its own."""
    mount = (
        f'mount -t tmpfs -o size=64k none {tmp_path} && exec {sys.executable} -c "$0" {tmp_path}'
    )
    if subprocess.run(["unshare", "-rm", "true"], capture_output=True).returncode:
        pytest.skip("no `unshare -rm` here (util-linux, user namespaces)")
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", mount, FILLED], capture_output=True, text=True
    )
    assert done.stdout == "No space left on device\nheld\n", done.stderr


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
