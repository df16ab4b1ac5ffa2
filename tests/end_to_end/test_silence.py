"""The device speaks to nobody: the real commands, on a real (tiny) bundle, cut off and watched."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import httpx
import pytest

from fieldpack_build.evaluation import network_trace

QUESTION = "Which fee does the fund charge?"
COMMAND = [sys.executable, "-m", "fieldpack_app.cli"]
LIBRARY = """
import sys, fieldpack
with fieldpack.open(sys.argv[1]) as expert:
    print(expert.search(sys.argv[2])[0].document, expert.ask(sys.argv[2]).text)
"""
# Two requests; what is not answered when stdin ends is stopped.
MCP = "".join(
    json.dumps({"jsonrpc": "2.0", "id": number, **request}) + "\n"
    for number, request in enumerate(
        (
            {"method": "initialize", "params": {"protocolVersion": "2025-11-25"}},
            {
                "method": "tools/call",
                "params": {"name": "ask", "arguments": {"question": QUESTION}},
            },
        )
    )
)
# What is run, and what it reads from its standard input.
COMMANDS: dict[str, tuple[list[str], str]] = {
    "ask": ([*COMMAND, "ask", "{bundle}", QUESTION, "--json"], ""),
    "batch": ([*COMMAND, "ask", "{bundle}", "--batch", "-"], json.dumps(QUESTION)),
    "chat": (
        [*COMMAND, "chat", "{bundle}", "--state", "{state}"],
        f"{QUESTION}\n/sources\n/search fee\n",
    ),
    "search": ([*COMMAND, "search", "{bundle}", QUESTION], ""),
    "info": ([*COMMAND, "info", "{bundle}"], ""),
    "mcp": ([*COMMAND, "mcp", "{bundle}"], MCP),
    "doctor": ([*COMMAND, "doctor", "{bundle}", "--state", "{state}"], ""),
    "the library": ([sys.executable, "-c", LIBRARY, "{bundle}", QUESTION], ""),
}
HAS_TRACE = pytest.mark.skipif(
    network_trace.find_strace()[0] is None, reason=network_trace.find_strace()[1]
)


def environment(home: Path) -> dict[str, str]:
    """A home of its own, so that a stray file shows, and none of the settings that would silence a
    library for us."""
    dropped = ("ORT_DISABLE_TELEMETRY", "HF_HUB_OFFLINE", "XDG_STATE_HOME")
    kept = {name: value for name, value in os.environ.items() if name not in dropped}
    home.mkdir()
    return {**kept, "HOME": str(home), "XDG_CACHE_HOME": str(home / ".cache")}


def filled(command: Sequence[str], bundle: Path, state: Path) -> list[str]:
    return [
        part.format(bundle=bundle, state=state) if part in ("{bundle}", "{state}") else part
        for part in command
    ]


def can_cut_off(*, with_loopback: bool = False) -> bool:
    unshare = shutil.which("unshare")
    command = ["ip", "link", "set", "lo", "up"] if with_loopback else ["true"]
    return (
        bool(unshare)
        and subprocess.run([str(unshare), "-rn", *command], capture_output=True).returncode == 0
    )


@pytest.mark.skipif(not can_cut_off(), reason="no `unshare -rn` here (util-linux, user namespaces)")
@pytest.mark.parametrize("name", COMMANDS)
def test_everything_works_in_a_namespace_without_interfaces(
    sealed: Path, tmp_path: Path, name: str
) -> None:
    command, given = COMMANDS[name]
    cut_off = ["unshare", "-rn", *filled(command, sealed, tmp_path / "state")]
    home = tmp_path / "home"
    done = subprocess.run(
        cut_off, env=environment(home), input=given, capture_output=True, text=True, timeout=300
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["home"] and not any(home.iterdir()), (
        "a file was written"
    )


@HAS_TRACE
@pytest.mark.parametrize("name", COMMANDS)
def test_nothing_is_sent_looked_up_or_written(sealed: Path, tmp_path: Path, name: str) -> None:
    command, given = COMMANDS[name]
    seen = network_trace.trace(
        filled(command, sealed, tmp_path / "state"),
        environment=environment(tmp_path / "home"),
        stdin=given,
    )
    assert seen.returncode == 0, seen.errors
    assert (seen.network, seen.looked_up, seen.written) == ((), (), ())
    assert seen.calls > 100, "the trace saw nothing at all"


def ask_and_stop(process: subprocess.Popen[str], stop: Callable[[], None]) -> None:
    """One question over the loopback, to the end of its answer."""
    assert process.stdout
    address = next(
        found
        for line in process.stdout
        if (found := re.search(r"(http://127.0.0.1:\d+)/\?token=(\S+)", line))
    )
    key = {"Authorization": f"Bearer {address[2]}"}
    rated = {"question": QUESTION, "answer": "x", "rating": "up"}
    with httpx.Client(base_url=address[1], headers=key, timeout=300) as client:
        assert "event: done" in client.post("/api/ask", json={"question": QUESTION}).text
        assert client.post("/api/feedback", json=rated).status_code == 204
    stop()


def serve(bundle: Path, state: Path) -> list[str]:
    return [*COMMAND, "serve", str(bundle), "--port", "0", "--state", str(state)]


def serve_and_ask(bundle: str, state: str) -> None:
    """Both ends; run inside the namespace, whose loopback is its own."""
    with subprocess.Popen(
        serve(Path(bundle), Path(state)), stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            ask_and_stop(process, process.terminate)
        finally:
            process.kill()


@pytest.mark.skipif(
    not can_cut_off(with_loopback=True), reason="no `unshare -rn` with `ip link set lo up` here"
)
def test_the_server_answers_in_a_namespace_with_its_loopback_alone(
    sealed: Path, tmp_path: Path
) -> None:
    home = environment(tmp_path / "home")
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from test_silence import serve_and_ask; "
        "serve_and_ask(*sys.argv[2:])"
    )
    inside = [
        sys.executable,
        "-c",
        code,
        str(Path(__file__).parent),
        str(sealed),
        str(tmp_path / "state"),
    ]
    command = ["unshare", "-rn", "sh", "-c", 'ip link set lo up && exec "$@"', "sh", *inside]
    done = subprocess.run(command, env=home, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"home", "state"} and not any(
        (tmp_path / "home").iterdir()
    )


@HAS_TRACE
def test_the_server_listens_on_the_loopback_and_calls_nobody(sealed: Path, tmp_path: Path) -> None:
    def talk(process: subprocess.Popen[str]) -> None:
        children = Path(
            f"/proc/{process.pid}/task/{process.pid}/children"
        )  # strace's one is the server
        ask_and_stop(process, lambda: os.kill(int(children.read_text()), signal.SIGINT))

    state = tmp_path / "state"
    command = serve(sealed, state)
    seen = network_trace.trace(
        command, environment=environment(tmp_path / "home"), allowed=[state], meanwhile=talk
    )
    answers = re.compile(r"sendto\(.*, NULL, 0\)\s+= \d+$")  # to whoever called, or to itself
    reaching = re.compile(r"(socket|bind|connect|sendto|sendmsg|sendmmsg|io_uring_setup)\(")
    opened, bound = (
        call for call in seen.network if reaching.match(call) and not answers.match(call)
    )
    assert opened.startswith("socket(AF_INET, SOCK_STREAM")
    assert bound.startswith("bind(") and 'inet_addr("127.0.0.1")' in bound
    assert (seen.looked_up, seen.written) == ((), ())
    assert [path.name for path in state.iterdir()] == ["feedback.jsonl"]


@HAS_TRACE
def test_the_watch_sees_what_is_done(tmp_path: Path) -> None:
    code = (
        "import socket, os, threading\n"
        "def work():\n"
        "    try: socket.create_connection(('127.0.0.1', 1), 1)\n"
        "    except OSError: pass\n"
        f"    open('{tmp_path}/ätsch', 'a').close(); os.mkdir('{tmp_path}/in'); "
        f"open('{tmp_path}/in/x', 'w').close()\n"
        "    open('/etc/hosts').close(); open('/dev/null', 'w').close()\n"
        "    try: open('/nowhere/at/all', 'w')\n"
        "    except OSError: pass\n"
        "thread = threading.Thread(target=work); thread.start(); thread.join()\n"
    )
    command = [sys.executable, "-c", code]
    seen = network_trace.trace(
        command, environment=environment(tmp_path / "home"), allowed=[tmp_path / "in"]
    )
    assert not seen.silent and seen.threads > 1
    assert [
        call.partition("(")[0] for call in seen.network if "AF_INET" in call or "connect" in call
    ][:1] == ["socket"]
    assert any("127.0.0.1" in call for call in seen.network)
    assert seen.looked_up == ("/etc/hosts",)
    assert seen.written == (str(tmp_path / "ätsch"),)
