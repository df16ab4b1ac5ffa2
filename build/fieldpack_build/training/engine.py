"""One training: tried with what the memory there is takes, again with half of it where that was too
much, from checkpoint to checkpoint until an adapter stands. A run that was killed goes on where it
was.

adapter/       the last checkpoint's, or with held-out rows that of the least loss on them; as peft
               writes it
log.json       {"train": [{"step", "loss", "learning_rate", "grad_norm", "tokens", "tokens_per_s"}],
                "validation": [{"step", "loss"}], "kept_step": the adapter's step}
"""

from __future__ import annotations

import gc
import shutil
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

from ..data.prompts import Tokenized
from ..errors import MachineError
from ..pipeline.events import StageEvent
from ..pipeline.task import Task
from . import checkpoints, launch, microbatch, tracking
from .dataset import Rows
from .job import Job
from .memory import OutOfMemory, free_bytes, is_memory_error
from .trainer import AnswerTrainer, Say, make_trainer


def train(
    job: Job, learned: Sequence[Tokenized], held: Sequence[Tokenized], task: Task
) -> dict[str, Any]:
    """What the stage says of itself. Raises MachineError where one row does not fit, CheckFailed
    where the loss is none."""
    tracking.set_up(job.recipe)
    resumed = checkpoints.last(job.out) is not None
    peak: dict[str, Any] = {}
    while not checkpoints.finished(job.out):
        try:
            here = attempt if job.processes == 1 else launch.attempt
            here(
                job,
                learned,
                held,
                lambda event: (
                    peak.update(event)
                    if event["event"] == "peak"
                    else task.send(cast("StageEvent", event))
                ),
            )
        except OutOfMemory as error:
            _lower(job, task, str(error))
    task.note("keeping the adapter")
    facts = checkpoints.keep(job.out)
    worked = microbatch.read(job.out) or microbatch.MicrobatchPlan(0, False)
    shutil.rmtree(job.out / checkpoints.FOLDER)
    (job.out / microbatch.FILE).unlink(missing_ok=True)
    return {
        "device": job.device,
        "processes": job.processes,
        "resumed": resumed,
        **facts,
        "rows_at_once": worked.rows,
        "gradient_checkpointing": worked.checkpointing,
        "peak_gpu_mb": peak.get("gpu_mb"),
    }


def attempt(job: Job, learned: Sequence[Tokenized], held: Sequence[Tokenized], say: Say) -> None:
    """Train in this process, from the last checkpoint to the end. Raises OutOfMemory."""
    ran_out: str | None = None
    try:
        _attempt(job, learned, held, say)
    except (RuntimeError, MemoryError) as error:
        if not is_memory_error(error):
            raise
        ran_out = (str(error).splitlines() or ["out of memory"])[0].rpartition(
            "DefaultCPUAllocator: "
        )[2]
    if (
        ran_out is not None
    ):  # outside of the handler: the error's frames hold the model and all its activations
        _forget()
        raise OutOfMemory(ran_out)


def _attempt(job: Job, learned: Sequence[Tokenized], held: Sequence[Tokenized], say: Say) -> None:
    from .adapter import checkpoint_activations, with_adapter
    from .isolation import prove_rows_isolated, refuse_windowed_sharing

    say({"event": "note", "text": "loading the model"})
    _join(job)
    model = with_adapter(job)
    refuse_windowed_sharing(model.config, [*learned, *held])
    rows, kept_out = _rows(job, learned), _rows(job, held)
    chosen = _choose(job, model, rows)
    if probe := together(learned, packed=job.train.packing):
        prove_rows_isolated(model, probe, job.pad, packed=job.train.packing)
    if chosen.checkpointing and not job.sharded:
        checkpoint_activations(model)
    trainer = make_trainer(
        job, model, rows, kept_out, chosen, trackers=tracking.set_up(job.recipe), say=say
    )
    _go(job, trainer)
    say({"event": "peak", "gpu_mb": _peak_gpu_mb(job.device)})


def _go(job: Job, trainer: AnswerTrainer) -> None:
    """From the last checkpoint that every process has: hosts that were killed may differ by one."""
    steps = set(checkpoints.whole(job.out))
    for others in _of_all(job, steps):
        steps &= others
    path = checkpoints.path(job.out, max(steps)) if steps else None
    trainer.train(resume_from_checkpoint=str(path) if path else None)


def _rows(job: Job, rows: Sequence[Tokenized]) -> Rows:
    return Rows.packed(rows, job.train.max_tokens) if job.train.packing else Rows(rows)


def together(rows: Sequence[Tokenized], *, packed: bool) -> list[Tokenized]:
    """The shortest rows that one sequence will hold, to try it with; none where every row has its
    own."""
    by_length = sorted(rows, key=lambda row: len(row.ids))
    if packed:
        return by_length[:2]
    groups: dict[int, list[Tokenized]] = {}
    for row in by_length:
        if row.group is not None:
            groups.setdefault(row.group, []).append(row)
    return next((group for group in groups.values() if len(group) > 1), [])


def _choose(job: Job, model: Any, rows: Rows) -> microbatch.MicrobatchPlan:
    """What was lowered before stays; else from the memory that the loaded model leaves, the same in
    every process."""
    from .adapter import compute_dtype

    known = microbatch.read(job.out)
    if known is None or not known.lowered:
        trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
        here = job.processes // job.train.launch.hosts if job.device == "cpu" else 1
        free = (
            free_bytes(job.device) // here - 16 * trained
        )  # gradient, two moments, the step's copy
        shape = microbatch.Shape.of(model.config, size=compute_dtype(job).itemsize)
        known = microbatch.choose(
            job.train,
            shape,
            rows.sizes,
            free=free,
            processes=job.processes,
            cuda=job.device == "cuda",
        )
    every = _of_all(job, known)
    known = replace(
        known,
        rows=min(one.rows for one in every),
        checkpointing=any(one.checkpointing for one in every),
    )
    known.write(job.out)
    return known


def _join(job: Job) -> None:
    if job.processes > 1:
        from accelerate import PartialState

        PartialState(cpu=job.device == "cpu")


def _of_all(job: Job, own: Any) -> list[Any]:
    if job.processes == 1:
        return [own]
    from accelerate.utils import gather_object

    found: list[Any] = gather_object([own])
    return found


def _lower(job: Job, task: Task, why: str) -> None:
    lowered = microbatch.lower(job.out)
    if lowered is None:
        raise MachineError(
            f"memory ran out with one row at once ({why[:200]}); lower train.max_tokens or "
            "train.passages, "
            "set train.gradient_checkpointing: true and train.method: qlora, or take a larger "
            "machine"
        )
    task.warn(f"memory ran out ({why[:120]}): {lowered.told}, from the last checkpoint")


def _forget() -> None:
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _peak_gpu_mb(device: str) -> float | None:
    import torch

    return round(torch.cuda.max_memory_allocated() / 2**20, 1) if device == "cuda" else None
