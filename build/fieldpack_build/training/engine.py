"""One training: tried with what the memory there is takes, again with half of it where that was too
much, from checkpoint to checkpoint until an adapter stands. A run that was killed goes on where it
was.

adapter/       the last checkpoint's, or with held-out rows that of the least loss on them among
               those that refuse few enough of them; as peft writes it
log.json       {"train": [{"step", "loss", "learning_rate", "grad_norm", "tokens", "tokens_per_s"}],
                "validation": [{"step", "loss", "wrong_refusals", "right_refusals"}],
                "kept_step": the adapter's step}
"""

from __future__ import annotations

import gc
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import torch

from ..data.prompts import Tokenized
from ..errors import MachineError
from ..pipeline.task import Task
from . import checkpoints, launch, microbatch, tracking
from .adapter import checkpoint_activations, compute_dtype, load_model_with_adapter
from .checkpoints import TrainedAdapter
from .dataset import SequenceDataset
from .events import OnEvent, TrainingEvent
from .isolation import prove_rows_isolated, refuse_windowed_sharing, rows_to_prove
from .job import Job
from .memory import OutOfMemory, free_bytes, is_memory_error
from .microbatch import MicrobatchPlan, ModelShape
from .refusals import refusal_rows
from .trainer import HeldOut, make_trainer

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Training:
    """What a training says of itself. `resumed`: it went on from a checkpoint of an earlier run.
    `peak_gpu_mb`: in MiB, of the first process; None on a CPU."""

    device: str
    processes: int
    resumed: bool
    adapter: TrainedAdapter
    rows_at_once: int
    gradient_checkpointing: bool
    peak_gpu_mb: float | None


def train(
    job: Job, train_rows: Sequence[Tokenized], validation_rows: Sequence[Tokenized], task: Task
) -> Training:
    """Train an adapter into `job.out`. Raises MachineError where one row does not fit into memory,
    CheckFailed where the loss is not a number."""
    tracking.set_up(job.recipe)
    resumed = checkpoints.last_step(job.out) is not None
    peak_gpu_mb: float | None = None

    def on_event(event: TrainingEvent) -> None:
        nonlocal peak_gpu_mb
        if event["event"] == "peak":
            peak_gpu_mb = event["gpu_mb"]
        else:
            task.send(event)

    while not checkpoints.is_finished(job.out):
        run = train_in_process if job.processes == 1 else launch.train_in_processes
        try:
            run(job, train_rows, validation_rows, on_event)
        except OutOfMemory as error:
            lowered = microbatch.lower(job.out)
            if lowered is None:
                raise MachineError(
                    f"memory ran out with one row at once ({str(error)[:200]}); lower "
                    "train.max_tokens or train.passages, set train.gradient_checkpointing: true "
                    "and train.method: qlora, or take a larger machine"
                ) from None
            task.warn(
                f"memory ran out ({str(error)[:120]}): {lowered.description}, from the last "
                "checkpoint"
            )
    task.note("keeping the adapter")
    adapter = checkpoints.keep_adapter(job.out)
    plan = microbatch.read(job.out) or MicrobatchPlan(0, False)
    shutil.rmtree(job.out / checkpoints.FOLDER)
    (job.out / microbatch.FILE).unlink(missing_ok=True)
    return Training(
        device=job.device,
        processes=job.processes,
        resumed=resumed,
        adapter=adapter,
        rows_at_once=plan.rows,
        gradient_checkpointing=plan.checkpointing,
        peak_gpu_mb=peak_gpu_mb,
    )


def train_in_process(
    job: Job,
    train_rows: Sequence[Tokenized],
    validation_rows: Sequence[Tokenized],
    on_event: OnEvent,
) -> None:
    """Train in this process, from the last checkpoint to the end. Raises OutOfMemory."""
    message: str | None = None
    try:
        _train(job, train_rows, validation_rows, on_event)
    except (RuntimeError, MemoryError) as error:
        if not is_memory_error(error):
            raise
        first_line = (str(error).splitlines() or ["out of memory"])[0]
        message = first_line.rpartition("DefaultCPUAllocator: ")[2]
    # outside of the handler: the error's frames hold the model and all its activations
    if message is not None:
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        raise OutOfMemory(message)


def _train(
    job: Job,
    train_rows: Sequence[Tokenized],
    validation_rows: Sequence[Tokenized],
    on_event: OnEvent,
) -> None:
    """Load, plan, prove, train: all of it in one process of `job.processes`."""
    on_event({"event": "note", "text": "loading the model"})
    if job.processes > 1:
        from accelerate import PartialState

        PartialState(cpu=job.device == "cpu")
    model = load_model_with_adapter(job)
    refuse_windowed_sharing(model.config, [*train_rows, *validation_rows])

    def dataset(rows: Sequence[Tokenized]) -> SequenceDataset:
        if job.train.packing:
            return SequenceDataset.packed(rows, job.train.max_tokens)
        return SequenceDataset.with_shared_prompts(rows)

    train_set = dataset(train_rows)
    refusals = refusal_rows(validation_rows, job.refusal)
    held_out = HeldOut(
        dataset(validation_rows), dataset(refusals.answerable), dataset(refusals.unanswerable)
    )
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    shape = ModelShape.of(model.config, number_bytes=compute_dtype(job).itemsize)
    plan = _plan(job, shape, trainable, train_set)
    if rows := rows_to_prove(train_rows, packed=job.train.packing):
        prove_rows_isolated(model, rows, job.pad, packed=job.train.packing)
    if plan.checkpointing and not job.sharded:
        checkpoint_activations(model)
    trainer = make_trainer(
        job,
        model,
        train_set,
        held_out,
        plan,
        trackers=tracking.set_up(job.recipe),
        on_event=on_event,
    )
    # The last checkpoint that every process has: hosts that were killed may differ by one.
    steps = set.intersection(*_gather(job, set(checkpoints.complete_steps(job.out))))
    last = str(checkpoints.checkpoint_folder(job.out, max(steps))) if steps else None
    trainer.train(resume_from_checkpoint=last)
    cuda = job.device == "cuda"
    peak = round(torch.cuda.max_memory_allocated() / 2**20, 1) if cuda else None
    on_event({"event": "peak", "gpu_mb": peak})


def _plan(
    job: Job, shape: ModelShape, trainable: int, train_set: SequenceDataset
) -> MicrobatchPlan:
    """Plan the batches from the memory that the loaded model leaves, the same in every process, and
    write the plan down. One that was lowered before stays."""
    plan = microbatch.read(job.out)
    if plan is None or not plan.lowered:
        sharing = job.processes // job.train.launch.hosts if job.device == "cpu" else 1
        # 16 bytes a trained parameter: gradient, two moments, the step's copy
        plan = microbatch.choose(
            job.train,
            shape,
            train_set.sizes,
            free=free_bytes(job.device) // sharing - 16 * trainable,
            processes=job.processes,
            cuda=job.device == "cuda",
        )
    plans = _gather(job, plan)
    plan = replace(
        plan,
        rows=min(one.rows for one in plans),
        checkpointing=any(one.checkpointing for one in plans),
    )
    plan.write(job.out)
    return plan


def _gather(job: Job, own: T) -> list[T]:
    """Return the values of all processes, each of which gives its own."""
    if job.processes == 1:
        return [own]
    from accelerate.utils import gather_object

    values: list[T] = gather_object([own])
    return values
