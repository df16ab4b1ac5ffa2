"""The same training in several processes: torchrun starts them, accelerate joins them (in
transformers' Trainer), DDP or FSDP shares the work. This process relays what rank 0 says, and tells
from its end what went wrong."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from fieldpack.child import last_line, python, safe_environment
from fieldpack.devices import available_cores

from ..child_process import RawEvent, error_of, read_events
from ..data.prompts import Tokenized
from ..errors import MachineError, StageError
from ..recipe.schema import Launch
from .events import OnEvent, TrainingEvent
from .job import Job
from .memory import OutOfMemory

FOLDER, _LOG = "ranks", "log.txt"


def processes_here(launch: Launch, device: str) -> int:
    """Return the processes that the recipe wants on this machine: one a GPU under auto. Raises
    MachineError where it wants more GPUs than there are, or shards without one."""
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


def train_in_processes(
    job: Job,
    train_rows: Sequence[Tokenized],
    validation_rows: Sequence[Tokenized],
    on_event: OnEvent,
) -> None:
    """Train in several processes, from the last checkpoint to the end. Raises OutOfMemory where one
    ran out of memory or was killed, else the error of the first that failed."""
    folder = job.out / FOLDER
    job.write(folder, train_rows, validation_rows)
    here = job.processes // job.train.launch.hosts
    threads = str(max(1, available_cores() // here))
    environment = safe_environment({"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", threads)})
    failures: list[RawEvent] = []
    with (folder / _LOG).open("w", encoding="utf-8") as log:
        child = subprocess.Popen(
            _torchrun(job.train.launch, here, folder),
            stdout=subprocess.PIPE,
            stderr=log,
            env=environment,
            text=True,
        )
    assert child.stdout
    try:
        for event in read_events(child.stdout):
            if event["event"] in ("error", "memory", "uncaught"):
                failures.append(event)
            else:
                on_event(cast("TrainingEvent", event))
        code = child.wait()
    finally:
        child.kill()  # its ranks see that it is gone
        child.wait()
    text = (folder / _LOG).read_text("utf-8", "replace")
    sys.stderr.write(text)
    shutil.rmtree(folder)
    if code:
        raise failure_of(code, failures, text)


def _torchrun(launch: Launch, here: int, folder: Path) -> list[str]:
    """Return the command line that starts `here` workers on this host."""
    if launch.hosts > 1:
        hosts = [
            *("--nnodes", str(launch.hosts)),
            *("--node-rank", str(launch.machine_rank)),
            *("--master-addr", launch.main_address),
            *("--master-port", str(launch.main_port)),
        ]
    else:
        hosts = ["--standalone"]
    return python(
        *("-m", "torch.distributed.run"),
        *hosts,
        *("--nproc-per-node", str(here)),
        *("--max-restarts", "0"),
        *("--module", "fieldpack_build.training.worker", folder),
    )


def failure_of(code: int, failures: Sequence[RawEvent], log: str) -> Exception:
    """Return what ended a training whose torchrun ended with `code`, from the errors that its
    processes sent and what they logged: OutOfMemory, an error of ours, or StageError."""
    if memory := next((event for event in failures if event["event"] == "memory"), None):
        return OutOfMemory(memory["message"])
    if ours := next((event for event in failures if event["event"] == "error"), None):
        return error_of(ours)
    if "exitcode  : -9 " in log or "Signal 9 (SIGKILL)" in log:
        return OutOfMemory("a training process was killed")
    if failures:  # after a kill: the other processes' libraries only say that it no longer answers
        return error_of(failures[0])
    return StageError(
        f"training in several processes ended with {code}: {last_line(log, otherwise='no log')}"
    )
