"""The device speaks to nobody: the real command, on a real (tiny) bundle, cut off and watched."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ASK = [sys.executable, "-m", "fieldpack_app.cli", "ask"]
QUESTION = "Which fee does the fund charge?"


def _environment(home: Path) -> dict[str, str]:
    """A home of its own, so that a stray file shows, and none of the settings that would silence a library for us."""
    kept = {name: value for name, value in os.environ.items() if name not in ("ORT_DISABLE_TELEMETRY", "HF_HUB_OFFLINE")}
    return {**kept, "HOME": str(home), "XDG_CACHE_HOME": str(home / ".cache")}


def _can_cut_off() -> bool:
    unshare = shutil.which("unshare")
    return bool(unshare) and subprocess.run([str(unshare), "-rn", "true"], capture_output=True).returncode == 0


@pytest.mark.skipif(not _can_cut_off(), reason="no `unshare -rn` here (util-linux, user namespaces)")
def test_ask_answers_in_a_namespace_without_interfaces(bundle: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    command = ["unshare", "-rn", *ASK, str(bundle), QUESTION, "--json"]
    done = subprocess.run(command, env=_environment(home), capture_output=True, text=True, timeout=120)

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["question"] == QUESTION
    assert list(home.iterdir()) == [], "a file was written outside the bundle"


@pytest.mark.skipif(not shutil.which("strace"), reason="no strace here")
def test_a_trace_of_ask_shows_no_socket(bundle: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    log = tmp_path / "trace"
    command = ["strace", "-f", "-qq", "-e", "trace=network", "-o", str(log), *ASK, str(bundle), QUESTION]
    done = subprocess.run(command, env=_environment(home), capture_output=True, text=True, timeout=300)

    assert done.returncode == 0, done.stderr
    calls = [line for line in log.read_text().splitlines() if re.search(r"\b(socket|connect|sendto|sendmsg)\(", line)]
    assert calls == []
    assert list(home.iterdir()) == []
