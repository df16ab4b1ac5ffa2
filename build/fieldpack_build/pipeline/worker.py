"""Runs one stage in a child process: its memory is freed when it ends, its crash is a sentence in
the parent.

Parent's side: `run_stage`. Child's side: `python -m fieldpack_build.pipeline.worker`, the task as
one JSON line on stdin, events as JSON lines on stdout, everything libraries print into the stage's
log. The child ends with its parent: it reads stdin to its end, which comes when the parent dies,
however it dies.
"""

from __future__ import annotations

import faulthandler
import importlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TypedDict, cast

from fieldpack.child import python, safe_environment
from fieldpack.errors import FieldpackError

from .. import errors
from ..errors import BuildError, ProcessKilled, StageError
from ..recipe.schema import Recipe
from ..uncaught import as_build_error, has_room, no_space
from .events import ChildEvent, DoneEvent, OnEvent, StageEvent, StageResult
from .store import LOG, Store
from .task import Task


class _Order(TypedDict):
    """A task as the child reads it."""

    function: str
    recipe: dict[str, object]
    inputs: dict[str, str]
    keys: dict[str, str]
    out: str
    cache: str
    previous_output: str | None
    lineage: str


def run_stage(
    function: str,
    recipe: Recipe,
    inputs: Mapping[str, Path],
    keys: Mapping[str, str],
    out: Path,
    store: Store,
    on_event: OnEvent,
    previous_output: Path | None = None,
    lineage: str = "",
) -> DoneEvent:
    """Run `module:function` in a child and return how it ended. Raises the stage's own error, or
    StageError when the process died."""
    order: _Order = {
        "function": function,
        "recipe": recipe.model_dump(),
        "inputs": {k: str(v) for k, v in inputs.items()},
        "keys": dict(keys),
        "out": str(out),
        "cache": str(store.root),
        "previous_output": str(previous_output) if previous_output else None,
        "lineage": lineage,
    }
    environment = safe_environment(
        {
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "TOKENIZERS_PARALLELISM": "false",
            "PYTHONUNBUFFERED": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            # OpenMP threads that spin while they wait starve each other as soon as anything else
            # runs on the machine.
            "OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "PASSIVE"),
        }
    )
    with (out / LOG).open("ab") as log:
        child = subprocess.Popen(
            python("-m", "fieldpack_build.pipeline.worker"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env=environment,
            start_new_session=True,
            text=True,
        )
    assert child.stdin and child.stdout
    last: ChildEvent | None = None
    try:
        child.stdin.write(json.dumps(order) + "\n")
        child.stdin.flush()
        for line in child.stdout:
            last = event = cast("ChildEvent", json.loads(line))
            if event["event"] not in ("done", "error"):
                on_event(cast("StageEvent", event))
        code = child.wait()
    except BaseException:
        _end(child)
        raise
    finally:
        child.stdout.close()
        child.stdin.close()
    if last and last["event"] == "done" and code == 0:
        return last
    if last and last["event"] == "error":
        error = getattr(errors, last["kind"], StageError)(last["message"])
        assert isinstance(error, BuildError)
        raise error
    if code != -signal.SIGKILL and not has_room(out):  # then its log has no word of it either
        raise no_space(out)
    kind = ProcessKilled if code == -signal.SIGKILL else StageError
    raise kind(_describe_death(code, out / LOG))


def _end(child: subprocess.Popen[str]) -> None:
    """Stop the child and all it started, then wait for it."""
    try:
        os.killpg(child.pid, signal.SIGTERM)
        child.wait(timeout=5)
    except (ProcessLookupError, subprocess.TimeoutExpired):
        child.kill()
    child.wait()


def _describe_death(code: int, log: Path) -> str:
    """Say how a process ended that said nothing itself: its signal, or its log's last line."""
    lines = [line for line in log.read_text("utf-8", "replace").splitlines() if line.strip()]
    last = lines[-1][:300] if lines else "nothing in its log"
    if code < 0:
        name = signal.Signals(-code).name
        why = " (out of memory?)" if name == "SIGKILL" else ""
        return f"its process was ended by {name}{why}; run the same command to go on; log: {log}"
    return f"its process ended with {code}: {last}; log: {log}"


def main() -> None:
    """Be the child. What a library prints goes to the log (stderr); the real stdout carries events
    only."""
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    faulthandler.enable()  # a crash in native code leaves the Python stack in the log
    order: _Order = json.loads(sys.stdin.readline())
    threading.Thread(target=_follow_parent, daemon=True).start()
    lock = threading.Lock()

    def send(event: ChildEvent) -> None:
        with lock:
            channel.write(json.dumps(event) + "\n")
            channel.flush()

    store, out = Store(Path(order["cache"])), Path(order["out"])

    def report(
        kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        """What Python calls for an exception that nothing caught: the traceback is for the log, one
        sentence for the parent."""
        sys.__excepthook__(kind, error, trace)
        meant = as_build_error(error, cache=store.root, log=out / LOG)
        send({"event": "error", "kind": type(meant).__name__, "message": str(meant)})

    sys.excepthook = report
    previous = order["previous_output"]
    task = Task(
        Recipe.model_validate(order["recipe"]),
        {name: Path(path) for name, path in order["inputs"].items()},
        out,
        store,
        order["keys"],
        send,
        previous_output=Path(previous) if previous else None,
        lineage=order["lineage"],
    )
    module, _, attribute = order["function"].partition(":")
    run: Callable[[Task], StageResult] = getattr(importlib.import_module(module), attribute)
    try:
        result = run(task)
    except BuildError as error:
        send({"event": "error", "kind": type(error).__name__, "message": str(error)})
        sys.exit(1)
    except FieldpackError as error:
        send({"event": "error", "kind": "StageError", "message": f"the runtime says: {error}"})
        sys.exit(1)
    peak = _peak_rss_mb()
    send({"event": "done", "result": result, "warnings": task.warnings, "peak_rss_mb": peak})
    channel.flush()
    os._exit(0)  # torch's and genai's threads need seconds to end by themselves


def _follow_parent() -> None:
    sys.stdin.read()
    os.killpg(0, signal.SIGKILL)


def _peak_rss_mb() -> float:
    """Return the most memory this process, or the largest it started, has held, in MiB."""
    import resource

    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return round(max(own, started) / 1024, 1)


if __name__ == "__main__":
    main()
