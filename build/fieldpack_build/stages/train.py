"""Tune a low-rank adapter on the recipe's examples: QLoRA (NF4, double quantisation; Dettmers et al. 2023) or LoRA.

adapter/       as peft writes it
log.json       loss by step

The trainer is transformers' own; ours are the rows, the loss on the answers only, and what is said on the way.
An interrupted run goes on from its last checkpoint.
"""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from fieldpack.rag import open_retriever

from .. import models
from ..data import Example, read_examples
from ..errors import CheckFailed, DataError, MachineError
from ..examples import IGNORED, ExampleBuilder, Tokenized
from ..shipped import prompt_settings, retrieval_settings
from ..task import Task
from .base import MODEL, read_chat

ADAPTER, CHECKPOINTS, LOG = "adapter", "checkpoints", "log.json"
_REHEARSED_ROWS, _REHEARSED_STEPS = 12, 3


def run(task: Task) -> dict[str, Any]:
    models.quiet()
    base = task.inputs["base"] / MODEL
    device = _choose_device(task)
    tokenizer = models.load_tokenizer(base)
    task.note("preparing examples")
    rows = prepare(task, tokenizer)
    task.note("loading the model")
    model = _with_adapter(task, base, device)
    trainer = _trainer(task, model, rows, pad=_pad(tokenizer), device=device)
    started = time.perf_counter()
    checkpoint = _last_checkpoint(task.out / CHECKPOINTS)
    outcome = trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    seconds = time.perf_counter() - started
    model.save_pretrained(task.out / ADAPTER)
    losses = [{"step": e["step"], "loss": round(e["loss"], 4)} for e in trainer.state.log_history if "loss" in e]
    (task.out / LOG).write_text(json.dumps(losses) + "\n", encoding="utf-8")
    shutil.rmtree(task.out / CHECKPOINTS, ignore_errors=True)
    if math.isnan(outcome.training_loss):
        raise CheckFailed("the training loss is not a number; lower train.learning_rate")
    tokens = sum(len(row.ids) for row in rows)
    return {
        "device": device, "examples": len(rows), "steps": trainer.state.global_step, "resumed": checkpoint is not None,
        "tokens": tokens, "supervised_tokens": sum(row.supervised for row in rows),
        "tokens_per_s": None if checkpoint else round(tokens * trainer.state.epoch / seconds, 1),
        "first_loss": losses[0]["loss"] if losses else None, "last_loss": losses[-1]["loss"] if losses else None,
        "peak_gpu_mb": _peak_gpu_mb(device), "drew_from": task.keys.get("knowledge"),
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
    for number, example in enumerate(examples, 1):
        rows.append(builder.tokenize(builder.render(example), recipe.train.max_tokens, str(path)))
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


def _compute_dtype(device: str) -> Any:
    """bfloat16, but where the CPU cannot: with AVX-512 it trains 480 tokens/s against 250 in float32 (SmolLM2-135M, 2
    cores); with AVX2 alone one product takes 1,120 ms against 26."""
    import torch

    if device == "cuda" or torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return torch.bfloat16
    return torch.float32


def _with_adapter(task: Task, base: Path, device: str) -> Any:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import BitsAndBytesConfig

    train = task.recipe.train
    torch.manual_seed(train.seed)
    options: dict[str, Any] = {"device_map": {"": 0}} if device == "cuda" else {}
    dtype = _compute_dtype(device)
    if train.method == "qlora":
        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=dtype,
        )  # fmt: skip
    model = models.load_model(base, dtype=dtype, **options)
    # Not peft's prepare_model_for_kbit_training: it casts embeddings and norms to float32, which costs half as much
    # memory again (6.7 against 4.4 GB here, 2.4 GB for Phi-4-mini's embeddings alone) and gains nothing: loss 0.550
    # against 0.554 after six steps. The adapter itself is float32.
    if train.gradient_checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        model.enable_input_require_grads()
    adapter = LoraConfig(
        r=train.rank, lora_alpha=train.alpha, lora_dropout=train.dropout, target_modules="all-linear",
        task_type="CAUSAL_LM",
    )  # fmt: skip
    model.config.use_cache = False
    return get_peft_model(model, adapter)


def _trainer(task: Task, model: Any, rows: Sequence[Tokenized], *, pad: int, device: str) -> Any:
    from transformers import Trainer, TrainerCallback, TrainingArguments

    train = task.recipe.train

    class Speaker(TrainerCallback):  # type: ignore[misc]
        """Tells the parent step, loss and the total, from which it tells the time left."""

        loss = float("nan")

        def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any) -> None:
            self.loss = (logs or {}).get("loss", self.loss)
            task.progress(state.global_step, state.max_steps, f"steps, loss {self.loss:.3f}")

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.global_step >= state.max_steps:
                control.should_save = False  # from a checkpoint of the last step the trainer would go one step too far

    class AnswerTrainer(Trainer):  # type: ignore[misc]
        def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, **_: Any) -> Any:
            return answer_loss(model, inputs)

    steps = _REHEARSED_STEPS if task.recipe.rehearsal else train.max_steps or -1
    arguments = TrainingArguments(
        output_dir=str(task.out / CHECKPOINTS), per_device_train_batch_size=train.batch_size,
        gradient_accumulation_steps=train.gradient_accumulation, num_train_epochs=train.epochs, max_steps=steps,
        learning_rate=train.learning_rate, lr_scheduler_type="cosine", warmup_steps=train.warmup,
        optim="paged_adamw_8bit" if device == "cuda" and train.method == "qlora" else "adamw_torch",
        max_grad_norm=1.0, logging_steps=1, save_steps=train.checkpoint_steps, save_total_limit=2, seed=train.seed,
        data_seed=train.seed, train_sampling_strategy="group_by_length", use_cpu=device == "cpu", report_to=[],
        disable_tqdm=True, remove_unused_columns=False, dataloader_pin_memory=False, bf16=device == "cuda",
    )  # fmt: skip
    return AnswerTrainer(
        model=model, args=arguments, train_dataset=_Rows(rows), data_collator=Collator(pad), callbacks=[Speaker()]
    )


class _Rows:
    """The map-style dataset the trainer wants; `input_ids` is what it groups by length."""

    def __init__(self, rows: Sequence[Tokenized]) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> dict[str, list[int]]:
        return {"input_ids": self._rows[index].ids, "labels": self._rows[index].labels}


class Collator:
    """Rows -> a batch, padded on the left so that the answers stand together at the end."""

    def __init__(self, pad: int) -> None:
        self._pad = pad

    def __call__(self, rows: Sequence[dict[str, list[int]]]) -> dict[str, Any]:
        import torch

        width = max(len(row["input_ids"]) for row in rows)
        ids = torch.full((len(rows), width), self._pad)
        labels = torch.full((len(rows), width), IGNORED)
        mask = torch.zeros((len(rows), width), dtype=torch.long)
        for i, row in enumerate(rows):
            at = width - len(row["input_ids"])
            ids[i, at:] = torch.tensor(row["input_ids"])
            labels[i, at:] = torch.tensor(row["labels"])
            mask[i, at:] = 1
        return {"input_ids": ids, "labels": labels, "attention_mask": mask}


def answer_loss(model: Any, batch: Any) -> Any:
    """Cross entropy over the answers' tokens. Logits are made only where a label is: with 49,152 words and 400-token
    prompts that is 1.6 to 1.8 times faster on a CPU, and most of the memory on a GPU."""
    import torch

    labels = batch["labels"]
    first = int((labels != IGNORED).any(dim=0).int().argmax())
    keep = labels.shape[1] - first + 1  # the position before the first label predicts it
    mask = batch["attention_mask"]
    positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
    out = model(input_ids=batch["input_ids"], attention_mask=mask, position_ids=positions, logits_to_keep=keep)
    logits = out.logits[:, :-1].float()
    return torch.nn.functional.cross_entropy(
        logits.reshape(-1, logits.shape[-1]), labels[:, first:].reshape(-1), ignore_index=IGNORED
    )


def _pad(tokenizer: Any) -> int:
    return next(i for i in (tokenizer.pad_token_id, tokenizer.eos_token_id, 0) if i is not None)


def _last_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint that was written to its end (the trainer's state is what it writes last)."""
    whole = [p for p in folder.glob("checkpoint-*") if _readable(p / "trainer_state.json")]
    return max(whole, key=lambda p: int(p.name.rsplit("-", 1)[1]), default=None)


def _readable(path: Path) -> bool:
    try:
        return bool(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return False


def _peak_gpu_mb(device: str) -> float | None:
    import torch

    return round(torch.cuda.max_memory_allocated() / 2**20, 1) if device == "cuda" else None
