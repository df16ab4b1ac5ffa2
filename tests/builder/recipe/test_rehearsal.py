"""The rehearsal's model: small, and like the real one in all that decides whether an export works."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import transformers

import fakes
from fieldpack_build.errors import SourceError, StageError
from fieldpack_build.export import build_onnx
from fieldpack_build.models import causal_lm
from fieldpack_build.models.precision import parse, unfit
from fieldpack_build.pipeline.store import Store
from fieldpack_build.pipeline.task import Task
from fieldpack_build.recipe.load import load_recipe
from fieldpack_build.recipe.rehearse import rehearse
from fieldpack_build.recipe.schema import CANDIDATES
from fieldpack_build.stages import base

# (class, settings): real shapes, with a small vocabulary
CONFIGS: dict[str, tuple[str, dict[str, Any]]] = {
    "SmolLM2-135M": (
        "LlamaConfig",
        {
            "hidden_size": 576,
            "intermediate_size": 1536,
            "num_attention_heads": 9,
            "num_key_value_heads": 3,
            "num_hidden_layers": 30,
            "tie_word_embeddings": True,
        },
    ),
    "Llama-7B": ("LlamaConfig", {"dtype": "bfloat16"}),
    "Qwen2.5-0.5B": (
        "Qwen2Config",
        {
            "hidden_size": 896,
            "intermediate_size": 4864,
            "num_attention_heads": 14,
            "num_key_value_heads": 2,
            "num_hidden_layers": 24,
            "dtype": "bfloat16",
        },
    ),
    "odd blocks": (
        "LlamaConfig",
        {
            "hidden_size": 4896,
            "intermediate_size": 11040,
            "num_attention_heads": 51,
            "num_key_value_heads": 17,
            "head_dim": 96,
        },
    ),
    "Gemma 3": ("Gemma3TextConfig", {"num_hidden_layers": 26}),
    "Qwen2 with windows": (
        "Qwen2Config",
        {
            "hidden_size": 3584,
            "intermediate_size": 18944,
            "num_attention_heads": 28,
            "num_key_value_heads": 4,
            "num_hidden_layers": 28,
            "use_sliding_window": True,
            "sliding_window": 4096,
            "max_window_layers": 21,
        },
    ),
    "SmolLM3": ("SmolLM3Config", {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}),
    "Mixtral": ("MixtralConfig", {"num_local_experts": 8}),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_rehearsal_model_is_small_and_has_the_real_ones_traits(name: str) -> None:
    kind, settings = CONFIGS[name]
    real, config = (getattr(transformers, kind)(vocab_size=512, **settings) for _ in range(2))
    model = causal_lm.tiny_random_model(config)
    config = model.config
    assert causal_lm.count_parameters(model) < 10e6
    wanted, small = real.to_dict(), config.to_dict()
    for candidate in map(parse, CANDIDATES):
        assert (unfit(candidate, wanted) is None) == (unfit(candidate, small) is None), (
            candidate.name
        )
    assert str(model.dtype) == f"torch.{settings.get('dtype', 'float32')}"
    for key in (
        "sliding_window",
        "rope_parameters",
        "tie_word_embeddings",
        "max_position_embeddings",
    ):
        assert small.get(key) == wanted.get(key), key
    head_size = wanted.get("head_dim") or real.hidden_size // real.num_attention_heads
    assert (small.get("head_dim") or config.hidden_size // config.num_attention_heads) == head_size
    for key in ("layer_types", "no_rope_layers"):
        if wanted.get(key):
            assert (
                set(small[key]) == set(wanted[key]) and len(small[key]) == config.num_hidden_layers
            )
    if wanted.get("num_key_value_heads") != real.num_attention_heads:
        assert small["num_key_value_heads"] < config.num_attention_heads


def _rehearsed_base(folder: Path, model: Path, *, algorithm: str = "k_quant_mixed") -> Path:
    """What the base stage makes of `model` in a rehearsal."""
    recipe = folder / "r.yaml"
    recipe.write_text(
        json.dumps(
            {
                "name": "r",
                "version": "1.0.0",
                "base": {"model": str(model)},
                "train": {"method": "lora", "data": "t.jsonl"},
                "answer": {"system": "Answer."},
                "export": {"algorithm": algorithm},
            }
        ),
        encoding="utf-8",
    )
    out = folder / "base"
    out.mkdir(exist_ok=True)
    base.run(Task(rehearse(load_recipe(recipe)), {}, out, Store(folder / "cache")))
    return out / base.MODEL


@pytest.mark.parametrize(
    "named", [True, False], ids=["config names the dtype", "only the weights are in it"]
)
def test_a_bfloat16_model_is_rehearsed_in_bfloat16(tmp_path: Path, named: bool) -> None:
    """So that the merge of the rehearsal rounds as that of the build does."""
    import torch
    from safetensors import safe_open

    folder = fakes.write_tiny_model(tmp_path / "llama")
    causal_lm.load_model(folder).to(torch.bfloat16).save_pretrained(folder)
    if not named:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        (folder / "config.json").write_text(
            json.dumps({k: v for k, v in config.items() if k != "dtype"}), encoding="utf-8"
        )
    made = _rehearsed_base(tmp_path, folder)
    with safe_open(made / "model.safetensors", "pt") as tensors:
        assert {tensors.get_tensor(name).dtype for name in tensors.keys()} == {torch.bfloat16}  # noqa: SIM118
    assert causal_lm.load_model(made).dtype == torch.bfloat16


def test_an_odd_number_of_blocks_is_found_by_the_rehearsal(tmp_path: Path) -> None:
    folder = fakes.write_tiny_model(tmp_path / "llama")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config |= {
        "hidden_size": 32 * 51,
        "num_attention_heads": 51,
        "num_key_value_heads": 17,
        "head_dim": 32,
    }
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(
        SourceError, match="k_quant needs an even number of blocks"
    ):  # a look at the config is enough
        _rehearsed_base(tmp_path, folder)
    made = _rehearsed_base(tmp_path, folder, algorithm="rtn")
    assert json.loads((made / "config.json").read_text(encoding="utf-8"))["hidden_size"] < 32 * 51
    with pytest.raises(StageError, match="k_quant needs an even number of blocks"):
        build_onnx(made, tmp_path / "out", parse("int4-k_quant_mixed-32"), tmp_path / "work")
