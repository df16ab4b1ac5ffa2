"""What a build will take, before it is run: time, memory, disk, size of the bundle. Rough by
nature; earlier builds' receipts correct it. Imports nothing heavy."""

from __future__ import annotations

import math
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from fieldpack.devices import available_cores

from .bundle.originals import is_pdf
from .errors import MachineError
from .gpu import has_gpu
from .models.sources import is_remote
from .pipeline.plan import Plan
from .recipe.schema import Recipe

# Measured on 2 cores (README): what SmolLM2-135M and all-MiniLM-L6-v2 do there, scaled by
# parameters and cores.
_TRAIN_TOKENS_PER_S = 400.0 * 135e6 / 2
_GPU_FACTOR = 60.0
_EMBED_CHUNKS_PER_S = 40.0 / 2
_PREFILL_TOKENS_PER_S = 1000.0 * 135e6 / 2
_DECODE_TOKENS_PER_S = 110.0 * 135e6 / 2
_CHARS_PER_TOKEN = 4.2
_PACKED = (".pdf", ".docx", ".pptx", ".xlsx")  # a tenth of them is text
_BITS = {"auto": 6.5, "int4": 5.6, "int8": 8.5, "fp16": 16.0, "fp32": 32.0}
_LITTLE_MB = 5.0  # rows, figures, a report, a log
_ATTRIBUTED_S = 30.0  # a question, asked ten times, six of them in torch
# Of stages that never open the language model: the first two search with the bundle's embedder, the
# next two have an encoder in torch (docs/benchmarks.md has what they took).
_FIXED_MEMORY_MB = {
    "calibrate": 350.0,
    "quoting": 350.0,
    "embedder": 1000.0,
    "reranker": 1000.0,
    "package": 200.0,
}
_ENCODER_MB = 95.0  # an embedder or a reranker as it ships
_FIXED_SECONDS = {
    "calibrate": 10.0,
    "quoting": 18.0,
    "base": 25.0,
    "embedder": 45.0,
    "reranker": 45.0,
    "merge": 15.0,
    "package": 5.0,
}


@dataclass(frozen=True, slots=True)
class Estimate:
    """`seconds` and `memory_mb` of one stage; `known`: taken from an earlier run of the same stage.
    `disk_mb`: what it has still to write; 0 for one that is done."""

    stage: str
    seconds: float
    memory_mb: float
    disk_mb: float
    known: bool


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a build takes: each stage, the base's parameters, MB of the bundle, and MB of disk for
    the stages that are still to be run. `originals` and `originals_mb`: source PDFs that go into the bundle."""

    stages: tuple[Estimate, ...]
    parameters: float
    bundle_mb: float
    disk_mb: float
    originals: int = 0
    originals_mb: float = 0.0


def forecast(plan: Plan) -> Forecast:
    """Say what a build will take; what it took before, for the stages that are done."""
    recipe = plan.recipe
    parameters = 0.0
    if plan.step("base") is not None:  # else the knowledge alone is built
        parameters = 0.2e6 * 50 if recipe.rehearsal else guess_parameters(recipe)
    characters = _document_characters(plan)
    model_mb = parameters * _BITS[recipe.export.precision] / 8 / 1e6
    library_mb = characters * 3 / 1e6 if recipe.knowledge else 0.0
    knowledge_mb = _ENCODER_MB + library_mb if recipe.knowledge else 0.0
    originals = _originals(plan)
    originals_mb = sum(path.stat().st_size for path in originals) / 1e6
    bundle = model_mb + knowledge_mb + originals_mb + 5
    written_mb = {
        # what is fetched, in 16 bits, and the base in float32
        "base": parameters * (4 if _is_local(recipe) else 6) / 1e6,
        "train": parameters * 0.2 / 1e6,  # adapters
        "merge": parameters * 4 / 1e6,
        "attribute": parameters * 4 / 1e6,  # the whole model in float32 for the device's engine
        "export": 2 * model_mb,  # the best so far, and a candidate
        "baseline": model_mb,
        "targets": model_mb,
        "embedder": _ENCODER_MB,
        "reranker": _ENCODER_MB,
        "knowledge": library_mb,
        "package": 2 * bundle,  # in the cache, and where it is delivered
    }
    stages = []
    for step in plan.steps:
        if done := step.receipt:
            stages.append(Estimate(step.name, done.seconds, done.peak_rss_mb, 0.0, known=True))
        else:
            seconds, memory = _guess(step.name, recipe, parameters, characters)
            disk_mb = written_mb.get(step.name, _LITTLE_MB)
            stages.append(Estimate(step.name, seconds, memory, disk_mb, known=False))
    return Forecast(
        tuple(stages),
        parameters,
        round(bundle),
        round(sum(estimate.disk_mb for estimate in stages)),
        len(originals),
        round(originals_mb, 1),
    )


def guess_parameters(recipe: Recipe) -> float:
    """Guess a model's parameters from the size of a local one, or from a figure such as 135M or 3.8B
    in its name; 1e9 where nothing tells."""
    if recipe.base is None:
        return 0.0
    path = recipe.path(recipe.base.model)
    if _is_local(recipe) and path.exists():
        files = (
            [path]
            if path.is_file()
            else sorted(path.rglob("*.safetensors")) or sorted(path.rglob("*.gguf"))
        )
        size = sum(p.stat().st_size for p in files)
        if size:  # bytes a parameter: 2 in bfloat16, about 0.6 in a four-bit GGUF
            return size * (0.5 if files[0].suffix == ".safetensors" else 1.6)
    named = f"{recipe.base.model} {recipe.base.file or ''}"
    match = re.search(r"(\d+(?:\.\d+)?)\s*([MB])(?![a-z])", named, re.IGNORECASE)
    if match:
        return float(match[1]) * (1e6 if match[2].upper() == "M" else 1e9)
    # All that is known of a remote model before it is fetched is its name.
    known = {"phi-4-mini": 3.8e9, "phi-3.5-mini": 3.8e9, "phi-3-mini": 3.8e9, "smollm2": 135e6}
    return next((count for word, count in known.items() if word in named.lower()), 1e9)


def _is_local(recipe: Recipe) -> bool:
    return recipe.base is not None and not is_remote(recipe.base)


def check_machine(plan: Plan) -> None:
    """Raise MachineError for what would stop a build hours later: no GPU, no room on the disk."""
    recipe = plan.recipe
    todo = {step.name for step in plan.steps if step.receipt is None}
    if (
        "train" in todo
        and recipe.train.device == "cuda"
        and not recipe.train.allow_cpu
        and not has_gpu()
    ):
        hours = next(e.seconds for e in forecast(plan).stages if e.stage == "train") / 3600
        raise MachineError(
            f"train.device is cuda and this machine has no NVIDIA GPU; on its {available_cores()} "
            "CPU cores training would "
            f"take about {hours:,.1f} hours: build on a GPU server, or set train.allow_cpu: true"
        )
    if todo:
        plan.store.root.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(plan.store.root).free / 1e6
        needed = forecast(plan).disk_mb
        if free < needed:
            raise MachineError(
                f"{plan.store.root}: {free:,.0f} MB free, what this build has still to do needs about "
                f"{needed:,.0f}; "
                "`build clean` frees space, --cache names another disk"
            )


def _guess(stage: str, recipe: Recipe, parameters: float, characters: float) -> tuple[float, float]:
    """(seconds, MB of memory) of a stage nobody has run."""
    cores, weights_mb = available_cores(), parameters * 4 / 1e6
    if stage == "knowledge":
        chunk = recipe.knowledge.chunk.tokens if recipe.knowledge else 160
        return 5 + characters / _CHARS_PER_TOKEN / chunk / (_EMBED_CHUNKS_PER_S * cores), 400
    if stage == "synthesize":
        return _synthesis_seconds(recipe, cores), 600
    if stage == "train":
        speed = _TRAIN_TOKENS_PER_S * cores / parameters
        speed *= _GPU_FACTOR if has_gpu() and recipe.train.device != "cpu" else 1
        return 20 + _training_tokens(recipe) / speed, _training_memory_mb(recipe, parameters)
    if stage in ("export", "baseline"):
        tried = (
            len(recipe.export.candidates)
            if stage == "export" and recipe.export.precision == "auto"
            else 1
        )
        return 20 + parameters / 5e6 + tried * (12 + parameters / 5e6), 1200 + weights_mb * 3
    if stage == "evaluate" and recipe.evaluate:
        return 10 + _evaluation_seconds(recipe, parameters, cores), 300 + weights_mb * 0.3
    if stage == "attribute" and recipe.evaluate and recipe.evaluate.attribution:
        count = 4 if recipe.rehearsal else recipe.evaluate.attribution.questions
        return 60 + count * _ATTRIBUTED_S * parameters / 135e6 * 2 / cores, 1200 + weights_mb * 3
    if stage == "package":
        return _FIXED_SECONDS[stage] + parameters / 1e9, _FIXED_MEMORY_MB[stage]
    if stage in _FIXED_MEMORY_MB:
        return _FIXED_SECONDS[stage], _FIXED_MEMORY_MB[stage]
    return _FIXED_SECONDS.get(stage, 10.0) + parameters / 1e8, 600 + weights_mb * (
        2.5 if stage == "merge" else 1
    )


def _training_tokens(recipe: Recipe) -> float:
    """Questions that share a prompt read its passages once."""
    train, passage = recipe.train, recipe.knowledge.chunk.tokens + 20 if recipe.knowledge else 0
    prompt = 20 + recipe.train_passages * passage + train.questions_per_prompt * 60
    written = train.synthesize.rows if train.synthesize else 0
    rows = 12 if recipe.rehearsal else written + sum(_lines(path) for path in recipe.train_files)
    if train.max_steps:
        return train.max_steps * train.rows_an_update * prompt
    return rows / train.questions_per_prompt * train.epochs * prompt


def _training_memory_mb(recipe: Recipe, parameters: float) -> float:
    """Of the process on a CPU, of the GPU where there is one. The widths of SmolLM2-135M and
    Phi-3-mini are both a twentieth of the root of their parameters, and a layer keeps about 23
    widths a token: 38 roots a token."""
    gpu = has_gpu() and recipe.train.device != "cpu"
    rows = (
        recipe.train.rows_an_update
        if recipe.train.batch_size == "auto"
        else recipe.train.batch_size
    )
    weights = parameters * (0.75 if recipe.train.method == "qlora" else 2 if gpu else 4)
    kept = min(rows, 8) * recipe.train.max_tokens * 38 * math.sqrt(parameters) * (2 if gpu else 4)
    return 1000 + (weights + kept) / 1e6


def _synthesis_seconds(recipe: Recipe, cores: int) -> float:
    """Half of what is written is kept; a reply of a served model takes three seconds."""
    writes = recipe.train.synthesize
    if writes is None:
        return 0.0
    replies = 2 * writes.rows / writes.per_chunk
    if writes.url:
        return replies * 3 / writes.workers
    one = (250 / _PREFILL_TOKENS_PER_S + 60 * writes.per_chunk / _DECODE_TOKENS_PER_S) * 1e9 / cores
    return replies * one / (_GPU_FACTOR if has_gpu() else 1)


def _evaluation_seconds(recipe: Recipe, parameters: float, cores: int) -> float:
    assert recipe.evaluate
    count = (
        4
        if recipe.rehearsal
        else min(recipe.evaluate.sample or 10**9, _lines(recipe.path(recipe.evaluate.questions)))
    )
    prompt = 60 + recipe.answer.passages * (
        recipe.knowledge.chunk.tokens if recipe.knowledge else 0
    )
    one = prompt * parameters / (_PREFILL_TOKENS_PER_S * cores) + 30 * parameters / (
        _DECODE_TOKENS_PER_S * cores
    )
    return count * len(recipe.evaluate.arms) * one


def _document_characters(plan: Plan) -> float:
    """Bytes of the documents, as a bound of their characters."""
    step = plan.step("knowledge")
    if step is None:
        return 0.0
    total = 0.0
    for file in step.stage.files(plan.recipe):
        total += file.stat().st_size * (0.1 if file.suffix.lower() in _PACKED else 0.9)
    return total


def _originals(plan: Plan) -> list[Path]:
    """The source PDFs that go into the bundle; where a file lies there twice, more than that."""
    step = plan.step("knowledge")
    if step is None or not plan.recipe.bundle.originals:
        return []
    return [path for path in step.stage.files(plan.recipe) if is_pdf(path)]


def _lines(path: Path) -> int:
    try:
        return path.read_bytes().count(b"\n")
    except OSError:
        return 0
