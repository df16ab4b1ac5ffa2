"""Tune a low-rank adapter on the recipe's examples: QLoRA or LoRA, with the engine of `training`.

adapter/       as peft writes it
log.json       loss by step, of training and of what was held out; `training.engine` says its fields

Ours here are the rows, which are the device's own prompts. An interrupted run goes on from its last checkpoint.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from fieldpack.rag import open_retriever

from .. import models
from ..data import Example, read_examples
from ..errors import DataError, MachineError
from ..examples import ExampleBuilder, Tokenized
from ..shipped import prompt_settings, retrieval_settings
from ..task import Task
from ..training import holdout
from ..training.checkpoints import ADAPTER, LOG
from ..training.job import Job
from .base import MODEL, read_chat

__all__ = ["ADAPTER", "LOG", "encode", "prepare", "run"]
_REHEARSED_ROWS, _REHEARSED_STEPS = 12, 3


def run(task: Task) -> dict[str, Any]:
    models.quiet()
    base = task.inputs["base"] / MODEL
    device = _choose_device(task)
    tokenizer = models.load_tokenizer(base)
    task.note("preparing examples")
    rows = prepare(task, tokenizer)
    parts = _hold_out(task, rows)
    result = _engine()(_job(task, device, pad=_pad(tokenizer)), parts.learned, parts.held, task)
    return {
        "examples": len(parts.learned), "held_out": len(parts.held), "tokens": sum(len(row.ids) for row in rows),
        "supervised_tokens": sum(row.supervised for row in rows), **result, "drew_from": task.keys.get("knowledge"),
    }  # fmt: skip


def prepare(task: Task, tokenizer: Any) -> list[Tokenized]:
    """The recipe's examples as tokens. Raises DataError, which names file and line."""
    recipe = task.recipe
    path = recipe.path(recipe.train.data or "")
    examples: Sequence[Example] = read_examples(path)
    if recipe.rehearsal:
        examples = examples[:_REHEARSED_ROWS]
    retriever = None
    if recipe.train_passages and "knowledge" in task.inputs:
        retriever = open_retriever(
            task.inputs["embedder"], task.inputs["knowledge"], retrieval_settings(recipe),
            reranker=task.inputs.get("reranker"),
        )  # fmt: skip
        _check_documents(examples, set(retriever.index.documents()), task)
    # Never cut here: a cut could take the right passage away. A row that is too long is an error that names its line.
    settings = replace(prompt_settings(recipe), max_context=2**20)
    builder = ExampleBuilder(
        read_chat(task.inputs["base"]), settings, lambda text: encode(tokenizer, text),
        passages=recipe.train_passages, search=retriever.search if retriever else None,
        chunks_of=retriever.index.chunks if retriever else None, seed=recipe.train.seed,
        only_distractors=recipe.train.only_distractors,
    )  # fmt: skip
    rows = []
    for number, row in enumerate(builder.render_all(examples, share=recipe.train.share), 1):
        rows.append(builder.tokenize(row, recipe.train.max_tokens, str(path)))
        if number % 20 == 0 or number == len(examples):
            task.progress(number, len(examples), "examples prepared")
    if sum(row.supervised for row in rows) < 1:
        raise DataError(f"{path}: fewer supervised tokens than one in {len(rows)} rows")
    return rows


def encode(tokenizer: Any, text: str) -> list[int]:
    """Tokens of `text` and nothing else: the chat template's strings hold every special token there shall be."""
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False)
    return ids


def _check_documents(examples: Sequence[Example], known: set[str], task: Task) -> None:
    missing = sorted({e.document for e in examples if e.document and e.document not in known})
    if missing and not task.recipe.rehearsal:
        task.warn(f"{len(missing)} documents named by training rows are not in the index, first: {missing[0]}")


def _choose_device(task: Task) -> str:
    import torch

    train = task.recipe.train
    if torch.cuda.is_available() and train.device != "cpu":
        return "cuda"
    if train.device == "cuda":
        if not train.allow_cpu and not task.recipe.rehearsal:
            raise MachineError("train.device is cuda and this machine has no CUDA GPU; "
                               "set train.allow_cpu: true to train on the CPU all the same")  # fmt: skip
        task.warn("no CUDA GPU here: training on the CPU, as the recipe allows")
    return "cpu"


def _engine() -> Any:
    from ..training.engine import train  # imports transformers

    return train


def _job(task: Task, device: str, *, pad: int) -> Job:
    from ..training.launch import processes_here

    launch = task.recipe.train.launch
    processes = processes_here(launch, device) * launch.hosts
    steps = _REHEARSED_STEPS if task.recipe.rehearsal else task.recipe.train.max_steps
    return Job(task.recipe, task.inputs["base"] / MODEL, task.out, device, pad, steps, processes)


def _hold_out(task: Task, rows: Sequence[Tokenized]) -> holdout.Parts:
    train = task.recipe.train
    parts = holdout.part(rows, read_examples(task.recipe.path(train.data or "")), train.validation, seed=train.seed)
    if train.validation and not (parts.held and parts.learned):
        raise DataError(f"train.validation: no {train.validation:g} of {len(rows)} rows can be held out whole by question")
    if parts.held:
        task.say(f"{len(parts.held)} of {len(rows)} rows are held out, whole {parts.by}s")
    return parts


def _pad(tokenizer: Any) -> int:
    return next(i for i in (tokenizer.pad_token_id, tokenizer.eos_token_id, 0) if i is not None)
