"""`fieldpack serve` as people start and stop it: what is printed, what is refused, how it ends."""

from __future__ import annotations

import itertools
import json
import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner, Result

from fieldpack_app.cli import cli
from fieldpack_app.feedback import NoteFilter, read_notes
from fieldpack_app.server.bundles import find_bundles
from fieldpack_app.server.settings import Settings
from serving import server_process, wait_for


def run(*args: object, **environment: str) -> Result:
    return CliRunner().invoke(
        cli, ["serve", *(str(arg) for arg in args)], env={"FIELDPACK_TOKEN": None, **environment}
    )


def test_from_the_printed_address_to_ctrl_c(sealed: Path, tmp_path: Path) -> None:
    with server_process(sealed, "--port", 0, "--threads", 1, home=tmp_path) as (process, line):
        found = re.fullmatch(
            r"tiny-1\.0\.0: open (http://127\.0\.0\.1:\d+)/\?token=([\w-]{43})\n", line
        )
        assert found, line
        url, token = found.groups()
        with httpx.Client(base_url=url, trust_env=False, timeout=60) as client:
            assert client.get("/").status_code == 401
            assert client.get(f"/?token={token}").status_code == 303
            assert "<html" in client.get("/").text
            asked = client.post("/api/ask", json={"question": "Who may open the valve?"})
            assert "event: done" in asked.text
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=120)
        assert process.returncode == 130
        assert (output, errors) == ("", "\n")
    assert list(tmp_path.iterdir()) == []  # nothing was written anywhere


def test_ctrl_c_waits_for_no_silent_connection(sealed: Path, tmp_path: Path) -> None:
    key = "0123456789abcdefg"
    with server_process(sealed, "--port", 0, home=tmp_path, FIELDPACK_TOKEN=key) as (process, line):
        url = line.split()[2].partition("/?")[0]
        assert key not in line and line.endswith("/?token=<your key>\n")
        with socket.create_connection(
            ("127.0.0.1", int(url.rpartition(":")[2]))
        ) as waiting:  # it says nothing
            waiting.sendall(b"GET / HTTP/1.1\r\n")
            assert (
                httpx.get(
                    url + "/api/bundles",
                    headers={"Authorization": f"Bearer {key}"},
                    trust_env=False,
                    timeout=60,
                ).status_code
                == 200
            )
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=120) == 130


def test_the_browser_is_opened_with_a_ticket_not_with_the_key(sealed: Path, tmp_path: Path) -> None:
    browser = tmp_path / "browser"
    browser.write_text(
        f'#!/bin/sh\necho "$1" > {tmp_path}/opened.new && mv {tmp_path}/opened.new '
        f"{tmp_path}/opened\n"
    )
    browser.chmod(0o755)
    with server_process(sealed, "--port", 0, "--open", home=tmp_path, BROWSER=f"{browser} %s") as (
        _,
        line,
    ):
        wait_for((tmp_path / "opened").exists)
        opened = (tmp_path / "opened").read_text().strip()
        key = line.strip().rpartition("token=")[2]
        assert key not in opened and opened.partition("?")[0] in line
        assert [httpx.get(opened, trust_env=False, timeout=60).status_code for _ in range(2)] == [
            303,
            401,
        ]


def test_a_rating_that_was_answered_outlives_a_kill(sealed: Path, tmp_path: Path) -> None:
    """Three clients rate as fast as they can while the server is killed; its next run goes on
    behind what is there."""
    key, answered, killed = "0123456789abcdefg", [], threading.Event()
    file = tmp_path / ".local" / "state" / "fieldpack" / "feedback.jsonl"

    def rate(url: str, name: str) -> None:
        with httpx.Client(
            base_url=url, trust_env=False, timeout=60, headers={"Authorization": f"Bearer {key}"}
        ) as client:
            for number in itertools.count():
                question = f"{name} {number}?"
                try:
                    sent = client.post(
                        "/api/feedback",
                        json={"question": question, "answer": "a" * 500, "rating": "up"},
                    )
                except httpx.TransportError:
                    assert killed.is_set()
                    return
                assert sent.status_code == 204
                answered.append(question)

    for run in range(2):
        killed.clear()
        before = len(answered)
        with server_process(sealed, "--port", 0, home=tmp_path, FIELDPACK_TOKEN=key) as (
            process,
            line,
        ):
            url = re.findall(r"http://[\d.:]+", line)[0]
            clients = [threading.Thread(target=rate, args=(url, f"{run} {name}")) for name in "abc"]
            for client in clients:
                client.start()
            wait_for(lambda: len(answered) > before + 20)  # noqa: B023 - waited for in this turn
            killed.set()
            process.kill()
            for client in clients:
                client.join()
        with file.open("ab") as torn:
            torn.write(b'{"kind": "rating", "que')  # as a power cut would leave it
    said: list[str] = []
    found = {note.question for note in read_notes(file, NoteFilter(), on_bad_line=said.append)}
    assert set(answered) <= found and len(answered) > 40
    assert len(said) == 2, said


def test_several_bundles(sealed: Path, tmp_path: Path) -> None:
    shelf = tmp_path / "shelf"
    for name in ("b", "a"):
        (shelf / name).mkdir(parents=True)
        manifest = json.loads((sealed / "manifest.json").read_text())
        (shelf / name / "manifest.json").write_text(json.dumps({**manifest, "name": name}))
    (shelf / "notes").mkdir()
    (shelf / "c").symlink_to(sealed)
    assert [bundle.id for bundle in find_bundles([sealed, shelf, shelf / "b"])] == [
        "tiny-1.0.0",
        "a-1.0.0",
        "b-1.0.0",
    ]
    twin = tmp_path / "twin"
    twin.mkdir()
    (twin / "manifest.json").write_bytes((sealed / "manifest.json").read_bytes())
    assert [bundle.id for bundle in find_bundles([sealed, twin])] == [
        "tiny-1.0.0",
        "tiny-1.0.0@twin",
    ]


def test_a_port_in_use(sealed: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = run(sealed, "--port", port)
    assert result.exit_code == 4
    assert result.stderr == (
        f"fieldpack: 127.0.0.1:{port}: Address already in use; name another port with --port (0: "
        "any free one)\n"
    )


@pytest.mark.parametrize(
    ("args", "environment", "says"),
    [
        (["--host", "0.0.0.0"], {}, "--allow-remote and a key of your own"),
        (["--host", "192.168.1.7", "--allow-remote"], {}, "--allow-remote and a key of your own"),
        (
            ["--host", "192.168.1.7"],
            {"FIELDPACK_TOKEN": "x" * 32},
            "--allow-remote and a key of your own",
        ),
        (
            ["--host", "0.0.0.0", "--allow-remote"],
            {"FIELDPACK_TOKEN": "x" * 32},
            "--host-name NAME",
        ),
        ([], {"FIELDPACK_TOKEN": "short"}, "16 to 512 letters"),
        ([], {"FIELDPACK_TOKEN": "x" * 20 + ";"}, "16 to 512 letters"),
        (["--port", "65536"], {}, "--port"),
        (["--max-waiting", "0"], {}, "--max-waiting"),
    ],
)
def test_usage_errors_explain(
    sealed: Path, args: list[str], environment: dict[str, str], says: str
) -> None:
    result = run(sealed, *args, **environment)
    assert result.exit_code == 2 and says in result.stderr


def test_what_is_not_there(sealed: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for args, code, says in (
        ([tmp_path / "none"], 3, "no bundle here"),
        ([tmp_path / "empty"], 3, "nor in a folder of it"),
        ([sealed, "--token-file", tmp_path / "key"], 4, "No such file"),
        ([sealed, "--host", "999.1.1.1"], 2, "--allow-remote"),
        ([], 2, "BUNDLE"),
    ):
        result = run(*args)
        assert result.exit_code == code and says in result.stderr, result.stderr


def test_a_damaged_bundle_is_not_served(bundle: Path) -> None:
    (bundle / "prompt.json").write_text("{")
    result = run(bundle, "--port", 0)
    assert result.exit_code == 3 and "prompt.json" in result.stderr


def test_remote_names_are_answered_with_and_without_the_port() -> None:
    settings = Settings("x" * 32, 8420, Path("state"), remote=("pi.lan", "192.168.1.7"))
    assert {"pi.lan", "pi.lan:8420", "192.168.1.7:8420", "127.0.0.1:8420"} <= settings.hosts
    assert (
        "127.0.0.1" not in settings.hosts
        and "localhost" in Settings("x" * 32, 80, Path("state")).hosts
    )


def test_other_commands_import_no_server() -> None:
    code = (
        "import sys, fieldpack_app.cli as c\ntry: c.main()\nexcept SystemExit: "
        "pass\nprint(*sys.modules)"
    )
    for args in (["--help"], ["serve", "--help"], ["ask", "nowhere", "q"]):
        done = subprocess.run(
            [sys.executable, "-c", code, *args], capture_output=True, text=True, check=True
        )
        assert not {"starlette", "uvicorn", "anyio", "h11", "asyncio"} & set(done.stdout.split())
