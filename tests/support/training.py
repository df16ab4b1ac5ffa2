"""A training without a build around it: a tiny model of `fakes`, rows without documents, the real
stage and engine.

`python -m training HOME OUT SETTINGS.json`: one process that trains in forks of itself, so that
libraries are imported once; each fork is killed, or limited in memory, as `test_training` says, and
the next one goes on."""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import fakes
from fieldpack_build.pipeline.store import Store
from fieldpack_build.pipeline.task import Task
from fieldpack_build.recipe.schema import Recipe
from fieldpack_build.stages import base, train

# Of very different lengths, so that a wrong weight of a row or a batch shows in the loss.
ROWS = [
    {
        "question": f"What is item {n} called?" + " Tell me all about it, please." * (n % 5),
        "answer": " ".join(f"item{n} is word{n * 7 % 11}" for _ in range(1 + n % 4)),
        "document": f"{n // 2}.md",
    }
    for n in range(22)
]
Event = dict[str, Any]


def write_home(folder: Path, architecture: str = "llama") -> Path:
    """models/, train.jsonl and base/, the finished base stage of a tiny model."""
    fakes.write_tiny_model(folder / "model", architecture)
    write_rows(folder, ROWS)
    (folder / "base").mkdir()
    base.run(Task(recipe_of(folder), {}, folder / "base", Store(folder / "cache")))
    return folder


def write_rows(folder: Path, rows: list[dict[str, Any]]) -> None:
    (folder / "train.jsonl").write_text(
        "".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8"
    )


def recipe_of(folder: Path, **settings: Any) -> Recipe:
    """Two epochs of six updates if nothing else is said; `settings` as in the YAML's train section.
    In float32, whose sums in another order differ little on every CPU; in bfloat16 one CPU's
    kernels move a loss by 4e-3, another's by 1e-5."""
    tuned = {
        "method": "lora",
        "dtype": "float32",
        "data": "train.jsonl",
        "epochs": 2,
        "learning_rate": 0.01,
        "rank": 4,
        "alpha": 8,
        "effective_batch": 4,
        "max_tokens": 512,
        "checkpoint_steps": 4,
        **settings,
    }
    return Recipe.model_validate(
        {
            "name": "toy",
            "version": "1.0.0",
            "base": {"model": "model"},
            "train": tuned,
            "folder": str(folder),
            "export": {"max_context": 768},
            "answer": {"system": "Answer.", "max_answer_tokens": 8},
        }
    )


def task_of(
    home: Path, out: Path, send: Callable[[Event], None] = lambda event: None, **settings: Any
) -> Task:
    out.mkdir(parents=True, exist_ok=True)
    return Task(
        recipe_of(home, **settings), {"base": home / "base"}, out, Store(home / "cache"), {}, send
    )


def run(home: Path, out: Path, **settings: Any) -> dict[str, Any]:
    """What the stage says of itself."""
    return train.run(task_of(home, out, **settings))


def log(out: Path) -> dict[str, Any]:
    entries: dict[str, Any] = json.loads((out / train.LOG).read_text(encoding="utf-8"))
    return entries


def losses(out: Path) -> list[float]:
    return [entry["loss"] for entry in log(out)["train"]]


def weights(out: Path) -> bytes:
    return (out / train.ADAPTER / "adapter_model.safetensors").read_bytes()


def step_of(event: Event) -> int | None:
    return (
        event["done"]
        if event["event"] == "progress" and event["note"].startswith("steps")
        else None
    )


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _killed_at(step: int) -> Callable[[Event], None]:
    return lambda event: _die() if step_of(event) == step else None


def _killed_while_writing(checkpoint: Path) -> Callable[[Event], None]:
    """In the middle of a checkpoint: its weights are there, the trainer's state is about to be
    written."""
    last = f"{checkpoint.name}/trainer_state.json"

    def look(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and str(arguments[0]).endswith(last):
            assert (checkpoint / "adapter_model.safetensors").exists()
            _die()

    def send(event: Event) -> None:
        if step_of(event) == 1:
            sys.addaudithook(look)

    return send


def _short_of_memory(after: int, slack: int) -> Callable[[Event], None]:
    """From that step on the process gets `slack` bytes of address space more than it has."""

    def send(event: Event) -> None:
        if (
            step_of(event) == after
            and resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY
        ):
            held = (
                int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
                * resource.getpagesize()
            )
            resource.setrlimit(resource.RLIMIT_AS, (held + slack, resource.RLIM_INFINITY))

    return send


def _forked(work: Callable[[], object]) -> int:
    """The signal that ended it, 0 for none."""
    pid = os.fork()
    if not pid:
        try:
            work()
        except BaseException:  # noqa: BLE001 (whatever it was: shown, and the fork has failed)
            import traceback

            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    status = os.waitpid(pid, 0)[1]
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        sys.exit("a fork failed")
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0


def _limit(case: dict[str, Any], out: Path) -> Callable[[Event], None]:
    if "step" in case:
        return _killed_at(case["step"])
    if "write" in case:
        return _killed_while_writing(out / "checkpoints" / f"checkpoint-{case['write']}")
    return _short_of_memory(case["memory"], case["slack"])


def _train(task: Task) -> None:
    train.run(task)
    (task.out / "case.json").write_text(json.dumps({"warnings": task.warnings}), encoding="utf-8")


def main(home: Path, out: Path, cases: dict[str, dict[str, Any]]) -> None:
    from fieldpack_build.training import adapter, trainer  # noqa: F401 (before the forks)
    from fieldpack_build.training.job import Job

    adapter.load_model_with_adapter(
        Job(recipe_of(home), home / "base" / "model", out, "cpu", 0, None)
    )  # imports all there is
    for name, case in cases.items():
        limit, settings, folder = _limit(case, out / name), case["train"], out / name
        died = _forked(partial(_train, task_of(home, folder, limit, **settings)))
        left = sorted(path.name for path in (folder / "checkpoints").glob("*"))
        if died:
            _forked(partial(_train, task_of(home, folder, **settings)))
        result = json.loads((folder / "case.json").read_text(encoding="utf-8"))
        (folder / "case.json").write_text(
            json.dumps({**result, "died": died, "left": left}), encoding="utf-8"
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3]))
