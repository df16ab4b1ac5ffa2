"""The same training in several processes: torchrun starts them, accelerate joins them (in
transformers' Trainer), DDP or FSDP shares the work. This process relays what rank 0 says, and tells
from its end what went wrong."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fieldpack.child import python, safe_environment
from fieldpack.devices import available_cores

from .. import errors
from ..data.prompts import Tokenized
from ..errors import BuildError, MachineError, StageError
from ..recipe.schema import Launch
from .job import Job
from .memory import OutOfMemory

FOLDER, _LOG = "ranks", "log.txt"


def processes_here(launch: Launch, device: str) -> int:
    """Raises MachineError where the recipe wants more GPUs than there are, or shards without one."""
    import torch

    gpus = torch.cuda.device_count() if device == "cuda" else 0
    if launch.strategy == "fsdp" and not gpus:
        raise MachineError(
            "train.launch.strategy: fsdp shards a model over GPUs, and training is on the CPU; "
            "write ddp"
        )
    if launch.processes == "auto":
        return gpus or 1
    if gpus and launch.processes > gpus:
        raise MachineError(
            f"train.launch.processes: {launch.processes}, and there are {gpus} GPUs; write auto"
        )
    return launch.processes


def attempt(job: Job, learned: Sequence[Tokenized], held: Sequence[Tokenized], say: Any) -> None:
    """Raises OutOfMemory where a process ran out of memory or was killed, else the error of the
    first that failed."""
    folder = job.out / FOLDER
    job.write(folder, learned, held)
    here = job.processes // job.train.launch.hosts
    threads = str(max(1, available_cores() // here))
    environment = safe_environment({"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", threads)})
    failed: list[dict[str, Any]] = []
    with (folder / _LOG).open("w", encoding="utf-8") as log:
        child = subprocess.Popen(
            _command(job.train.launch, here, folder),
            stdout=subprocess.PIPE,
            stderr=log,
            env=environment,
            text=True,
        )
    assert child.stdout
    try:
        for line in child.stdout:
            if (event := _event(line)) is None:
                sys.stderr.write(line)
            elif event["event"] in ("error", "memory", "uncaught"):
                failed.append(event)
            else:
                say(event)
        code = child.wait()
    finally:
        child.kill()  # its ranks see that it is gone
        child.wait()
    text = (folder / _LOG).read_text("utf-8", "replace")
    sys.stderr.write(text)
    shutil.rmtree(folder)
    if code:
        raise _failure(code, failed, text)


def _command(launch: Launch, here: int, folder: Path) -> list[str]:
    one = ["--standalone"]
    several = [
        "--nnodes",
        str(launch.hosts),
        "--node-rank",
        str(launch.machine_rank),
        "--master-addr",
        launch.main_address,
        "--master-port",
        str(launch.main_port),
    ]
    return python(
        "-m",
        "torch.distributed.run",
        *(several if launch.hosts > 1 else one),
        "--nproc-per-node",
        str(here),
        "--max-restarts",
        "0",
        "--module",
        "fieldpack_build.training.worker",
        folder,
    )


def _event(line: str) -> dict[str, Any] | None:
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and "event" in event else None


def _failure(code: int, failed: Sequence[dict[str, Any]], log: str) -> Exception:
    if memory := next((event for event in failed if event["event"] == "memory"), None):
        return OutOfMemory(memory["message"])
    if ours := next((event for event in failed if event["event"] == "error"), None):
        return _rebuild(ours)
    if "exitcode  : -9 " in log or "Signal 9 (SIGKILL)" in log:
        return OutOfMemory("a training process was killed")
    if failed:  # after a kill: the other processes' libraries only say that it no longer answers
        return _rebuild(failed[0])
    lines = [line for line in log.splitlines() if line.strip()]
    return StageError(
        f"training in several processes ended with {code}: {lines[-1][:300] if lines else 'no log'}"
    )


def _rebuild(event: dict[str, Any]) -> BuildError:
    kind: type[BuildError] = getattr(errors, event["kind"], StageError)
    return kind(event["message"])
