"""Adapters of every kind into toy models, tied and not: what is saved says what base + adapter
said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import fakes
from fieldpack_build.errors import CheckFailed
from fieldpack_build.models import causal_lm
from fieldpack_build.stages.merge import merge

PLAIN: dict[str, Any] = {"target_modules": "all-linear"}
HEAD = {"target_modules": ["q_proj", "v_proj", "lm_head"]}
EMBEDDINGS = {"target_modules": ["q_proj", "embed_tokens"]}
WHOLE = {"target_modules": ["q_proj"], "modules_to_save": ["embed_tokens", "lm_head"]}
WHOLE_TABLE = {"target_modules": ["q_proj"], "modules_to_save": ["embed_tokens"]}
ONE = {
    "target_modules": ["q_proj"],
    "modules_to_save": ["embed_tokens"],
    "ensure_weight_tying": True,
}


def write_base(folder: Path, architecture: str, *, tied: bool) -> Path:
    import torch

    fakes.write_tiny_model(folder, architecture)
    if not tied:
        model = causal_lm.load_model(folder)
        model.config.tie_word_embeddings = False
        model.lm_head.weight = torch.nn.Parameter(torch.randn_like(model.lm_head.weight) * 0.2)
        model.save_pretrained(folder)
    return folder


def write_bfloat16(base: Path, folder: Path) -> Path:
    """The same base with its weights rounded to bfloat16, as most of a hub's are."""
    import torch

    model = causal_lm.load_model(base).to(torch.bfloat16)
    model.save_pretrained(folder)
    causal_lm.load_tokenizer(base).save_pretrained(folder)
    return folder


def write_adapter(
    base: Path, folder: Path, settings: dict[str, Any], *, rows: int | None = None
) -> Any:
    """An adapter with random weights; gives the logits of base + adapter, as it was trained."""
    import torch
    from peft import LoraConfig, get_peft_model

    model = causal_lm.load_model(base).float()
    if rows:
        model.resize_token_embeddings(rows)
    tuned = get_peft_model(
        model, LoraConfig(r=4, lora_alpha=8, task_type="CAUSAL_LM", **settings)
    ).eval()
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in tuned.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.05)
    tuned.save_pretrained(folder)
    return logits(tuned)


def logits(model: Any) -> Any:
    import torch

    with torch.no_grad():
        return model(torch.arange(40, 80).reshape(1, -1)).logits[0]


def merged_and_saved(base: Path, adapter: Path, folder: Path) -> tuple[Any, dict[str, Any]]:
    tokenizer = causal_lm.load_tokenizer(base)
    model, facts = merge(causal_lm.load_model(base), tokenizer, adapter)
    model.save_pretrained(folder)
    return causal_lm.load_model(folder), facts


@pytest.mark.parametrize(
    ("architecture", "tied", "settings", "still_tied"),
    [
        ("llama", True, PLAIN, True),
        ("llama", False, PLAIN, False),
        ("phi3", True, PLAIN, True),
        ("gemma", True, {**PLAIN, "use_dora": True}, True),
        ("qwen2", True, {**PLAIN, "use_rslora": True}, True),
        ("qwen3", False, {**PLAIN, "use_dora": True, "use_rslora": True}, False),
        ("llama", True, HEAD, False),
        ("llama", False, HEAD, False),
        ("gemma", True, EMBEDDINGS, False),
        ("llama", True, WHOLE, False),
        ("qwen2", False, WHOLE, False),
        ("llama", True, WHOLE_TABLE, False),
        ("llama", True, ONE, True),
    ],
)
def test_the_saved_model_is_base_and_adapter(
    tmp_path: Path, architecture: str, tied: bool, settings: dict[str, Any], still_tied: bool
) -> None:
    base = write_base(tmp_path / "base", architecture, tied=tied)
    trained = write_adapter(base, tmp_path / "adapter", settings)
    model, facts = merged_and_saved(base, tmp_path / "adapter", tmp_path / "merged")
    assert float((logits(model) - trained).abs().max()) < 2e-3
    assert facts["matrices_moved"] and facts["logit_shift"] > 0.05
    assert (facts["tied"], model.config.tie_word_embeddings) == (still_tied, still_tied)


@pytest.mark.parametrize("architecture", ["llama", "phi3", "gemma2"])
def test_a_bfloat16_base_takes_the_whole_adapter(tmp_path: Path, architecture: str) -> None:
    """Merged into the float32 and into the bfloat16 base, weights differ by the base's own rounding
    and no more."""
    import torch

    wide = write_base(tmp_path / "wide", architecture, tied=True)
    narrow = write_bfloat16(wide, tmp_path / "narrow")
    trained = write_adapter(narrow, tmp_path / "adapter", PLAIN)
    from_narrow, facts = merged_and_saved(narrow, tmp_path / "adapter", tmp_path / "merged")
    from_wide, _ = merged_and_saved(wide, tmp_path / "adapter", tmp_path / "merged-wide")
    assert float((logits(from_narrow) - trained).abs().max()) < 0.01 * facts["logit_shift"]
    before, other = (
        dict(causal_lm.load_model(wide).named_parameters()),
        dict(from_wide.named_parameters()),
    )
    eps = torch.finfo(torch.float32).eps
    for name, weight in from_narrow.named_parameters():
        assert weight.dtype == torch.float32
        size = before[name].abs()
        allowed = size * torch.finfo(torch.bfloat16).eps / 2 + 2 * eps * (size + other[name].abs())
        assert bool(((weight - other[name]).abs() <= allowed).all()), name


@pytest.mark.parametrize(
    "settings", [WHOLE, {**PLAIN, "modules_to_save": ["embed_tokens", "lm_head"]}]
)
def test_an_added_token_that_was_trained(tmp_path: Path, settings: dict[str, Any]) -> None:
    """The adapter holds the whole matrices, one row longer than the base's."""
    base = write_base(tmp_path / "base", "llama", tied=True)
    rows = causal_lm.load_config(base).vocab_size + 32
    trained = write_adapter(base, tmp_path / "adapter", settings, rows=rows)
    model, facts = merged_and_saved(base, tmp_path / "adapter", tmp_path / "merged")
    assert model.config.vocab_size == model.get_input_embeddings().weight.shape[0] == rows
    assert float((logits(model) - trained).abs().max()) < 2e-3
    assert facts["rows_added"] == 0


def test_a_tokenizer_with_more_tokens_than_the_model_has_rows(tmp_path: Path) -> None:
    base = write_base(tmp_path / "base", "llama", tied=True)
    write_adapter(base, tmp_path / "adapter", PLAIN)
    rows = causal_lm.load_config(base).vocab_size
    tokenizer = causal_lm.load_tokenizer(base)
    tokenizer.add_tokens([f"<new {number}>" for number in range(rows - len(tokenizer) + 3)])
    tokenizer.save_pretrained(base)
    model, facts = merged_and_saved(base, tmp_path / "adapter", tmp_path / "merged")
    assert model.get_input_embeddings().weight.shape[0] == len(tokenizer) == rows + 3
    assert facts["rows_added"] == 3


def test_an_adapter_of_another_tokenizer_is_refused(tmp_path: Path) -> None:
    base = write_base(tmp_path / "base", "llama", tied=True)
    tokenizer = causal_lm.load_tokenizer(base)
    write_adapter(base, tmp_path / "adapter", WHOLE, rows=len(tokenizer) - 8)
    with pytest.raises(
        CheckFailed, match="train with the tokenizer that is in the base model's folder"
    ):
        merged_and_saved(base, tmp_path / "adapter", tmp_path / "merged")


def test_a_merge_that_gives_the_base_back_is_refused(tmp_path: Path) -> None:
    base = write_base(tmp_path / "base", "llama", tied=True)
    write_adapter(base, tmp_path / "adapter", PLAIN)
    import torch
    from safetensors.torch import load_file, save_file

    file = tmp_path / "adapter" / "adapter_model.safetensors"
    save_file({name: torch.zeros_like(tensor) for name, tensor in load_file(file).items()}, file)
    with pytest.raises(CheckFailed, match="the adapter changes nothing"):
        merged_and_saved(base, tmp_path / "adapter", tmp_path / "merged")
