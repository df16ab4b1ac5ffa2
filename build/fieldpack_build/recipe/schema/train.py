"""The recipe's `train` section: what the model learns from, how, and where that runs. Knows nothing of
torch or of the rows themselves."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from .base import CountOrAuto, Fraction, Part, Positive, Section, SwitchOrAuto, Targets
from .synthesize import Synthesize


class Launch(Section):
    """Where training runs. With several hosts each runs the same build with a `machine_rank` of its
    own and the address of the first."""

    processes: CountOrAuto = 1
    """Processes on each host; auto is one a GPU."""
    hosts: Positive = 1
    """Machines that train together."""
    machine_rank: Annotated[int, Field(ge=0)] = 0
    """Which of the hosts this one is; the first is 0."""
    main_address: str = Field(default="127.0.0.1", min_length=1)
    """Address of the first host."""
    main_port: Annotated[int, Field(ge=1, le=65535)] = 29500
    """Port of the first host."""
    strategy: Literal["ddp", "fsdp"] = "ddp"
    """ddp holds the whole model on each GPU; fsdp shards a model that one cannot hold."""

    @model_validator(mode="after")
    def _counted(self) -> Launch:
        if self.machine_rank >= self.hosts:
            raise ValueError(
                f"machine_rank: {self.machine_rank} of {self.hosts} hosts; the first is 0"
            )
        return self


class Train(Section):
    """How the model is tuned. `train: none` is retrieval alone.

    Neither how an update is split nor where it runs makes another model, so neither is part of the
    stage's key."""

    renamed = {"turns": "conversation_turns", "share": "questions_per_prompt"}
    method: Literal["qlora", "lora", "none"]
    """qlora trains an adapter on a base in 4 bit (NF4), lora on one in full precision; none leaves
    the base as it is."""
    data: list[str] = []
    """One file of rows or a list of them."""
    format: Literal["auto", "question", "messages", "alpaca", "sharegpt", "prompt"] = "auto"
    """What a row looks like; auto tells it from the keys."""
    conversation_turns: Literal["first", "each", "last"] = "first"
    """Which questions of a conversation are learned from; the device has no conversation."""
    on_leak: Literal["fail", "warn", "drop"] = "fail"
    """What becomes of a training row that asks a test question."""
    synthesize: Synthesize | None = None
    """Rows that a model writes from the documents."""
    epochs: Annotated[float, Field(gt=0, le=100)] = 1.0
    """How often each row is learned from."""
    max_steps: Positive | None = None
    """Updates to stop after, whatever the epochs."""
    learning_rate: Annotated[float, Field(gt=0, le=0.1)] = 2e-4
    """The highest rate of the cosine schedule."""
    rank: Annotated[int, Field(ge=1, le=512)] = 16
    """Rank of the adapter."""
    alpha: Annotated[int, Field(ge=1, le=1024)] = 32
    """The adapter is scaled by alpha / rank."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Dropout in front of the adapter."""
    rslora: bool = False
    """Scale by alpha / sqrt(rank) (rank-stabilised LoRA)."""
    dora: bool = False
    """Train weights' magnitudes beside their directions (DoRA)."""
    targets: Targets = "all-linear"
    """The layers that get an adapter."""
    dtype: Literal["auto", "bfloat16", "float32"] = "auto"
    """What the base computes in; auto is bfloat16 where the device multiplies it in hardware, else
    float32. float32 is slower and rounds 65,536 times finer, so that two machines, or two ways to
    split an update, give nearly the same adapter."""
    optimizer: Literal["auto", "adamw", "adamw_8bit", "paged_adamw_8bit"] = "auto"
    """auto is paged_adamw_8bit for qlora on a GPU, else adamw; the 8-bit ones want a GPU."""
    effective_batch: Positive | None = None
    """Rows that an update learns from (prompts with `questions_per_prompt`, sequences with
    `packing`); batch_size x gradient_accumulation where none is given, and 4 under auto."""
    batch_size: CountOrAuto = "auto"
    """Rows at once on one device; auto is what its memory takes."""
    gradient_accumulation: Positive | None = None
    """Batches that are added up to an update."""
    packing: bool = False
    """Whether short rows are put end to end in sequences of `max_tokens`."""
    warmup: Fraction = 0.05
    """Share of the updates in which the learning rate rises."""
    max_tokens: Annotated[int, Field(ge=64)] = 1024
    """Longest row, in tokens of prompt and answer; a longer one stops the build."""
    passages: Annotated[int, Field(ge=0, le=20)] | None = None
    """Passages in a training prompt, the right one and distractors together; as many as an answer
    reads where none is given."""
    only_distractors: Fraction = 0.0
    """Share of the answerable rows that read distractors alone and learn to refuse."""
    questions_per_prompt: Annotated[int, Field(ge=1, le=16)] = 1
    """Questions that read one prompt's passages, each its own right one, so that more is learned in
    the same time."""
    seed: Annotated[int, Field(ge=0)] = 17
    """Decides the order of the rows and their distractors."""
    validation: Part = 0
    """How many rows are held out, whole documents and questions; the checkpoint with the least loss
    on them becomes the adapter, of those that refuse few enough of them."""
    evaluate_steps: Positive | None = None
    """Updates from one evaluation on the held-out rows to the next; a tenth of the run where none is
    given."""
    max_refusal_rows: Fraction = 1.0
    """Share of the rows learned from that may refuse; more of them are left out at random. Held-out
    rows stay as they are."""
    max_wrong_refusals: Fraction = 0.15
    """Share of the held-out answerable questions that the adapter may refuse: a checkpoint that
    refuses more is kept only if all do. Measured where rows are held out and some rows refuse."""
    early_stop: Positive | None = None
    """Evaluations without a better one that end the training."""
    checkpoint_steps: Positive = 20
    """Updates from one checkpoint to the next, from which an interrupted training goes on."""
    gradient_checkpointing: SwitchOrAuto = "auto"
    """Whether activations are computed again instead of kept; auto where memory asks for it."""
    launch: Launch = Launch()
    """Where training runs."""
    track: list[Literal["mlflow", "tensorboard", "wandb"]] = []
    """Trackers to log to, in `runs/` beside the recipe and offline unless their own environment
    says otherwise."""
    device: Literal["auto", "cuda", "cpu"] = "auto"
    """What training runs on; auto is the GPU where there is one."""
    allow_cpu: bool = True
    """Whether `device: cuda` may fall back to the CPU."""
    follow_documents: bool = False
    """Whether a changed document tunes again."""

    @field_validator("data", mode="before")
    @classmethod
    def _one_is_a_list(cls, value: object) -> object:
        if value is None or value == "":
            return []
        if not isinstance(value, str | list):
            raise ValueError("must be a path or a list of paths")
        return [value] if isinstance(value, str) else value

    @model_validator(mode="after")
    def _has_data(self) -> Train:
        if self.method != "none" and not self.data and self.synthesize is None:
            raise ValueError(
                "data: missing; name a file of questions and answers, or let `synthesize` write "
                "them"
            )
        return self

    @model_validator(mode="after")
    def _batches_agree(self) -> Train:
        accumulated = self.gradient_accumulation
        if accumulated and self.batch_size == "auto":
            raise ValueError(
                "gradient_accumulation: goes with a batch_size; with auto write effective_batch"
            )
        if accumulated and self.effective_batch not in (None, self.rows_an_update):
            raise ValueError(
                "effective_batch: differs from batch_size x gradient_accumulation; leave one away"
            )
        if self.packing and self.questions_per_prompt > 1:
            raise ValueError(
                "questions_per_prompt: does not go with packing, which makes long sequences too; leave one away"
            )
        return self

    @model_validator(mode="after")
    def _has_validation(self) -> Train:
        for name in ("evaluate_steps", "early_stop"):
            if getattr(self, name) and not self.validation:
                raise ValueError(
                    f"{name}: nothing is held out; set train.validation, 0.1 for a tenth of the "
                    "rows"
                )
        return self

    @property
    def rows_an_update(self) -> int:
        """How many rows the recipe wants an update to learn from, however it is split."""
        if self.batch_size == "auto":
            return self.effective_batch or 4
        if self.gradient_accumulation:
            return self.batch_size * self.gradient_accumulation
        return self.effective_batch or self.batch_size
