"""The device speaks to nobody: the real commands, on a real (tiny) bundle, cut off and watched."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from fieldpack_build import silence

QUESTION = "Which fee does the fund charge?"
COMMAND = [sys.executable, "-m", "fieldpack_app.cli"]
LIBRARY = """
import sys, fieldpack
with fieldpack.open(sys.argv[1]) as expert:
    print(expert.search(sys.argv[2])[0].document, expert.ask(sys.argv[2]).text)
"""
# What is run, and what it reads from its standard input.
COMMANDS: dict[str, tuple[list[str], str]] = {
    "ask": ([*COMMAND, "ask", "{bundle}", QUESTION, "--json"], ""),
    "batch": ([*COMMAND, "ask", "{bundle}", "--batch", "-"], json.dumps(QUESTION)),
    "chat": ([*COMMAND, "chat", "{bundle}", "--state", "{state}"], f"{QUESTION}\n/sources\n/search fee\n"),
    "search": ([*COMMAND, "search", "{bundle}", QUESTION], ""),
    "info": ([*COMMAND, "info", "{bundle}"], ""),
    "the library": ([sys.executable, "-c", LIBRARY, "{bundle}", QUESTION], ""),
}
HAS_TRACE = pytest.mark.skipif(silence.tool()[0] is None, reason=silence.tool()[1])


def environment(home: Path) -> dict[str, str]:
    """A home of its own, so that a stray file shows, and none of the settings that would silence a library for us."""
    dropped = ("ORT_DISABLE_TELEMETRY", "HF_HUB_OFFLINE", "XDG_STATE_HOME")
    kept = {name: value for name, value in os.environ.items() if name not in dropped}
    home.mkdir()
    return {**kept, "HOME": str(home), "XDG_CACHE_HOME": str(home / ".cache")}


def filled(command: Sequence[str], bundle: Path, state: Path) -> list[str]:
    return [part.format(bundle=bundle, state=state) if part in ("{bundle}", "{state}") else part for part in command]


def can_cut_off() -> bool:
    unshare = shutil.which("unshare")
    return bool(unshare) and subprocess.run([str(unshare), "-rn", "true"], capture_output=True).returncode == 0


@pytest.mark.skipif(not can_cut_off(), reason="no `unshare -rn` here (util-linux, user namespaces)")
@pytest.mark.parametrize("name", COMMANDS)
def test_everything_works_in_a_namespace_without_interfaces(sealed: Path, tmp_path: Path, name: str) -> None:
    command, given = COMMANDS[name]
    cut_off = ["unshare", "-rn", *filled(command, sealed, tmp_path / "state")]
    home = tmp_path / "home"
    done = subprocess.run(cut_off, env=environment(home), input=given, capture_output=True, text=True, timeout=120)

    assert done.returncode == 0, done.stderr
    assert done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["home"] and not any(home.iterdir()), "a file was written"


@HAS_TRACE
@pytest.mark.parametrize("name", COMMANDS)
def test_nothing_is_sent_looked_up_or_written(sealed: Path, tmp_path: Path, name: str) -> None:
    command, given = COMMANDS[name]
    seen = silence.trace(
        filled(command, sealed, tmp_path / "state"), environment=environment(tmp_path / "home"), given=given
    )  # fmt: skip
    assert seen.returncode == 0, seen.errors
    assert (seen.network, seen.looked_up, seen.written) == ((), (), ())
    assert seen.calls > 100, "the trace saw nothing at all"


@HAS_TRACE
def test_the_watch_sees_what_is_done(tmp_path: Path) -> None:
    code = (
        "import socket, os, threading\n"
        "def work():\n"
        "    try: socket.create_connection(('127.0.0.1', 1), 1)\n"
        "    except OSError: pass\n"
        f"    open('{tmp_path}/ätsch', 'a').close(); os.mkdir('{tmp_path}/in'); open('{tmp_path}/in/x', 'w').close()\n"
        "    open('/etc/hosts').close(); open('/dev/null', 'w').close()\n"
        "    try: open('/nowhere/at/all', 'w')\n"
        "    except OSError: pass\n"
        "thread = threading.Thread(target=work); thread.start(); thread.join()\n"
    )
    command = [sys.executable, "-c", code]
    seen = silence.trace(command, environment=environment(tmp_path / "home"), allowed=[tmp_path / "in"])
    assert not seen.silent and seen.threads > 1
    assert [call.partition("(")[0] for call in seen.network if "AF_INET" in call or "connect" in call][:1] == ["socket"]
    assert any("127.0.0.1" in call for call in seen.network)
    assert seen.looked_up == ("/etc/hosts",)
    assert seen.written == (str(tmp_path / "ätsch"),)
