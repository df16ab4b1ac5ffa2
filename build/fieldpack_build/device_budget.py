"""Solves the recipe's `device` section before anything is built: which precision, context and
number of passages fit the memory, the disk and the speed that it names, and what they will take.
Reads headers and settings alone; imports nothing heavy.

Sizes and memory are computed from the model's shape. Speeds are scaled from one measurement on this
kind of server and are a hint: only the device itself can be measured.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from fieldpack.memory import ModelShape, predict

from .errors import SourceError
from .models import sources
from .models.inspection import open_checkpoint, text_settings, ties_embeddings
from .models.precision import Candidate, candidate, parse, unfit
from .recipe.schema import CANDIDATES, Recipe

# Decoding reads every weight once a token. SmolLM2-135M, 113 MB of int4 and int8: 115 tokens/s on
# two AVX-512 cores, so 13 GB/s; reading a prompt: 1,000 tokens/s of 135M parameters there.
_BYTES_PER_S = 113e6 * 115
_PREFILL = 1000.0 * 135e6
_SCALE_BITS = 32  # one float32 scale for each block
_ZERO_BITS = 4  # one zero point for each block of k_quant; the other quantizers are symmetric
_MIXED_SHARE = 0.5  # of the layers, whose values and down projections genai's builder keeps in int8
_FILES_MB = 5.0  # tokenizer, graph and settings
_REPORT_MB = 2.0
_TOKENS_PER_CHUNK_TOKEN = 1.3  # of the language model, for a token of the embedder
_PASSAGE_FRAME = 24  # tokens of a passage's number, title and blank lines
_FRAME = 48  # tokens of the chat template, and of a short question
_CHARS_PER_TOKEN = 4.2


@dataclass(frozen=True, slots=True)
class Weights:
    """Parameters of a decoder by what a quantizer makes of them. `table`: the input embeddings
    where they are not the output matrix too."""

    body: float
    sensitive: float
    head: float
    table: float

    @classmethod
    def of(cls, config: Mapping[str, Any], *, tied: bool) -> Weights:
        """Count the parameters of a model by its config.json. `tied`: its input embeddings are its
        output matrix too."""
        hidden, layers = int(config["hidden_size"]), int(config["num_hidden_layers"])
        heads = int(config["num_attention_heads"])
        grouped = int(config.get("num_key_value_heads") or heads)
        size = int(config.get("head_dim") or hidden // heads)
        wide = int(config["intermediate_size"])
        values, down = hidden * grouped * size, hidden * wide
        attention = 2 * hidden * heads * size + 2 * hidden * grouped * size
        vocabulary = float(int(config["vocab_size"]) * hidden)
        body = float(layers * (attention + 3 * hidden * wide))
        sensitive = float(layers * (values + down))
        return cls(body, sensitive, vocabulary, 0.0 if tied else vocabulary)

    @property
    def total(self) -> float:
        """How many parameters there are."""
        return self.body + self.head + self.table

    def size_mb(self, wanted: Candidate) -> float:
        """Return the megabytes of the exported files."""
        if wanted.precision in ("fp16", "fp32"):
            return self.total * (2 if wanted.precision == "fp16" else 4) / 1e6 + _FILES_MB
        assert wanted.block_size
        scale = _SCALE_BITS / wanted.block_size
        eight = 8 + scale
        if wanted.precision == "int8":
            return self.total * eight / 8 / 1e6 + _FILES_MB
        zero = _ZERO_BITS if (wanted.algorithm or "").startswith("k_quant") else 0
        four = 4 + scale + zero / wanted.block_size
        bits = self.body * four + self.head * (eight if wanted.int8_head else four)
        if wanted.mixed:
            bits += _MIXED_SHARE * self.sensitive * (eight - four)
        return (bits + self.table * eight) / 8 / 1e6 + _FILES_MB


@dataclass(frozen=True, slots=True)
class Fit:
    """One way to build the bundle, and what it will take on the device. `first_word_s`: until an
    answer begins, with all its passages to be read."""

    precision: str
    context: int
    passages: int
    ram_mb: float
    disk_mb: float
    tokens_per_s: float
    first_word_s: float

    def words(self) -> str:
        """Say it in a line."""
        return (
            f"{self.precision}, a context of {self.context:,} tokens, {self.passages} passages: "
            f"about {self.ram_mb:,.0f} MB of memory, {self.disk_mb:,.0f} MB of disk; on two cores "
            f"like this server's {self.tokens_per_s:,.0f} tokens/s, the first word after "
            f"{self.first_word_s:.1f} s"
        )


@dataclass(frozen=True, slots=True)
class Solution:
    """`written`: the recipe as it stands. `best`: the most precise way that fits with the most
    passages; None where none does. `problem`: by what the recipe as it stands does not fit, empty
    if it does."""

    written: Fit
    best: Fit | None
    problem: str

    def overrides(self) -> list[str]:
        """Return what to write into the recipe for `best`, as for --set."""
        if self.best is None:
            return []
        export = parse(self.best.precision)
        parts = [f"export.precision={export.precision}"]
        if export.algorithm:
            parts.append(f"export.algorithm={export.algorithm}")
        if export.block_size:
            parts.append(f"export.block_size={export.block_size}")
        context = f"export.max_context={self.best.context}"
        return [*parts, context, f"answer.passages={self.best.passages}"]


def solve(recipe: Recipe, models: Path | None) -> Solution | None:
    """Return how the recipe fits its `device`; None without such a section, and where the base
    model is not on this disk yet, so that its shape is not known."""
    if recipe.device is None or recipe.base is None:
        return None
    try:
        path = sources.on_disk(recipe.base, recipe, models)
        search_mb = _search_mb(recipe, models)
    except SourceError:  # `build check` says what is wrong with it
        return None
    if path is None:
        return None
    solver = _Solver(recipe, open_checkpoint(path).config, search_mb, path)
    written = solver.fit(_written(recipe), recipe.export.max_context, recipe.answer.passages)
    problem = solver.problem(written)
    best = written if not problem else solver.best()
    return Solution(written, best, problem)


def _written(recipe: Recipe) -> Candidate:
    export = recipe.export
    if export.precision == "auto":  # the largest that it may choose
        return parse(export.candidates[-1])
    return candidate(export.precision, export.algorithm, export.block_size)


def _search_mb(recipe: Recipe, models: Path | None) -> float:
    """Return the megabytes of embedder and reranker, in float32 unless the recipe says int8."""
    if recipe.knowledge is None:
        return 0.0
    total_mb = 0.0
    for source in (recipe.knowledge.embedder, recipe.knowledge.retrieval.reranker):
        path = sources.on_disk(source, recipe, models) if source else None
        files = sorted(path.rglob("*.safetensors")) if path else []
        size = sum(file.stat().st_size for file in files) / 1e6
        int8 = source is recipe.knowledge.embedder and recipe.knowledge.embedder.precision == "int8"
        total_mb += size / 4 if int8 else size
    return total_mb


def fit_line(recipe: Recipe, models: Path | None) -> str:
    """Return a line on how the recipe fits its device; empty where it names none."""
    if recipe.device is None:
        return ""
    solution = solve(recipe, models)
    if solution is None:
        return "device: whether it fits is said once the base model is on this disk"
    if not solution.problem:
        return f"device: fits: {solution.written.words()}"
    return f"device: does not fit: {solution.problem}"


class _Solver:
    """Computes what ways to build a recipe take, from the base model's shape."""

    def __init__(
        self, recipe: Recipe, config: Mapping[str, Any], search_mb: float, path: Path
    ) -> None:
        assert recipe.device
        text = text_settings(config)
        heads = int(text["num_attention_heads"])
        self._config = text
        self._recipe, self._device, self._search_mb = recipe, recipe.device, search_mb
        self._weights = Weights.of(text, tied=ties_embeddings(path))
        self._shape_in = partial(
            ModelShape,
            int(text["num_hidden_layers"]),
            int(text.get("num_key_value_heads") or heads),
            int(text.get("head_dim") or int(text["hidden_size"]) // heads),
            int(text["vocab_size"]),
            int(text["hidden_size"]),
        )
        chunk = recipe.knowledge.chunk.tokens if recipe.knowledge else 0
        self._passage = chunk * _TOKENS_PER_CHUNK_TOKEN + _PASSAGE_FRAME
        self._frame = _FRAME + len(recipe.answer.system) / _CHARS_PER_TOKEN

    def fit(self, wanted: Candidate, context: int, passages: int) -> Fit:
        """Compute what one way to build the bundle takes."""
        model_mb = self._weights.size_mb(wanted)
        knowledge = self._recipe.knowledge is not None
        shape = self._shape_in(precision=wanted.precision)
        budget = predict(model_mb, self._search_mb, shape, knowledge=knowledge)
        prompt = self._frame + passages * self._passage
        prompt = min(prompt, context - self._recipe.answer.max_answer_tokens)
        return Fit(
            wanted.name,
            context,
            passages,
            budget.needed(context),
            model_mb + self._search_mb + _REPORT_MB,
            _BYTES_PER_S / (model_mb * 1e6),
            prompt * self._weights.total / _PREFILL,
        )

    def problem(self, fit: Fit) -> str:
        """Return by what it exceeds the device; empty where it fits."""
        parts = []
        for name, value in (("ram_mb", fit.ram_mb), ("disk_mb", fit.disk_mb)):
            limit = getattr(self._device, name)
            if limit is not None and value > limit:
                parts.append(f"needs about {value:,.0f} MB, device.{name} is {limit:,.0f}")
        min_speed = self._device.tokens_per_s
        if min_speed is not None and fit.tokens_per_s < min_speed:
            parts.append(
                f"{fit.tokens_per_s:,.0f} tokens/s, device.tokens_per_s is {min_speed:,.0f}"
            )
        return "; ".join(parts)

    def best(self) -> Fit | None:
        """Return the way that fits with the most passages, of those the most precise."""
        fits = (fit for fit in self._ways() if not self.problem(fit))
        return max(fits, key=lambda fit: (fit.passages, fit.disk_mb, fit.context), default=None)

    def _ways(self) -> Iterator[Fit]:
        """Yield every candidate with every number of passages up to the recipe's, in the smallest
        context that holds them."""
        answer, limit = self._recipe.answer.max_answer_tokens, self._recipe.export.max_context
        for wanted in map(parse, CANDIDATES):
            if unfit(wanted, self._config):
                continue
            for passages in range(1, self._recipe.answer.passages + 1):
                needed = int(self._frame + passages * self._passage + answer)
                context = min(limit, -(-needed // 64) * 64)
                if needed <= limit:
                    yield self.fit(wanted, context, passages)
