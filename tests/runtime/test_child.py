"""No process of ours, and none that it starts, imports what lies in the current folder: modules
that have a library's name are planted there, and inside a bundle, and real commands are run among
them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest

import fakes
from fieldpack.child import (
    ChildFailed,
    ask_child,
    last_line,
    python,
    safe_environment,
)
from fieldpack_build import toolchains

ROOT = Path(__file__).parents[2]
SCRIPTS = Path(sysconfig.get_path("scripts"))
ROWS = [{"question": f"What is item {n}?", "answer": f"Item {n} is a word."} for n in range(6)]
QUESTIONS = [{"question": f"Which one is {n}?", "answer": f"It is {n}."} for n in range(4)]


@pytest.fixture
def planted(tmp_path: Path) -> Path:
    (tmp_path / "here").mkdir()
    return fakes.plant(tmp_path / "here")


def run(command: list[str], folder: Path, **changes: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **changes},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def test_the_planted_modules_would_be_imported(planted: Path) -> None:
    """Else none of these tests could fail."""
    assert run([sys.executable, "-m", "json.tool", "--help"], planted).returncode == 1
    assert fakes.imported(planted) == ["json"]


@pytest.mark.parametrize("path", [None, "", ":{lib}", "{lib}::{lib}", "{lib}:"])
def test_the_current_folder_is_on_no_path_and_pythonpath_counts(
    planted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str | None
) -> None:
    """An empty entry of PYTHONPATH is the current folder to Python. Grandchildren that a library
    starts are as safe."""
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "of_mine.py").write_text("")
    monkeypatch.chdir(planted)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    if path is not None:
        monkeypatch.setenv("PYTHONPATH", path.format(lib=tmp_path / "lib"))
    code = "import json, random, http" + (", of_mine" if path else "")
    grandchildren = [[sys.executable, "-c", code], [sys.executable, "-m", "json.tool", "-h"]]
    inner = (
        f"{code}, subprocess\nfor command in {grandchildren}: subprocess.run(command, check=True)"
    )
    done = subprocess.run(
        python("-c", inner), env=safe_environment(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert fakes.imported(planted) == []


def test_an_environment_keeps_what_it_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["/a", "", "b"]))
    monkeypatch.setenv("KEPT", "1")
    found = safe_environment({"MORE": "2"})
    assert (found["PYTHONPATH"], found["KEPT"], found["MORE"], found["PYTHONSAFEPATH"]) == (
        "/a:b",
        "1",
        "2",
        "1",
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep)
    assert "PYTHONPATH" not in safe_environment()
    assert python("-m", "pip") == [sys.executable, "-P", "-m", "pip"]


def test_every_child_is_started_by_the_helper() -> None:
    """`sys.executable` stands nowhere else in what ships."""
    sources = [
        path for part in ("build", "runtime", "edge_app") for path in (ROOT / part).rglob("*.py")
    ]
    naming = [
        path.name
        for path in sources
        if re.search(r"\bsys\.executable\b", path.read_text(encoding="utf-8"))
    ]
    assert len(sources) > 100 and naming == ["child.py"]


# --- the build ------------------------------------------------------------------------------------


def test_a_build_runs_among_planted_modules(
    tiny_llama: Path, planted: Path, tmp_path: Path
) -> None:
    """The console script; a child a stage; torchrun's ranks; genai's builder and the probe; the
    evaluation's measuring child; the proof of silence."""
    for name, rows in (("train.jsonl", ROWS), ("questions.jsonl", QUESTIONS)):
        (tmp_path / name).write_text(
            "".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8"
        )
    recipe = tmp_path / "tiny.yaml"
    recipe.write_text(json.dumps(_recipe(tiny_llama)), encoding="utf-8")
    command = [
        str(SCRIPTS / "build"),
        "recipe",
        str(recipe),
        "--cache",
        str(tmp_path / "cache"),
        "-o",
        str(tmp_path / "out"),
    ]
    done = run([*command, "--json"], planted)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["ran"] == [
        "base",
        "train",
        "merge",
        "export",
        "evaluate",
        "package",
    ]
    assert fakes.imported(planted) == []
    report = json.loads((tmp_path / "out" / "report" / "report.json").read_text(encoding="utf-8"))
    assert report["arms"]["tuned"]["peak_mb"] > 20


def _recipe(model: Path) -> dict[str, Any]:
    return {
        "name": "tiny",
        "version": "1.0.0",
        "base": {"model": str(model)},
        "train": {
            "method": "lora",
            "data": "train.jsonl",
            "max_steps": 2,
            "learning_rate": 0.01,
            "rank": 4,
            "alpha": 8,
            "max_tokens": 256,
            "effective_batch": 2,
            "launch": {"processes": 2},
        },
        "export": {"max_context": 256, "max_perplexity_ratio": 3},
        "answer": {"system": "Answer.", "max_answer_tokens": 8},
        "evaluate": {"questions": "questions.jsonl", "arms": ["tuned"]},
    }


def test_a_toolchain_runs_among_planted_modules(
    planted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(planted)
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "of_the_toolchain.py").write_text("")
    code = "import of_the_toolchain, http, json, random; print('ran')"
    assert toolchains.run(tmp_path / "tools", ["-c", code]) == "ran\n"
    assert fakes.imported(planted) == []


def test_readers_of_documents_run_among_planted_modules(planted: Path, tmp_path: Path) -> None:
    """Processes that multiprocessing spawns with a plain `-c`."""
    embedder = fakes.write_letter_embedder(tmp_path / "embedder")
    (tmp_path / "lamp.md").write_text("# Lamp\n\nIt turns once in 20 seconds.\n")
    code = """
import sys; from pathlib import Path
from fieldpack_build.ingest.pool import ReadingPool
from fieldpack_build.ingest.read import ReadJob, ReaderConfig
embedder, path = map(Path, sys.argv[1:])
with ReadingPool(ReaderConfig(embedder, 64, 0, False, 10, {}), workers=1) as pool:
    print([one.record.title for one in pool.results([ReadJob(path, path.name, path.stat().st_size)])])
"""
    command = python("-c", code, embedder, tmp_path / "lamp.md")
    done = subprocess.run(
        command, cwd=planted, env=safe_environment(), capture_output=True, text=True, timeout=120
    )
    assert done.stdout == "['Lamp']\n", done.stderr
    assert fakes.imported(planted) == []


def test_ray_s_workers_embed_among_planted_modules(
    planted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray")
    embedder = fakes.write_letter_embedder(tmp_path / "embedder")
    code = (
        "import sys; from pathlib import Path; from fieldpack_build.embedding.ray_engine import "
        "RayEngine\n"
        "engine = RayEngine.open(Path(sys.argv[1]), None, print, cores=1)\n"
        "print(engine.embed(['abc']).shape); engine.close()"
    )
    done = run(python("-c", code, embedder), planted, PYTHONSAFEPATH="1")
    assert done.returncode == 0, done.stderr
    assert f"(1, {fakes.DIM})" in done.stdout and fakes.imported(planted) == []


# --- the device -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command", ["bench . --rounds 1 --threads 1 --json", "doctor . --state {state} --threads 1"]
)
def test_the_device_s_commands_run_inside_a_bundle_of_planted_modules(
    bundle: Path, tmp_path: Path, command: str
) -> None:
    """They are sealed in: a bundle from a stranger may list any file."""
    fakes.plant(bundle)
    fakes.reseal(bundle)
    done = run(
        [str(SCRIPTS / "fieldpack"), *command.format(state=tmp_path / "state").split()], bundle
    )
    assert done.returncode == 0, done.stderr + done.stdout
    assert fakes.imported(bundle) == []


# --- one question, one answer ---------------------------------------------------------------------


def answering(code: str) -> list[str]:
    """The command line of a child that answers with what `code`, an expression of `question`, is."""
    return python(
        "-c",
        "import sys\nfrom fieldpack.child import answer_parent\n"
        f"def answer(question):\n    return {code}\nanswer_parent(answer)",
    )


def test_a_child_answers_its_question(capfd: pytest.CaptureFixture[str]) -> None:
    question = {"lines": "two\nlines", "number": 2.5, "word": "größer"}
    noisy = "(print('a library speaks'), sys.stderr.write('to the log\\n'), question)[2]"
    assert ask_child(answering(noisy), question) == question
    assert capfd.readouterr().err == "to the log\n"


def test_a_child_that_fails_says_with_what() -> None:
    with pytest.raises(ChildFailed) as caught:
        ask_child(answering("question['nothing']"), {})
    assert (caught.value.code, caught.value.last_line) == (1, "KeyError: 'nothing'")
    with pytest.raises(ChildFailed) as caught:
        ask_child(answering("__import__('os').kill(__import__('os').getpid(), 9)"), {})
    assert (caught.value.code, caught.value.last_line) == (-9, "no word")
    assert str(caught.value) == "no word (killed by SIGKILL)"


def test_the_last_line_is_the_last_that_says_something() -> None:
    assert last_line("one\n  two \n\n \n") == "two"
    assert last_line("x" * 400) == "x" * 300
    assert last_line(" \n", otherwise="nothing") == "nothing"
