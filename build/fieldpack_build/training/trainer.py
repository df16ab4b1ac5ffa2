"""transformers' Trainer with our order of rows, our loss, and what is said on the way. Imports
transformers: only for a process that trains."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any

import torch
from transformers import EarlyStoppingCallback, Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_utils import EvalLoopOutput

from ..errors import CheckFailed
from . import checkpoints
from .adapter import compute_dtype, optimizer_name
from .dataset import Collator, SequenceDataset
from .events import OnEvent
from .job import Job
from .loss import answer_loss, count_supervised
from .microbatch import MicrobatchPlan
from .refusals import count_refused
from .sampler import LengthGroupedSampler

_EVALUATIONS = 10  # in a run, where the recipe names no steps
_TOO_MANY_REFUSED = 1e6  # more than any mean loss in nats a token


def make_trainer(
    job: Job,
    model: Any,
    train_set: SequenceDataset,
    held_out: HeldOut,
    plan: MicrobatchPlan,
    *,
    trackers: list[str],
    on_event: OnEvent,
) -> AnswerTrainer:
    """Return a trainer of the job's updates. Without validation rows nothing is evaluated, and the
    last checkpoint is the best."""
    train = job.train
    accumulation = plan.accumulation(train.rows_an_update, job.processes)
    slots = plan.rows * accumulation * job.processes
    sampler = LengthGroupedSampler(
        train_set.lengths, rows_per_update=train.rows_an_update, slots=slots, seed=train.seed
    )
    evaluate = bool(len(held_out.rows))
    progress = ProgressCallback(sampler, on_event)
    callbacks: list[TrainerCallback] = [progress]
    if evaluate:
        callbacks.append(SaveEvaluated())
        if train.early_stop:
            callbacks.append(EarlyStoppingCallback(train.early_stop))
    return AnswerTrainer(
        model=model,
        args=_arguments(job, plan, sampler, evaluate=evaluate, trackers=trackers),
        train_dataset=train_set,
        eval_dataset=held_out.rows if evaluate else None,
        data_collator=Collator(job.pad, packed=train.packing),
        callbacks=callbacks,
        sampler=sampler,
        held_out=held_out,
        slots=slots,
        job=job,
        progress=progress,
    )


@dataclass(frozen=True, slots=True)
class HeldOut:
    """What is held out: its rows, and the same prompts with the refusal behind them, apart by
    whether the refusal is wrong (`answerable`) or right."""

    rows: SequenceDataset
    answerable: SequenceDataset
    unanswerable: SequenceDataset


class AnswerTrainer(Trainer):  # type: ignore[misc]
    """Trains on the sum of the loss over the answers' tokens, divided by those of the whole update
    in all processes: transformers counts these (`num_items_in_batch`), and DDP takes the mean of
    the gradients, hence the factor."""

    def __init__(
        self,
        *,
        sampler: LengthGroupedSampler,
        held_out: HeldOut,
        slots: int,
        job: Job,
        progress: ProgressCallback,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self._sampler, self._progress = sampler, progress
        self._held_out, self._slots, self._job = held_out, slots, job
        self.model_accepts_loss_kwargs = self.loss_is_scaled_for_ga = True
        self._loss_shifts_labels = True

    def _get_train_sampler(self, train_dataset: Any = None) -> LengthGroupedSampler:
        return self._sampler

    def _get_eval_sampler(self, eval_dataset: SequenceDataset) -> LengthGroupedSampler:
        return LengthGroupedSampler(
            eval_dataset.lengths,
            rows_per_update=self._slots,
            slots=self._slots,
            seed=0,
            shuffled=False,
        )

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Return a batch's share of its update's loss, a tensor without dimensions."""
        return answer_loss(model, inputs, num_items_in_batch) * self.accelerator.num_processes

    def evaluation_loop(
        self, dataloader: Any, description: str, *_: Any, metric_key_prefix: str = "eval", **__: Any
    ) -> Any:
        """Return the mean loss over the held-out answers' tokens, over all processes
        (transformers' own is a mean of batches' means), the shares of held-out questions that the
        model refuses, and `selection`, by which the checkpoint to keep is chosen: the loss, and
        more than any loss where too many are refused wrongly."""
        self.model.eval()
        total = torch.zeros(2, dtype=torch.float64, device=self.args.device)
        for batch in dataloader:
            batch = self._prepare_inputs(batch)
            with torch.no_grad():
                total += torch.stack(
                    [answer_loss(self.model, batch, 1).double(), count_supervised(batch).double()]
                )
        loss, count = self.accelerator.reduce(total, "sum").tolist()
        figures = {"loss": loss / count, "selection": loss / count}
        wrong = self._share_refused(self._held_out.answerable)
        right = self._share_refused(self._held_out.unanswerable)
        limit = self._job.train.max_wrong_refusals
        if wrong is not None:
            figures["wrong_refusals"] = wrong
            if wrong > limit:
                figures["selection"] = loss / count + _TOO_MANY_REFUSED * (1 + wrong - limit)
        if right is not None:
            figures["right_refusals"] = right
        return EvalLoopOutput(
            predictions=None,
            label_ids=None,
            metrics={f"{metric_key_prefix}_{name}": value for name, value in figures.items()},
            num_samples=len(self.eval_dataset),
        )

    def _share_refused(self, dataset: SequenceDataset) -> float | None:
        """Return the share of a set of `RefusalRows` that the model would refuse, 0 to 1, over all
        processes; None where the set is empty.

        It is a pass of its own: answer and refusal behind one prompt in one sequence want a mask
        that packed rows and attention windows do not have, and the loss would be rounded otherwise.
        """
        if not len(dataset):
            return None
        batches = (self._prepare_inputs(batch) for batch in self.get_eval_dataloader(dataset))
        counts = count_refused(self.model, batches, len(self._job.refusal))
        refused, rows = self.accelerator.reduce(counts.to(self.args.device), "sum").tolist()
        return float(refused / rows)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log with the tokens of the last update and their speed."""
        if "loss" in logs:
            logs |= {"tokens": self._progress.tokens, "tokens_per_s": self._progress.tokens_per_s}
        super().log(logs, start_time)


class ProgressCallback(TrainerCallback):  # type: ignore[misc]
    """Says step, loss, tokens a second and the time left; stops at a loss that is not a number.

    `tokens` and `tokens_per_s` are those of the last update."""

    def __init__(self, sampler: LengthGroupedSampler, on_event: OnEvent) -> None:
        self._sampler, self._on_event = sampler, on_event
        self._step_start = 0.0
        self._total_seconds, self._total_tokens, self._updates = 0.0, 0, 0
        self.tokens, self.tokens_per_s = 0, 0.0
        self._validation_loss = ""

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Start the clock of an update."""
        self._step_start = time.perf_counter()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Count an update's tokens and seconds."""
        seconds = time.perf_counter() - self._step_start
        self.tokens = self._sampler.tokens(state.global_step - 1)
        self.tokens_per_s = round(self.tokens / seconds, 1)
        self._total_seconds += seconds
        self._total_tokens += self.tokens
        self._updates += 1

    def on_log(
        self,
        args: Any,
        state: Any,
        control: Any,
        logs: dict[str, float] | None = None,
        model: Any = None,
        **_: Any,
    ) -> None:
        """Say how far the training is. Raises CheckFailed where the loss is not a number."""
        logs = logs or {}
        if "eval_loss" in logs:
            self._validation_loss = f", held out {logs['eval_loss']:.3f}"
            if "eval_wrong_refusals" in logs:
                self._validation_loss += f" refusing {logs['eval_wrong_refusals']:.0%} wrongly"
        if "loss" not in logs:
            return
        if not math.isfinite(logs["loss"]):
            raise CheckFailed(
                f"step {state.global_step}: the training loss is not a number; "
                f"{_advice_on_nan(state, model)}"
            )
        if state.is_world_process_zero:
            remaining = state.max_steps - state.global_step
            self._on_event(
                {
                    "event": "progress",
                    "done": state.global_step,
                    "total": state.max_steps,
                    "note": f"steps, loss {logs['loss']:.3f}{self._validation_loss}, "
                    f"{self._total_tokens / self._total_seconds:,.0f} tokens/s",
                    "left": self._total_seconds / self._updates * remaining,
                }
            )


def _advice_on_nan(state: Any, model: Any) -> str:
    """Say what to do about a loss that is not a number. The loss of step 1 is computed before
    anything is learned, so no learning rate is at fault there; nor is one where the frozen weights
    are not numbers."""
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
    """Keeps a checkpoint of what was evaluated, so that the best of all that was can be taken."""

    def on_evaluate(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Have the trainer save."""
        control.should_save = True


def _arguments(
    job: Job,
    plan: MicrobatchPlan,
    sampler: LengthGroupedSampler,
    *,
    evaluate: bool,
    trackers: list[str],
) -> Any:
    train = job.train
    mixed = job.device == "cuda" and compute_dtype(job) == torch.bfloat16
    steps = job.steps or math.ceil(train.epochs * sampler.updates_per_epoch)
    optional: dict[str, object] = {}
    if evaluate:
        optional |= {
            "eval_strategy": "steps",
            "eval_steps": train.evaluate_steps or max(1, steps // _EVALUATIONS),
            "metric_for_best_model": "eval_selection",
            "greater_is_better": False,
        }
    if job.sharded:
        optional["fsdp"] = True
        optional["fsdp_config"] = {
            "version": 2,
            "state_dict_type": "FULL_STATE_DICT",
            "auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
            "cpu_ram_efficient_loading": True,
            "activation_checkpointing": plan.checkpointing,
        }
    return TrainingArguments(
        output_dir=str(job.out / checkpoints.FOLDER),
        per_device_train_batch_size=plan.rows,
        per_device_eval_batch_size=plan.rows,
        gradient_accumulation_steps=plan.accumulation(train.rows_an_update, job.processes),
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
        **optional,
    )
