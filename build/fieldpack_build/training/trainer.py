"""transformers' Trainer with our order of rows, our loss, and what is said on the way. Imports
transformers: only for a process that trains."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import torch
from transformers import EarlyStoppingCallback, Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_utils import EvalLoopOutput

from ..errors import CheckFailed
from . import checkpoints
from .adapter import compute_dtype, optimizer_name
from .dataset import Collator, Rows
from .job import Job
from .loss import answer_loss, supervised
from .microbatch import MicrobatchPlan
from .sampler import LengthGroupedSampler

Say = Callable[[dict[str, Any]], None]
_EVALUATIONS = 10  # in a run, where the recipe names no steps


def make_trainer(
    job: Job,
    model: Any,
    learned: Rows,
    held: Rows,
    split: MicrobatchPlan,
    *,
    trackers: list[str],
    say: Say,
) -> AnswerTrainer:
    slots = split.rows * split.accumulation(job.train.rows_an_update, job.processes) * job.processes
    order = LengthGroupedSampler(
        learned.lengths, effective=job.train.rows_an_update, slots=slots, seed=job.train.seed
    )
    evaluated = LengthGroupedSampler(
        held.lengths, effective=slots, slots=slots, seed=0, shuffled=False
    )
    speaker = Speaker(order, say)
    return AnswerTrainer(
        model=model,
        args=_arguments(job, split, order, evaluate=bool(len(held)), trackers=trackers),
        train_dataset=learned,
        eval_dataset=held if len(held) else None,
        data_collator=Collator(job.pad, packed=job.train.packing),
        callbacks=[speaker, *_watchers(job, bool(len(held)))],
        order=order,
        evaluated=evaluated,
        speaker=speaker,
    )


class AnswerTrainer(Trainer):  # type: ignore[misc]
    """The loss is a sum over the answers' tokens, divided by those of the whole update in all
    processes: transformers counts these (`num_items_in_batch`), and DDP takes the mean of the
    gradients, hence the factor."""

    def __init__(
        self,
        *,
        order: LengthGroupedSampler,
        evaluated: LengthGroupedSampler,
        speaker: Speaker,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self._order, self._evaluated, self._speaker = order, evaluated, speaker
        self.model_accepts_loss_kwargs = self.loss_is_scaled_for_ga = self._loss_shifts_labels = (
            True
        )

    def _get_train_sampler(self, train_dataset: Any = None) -> LengthGroupedSampler:
        return self._order

    def _get_eval_sampler(self, eval_dataset: Any) -> LengthGroupedSampler:
        return self._evaluated

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        return answer_loss(model, inputs, num_items_in_batch) * self.accelerator.num_processes

    def evaluation_loop(
        self, dataloader: Any, description: str, *_: Any, metric_key_prefix: str = "eval", **__: Any
    ) -> Any:
        """The mean over the held-out answers' tokens, over all processes; transformers' own is a
        mean of batches' means."""
        self.model.eval()
        total = torch.zeros(2, dtype=torch.float64, device=self.args.device)
        for batch in dataloader:
            batch = self._prepare_inputs(batch)
            with torch.no_grad():
                total += torch.stack(
                    [answer_loss(self.model, batch, 1).double(), supervised(batch).double()]
                )
        loss, count = self.accelerator.reduce(total, "sum").tolist()
        metrics = {f"{metric_key_prefix}_loss": loss / count}
        return EvalLoopOutput(
            predictions=None, label_ids=None, metrics=metrics, num_samples=len(self.eval_dataset)
        )

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        if "loss" in logs:
            logs |= {"tokens": self._speaker.tokens, "tokens_per_s": self._speaker.tokens_per_s}
        super().log(logs, start_time)


class Speaker(TrainerCallback):  # type: ignore[misc]
    """Says step, loss, tokens a second and the time left; stops at a loss that is no number."""

    def __init__(self, order: LengthGroupedSampler, say: Say) -> None:
        self._order, self._say = order, say
        self._begun = self._seconds = 0.0
        self._tokens = self._updates = self.tokens = 0
        self.tokens_per_s = 0.0
        self._held = ""

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._begun = time.perf_counter()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        seconds, self.tokens = (
            time.perf_counter() - self._begun,
            self._order.tokens(state.global_step - 1),
        )
        self._seconds, self._tokens, self._updates = (
            self._seconds + seconds,
            self._tokens + self.tokens,
            self._updates + 1,
        )
        self.tokens_per_s = round(self.tokens / seconds, 1)

    def on_log(
        self,
        args: Any,
        state: Any,
        control: Any,
        logs: dict[str, float] | None = None,
        model: Any = None,
        **_: Any,
    ) -> None:
        logs = logs or {}
        if "eval_loss" in logs:
            self._held = f", held out {logs['eval_loss']:.3f}"
        if "loss" not in logs:
            return
        if not math.isfinite(logs["loss"]):
            raise CheckFailed(
                f"step {state.global_step}: the training loss is not a number; "
                f"{_why_no_number(state, model)}"
            )
        if state.is_world_process_zero:
            left = self._seconds / self._updates * (state.max_steps - state.global_step)
            note = (
                f"steps, loss {logs['loss']:.3f}{self._held}, {self._tokens / self._seconds:,.0f} "
                "tokens/s"
            )
            self._say(
                {
                    "event": "progress",
                    "done": state.global_step,
                    "total": state.max_steps,
                    "note": note,
                    "left": left,
                }
            )


def _why_no_number(state: Any, model: Any) -> str:
    """What to do about it. The loss of step 1 is computed before anything is learned, so no
    learning rate is at fault there; nor is one where the frozen weights are no numbers."""
    frozen = (
        (name, p)
        for name, p in model.named_parameters()
        if not p.requires_grad and p.is_floating_point()
    )
    bad = next((name for name, p in frozen if not torch.isfinite(p).all()), None)
    if bad is not None:
        return (
            f"the base model's own weights hold values that are none (first: {bad}): its files are "
            "damaged, or were saved in a "
            "dtype that cannot hold them; fetch the model again or take another base.model"
        )
    if state.global_step == 1:
        return (
            "nothing was learned before it, so train.learning_rate is not at fault: the base model "
            "gives no numbers on these "
            "rows in this dtype; try train.method: lora, or another base.model"
        )
    return "lower train.learning_rate"


class SaveEvaluated(TrainerCallback):  # type: ignore[misc]
    """What was measured is kept, so that the best of all that was measured can be taken."""

    def on_evaluate(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        control.should_save = True


def _watchers(job: Job, evaluate: bool) -> list[Any]:
    stop = (
        [EarlyStoppingCallback(job.train.early_stop)] if evaluate and job.train.early_stop else []
    )
    return [SaveEvaluated(), *stop] if evaluate else []


def _arguments(
    job: Job,
    split: MicrobatchPlan,
    order: LengthGroupedSampler,
    *,
    evaluate: bool,
    trackers: list[str],
) -> Any:
    train = job.train
    mixed = job.device == "cuda" and compute_dtype(job) == torch.bfloat16
    steps = job.steps or math.ceil(train.epochs * order.per_epoch)
    evaluation = {
        "eval_strategy": "steps",
        "eval_steps": train.evaluate_steps or max(1, steps // _EVALUATIONS),
        "metric_for_best_model": "eval_loss",
        "greater_is_better": False,
    }
    return TrainingArguments(
        output_dir=str(job.out / checkpoints.FOLDER),
        per_device_train_batch_size=split.rows,
        per_device_eval_batch_size=split.rows,
        gradient_accumulation_steps=split.accumulation(train.rows_an_update, job.processes),
        max_steps=steps,
        learning_rate=train.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=train.warmup,
        optim=optimizer_name(job),
        max_grad_norm=1.0,
        logging_steps=1,
        logging_nan_inf_filter=False,
        save_steps=train.checkpoint_steps,
        save_total_limit=2,
        seed=train.seed,
        data_seed=train.seed,
        restore_callback_states_from_checkpoint=True,
        use_cpu=job.device == "cpu",
        bf16=mixed,
        report_to=trackers,
        run_name=f"{job.recipe.name}-{job.recipe.version}",
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        ddp_find_unused_parameters=False,
        save_on_each_node=train.launch.hosts > 1,
        **(evaluation if evaluate else {}),
        **_sharding(job, split),
    )


def _sharding(job: Job, split: MicrobatchPlan) -> dict[str, Any]:
    if not job.sharded:
        return {}
    settings = {
        "version": 2,
        "state_dict_type": "FULL_STATE_DICT",
        "auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
        "cpu_ram_efficient_loading": True,
        "activation_checkpointing": split.checkpointing,
    }
    return {"fsdp": True, "fsdp_config": settings}
