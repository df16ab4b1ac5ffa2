"""Tune a low-rank adapter on the recipe's examples: QLoRA or LoRA, with the engine of `training`.

adapter/       as peft writes it
log.json       loss by step, of training and of what was held out; `training.engine` says its fields

Ours here are the rows, which are the device's own prompts. An interrupted run goes on from its last
checkpoint.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from ..data.prompts import IGNORED
from ..data.rows import raise_problems
from ..data.tokenize import PreparedRows, prepare_rows
from ..data.training_rows import examples_of
from ..errors import DataError, MachineError
from ..models import causal_lm
from ..models.causal_lm import MODEL
from ..models.chat_template import encode, read_chat
from ..pipeline.events import StageResult
from ..pipeline.task import Task
from ..training import validation_split
from ..training.checkpoints import ADAPTER, LOG
from ..training.job import Job
from ..training.refusals import limit_refusals

__all__ = ["ADAPTER", "LOG", "prepare", "run"]
_REHEARSED_STEPS = 3


def run(task: Task) -> StageResult:
    """Train the recipe's adapter and write it into `adapter/`, its losses into `log.json`.

    Raises DataError for rows that cannot be learned from, MachineError for a machine that cannot
    train them, CheckFailed where the loss is not a number."""
    causal_lm.quiet()
    base = task.inputs["base"] / MODEL
    device = _choose_device(task)
    tokenizer = causal_lm.load_tokenizer(base)
    task.note("preparing examples")
    prepared = prepare(task, tokenizer)
    rows = prepared.rows
    parts = _hold_out(task, prepared)
    from ..training.engine import train  # imports transformers

    settings, refusal = task.recipe.train, _refusal(task, prepared, tokenizer)
    learned = limit_refusals(parts.train, refusal, settings.max_refusal_rows, seed=settings.seed)
    if left_out := len(parts.train) - len(learned):
        task.say(f"{left_out} rows that refuse are left out, by train.max_refusal_rows")
    job = _job(task, device, pad=_pad(tokenizer), refusal=refusal)
    training = train(job, learned, parts.validation, task)
    refused, limit = training.adapter.held_out_wrong_refusals, settings.max_wrong_refusals
    if refused is not None and refused > limit:
        task.warn(
            f"every checkpoint refuses more of the held-out answerable questions than "
            f"train.max_wrong_refusals, {limit:.0%}; the one that refuses least is kept, "
            f"{refused:.0%}: fewer rows without an answer, more steps or a lower learning rate help"
        )
    return {
        "examples": len(learned),
        "held_out": len(parts.validation),
        "tokens": sum(len(row.ids) for row in rows),
        "supervised_tokens": sum(row.supervised for row in rows),
        "device": training.device,
        "processes": training.processes,
        "resumed": training.resumed,
        **asdict(training.adapter),
        "rows_at_once": training.rows_at_once,
        "gradient_checkpointing": training.gradient_checkpointing,
        "peak_gpu_mb": training.peak_gpu_mb,
        "drew_from": task.keys.get("knowledge"),
    }


def prepare(task: Task, tokenizer: Any) -> PreparedRows:
    """The recipe's examples as tokens. Raises DataError, which names file and line of all that is
    wrong with them."""
    examples = examples_of(task.recipe, task.inputs.get("synthesize"))
    context = getattr(
        causal_lm.load_config(task.inputs["base"] / MODEL), "max_position_embeddings", None
    )
    prepared = prepare_rows(task, lambda text: encode(tokenizer, text), examples, context=context)
    raise_problems(prepared.problems)
    for warning in prepared.warnings:
        task.warn(warning)
    return prepared


def _choose_device(task: Task) -> str:
    import torch

    train = task.recipe.train
    if torch.cuda.is_available() and train.device != "cpu":
        return "cuda"
    if train.device == "cuda":
        if not train.allow_cpu and not task.recipe.rehearsal:
            raise MachineError(
                "train.device is cuda and this machine has no CUDA GPU; "
                "set train.allow_cpu: true to train on the CPU all the same"
            )
        task.warn("no CUDA GPU here: training on the CPU, as the recipe allows")
    return "cpu"


def _refusal(task: Task, prepared: PreparedRows, tokenizer: Any) -> tuple[int, ...]:
    """Return the tokens that rows without an answer are taught to say, without those that end an
    answer; none where no row refuses."""
    chat = read_chat(task.inputs["base"])
    said = chat.plain(task.recipe.answer.refusal) + chat.end
    for rendered, row in zip(prepared.rendered, prepared.rows, strict=True):
        if rendered.answer == said:
            tokens = [label for label in row.labels if label != IGNORED]
            end = encode(tokenizer, chat.end)
            return tuple(tokens[: -len(end)] if end and tokens[-len(end) :] == end else tokens)
    return ()


def _job(task: Task, device: str, *, pad: int, refusal: tuple[int, ...]) -> Job:
    from ..training.launch import processes_here

    launch = task.recipe.train.launch
    processes = processes_here(launch, device) * launch.hosts
    steps = _REHEARSED_STEPS if task.recipe.rehearsal else task.recipe.train.max_steps
    base = task.inputs["base"] / MODEL
    return Job(task.recipe, base, task.out, device, pad, steps, processes, refusal)


def _hold_out(task: Task, prepared: PreparedRows) -> validation_split.TrainValidationSplit:
    train, rows = task.recipe.train, prepared.rows
    parts = validation_split.split_rows(rows, prepared.examples, train.validation, seed=train.seed)
    if train.validation and not (parts.validation and parts.train):
        raise DataError(
            f"train.validation: no {train.validation:g} of {len(rows)} rows can be held out whole "
            "by question"
        )
    if parts.validation:
        task.say(f"{len(parts.validation)} of {len(rows)} rows are held out, whole {parts.by}s")
    return parts


def _pad(tokenizer: Any) -> int:
    return next(i for i in (tokenizer.pad_token_id, tokenizer.eos_token_id, 0) if i is not None)
