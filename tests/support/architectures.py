"""Language models of random weights, one an architecture and variant (rope scaling, window, partial
rotary): two to four layers, 64 wide, with a byte-level BPE tokenizer and a chat template. What
`matrix` puts through a whole build."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fakes

CONTEXT = 1024  # positions of every model
WINDOW = 64  # tokens that a sliding-window layer sees: fewer than the matrix' middle prompt has
SWITCH = 256  # longrope's original length: between the matrix' middle and longest prompt
_ROTATED = 32  # width of a head

_LLAMA3_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 10000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 256,
}
_YARN = {
    "rope_type": "yarn",
    "rope_theta": 10000.0,
    "factor": 4.0,
    "original_max_position_embeddings": 256,
}
_LINEAR = {"rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0}
_SLIDING = ["sliding_attention", "full_attention"]


def _longrope(width: int) -> dict[str, Any]:
    """`width`: values of a head that are rotated; a factor for each pair of them."""
    half = range(width // 2)
    return {
        "rope_type": "longrope",
        "rope_theta": 10000.0,
        "original_max_position_embeddings": SWITCH,
        "short_factor": [1.0 + 0.02 * i for i in half],
        "long_factor": [1.5 + 0.3 * i for i in half],
    }


@dataclass(frozen=True)
class Architecture:
    """`config`: its class in transformers; `settings` on top of the common ones."""

    config: str
    settings: Mapping[str, Any] = field(default_factory=dict)


# 128 wide: the square root that scales their embeddings is no whole number, as in the published
# ones.
_GEMMA = {
    "head_dim": _ROTATED,
    "hidden_activation": "gelu_pytorch_tanh",
    "hidden_size": 128,
    "num_attention_heads": 4,
}
ARCHITECTURES: dict[str, Architecture] = {
    "Llama": Architecture("LlamaConfig"),
    "Llama, llama3 rope": Architecture("LlamaConfig", {"rope_parameters": _LLAMA3_ROPE}),
    "Llama, linear rope": Architecture("LlamaConfig", {"rope_parameters": _LINEAR}),
    "Llama, YaRN": Architecture("LlamaConfig", {"rope_parameters": _YARN}),
    "Mistral": Architecture("MistralConfig", {"sliding_window": None}),
    "Mistral, window": Architecture("MistralConfig", {"sliding_window": WINDOW}),
    "Qwen2": Architecture("Qwen2Config"),
    "Qwen2, window": Architecture(
        "Qwen2Config",
        {"use_sliding_window": True, "sliding_window": WINDOW, "max_window_layers": 1},
    ),
    "Qwen3": Architecture("Qwen3Config", {"head_dim": _ROTATED}),
    "Qwen3, YaRN": Architecture("Qwen3Config", {"head_dim": _ROTATED, "rope_parameters": _YARN}),
    "Phi": Architecture("PhiConfig", {"num_key_value_heads": 2, "partial_rotary_factor": 0.5}),
    "Phi-3": Architecture("Phi3Config", {"original_max_position_embeddings": CONTEXT}),
    "Phi-3, window": Architecture(
        "Phi3Config", {"original_max_position_embeddings": CONTEXT, "sliding_window": WINDOW}
    ),
    "Phi-3, longrope": Architecture(
        "Phi3Config",
        {"original_max_position_embeddings": SWITCH, "rope_parameters": _longrope(_ROTATED)},
    ),
    "Phi-3, longrope, partial rotary": Architecture(
        "Phi3Config",
        {
            "original_max_position_embeddings": SWITCH,
            "rope_parameters": {**_longrope(_ROTATED // 2), "partial_rotary_factor": 0.5},
        },
    ),
    "Gemma": Architecture("GemmaConfig", _GEMMA),
    "Gemma 2": Architecture(
        "Gemma2Config",
        {
            **_GEMMA,
            "query_pre_attn_scalar": _ROTATED,
            "sliding_window": WINDOW,
            "layer_types": _SLIDING,
        },
    ),
    "Gemma 3": Architecture(
        "Gemma3TextConfig",
        {
            **_GEMMA,
            "query_pre_attn_scalar": _ROTATED,
            "sliding_window": WINDOW,
            "layer_types": _SLIDING,
        },
    ),
    "Granite": Architecture(
        "GraniteConfig",
        {
            "embedding_multiplier": 2.0,
            "logits_scaling": 2.0,
            "residual_multiplier": 0.5,
            "attention_multiplier": 0.2,
        },
    ),
    "Ernie 4.5": Architecture("Ernie4_5Config", {"head_dim": _ROTATED}),
    "Nemotron": Architecture(
        "NemotronConfig", {"head_dim": _ROTATED, "partial_rotary_factor": 0.5}
    ),
    "OLMo": Architecture("OlmoConfig", {"num_key_value_heads": 2}),
    "OLMo, clipped": Architecture("OlmoConfig", {"num_key_value_heads": 2, "clip_qkv": 0.5}),
    "SmolLM3": Architecture("SmolLM3Config", {"num_hidden_layers": 4, "use_sliding_window": False}),
    "LFM2": Architecture(
        "Lfm2Config",
        {
            "num_hidden_layers": 3,
            "layer_types": ["conv", "full_attention", "conv"],
            "conv_L_cache": 3,
            "block_auto_adjust_ff_dim": False,
        },
    ),
    "gpt-oss": Architecture(
        "GptOssConfig",
        {
            "head_dim": _ROTATED,
            "sliding_window": WINDOW,
            "layer_types": _SLIDING,
            "num_local_experts": 4,
            "num_experts_per_tok": 2,
        },
    ),
    "HunYuan dense": Architecture("HunYuanDenseV1Config", {"head_dim": _ROTATED}),
    "Granite 4, dense": Architecture(
        "GraniteMoeHybridConfig",
        {
            "layer_types": ["attention", "attention"],
            "num_local_experts": 0,
            "shared_intermediate_size": 128,
            "position_embedding_type": "rope",
            "embedding_multiplier": 2.0,
            "logits_scaling": 2.0,
            "residual_multiplier": 0.5,
            "attention_multiplier": 0.2,
        },
    ),
    "Granite 4, dense, no rope": Architecture(
        "GraniteMoeHybridConfig",
        {
            "layer_types": ["attention", "attention"],
            "num_local_experts": 0,
            "shared_intermediate_size": 128,
            "embedding_multiplier": 2.0,
            "logits_scaling": 2.0,
            "residual_multiplier": 0.5,
            "attention_multiplier": 0.2,
        },
    ),
    "Granite 4, Mamba": Architecture(
        "GraniteMoeHybridConfig",
        {
            "layer_types": ["mamba", "attention"],
            "num_local_experts": 0,
            "shared_intermediate_size": 128,
            "mamba_n_heads": 4,
            "mamba_d_head": 32,
            "mamba_d_state": 16,
            "mamba_n_groups": 1,
        },
    ),
    "LFM2 MoE": Architecture(
        "Lfm2MoeConfig",
        {
            "num_hidden_layers": 3,
            "layer_types": ["conv", "full_attention", "conv"],
            "conv_L_cache": 3,
            "num_experts": 4,
            "num_experts_per_tok": 2,
            "num_dense_layers": 1,
            "moe_intermediate_size": 64,
        },
    ),
    "Qwen3, untied, biased": Architecture(
        "Qwen3Config", {"head_dim": _ROTATED, "tie_word_embeddings": False, "attention_bias": True}
    ),
    "Llama, biased": Architecture("LlamaConfig", {"attention_bias": True, "mlp_bias": True}),
    "GPT-2": Architecture(
        "GPT2Config", {"n_embd": 64, "n_head": 2, "n_layer": 2, "n_positions": CONTEXT}
    ),
    "Falcon": Architecture(
        "FalconConfig", {"new_decoder_architecture": False, "multi_query": True}
    ),
    "BLOOM": Architecture("BloomConfig", {"n_head": 2, "n_layer": 2}),
    "StableLM": Architecture("StableLmConfig"),
    "Mixtral": Architecture("MixtralConfig", {"num_local_experts": 2}),
    "OLMo 2": Architecture("Olmo2Config"),
}


def write(folder: Path, name: str, *, seed: int = 0, **settings: Any) -> Path:
    """A Hugging Face folder in float32, with `settings` over the architecture's own. Norms and
    biases are random too: at their usual 1 and 0 an export that left one away would say the same.
    """
    import torch
    import transformers

    wanted = ARCHITECTURES[name]
    folder.mkdir(parents=True)
    tokenizer = fakes._write_tokenizer(folder, "llama")
    common = {
        "vocab_size": -(-len(tokenizer) // 32) * 32,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "max_position_embeddings": CONTEXT,
        "initializer_range": 0.2,
        "tie_word_embeddings": True,
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "dtype": "float32",
    }
    torch.manual_seed(seed)
    config = getattr(transformers, wanted.config)(**{**common, **wanted.settings, **settings})
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.add_(torch.randn_like(parameter) * 0.2)
    model.save_pretrained(folder)
    return folder
