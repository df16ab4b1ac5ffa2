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
from typing import TypedDict, cast

from fieldpack.child import last_line, python, safe_environment
from fieldpack.errors import FieldpackError

from ..child_process import EventChannel, RawEvent, describe_exit, error_of, read_events
from ..errors import BuildError, ProcessKilled, StageError
from ..recipe.schema import Recipe
from ..uncaught import has_room, no_space
from .events import DoneEvent, OnEvent, StageEvent, StageResult
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
    last: RawEvent = {"event": None}
    try:
        child.stdin.write(json.dumps(order) + "\n")
        child.stdin.flush()
        for last in read_events(child.stdout):
            if last["event"] not in ("done", "error"):
                on_event(cast("StageEvent", last))
        code = child.wait()
    except BaseException:
        _end(child)
        raise
    finally:
        child.stdout.close()
        child.stdin.close()
    if last["event"] == "done" and code == 0:
        return cast("DoneEvent", last)
    if last["event"] == "error":
        raise error_of(last)
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
    ended = f"its process {describe_exit(code)}"
    if code < 0:
        return f"{ended}; run the same command to go on; log: {log}"
    last = last_line(log.read_text("utf-8", "replace"), otherwise="nothing in its log")
    return f"{ended}: {last}; log: {log}"


def main() -> None:
    """Be the child. What a library prints goes to the log (stderr); the real stdout carries events
    only."""
    channel = EventChannel()
    faulthandler.enable()  # a crash in native code leaves the Python stack in the log
    order: _Order = json.loads(sys.stdin.readline())
    threading.Thread(target=_follow_parent, daemon=True).start()
    store, out = Store(Path(order["cache"])), Path(order["out"])
    channel.report_uncaught(cache=store.root, log=out / LOG)
    previous = order["previous_output"]
    task = Task(
        Recipe.model_validate(order["recipe"]),
        {name: Path(path) for name, path in order["inputs"].items()},
        out,
        store,
        order["keys"],
        channel.send,
        previous_output=Path(previous) if previous else None,
        lineage=order["lineage"],
    )
    module, _, attribute = order["function"].partition(":")
    run: Callable[[Task], StageResult] = getattr(importlib.import_module(module), attribute)
    try:
        result = run(task)
    except BuildError as error:
        channel.send_error(error)
        sys.exit(1)
    except FieldpackError as error:
        channel.send_error(StageError(f"the runtime says: {error}"))
        sys.exit(1)
    done: DoneEvent = {
        "event": "done",
        "result": result,
        "warnings": task.warnings,
        "peak_rss_mb": _peak_rss_mb(),
    }
    channel.send(done)
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
