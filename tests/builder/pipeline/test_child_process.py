"""The events of a child: what it sends arrives, whatever its libraries print; its errors keep their
class."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from fieldpack.child import python, safe_environment
from fieldpack_build.child_process import describe_exit, error_of, read_events
from fieldpack_build.errors import CheckFailed, LibraryError, StageError

CHILD = """
import os, sys, threading
from pathlib import Path
from fieldpack_build.child_process import EventChannel
from fieldpack_build.errors import CheckFailed
"""


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        python("-c", CHILD + code), env=safe_environment(), capture_output=True, text=True
    )


def test_events_arrive_and_prints_go_to_the_log() -> None:
    """Also those of a library's native code, which writes to the file descriptor."""
    done = run(
        "channel = EventChannel()\nprint('printed', flush=True)\nos.write(1, b'native\\n')\n"
        "channel.send({'event': 'note', 'text': 'ü'})\nchannel.send_error(CheckFailed('why'))\n"
    )
    assert list(read_events(done.stdout.splitlines(keepends=True))) == [
        {"event": "note", "text": "ü"},
        {"event": "error", "kind": "CheckFailed", "message": "why"},
    ]
    assert done.stderr == "printed\nnative\n"


def test_threads_do_not_mix_their_lines() -> None:
    done = run(
        "channel = EventChannel()\n"
        "send = lambda: [channel.send({'event': 'note', 'text': 'x' * 5000}) for _ in range(50)]\n"
        "threads = [threading.Thread(target=send) for _ in range(8)]\n"
        "[thread.start() for thread in threads]\n[thread.join() for thread in threads]\n"
    )
    events = list(read_events(done.stdout.splitlines(keepends=True)))
    assert events == [{"event": "note", "text": "x" * 5000}] * 400


@pytest.mark.parametrize("leave", [False, True])
def test_what_nothing_catches_is_reported(tmp_path: Path, leave: bool) -> None:
    """`leave`: although a thread would wait for ever."""
    waits = "threading.Thread(target=threading.Event().wait).start()\n" if leave else ""
    done = run(
        f"channel = EventChannel(max_message=40)\npath = Path({str(tmp_path)!r})\n"
        f"channel.report_uncaught(cache=path, log=path / 'log', event='uncaught', leave={leave})\n"
        f"{waits}import json\njson.loads('no')"
    )
    (event,) = read_events(done.stdout.splitlines(keepends=True))
    assert (event["event"], event["kind"]) == ("uncaught", "StageError") and done.returncode == 1
    assert len(event["message"]) == 40 and done.stderr.strip().endswith("(char 0)")


def test_other_lines_are_passed_on(capsys: pytest.CaptureFixture[str]) -> None:
    lines = ["warning: x\n", '{"event": "note"}\n', "[1]\n", '{"other": 1}\n', "\n"]
    assert list(read_events(lines)) == [{"event": "note"}]
    assert capsys.readouterr().err == 'warning: x\n[1]\n{"other": 1}\n\n'


def test_an_error_keeps_its_class() -> None:
    for error in (CheckFailed("a"), LibraryError("b")):
        event = {"event": "error", "kind": type(error).__name__, "message": str(error)}
        assert (type(error_of(event)), str(error_of(event))) == (type(error), str(error))
    assert type(error_of({"event": "error", "kind": "Unheard", "message": "c"})) is StageError


def test_how_a_process_ended_is_said() -> None:
    assert describe_exit(3) == "ended with 3"
    assert describe_exit(-11) == "was ended by SIGSEGV"
    assert describe_exit(-9) == "was ended by SIGKILL (out of memory?)"
