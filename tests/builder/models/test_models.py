"""A model is loaded whole or refused in a sentence: transformers would go on with random weights.
Real models of two layers."""

from __future__ import annotations

import json
import resource
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import BitsAndBytesConfig

import checkpoints
from fieldpack_build.errors import SourceError
from fieldpack_build.export.quantize_embeddings import are_tied
from fieldpack_build.models import causal_lm
from fieldpack_build.models.chat_template import read_chat
from fieldpack_build.pipeline.store import Store
from fieldpack_build.pipeline.task import Task
from fieldpack_build.recipe.schema import Recipe
from fieldpack_build.stages import base

UP = "model.layers.1.mlp.up_proj.weight"
Tensors = dict[str, torch.Tensor]


@pytest.fixture
def folder(tiny_llama: Path, tmp_path: Path) -> Path:
    """A copy to break."""
    causal_lm.quiet()
    return Path(shutil.copytree(tiny_llama, tmp_path / "model"))


def rewrite(folder: Path, change: Callable[[Tensors], Any]) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def refused(call: Callable[[], Any]) -> str:
    with pytest.raises(SourceError) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def four_bits() -> dict[str, Any]:
    return {
        "quantization_config": BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_compute_dtype=torch.float32
        )
    }


@pytest.mark.parametrize("options", [dict, four_bits])
def test_a_whole_model_loads(folder: Path, options: Callable[[], dict[str, Any]]) -> None:
    assert causal_lm.load_model(folder, **options()).config.tie_word_embeddings
    causal_lm.check_tensors(folder)
    causal_lm.check_numbers(folder)


@pytest.mark.parametrize("options", [dict, four_bits])
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.pop(UP), f"1 tensors missing ({UP})"),
        (
            lambda t: t.update({"model.layers.1.mlp.upp_proj.weight": t.pop(UP)}),
            "1 tensors that this architecture has not",
        ),
        (
            lambda t: t.update({UP: torch.zeros(5, 5)}),
            f"1 tensors of another shape ({UP} is [5, 5], wanted [128, 64])",
        ),
    ],
)
def test_tensors_that_do_not_fit(
    folder: Path, change: Callable[[Tensors], Any], said: str, options: Callable[[], dict[str, Any]]
) -> None:
    """In 4 bits too, where it was an AttributeError in the middle of training."""
    rewrite(folder, change)
    assert said in refused(lambda: causal_lm.load_model(folder, **options()))
    assert said in refused(lambda: causal_lm.check_tensors(folder))


def test_what_older_files_hold_and_nobody_needs_is_no_fault(folder: Path) -> None:
    rewrite(
        folder,
        lambda t: t.update({"model.layers.0.self_attn.rotary_emb.inv_freq": torch.zeros(16)}),
    )
    causal_lm.load_model(folder)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_weights_that_are_no_numbers(folder: Path, value: float, dtype: torch.dtype) -> None:
    def spoil(tensors: Tensors) -> None:
        for name in tensors:
            tensors[name] = tensors[name].to(dtype)
        tensors[UP][3, 5] = value

    rewrite(folder, spoil)
    said = refused(lambda: causal_lm.check_numbers(folder))
    assert f"model.safetensors: 1 of 8,192 weights of {UP} are not finite numbers" in said


def test_a_file_that_is_cut_off(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-10])
    assert "the model does not load" in refused(lambda: causal_lm.load_model(folder))


def test_no_question_is_asked_about_code(folder: Path) -> None:
    """transformers would ask y/N on the terminal, which a stage has not."""
    checkpoints.change(
        folder,
        model_type="deep_thought",
        auto_map={
            "AutoConfig": "configuration_dt.DeepThoughtConfig",
            "AutoModelForCausalLM": "modeling_dt.DeepThought",
        },
    )
    checkpoints.write_json(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "DeepTokenizer",
            "auto_map": {"AutoTokenizer": ["tokenization_dt.DeepTokenizer", None]},
        },
    )
    for name in ("configuration_dt", "modeling_dt", "tokenization_dt"):
        (folder / f"{name}.py").write_text("raise SystemExit('the code of a model is never run')")
    for load in (causal_lm.load_config, causal_lm.load_model, causal_lm.load_tokenizer):
        assert str(folder) in refused(lambda: load(folder))  # noqa: B023 (called at once)


# --- the base stage -------------------------------------------------------------------------------


def stage(model: Path, **recipe: Any) -> Task:
    written = {
        "name": "tiny",
        "version": "1.0.0",
        "base": {"model": str(model)},
        "answer": {"system": "Answer."},
        "train": {"method": "lora", "data": "rows.jsonl"},
        "folder": str(model.parent),
        **recipe,
    }
    out = model.parent / "out"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    return Task(Recipe.model_validate(written), {}, out, Store(model.parent / "cache"))


def test_a_whole_folder_becomes_a_link(folder: Path) -> None:
    task = stage(folder)
    assert base.run(task)["architecture"] == "LlamaForCausalLM"
    assert (task.out / base.MODEL).is_symlink() and not task.warnings


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.pop(UP), "1 tensors missing"),
        (lambda t: t[UP].fill_(float("nan")), "not finite numbers"),
    ],
)
def test_the_base_stage_refuses_what_training_would_pay_for(
    folder: Path, change: Callable[[Tensors], Any], said: str
) -> None:
    rewrite(folder, change)
    assert said in refused(lambda: base.run(stage(folder)))


def test_the_base_stage_names_all_that_its_files_show(folder: Path) -> None:
    checkpoints.change(
        folder, architectures=["GPT2LMHeadModel"], model_type="gpt2", num_hidden_layers=9
    )
    with pytest.raises(SourceError) as caught:
        base.run(stage(folder))
    assert len(str(caught.value).splitlines()) >= 2 and "does not export GPT2LMHeadModel" in str(
        caught.value
    )


def test_a_rehearsal_is_refused_what_a_build_would_be(folder: Path) -> None:
    assert base.run(stage(folder, rehearsal=True))["vocabulary"] > 0
    checkpoints.change(folder, intermediate_size=96)
    assert "k_quant needs an even number of blocks" in refused(
        lambda: base.run(stage(folder, rehearsal=True))
    )


def test_untied_weights_under_a_config_that_does_not_say_so(folder: Path) -> None:
    """Llama's default is untied; the export took what is not said for tied, and shipped the
    embeddings as output matrix."""
    table = load_file(folder / "model.safetensors")["model.embed_tokens.weight"]
    rewrite(folder, lambda t: t.update({"lm_head.weight": table.flip(0).contiguous()}))
    checkpoints.change(folder, "tie_word_embeddings")
    assert not are_tied(folder)
    task = stage(folder)
    base.run(task)
    written = json.loads((task.out / base.MODEL / "config.json").read_text())
    assert written["tie_word_embeddings"] is False
    assert "tie_word_embeddings" not in json.loads((folder / "config.json").read_text()), (
        "a source is nobody's to change"
    )
    logits = [
        causal_lm.load_model(path)(torch.arange(9)[None]).logits
        for path in (folder, task.out / base.MODEL)
    ]
    assert torch.equal(*logits)


@pytest.mark.parametrize("written", [True, None])
def test_a_config_that_says_tied_of_two_matrices(folder: Path, written: bool | None) -> None:
    table = load_file(folder / "model.safetensors")["model.embed_tokens.weight"]
    rewrite(folder, lambda t: t.update({"lm_head.weight": table.flip(0).contiguous()}))
    model = causal_lm.load_model(folder)
    assert not model.config.tie_word_embeddings
    assert torch.equal(model.get_output_embeddings().weight, table.flip(0))


def test_a_config_that_does_not_say_tied_of_one_matrix(folder: Path) -> None:
    """As transformers 4 wrote it. Llama's default in transformers 5 would make a random output
    matrix."""
    checkpoints.change(folder, "tie_word_embeddings")
    model = causal_lm.load_model(folder)
    assert (
        model.get_output_embeddings().weight.data_ptr()
        == model.get_input_embeddings().weight.data_ptr()
    )
    task = stage(folder)
    base.run(task)
    assert (
        are_tied(task.out / base.MODEL)
        and causal_lm.load_config(task.out / base.MODEL).tie_word_embeddings
    )


# --- GGUF -----------------------------------------------------------------------------------------


def test_a_gguf_is_converted(tmp_path: Path) -> None:
    causal_lm.quiet()
    path = checkpoints.write_gguf(tmp_path / "tiny.gguf")
    assert base.run(stage(path))["architecture"] == "LlamaForCausalLM"


def test_a_template_beside_a_gguf_is_read(tmp_path: Path) -> None:
    causal_lm.quiet()
    path = checkpoints.write_gguf(tmp_path / "tiny.gguf", template=None)
    said = refused(lambda: base.run(stage(path)))
    assert said.endswith(f"write its template as {tmp_path / 'chat_template.jinja'}")
    (tmp_path / "chat_template.jinja").write_text(checkpoints.TEMPLATE)
    task = stage(path)
    base.run(task)
    assert read_chat(task.out).start == "<system>"


def test_a_broken_gguf_is_a_sentence(tmp_path: Path) -> None:
    causal_lm.quiet()
    path = checkpoints.write_gguf(tmp_path / "tiny.gguf")
    path.write_bytes(path.read_bytes()[:-200])
    assert "damaged or cut off" in refused(lambda: base.run(stage(path)))


@pytest.mark.parametrize(
    ("key", "value"),
    [("llama.feed_forward_length", 1 << 22), ("llama.embedding_length", 1 << 31)],
)
def test_a_gguf_that_claims_more_than_it_holds_is_refused_before_that_is_made(
    key: str, value: int, tmp_path: Path
) -> None:
    """By the first claim the model would take 3 GB."""
    causal_lm.quiet()
    path = checkpoints.write_gguf(tmp_path / "tiny.gguf")
    base.run(stage(path))  # what the libraries themselves take is in the peak from here on
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    checkpoints.claim(path, key, value)
    said = refused(lambda: base.run(stage(path)))
    assert said.startswith(str(path)) and "download it again" in said
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1e6  # kilobytes
