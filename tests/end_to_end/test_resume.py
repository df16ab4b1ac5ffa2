"""A build that is killed goes on where it was, and ends in the same bytes as one that was left in
peace."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from fieldpack_build.pipeline.task import Task
from fieldpack_build.recipe.load import load_recipe
from fieldpack_build.stages import train
from fieldpack_build.stages.table import NAMES
from moments import act_at
from toys import OPTIONAL, Project, make_cache, run

pytest_plugins = ["toys"]

# What shows that a stage is in the middle of its work; where there is no such file, that its
# process has begun.
SIGNS = {
    "embedder": "work",
    "train": "checkpoints/checkpoint-1/trainer_state.json",
    "merge": "log.txt",
    "export": "candidates",
    "baseline": "candidates",
    "evaluate": "log.txt",
}


def test_killed_in_every_stage_it_ends_in_the_same_bytes(
    toy: Project, built: dict[str, Any], machine: Path, tmp_path: Path
) -> None:
    mine = Project(toy.folder, make_cache(tmp_path / "cache", machine), tmp_path / "dist")
    every = [name for name in NAMES if name not in OPTIONAL]
    for number, stage in enumerate(every):
        with _interrupted(mine, stage, tmp_path) as build:
            workers = psutil.Process(build.pid).children(recursive=True)
            assert workers, f"{stage}: no worker"
            if stage == "export":
                _refuses_a_second_build(mine)
            if stage == "merge":
                build.send_signal(signal.SIGINT)
                _go_on(workers)
                assert build.wait(timeout=120) == 130
            else:
                build.kill()  # the build alone: its worker must end by itself
                build.wait(timeout=120)
                _go_on(workers)
        _, left = psutil.wait_procs(workers, timeout=120)
        # One that has ended and that nobody has waited for yet is a zombie, here its new parent's.
        alive = [one for one in left if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]
        assert not alive, f"{stage}: {alive} outlived the build"
        finished = {
            path.parent.name
            for path in (mine.cache / "stages").glob("*/*")
            if path.suffix != ".partial"
        }
        assert finished == set(every[:number]), f"{stage}: half-done work is seen"
        assert not mine.dist.exists() or not list(mine.dist.iterdir())
    done = run([*mine.command(), "--json"])
    assert done.returncode == 0, done.stderr
    outcome = json.loads(done.stdout)
    assert outcome["ran"] == ["package"] and outcome["keys"] == built["keys"]
    assert mine.receipt("train", outcome).result["resumed"] is True
    assert toy.receipt("train", built).result["resumed"] is False
    assert not list((mine.cache / "stages").glob("*/*.partial"))
    assert _contents(mine.dist / "toy") == _contents(Path(built["bundle"]))


def _contents(bundle: Path) -> dict[str, Any]:
    """All a bundle holds but the report, which has times in it."""
    found: dict[str, Any] = {
        path.relative_to(bundle).as_posix(): path.read_bytes()
        for path in sorted(bundle.rglob("*"))
        if path.is_file()
    }
    manifest = json.loads(found.pop("manifest.json"))
    manifest["files"] = [entry for entry in manifest["files"] if entry["role"] != "report"]
    return {name: data for name, data in found.items() if not name.startswith("report/")} | {
        "manifest.json": manifest
    }


def _go_on(workers: list[psutil.Process]) -> None:
    for worker in workers:
        with suppress(psutil.NoSuchProcess):
            worker.resume()


class _interrupted:
    """A build as its own process, at the point where `stage` is at work: its worker has stopped
    itself there, and cannot be done before the test acts. Gone at the end in any case."""

    def __init__(self, project: Project, stage: str, folder: Path) -> None:
        self._project, self._stage, self._folder = project, stage, folder

    def __enter__(self) -> subprocess.Popen[str]:
        # The worker's next file after the sign: the build itself has `recipe` in its command line.
        sign = self._project.cache / "stages" / self._stage / "*.partial"
        sign /= SIGNS.get(self._stage, "log.txt")
        moment = (
            f'event == "open" and "/stages/{self._stage}/" in str(arguments[0]) and not seen and '
            f'"recipe" not in sys.argv and __import__("glob").glob({str(sign)!r})'
        )
        reached = self._folder / "reached"
        reached.unlink(missing_ok=True)
        act_at(
            self._folder,
            moment,
            f"seen.append(open({str(reached)!r}, 'w').close()); os.kill(os.getpid(), signal.SIGSTOP)",
        )
        path = os.pathsep.join(filter(None, (str(self._folder), os.environ.get("PYTHONPATH"))))
        # A shell's background job ignores Ctrl-C, and so would all it starts: what is tested here
        # is the build's own.
        self._build = subprocess.Popen(
            self._project.command(),
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": path},
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        deadline = time.monotonic() + 600
        while not reached.exists() or psutil.STATUS_STOPPED not in self._states():
            assert self._build.poll() is None, (
                f"ended before {self._stage}: {self._build.communicate()[1]}"
            )
            assert time.monotonic() < deadline, f"{self._stage} never began"
            time.sleep(0.05)
        return self._build

    def _states(self) -> set[str]:
        """The states of the build's processes."""
        found = set()
        with suppress(psutil.NoSuchProcess):
            for one in psutil.Process(self._build.pid).children(recursive=True):
                with suppress(psutil.NoSuchProcess):
                    found.add(one.status())
        return found

    def __exit__(self, *_: object) -> None:
        if self._build.poll() is None:
            workers = psutil.Process(self._build.pid).children(recursive=True)
            self._build.kill()
            _go_on(workers)
        self._build.communicate()


def _refuses_a_second_build(project: Project) -> None:
    done = run(project.command(output="second"))
    assert done.returncode == 10
    assert "another build is using this cache" in done.stderr


def test_killed_after_the_last_step_it_trains_no_further(
    toy: Project, built: dict[str, Any], tmp_path: Path
) -> None:
    class Killed(Exception):
        pass

    def send(event: dict[str, Any]) -> None:
        if event == {"event": "note", "text": "keeping the adapter"}:
            raise Killed  # the last step is done, the adapter is not written

    names = ("base", "embedder", "knowledge")
    keys = {name: built["keys"][name] for name in names}
    inputs = {name: toy.store.folder(name, key) for name, key in keys.items()}
    task = Task(load_recipe(toy.recipe), inputs, tmp_path, toy.store, keys, send)
    with pytest.raises(Killed):
        train.run(task)
    events: list[dict[str, Any]] = []
    result = train.run(replace(task, send=events.append))
    assert result["resumed"] and result["steps"] == 3
    assert not [e for e in events if e.get("text") == "loading the model"]
    adapter = "adapter/adapter_model.safetensors"
    uninterrupted = toy.store.folder("train", built["keys"]["train"])
    assert (tmp_path / adapter).read_bytes() == (uninterrupted / adapter).read_bytes()


def test_a_delivery_sweeps_up_after_a_killed_one(
    toy: Project, built: dict[str, Any], tmp_path: Path
) -> None:
    mine = Project(toy.folder, toy.cache, tmp_path / "dist")
    gone = [
        mine.dist / f".toy.{word}"
        for word in ("new-999999999", f"new-{os.getpid()}", "old-999999999")
    ]
    kept = [mine.dist / f".toy.{word}" for word in (f"new-{os.getppid()}", "new-x")]
    for folder in (*gone, *kept):
        folder.mkdir(parents=True)
        (folder / "manifest.json").touch()
    assert mine.build()["ran"] == []
    assert [path for path in (*gone, *kept) if path.exists()] == kept
    assert _contents(mine.dist / "toy") == _contents(Path(built["bundle"]))


@pytest.mark.parametrize("broken", ["truncated", "missing"])
def test_a_damaged_stage_is_made_again(
    toy: Project, built: dict[str, Any], tmp_path: Path, broken: str
) -> None:
    """A stage whose files are not those of its receipt is not done."""
    assert toy.to_do() == []
    file = toy.store.folder("knowledge", built["keys"]["knowledge"]) / "chunks.sqlite"
    aside = file.rename(tmp_path / "aside")
    try:
        if broken == "truncated":
            file.write_bytes(aside.read_bytes()[:-1])
        assert toy.to_do() == ["knowledge"]
    finally:
        aside.replace(file)
    assert toy.to_do() == []
