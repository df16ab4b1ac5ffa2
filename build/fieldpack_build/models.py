"""Loads and saves causal language models in full precision, from a folder or a GGUF. Knows nothing of recipes.

Everything here imports torch: call it in a stage's child process only.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from .errors import SourceError

TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "spiece.model")


def quiet() -> None:
    """Progress bars and advice of the libraries belong in the log at most."""
    os.environ["HF_HUB_OFFLINE"] = "1"  # whatever needs fetching, sources.py has fetched
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()


def load_tokenizer(path: Path) -> Any:
    from transformers import AutoTokenizer

    if path.is_file():
        return AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    if not any((path / name).exists() for name in TOKENIZER_FILES):
        raise SourceError(f"{path}: no tokenizer in the model's folder (looked for {', '.join(TOKENIZER_FILES)})")
    try:
        return AutoTokenizer.from_pretrained(path)
    except (OSError, ValueError) as error:
        raise SourceError(f"{path}: its tokenizer does not load: {str(error).splitlines()[0]}") from error


def load_model(path: Path, **options: Any) -> Any:
    """A causal language model in the precision its files are in; a GGUF is dequantized to float32."""
    import torch
    from transformers import AutoModelForCausalLM

    try:
        if path.is_file():
            return _load_gguf(path, torch.float32)
        return AutoModelForCausalLM.from_pretrained(path, **{"dtype": "auto", **options})
    except (OSError, ValueError, KeyError) as error:
        raise SourceError(f"{path}: the model does not load: {str(error).splitlines()[0]}") from error


def _load_gguf(path: Path, dtype: Any) -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=dtype)
    # The weights are plain floats now; transformers 5 refuses to save them while these marks stand.
    model.config.__dict__.pop("quantization_config", None)
    model.hf_quantizer = None
    embed, head = model.get_input_embeddings().weight, model.get_output_embeddings().weight
    if embed.data_ptr() != head.data_ptr() and torch.equal(embed, head):
        model.config.tie_word_embeddings = True  # else the export keeps the input embeddings in float32: +500 MB
        model.tie_weights()
    return model


def load_config(path: Path) -> Any:
    from transformers import AutoConfig

    try:
        if path.is_file():
            return AutoConfig.from_pretrained(path.parent, gguf_file=path.name)
        return AutoConfig.from_pretrained(path)
    except (OSError, ValueError) as error:
        raise SourceError(f"{path}: no usable config.json: {str(error).splitlines()[0]}") from error


def tiny_random_model(config: Any, *, seed: int = 0) -> Any:
    """A two-layer model of the same architecture and vocabulary with random weights: for rehearsals."""
    import torch
    from transformers import AutoModelForCausalLM

    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    many = getattr(config, "num_key_value_heads", None) == config.num_attention_heads
    config.num_hidden_layers = 2
    config.num_attention_heads = 2
    config.num_key_value_heads = 2 if many else 1
    # head_dim stays: rotary tables (long-context factors, partial rotary) have its size.
    config.hidden_size = 2 * head_dim
    config.intermediate_size = 4 * head_dim
    for name in ("layer_types", "no_rope_layers"):
        if getattr(config, name, None):
            setattr(config, name, getattr(config, name)[:2])
    config.__dict__.pop("quantization_config", None)
    torch.manual_seed(seed)
    return AutoModelForCausalLM.from_config(config, dtype=torch.float32)


def parameters(model: Any) -> int:
    return sum(int(p.numel()) for p in model.parameters())
