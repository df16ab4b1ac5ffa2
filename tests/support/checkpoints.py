"""Checkpoints written by hand, without torch: a folder of the files that a small Llama has, its
weights zero, and a GGUF written by the package gguf. To be broken at will."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

LAYERS, WIDTH, ROWS = 2, 64, 96
CONFIG: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": WIDTH,
    "intermediate_size": 128,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "vocab_size": ROWS,
    "max_position_embeddings": 4096,
    "tie_word_embeddings": True,
    "torch_dtype": "float32",
    "bos_token_id": 1,
    "eos_token_id": 2,
    "rms_norm_eps": 1e-5,
}
TEMPLATE = "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}<e>{% endfor %}"
Shapes = dict[str, tuple[int, ...]]


def shapes(*, tied: bool = True, layers: int = LAYERS) -> Shapes:
    """Names and shapes of a small Llama's tensors."""
    found: Shapes = {"model.embed_tokens.weight": (ROWS, WIDTH), "model.norm.weight": (WIDTH,)}
    for layer in range(layers):
        at = f"model.layers.{layer}"
        found |= {
            f"{at}.self_attn.q_proj.weight": (WIDTH, WIDTH),
            f"{at}.self_attn.k_proj.weight": (WIDTH // 2, WIDTH),
            f"{at}.self_attn.v_proj.weight": (WIDTH // 2, WIDTH),
            f"{at}.self_attn.o_proj.weight": (WIDTH, WIDTH),
            f"{at}.mlp.gate_proj.weight": (128, WIDTH),
            f"{at}.mlp.up_proj.weight": (128, WIDTH),
            f"{at}.mlp.down_proj.weight": (WIDTH, 128),
            f"{at}.input_layernorm.weight": (WIDTH,),
            f"{at}.post_attention_layernorm.weight": (WIDTH,),
        }
    return found if tied else found | {"lm_head.weight": (ROWS, WIDTH)}


def write_safetensors(
    path: Path, tensors: Shapes, *, fill: Mapping[str, int] | None = None
) -> Path:
    """Float32 tensors of one byte repeated: 0, or what `fill` says of a name."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    body, at = b"", 0
    for name, shape in tensors.items():
        size = 4 * math.prod(shape)
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [at, at + size]}
        body += bytes([(fill or {}).get(name, 0)]) * size
        at += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(len(text).to_bytes(8, "little") + text + body)
    return path


def write_folder(
    folder: Path, *, tensors: Shapes | None = None, config: Mapping[str, Any] | None = None
) -> Path:
    """A whole model; `config` in the place of CONFIG."""
    folder.mkdir(parents=True)
    write_json(folder / "config.json", CONFIG if config is None else config)
    write_json(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "chat_template": TEMPLATE,
            "eos_token": "t2",
            "bos_token": "t1",
        },
    )
    write_tokenizer(folder, ROWS)
    write_safetensors(folder / "model.safetensors", shapes() if tensors is None else tensors)
    return folder


def write_tokenizer(folder: Path, tokens: int) -> None:
    vocabulary = {f"t{number}": number for number in range(tokens)}
    write_json(
        folder / "tokenizer.json",
        {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": [],
            "normalizer": None,
            "pre_tokenizer": {"type": "Whitespace"},
            "post_processor": None,
            "decoder": None,
            "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "t0"},
        },
    )


def change(folder: Path, *without: str, **settings: Any) -> None:
    """Change config.json: settings to write, names to leave out."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8")) | settings
    write_json(
        folder / "config.json",
        {name: value for name, value in config.items() if name not in without},
    )


def write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value), encoding="utf-8")


def claim(path: Path, key: str, value: int) -> None:
    """Write another number into the header of a GGUF, under a key whose value has 32 bits."""
    data = bytearray(path.read_bytes())
    at = data.index(key.encode()) + len(key) + 4  # behind the key and the type of its value
    struct.pack_into("<I", data, at, value)
    path.write_bytes(data)


def write_gguf(
    path: Path,
    *,
    template: str | None = TEMPLATE,
    architecture: str = "llama",
    tokens: int = ROWS,
    parts: int = 1,
) -> Path:
    """A small Llama as a GGUF, or the first of its `parts`."""
    import gguf

    path.parent.mkdir(parents=True, exist_ok=True)
    writer = gguf.GGUFWriter(str(path), architecture)
    writer.add_name("tiny")
    for add, value in (
        (writer.add_context_length, 4096),
        (writer.add_embedding_length, WIDTH),
        (writer.add_block_count, 1),
        (writer.add_feed_forward_length, 128),
        (writer.add_head_count, 2),
        (writer.add_head_count_kv, 1),
        (writer.add_vocab_size, ROWS),
        (writer.add_rope_dimension_count, 32),
    ):
        add(value)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(["t", "1", *(f"t{number}" for number in range(1, tokens - 1))])
    writer.add_token_types([1] * tokens)
    writer.add_token_merges(["t 1"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    if parts > 1:
        writer.add_uint32("split.count", parts)
    if template:
        writer.add_chat_template(template)
    heads = {
        "attn_q": (WIDTH, WIDTH),
        "attn_k": (WIDTH // 2, WIDTH),
        "attn_v": (WIDTH // 2, WIDTH),
        "attn_output": (WIDTH, WIDTH),
        "ffn_gate": (128, WIDTH),
        "ffn_up": (128, WIDTH),
        "ffn_down": (WIDTH, 128),
        "attn_norm": (WIDTH,),
        "ffn_norm": (WIDTH,),
    }
    named = {"token_embd.weight": (ROWS, WIDTH), "output_norm.weight": (WIDTH,)}
    named |= {f"blk.0.{name}.weight": shape for name, shape in heads.items()}
    for name, shape in named.items():
        writer.add_tensor(name, np.full(shape, 0.5, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
