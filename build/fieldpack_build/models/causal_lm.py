"""Loads and saves causal language models in full precision, from a folder or a GGUF. Knows nothing
of recipes.

Everything here imports torch: call it in a stage's child process only.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..errors import SourceError
from .inspection import CHAT_TEMPLATE, TOKENIZER_FILES, ties_embeddings
from .inspection.headers import read_gguf

__all__ = [
    "MODEL",
    "TOKENIZER_FILES",
    "check_gguf",
    "check_numbers",
    "check_tensors",
    "count_parameters",
    "load_config",
    "load_model",
    "load_tokenizer",
    "quiet",
    "stored_dtype",
    "tiny_random_model",
]

MODEL = "model"

# Widths that differ by this have blocks of 16 to 256 that are odd or even alike: k_quant packs two
# zero points into a byte.
_WIDTH_STEP = 2 * 256
_MAX_LAYERS = 8  # of a rehearsal's model


def quiet() -> None:
    """Keep the libraries from the network, and their progress bars and advice from the screen."""
    os.environ["HF_HUB_OFFLINE"] = "1"  # whatever needs fetching, sources.py has fetched
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()


def load_tokenizer(path: Path) -> Any:
    """Load the tokenizer of a model's folder or of a GGUF, whose chat template may lie beside it.
    Raises SourceError."""
    from transformers import AutoTokenizer

    try:
        if path.is_file():
            tokenizer = AutoTokenizer.from_pretrained(
                path.parent, gguf_file=path.name, trust_remote_code=False
            )
            beside = path.parent / CHAT_TEMPLATE
            if beside.is_file():  # transformers reads it in a model's folder, not beside a GGUF
                tokenizer.chat_template = beside.read_text(encoding="utf-8")
            return tokenizer
        if not any((path / name).exists() for name in TOKENIZER_FILES):
            raise SourceError(
                f"{path}: no tokenizer in the model's folder (looked for "
                f"{', '.join(TOKENIZER_FILES)})"
            )
        return AutoTokenizer.from_pretrained(path, trust_remote_code=False)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ImportError) as error:
        raise SourceError(f"{path}: its tokenizer does not load: {_first_line(error)}") from error


def load_model(path: Path, **options: Any) -> Any:
    """Load a causal language model in the precision its files are in; a GGUF is dequantized to
    float32. Whether its embeddings are tied, the tensors decide. Raises SourceError; also where a
    tensor is missing, of another shape or unknown to the architecture: transformers would go on
    with random weights."""

    if path.is_file():
        return _load_gguf(path)
    # bitsandbytes takes a matrix of any shape, and fails in the first forward pass
    if "quantization_config" in options:
        check_tensors(path)
    model, report = _from_folder(path, **{"dtype": "auto", **options})
    _refuse_incomplete(path, report)
    return model


def check_tensors(path: Path) -> None:
    """Hold the tensors in a folder against what the architecture wants, in names and shapes,
    without keeping any. Raises SourceError as `load_model` does."""
    _refuse_incomplete(path, _from_folder(path, device_map="meta")[1])


def check_numbers(
    path: Path, on_progress: Callable[[int, int], None] = lambda done, total: None
) -> None:
    """Read every weight of a folder once, a tensor at a time. Raises SourceError where one is not a
    number or infinite: all that is computed with it would be, and training would end long after its
    cause. `on_progress(done, total)` counts tensors."""
    import torch
    from safetensors import safe_open

    files: list[tuple[Any, Path]] = [
        (safe_open(file, "pt"), file) for file in sorted(path.glob("*.safetensors"))
    ]
    names = [(tensors, file, name) for tensors, file in files for name in tensors.keys()]  # noqa: SIM118 (no mapping)
    for number, (tensors, file, name) in enumerate(names, 1):
        weights = tensors.get_tensor(name)
        if (
            weights.is_floating_point()
            and weights.numel()
            and not torch.isfinite(torch.stack(torch.aminmax(weights))).all()
        ):
            # counted only now: aminmax tells one NaN in a tenth of the time
            bad = int((~torch.isfinite(weights)).sum())
            raise SourceError(
                f"{file}: {bad:,} of {weights.numel():,} weights of {name} are not finite numbers "
                "(NaN or infinite); "
                "the file is damaged, or its training had failed: download it again, or use "
                "another model"
            )
        on_progress(number, len(names))


def _from_folder(path: Path, **options: Any) -> tuple[Any, Mapping[str, Any]]:
    """Return (the model, transformers' loading report). Raises SourceError."""
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM

    tied = ties_embeddings(path)
    try:
        loaded: tuple[Any, Mapping[str, Any]] = AutoModelForCausalLM.from_pretrained(
            path,
            trust_remote_code=False,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
            tie_word_embeddings=tied,
            **options,
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError) as error:
        raise SourceError(f"{path}: the model does not load: {_first_line(error)}") from error
    return loaded


def _refuse_incomplete(path: Path, report: Mapping[str, Any]) -> None:
    """Raise SourceError for what transformers' loading report names. It leaves out what the
    architecture can do without."""
    misshapen = [
        f"{name} is {list(actual)}, wanted {list(expected)}"
        for name, actual, expected in report["mismatched_keys"]
    ]
    kinds = (
        (sorted(report["missing_keys"]), "missing"),
        (sorted(misshapen), "of another shape"),
        (sorted(report["unexpected_keys"]), "that this architecture has not"),
    )
    problems = [
        f"{len(names)} tensors {what} ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})"
        for names, what in kinds
        if names
    ]
    if problems:
        raise SourceError(
            f"{path}: its weights do not fit its config.json: {'; '.join(problems)}; download the "
            "whole model again"
        )


def check_gguf(path: Path) -> None:
    """Hold the sizes that a GGUF's header claims against the weights that the file has, without
    making any. Raises SourceError where the model would have more than twice as many: a damaged
    header may claim any size, and transformers makes a model of it before it compares the tensors.
    What differs by less is named once the model is loaded."""
    import torch
    from transformers import AutoModelForCausalLM

    held = sum(math.prod(tensor.shape) for tensor in read_gguf(path).tensors.values())
    config = load_config(path)
    try:
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    except (
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        RuntimeError,
        ArithmeticError,
    ) as error:
        raise SourceError(
            f"{path}: no model has the sizes in its header ({_first_line(error)}); download it again"
        ) from error
    claimed = count_parameters(model)
    if claimed > 2 * held:
        raise SourceError(
            f"{path}: its header speaks of a model of {claimed:,} weights, and the file holds "
            f"{held:,}; download it again"
        )


def _load_gguf(path: Path) -> Any:
    """Load a GGUF as float32. Raises SourceError."""
    import torch
    from transformers import AutoModelForCausalLM

    try:
        model, report = AutoModelForCausalLM.from_pretrained(
            path.parent,
            gguf_file=path.name,
            dtype=torch.float32,
            trust_remote_code=False,
            output_loading_info=True,
        )
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        IndexError,
        AttributeError,
        RuntimeError,
    ) as error:
        raise SourceError(f"{path}: the GGUF does not load: {_first_line(error)}") from error
    _refuse_incomplete(path, report)
    # The weights are plain floats now; transformers 5 refuses to save them while these marks stand.
    model.config.__dict__.pop("quantization_config", None)
    model.hf_quantizer = None
    embed, head = model.get_input_embeddings().weight, model.get_output_embeddings().weight
    if embed.data_ptr() != head.data_ptr() and torch.equal(embed, head):
        # else the export keeps the input embeddings in float32: +500 MB
        model.config.tie_word_embeddings = True
        model.tie_weights()
    return model


def load_config(path: Path) -> Any:
    """Read the configuration of a model's folder or of a GGUF. Raises SourceError."""
    from transformers import AutoConfig

    try:
        if path.is_file():
            return AutoConfig.from_pretrained(
                path.parent, gguf_file=path.name, trust_remote_code=False
            )
        return AutoConfig.from_pretrained(path, trust_remote_code=False)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SourceError(f"{path}: no usable config.json: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    """Return the first line of a library's own words, which says what is wrong."""
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)


def tiny_random_model(config: Any, *, dtype: Any = None, seed: int = 0) -> Any:
    """Make a model of few layers with random weights for rehearsals, of the same architecture,
    vocabulary and dtype (`dtype`, or the one that `config` names).

    What decides whether an export
    works stays: the rope, its original length, the sliding window and the head size as they are,
    the widths in the remainder that is left over when they are divided into blocks, and of the
    layers' kinds each one. Changes `config`."""
    import torch
    from transformers import AutoModelForCausalLM

    head_size = (
        getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    )
    heads = config.num_attention_heads
    # The smallest number of heads, two or more, whose width has the remainder of all heads' width.
    few = next(
        (few for few in range(2, heads) if (heads - few) * head_size % _WIDTH_STEP == 0), heads
    )
    # query heads for each of keys and values
    sharing = heads // (getattr(config, "num_key_value_heads", None) or heads)
    square = config.hidden_size == heads * head_size
    _keep_each_kind_of_layer(config)
    config.num_attention_heads = few
    if getattr(config, "num_key_value_heads", None):
        config.num_key_value_heads = few // sharing if few % sharing == 0 else 1
    # head_dim stays: rotary tables (long-context factors, partial rotary) have its size.
    config.hidden_size = few * head_size if square else _small_width(config.hidden_size)
    for name in ("intermediate_size", "moe_intermediate_size", "shared_expert_intermediate_size"):
        if isinstance(getattr(config, name, None), int):
            setattr(config, name, _small_width(getattr(config, name)))
    for name in ("num_local_experts", "num_experts", "n_routed_experts"):
        if isinstance(getattr(config, name, None), int):
            chosen = getattr(config, "num_experts_per_tok", None) or 1
            setattr(config, name, min(getattr(config, name), max(4, chosen)))
    # Keys and queries larger than one: the usual 0.02 is for wide models, and attention so flat
    # that a wrong rope shows in no token.
    config.initializer_range = 1.5 * config.hidden_size**-0.5
    config.__dict__.pop("quantization_config", None)
    torch.manual_seed(seed)
    dtype = dtype or getattr(config, "dtype", None) or torch.float32
    return AutoModelForCausalLM.from_config(config, dtype=dtype, trust_remote_code=False)


def stored_dtype(path: Path, config: Any) -> Any:
    """The torch dtype in which `load_model` loads the weights in `path`: the config's, else that of
    the first matrix in its safetensors; float32 where neither says (a GGUF is dequantized to it).
    """
    import torch
    from safetensors import safe_open

    if path.is_file():
        return torch.float32
    if getattr(config, "dtype", None) is not None:
        return config.dtype
    for file in sorted(path.glob("*.safetensors")):
        with safe_open(file, "pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118 (no mapping)
                if (dtype := tensors.get_tensor(name).dtype).is_floating_point:
                    return dtype
    return torch.float32


def _small_width(width: int) -> int:
    """Return a small width whose number of blocks in a row is odd or even as that of `width`, and
    leaves the same remainder, for blocks of 16 to 256."""
    return width % _WIDTH_STEP or _WIDTH_STEP


def _keep_each_kind_of_layer(config: Any) -> None:
    """Cut the layers off behind the first two, or behind the first of each kind: sliding and full
    attention, with rope and without, dense and experts."""
    layers = config.num_hidden_layers
    lists = {
        name: value
        for name, value in vars(config).items()
        if isinstance(value, list) and len(value) == layers
    }
    kinds = list(zip(*lists.values(), strict=True)) if lists else [()] * layers
    all_kinds = set(kinds)
    counts = range(min(2, layers), layers + 1)
    few = next(count for count in counts if set(kinds[:count]) == all_kinds)
    kept = list(range(few))
    if few > _MAX_LAYERS:  # Qwen2's windows begin behind two thirds of the layers
        kept = sorted({kinds.index(kind) for kind in all_kinds})
        if isinstance(getattr(config, "max_window_layers", None), int):
            config.max_window_layers = 1
    config.num_hidden_layers = len(kept)
    for name, value in lists.items():
        setattr(config, name, [value[i] for i in kept])


def count_parameters(model: Any) -> int:
    """Return how many weights a model has."""
    return sum(int(p.numel()) for p in model.parameters())
