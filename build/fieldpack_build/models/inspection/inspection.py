"""What a model is, and what will fail with it: the judgement over what `checkpoint` has read."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...errors import suggest
from ..precision import Candidate, unfit
from . import libraries
from .checkpoint import CHAT_TEMPLATE, Checkpoint, decide_ties, open_checkpoint
from .settings import (
    context,
    original_context,
    rope_type,
    sliding_window,
    text_settings,
    value,
    whole_number,
)

_BLOCK_SIZES = (16, 32, 64, 128, 256)  # that a recipe may name


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What is known of a model; None where its files do not say. `context`: tokens it was made
    for; `original_context`: before its rope was stretched; `sliding_window`: tokens it sees back.
    `tokens`: the tokenizer's highest id plus one; `embedding_rows`: ids that the model has a row
    for. `quantization`: the method, of weights that are not plain floats."""

    path: Path
    architecture: str | None
    model_type: str | None
    dtype: str | None
    layers: int | None
    width: int | None
    parameters: int | None
    context: int | None
    original_context: int | None
    rope: str
    sliding_window: int | None
    tokens: int | None
    embedding_rows: int | None
    tied: bool
    quantization: str | None
    has_chat_template: bool


@dataclass(frozen=True, slots=True)
class Use:
    """What is to be done with a model. `export`: as one of these candidates, none if it is not
    exported; `fixed`: there is no choice among them. `max_context` in tokens."""

    trains: bool = False
    export: Sequence[Candidate] = ()
    fixed: bool = True
    max_context: int | None = None


@dataclass(frozen=True, slots=True)
class Inspection:
    """`problems` keep a build from its end, `warnings` do not; each is a sentence: what, where, the
    next step."""

    facts: ModelFacts
    problems: tuple[str, ...]
    warnings: tuple[str, ...]


def inspect_model(path: Path, use: Use, *, weights: bool = True) -> Inspection:
    """Look at the model at `path`, a folder or a GGUF file, for what `use` wants of it. `weights`:
    False where only its settings have been fetched."""
    checkpoint = open_checkpoint(path, weights=weights)
    problems = list(checkpoint.problems)
    warnings: list[str] = []
    if checkpoint.config:
        problems += [
            *_code_problems(checkpoint),
            *_weight_problems(checkpoint),
            *_token_problems(checkpoint),
        ]
        problems += _training_problems(checkpoint) if use.trains else ()
        if use.export:  # as onnxruntime-genai's builder will see the model
            fit_problems, warnings = _judge_fit(checkpoint, use)
            problems += [*_architecture_problems(checkpoint), *_rope_problems(checkpoint)]
            problems += fit_problems
            warnings = warnings + _length_warnings(checkpoint, use.max_context)
        if contradiction := decide_ties(checkpoint)[1]:
            warnings.append(contradiction)
    if not checkpoint.has_chat_template:
        place = checkpoint.path.parent if checkpoint.is_gguf else checkpoint.path
        problems.append(
            f"{checkpoint.path}: the model has no chat template; use an instruct model, or write "
            f"its template as {place / CHAT_TEMPLATE}"
        )
    return Inspection(_facts(checkpoint), tuple(dict.fromkeys(problems)), tuple(warnings))


def ties_embeddings(path: Path) -> bool:
    """Say whether the model in a folder has one matrix for its input embeddings and its output, as
    `decide_ties` does."""
    return decide_ties(open_checkpoint(path))[0]


def _facts(checkpoint: Checkpoint) -> ModelFacts:
    config = text_settings(checkpoint.config)
    dtypes: dict[str, int] = {}
    for tensor in checkpoint.tensors.values():
        dtypes[tensor.dtype] = dtypes.get(tensor.dtype, 0) + tensor.end - tensor.start
    return ModelFacts(
        path=checkpoint.path,
        architecture=_architecture(checkpoint.config),
        model_type=_model_type(checkpoint.config),
        dtype=max(dtypes, key=lambda name: dtypes[name]) if dtypes else None,
        layers=whole_number(config, "num_hidden_layers"),
        width=whole_number(config, "hidden_size"),
        parameters=sum(math.prod(tensor.shape) for tensor in checkpoint.tensors.values()) or None,
        context=context(config),
        original_context=original_context(config),
        rope=rope_type(config),
        sliding_window=sliding_window(config),
        tokens=checkpoint.tokens,
        embedding_rows=checkpoint.embedding_rows,
        tied=decide_ties(checkpoint)[0],
        quantization=_quantization(checkpoint.config),
        has_chat_template=checkpoint.has_chat_template,
    )


def _architecture(config: Mapping[str, Any]) -> str | None:
    names = config.get("architectures")
    return str(names[0]) if isinstance(names, list) and names else None


def _model_type(config: Mapping[str, Any]) -> str | None:
    kind = config.get("model_type")
    return kind if isinstance(kind, str) else None


def _quantization(config: Mapping[str, Any]) -> str | None:
    settings = config.get("quantization_config")
    return str(settings.get("quant_method", "unknown")) if isinstance(settings, Mapping) else None


def _code_problems(checkpoint: Checkpoint) -> Iterator[str]:
    """Yield what transformers could only load by running code that came with the model, or not at
    all."""
    at, config = checkpoint.path / "config.json", checkpoint.config
    kind, library = _model_type(config), f"transformers {libraries.version_of('transformers')}"
    if kind not in libraries.native_configs():
        if config.get("auto_map"):
            yield (
                f"{at}: the model needs code of its own (auto_map), which is never run here, and "
                f"{library} has none for "
                f"{kind!r}; use a model of an architecture that it has"
            )
        else:
            near = suggest(kind or "", libraries.causal_classes())
            yield (
                f"{at}: {library} does not know model_type {kind!r}{near}; use a model of an "
                "architecture that it has"
            )
    elif kind not in libraries.causal_classes():
        yield (
            f"{at}: a {kind} is no model that writes text (transformers has no causal language "
            "model of it); name one that is"
        )
    elif not _architecture(config) and not checkpoint.is_gguf:
        yield (
            f'{at}: names no architecture; add "architectures": '
            f'["{libraries.causal_classes()[kind]}"]'
        )
    tokenizer = str(checkpoint.tokenizer_config.get("tokenizer_class"))
    if checkpoint.tokenizer_config.get("auto_map") and not libraries.has_tokenizer(kind, tokenizer):
        yield (
            f"{checkpoint.path / 'tokenizer_config.json'}: the tokenizer needs code of its own "
            f"(auto_map, {tokenizer}), which "
            "is never run here; use a model whose tokenizer transformers has"
        )


def _weight_problems(checkpoint: Checkpoint) -> Iterator[str]:
    """Yield where the tensors are not what config.json says, or not plain numbers."""
    path, config, tensors = checkpoint.path, checkpoint.config, checkpoint.tensors
    if method := _quantization(config):
        yield (
            f"{path / 'config.json'}: the weights are quantized ({method}); training, merging and "
            "the comparison with "
            "full precision need plain ones: name the checkpoint in bfloat16 or float32 that it "
            "was made of"
        )
    if not tensors:
        return
    settings = text_settings(config)
    layers = whole_number(settings, "num_hidden_layers")
    numbers = {int(part) for name in tensors for part in name.split(".")[:-1] if part.isdigit()}
    # A damaged file may say any number of layers: nothing is made of that size, here or by a library.
    gone = (layers or 0) - sum(number < (layers or 0) for number in numbers)
    if (numbers or checkpoint.is_gguf) and gone > 0:
        first = next(number for number in itertools.count() if number not in numbers)
        otherwise = "" if checkpoint.is_gguf else ", or set num_hidden_layers in config.json right"
        yield (
            f"{path}: the weights of {gone:,} of {layers:,} layers are missing (the first is layer "
            f"{first}); download the whole model{otherwise}"
        )
    rows, vocabulary = checkpoint.embedding_rows, whole_number(settings, "vocab_size")
    if rows and vocabulary and rows != vocabulary and not checkpoint.is_gguf:
        yield (
            f"{path}: config.json says vocab_size {vocabulary:,}, the embeddings have {rows:,} rows; set "
            f"vocab_size to {rows}"
        )
    if (
        config.get("tie_word_embeddings") is False
        and checkpoint.embeddings
        and checkpoint.head is None
        and not method
    ):
        yield (
            f"{path}: config.json says tie_word_embeddings: false, and no output matrix "
            "(lm_head.weight) is among the "
            "tensors; download the whole model, or remove that line if the model is tied"
        )


def _token_problems(checkpoint: Checkpoint) -> Iterator[str]:
    """Yield that the tokenizer has ids that the model has no row for."""
    rows = checkpoint.embedding_rows or whole_number(text_settings(checkpoint.config), "vocab_size")
    if rows and checkpoint.tokens and checkpoint.tokens > rows:
        yield (
            f"{checkpoint.path}: the tokenizer has ids up to {checkpoint.tokens - 1:,} and the "
            f"model rows for {rows:,}; a "
            "text with such a token ends in an error: remove the added tokens from the tokenizer, "
            "or give the model rows "
            "for them (resize_token_embeddings, save_pretrained)"
        )


def _training_problems(checkpoint: Checkpoint) -> Iterator[str]:
    """Yield that an adapter has nothing to change."""
    kind = _model_type(checkpoint.config)
    if kind in libraries.causal_classes() and libraries.has_conv1d_layers(kind):
        yield (
            f"{checkpoint.path}: transformers builds a {kind}'s layers from Conv1D, which an "
            "adapter on linear layers does "
            "not change; set train: none, or use another model"
        )


# --- the export -----------------------------------------------------------------------------------


def _architecture_problems(checkpoint: Checkpoint) -> Iterator[str]:
    """Yield that the builder has no code for the architecture, or for some of its layers."""
    name, known = _architecture(checkpoint.config), libraries.exportable_architectures()
    builder = f"onnxruntime-genai {libraries.version_of('onnxruntime-genai')}'s model builder"
    if (
        name is None
        or not known
        or _model_type(checkpoint.config) not in libraries.causal_classes()
    ):
        return
    if name not in known:
        causal = [
            other
            for other in known
            if other in libraries.causal_classes().values() and known[other] is None
        ]
        yield (
            f"{checkpoint.path}: {builder} does not export {name}; use a model of an architecture "
            "that it does: "
            f"{', '.join(sorted(causal))}"
        )
    elif known[name]:
        yield (
            f"{checkpoint.path}: {builder} exports {name} for {known[name]} alone, and a bundle "
            "runs on a CPU; use another "
            "model"
        )
    else:
        layer_types = value(text_settings(checkpoint.config), "layer_types")
        failing = set(map(str, layer_types if isinstance(layer_types, list) else ()))
        failing &= set(libraries.FAILS_IN_EXPORT.get(name, ()))
        if failing:
            yield (
                f"{checkpoint.path}: {builder} has no code for the {' and '.join(sorted(failing))} "
                f"layers of a {name}; use a "
                "model without them"
            )


def _rope_problems(checkpoint: Checkpoint) -> Iterator[str]:
    """Yield that the builder has no code for the rope."""
    kind = rope_type(text_settings(checkpoint.config))
    known = libraries.exportable_rope_types() - libraries.ROPE_BY_LENGTH
    if kind in libraries.ROPE_BY_LENGTH:
        yield (
            f"{checkpoint.path / 'config.json'}: rope scaling of type {kind!r} picks its factors "
            "by the text's length, "
            "which an exported graph cannot; use a model with another rope_type"
        )
    elif known and kind not in known:
        yield (
            f"{checkpoint.path / 'config.json'}: rope scaling of type {kind!r}, which "
            "onnxruntime-genai "
            f"{libraries.version_of('onnxruntime-genai')}'s builder does not know "
            f"({', '.join(sorted(known))}); use another "
            "model"
        )


def _judge_fit(checkpoint: Checkpoint, use: Use) -> tuple[list[str], list[str]]:
    """Return (problems, warnings) of candidates whose blocks do not fit the model's widths."""
    config = text_settings(checkpoint.config)
    sizes = ("hidden_size", "num_attention_heads")
    if checkpoint.is_gguf and not all(whole_number(config, name) for name in sizes):
        return [], []
    if wrong := [name for name in sizes if whole_number(config, name) is None]:
        problem = f"{', '.join(wrong)} missing or no whole number; download it again"
        return [f"{checkpoint.path / 'config.json'}: {problem}"], []
    if any(
        config.get(name) is not None and whole_number(config, name) is None
        for name in ("intermediate_size", "head_dim")
    ):
        return [], []  # one for each layer, or nonsense: nothing can be said of blocks
    reasons = {
        candidate.name: reason for candidate in use.export if (reason := unfit(candidate, config))
    }
    if not reasons:
        return [], []
    first = f"{checkpoint.path}: {next(iter(reasons.values()))}"
    quantizable = unfit(Candidate("int8", None, 32), config) is None
    if use.fixed:
        candidate = use.export[0]
        fitting = (
            f"export.block_size: {block}"
            for block in _BLOCK_SIZES
            if unfit(replace(candidate, block_size=block), config) is None
        )
        otherwise = "export.precision: fp32"
        if quantizable:
            otherwise = "export.algorithm: rtn, or export.precision: int8"
        return [f"{first}; set {next(fitting, otherwise)}"], []
    if len(reasons) == len(use.export):
        fit = "int4-rtn-32 or int8-32" if quantizable else "fp32"
        return [f"{first}; none of export.candidates fits: add {fit}"], []
    return [], [f"{first}; of export.candidates {', '.join(reasons)} will fail: leave them out"]


def _length_warnings(checkpoint: Checkpoint, max_context: int | None) -> list[str]:
    """Return warnings of lengths of the model that are shorter than the recipe's."""
    if max_context is None:
        return []
    config, path = text_settings(checkpoint.config), checkpoint.path
    recipe = f"export.max_context is {max_context:,}"
    warnings = []
    if (longest := context(config)) and longest < max_context:
        warnings.append(
            f"{path}: {recipe}, the model was made for {longest:,} tokens: the bundle gets "
            f"{longest:,}"
        )
    if (first := original_context(config)) and first < max_context:
        warnings.append(
            f"{path}: {recipe}, the model was trained on {first:,} tokens and stretched by its "
            "rope "
            f"({rope_type(config)}): set export.max_context: {first} if questions need no more"
        )
    if (window := sliding_window(config)) and window < max_context:
        warnings.append(
            f"{path}: {recipe}, layers of the model see {window:,} tokens back (a sliding window): "
            f"set export.max_context: {window} if questions need no more"
        )
    return warnings
