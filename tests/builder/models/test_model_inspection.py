"""A look at a model says in a sentence each what will fail with it, whatever its files hold; it
loads nothing heavy."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import checkpoints
from fieldpack_build.models.inspection import (
    Inspection,
    Use,
    inspect_model,
    libraries,
    original_context,
    rope_type,
    sliding_window,
    ties_embeddings,
)
from fieldpack_build.models.inspection.headers import BrokenFile, read_gguf, read_safetensors
from fieldpack_build.models.precision import candidate, parse
from fieldpack_build.recipe.schema import Export

INT4 = candidate("int4", "k_quant_mixed", 32)
WHOLE_BUILD = Use(trains=True, export=(INT4,), max_context=2048)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return checkpoints.write_folder(tmp_path / "model")


def problem(path: Path, use: Use = WHOLE_BUILD) -> str:
    """The only one, with its next step in it."""
    inspection = inspect_model(path, use)
    assert len(inspection.problems) == 1, inspection.problems
    assert "\n" not in inspection.problems[0] and (
        "; " in inspection.problems[0] or ": " in inspection.problems[0]
    )
    return inspection.problems[0]


# --- a model that is whole ------------------------------------------------------------------------


def test_of_a_whole_model_everything_is_known_and_nothing_said(folder: Path) -> None:
    inspection = inspect_model(folder, WHOLE_BUILD)
    assert (inspection.problems, inspection.warnings) == ((), ())
    facts = inspection.facts
    assert (facts.architecture, facts.model_type, facts.dtype) == (
        "LlamaForCausalLM",
        "llama",
        "F32",
    )
    assert (facts.layers, facts.width, facts.context) == (2, 64, 4096)
    assert facts.parameters == sum(math.prod(shape) for shape in checkpoints.shapes().values())
    assert (facts.tokens, facts.embedding_rows, facts.tied) == (96, 96, True)
    assert (facts.original_context, facts.sliding_window, facts.rope, facts.quantization) == (
        None,
        None,
        "default",
        None,
    )
    assert facts.has_chat_template


def test_of_a_whole_gguf_too(tmp_path: Path) -> None:
    inspection = inspect_model(checkpoints.write_gguf(tmp_path / "tiny.gguf"), WHOLE_BUILD)
    assert (inspection.problems, inspection.warnings) == ((), ())
    facts = inspection.facts
    assert (facts.architecture, facts.dtype, facts.layers, facts.width, facts.context) == (
        "LlamaForCausalLM",
        "F32",
        1,
        64,
        4096,
    )
    assert (facts.tokens, facts.embedding_rows, facts.tied) == (96, 96, True)


# --- files ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kept", [0, 4, 8, 60, 5000])
def test_a_safetensors_file_that_is_cut_off(folder: Path, kept: int) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:kept])
    said = problem(folder)
    assert said.startswith(f"{path}: ") and said.endswith("download it again")


def test_a_safetensors_file_with_more_behind_it(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes() + b"\0")
    assert "followed by bytes that are no part of it" in problem(folder)


def test_a_pointer_of_git_lfs(folder: Path) -> None:
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 5330\n"
    names = ("config.json", "model.safetensors", "tokenizer.model", "tokenizer.json")
    for name in names:
        (folder / name).write_text(pointer)
    said = inspect_model(folder, WHOLE_BUILD).problems
    assert [line.split(": ")[0] for line in said] == [str(folder / name) for name in names]
    assert all("Git LFS" in line and "git lfs pull" in line for line in said)


def test_a_missing_shard(folder: Path) -> None:
    names = list(checkpoints.shapes())
    (folder / "model.safetensors").rename(folder / "model-00001-of-00003.safetensors")
    index = {name: f"model-0000{1 + i % 3}-of-00003.safetensors" for i, name in enumerate(names)}
    checkpoints.write_json(folder / "model.safetensors.index.json", {"weight_map": index})
    assert problem(folder) == (
        f"{folder}: 2 of 3 files of weights are missing (model-00002-of-00003.safetensors, "
        "model-00003-of-00003.safetensors); "
        "download the rest of the model"
    )


def test_a_tensor_that_the_index_names_and_no_file_has(folder: Path) -> None:
    checkpoints.write_json(
        folder / "model.safetensors.index.json",
        {"weight_map": {"gone.weight": "model.safetensors"}},
    )
    assert "1 tensors that it names are in no file (gone.weight)" in problem(folder)


def test_weights_that_are_pickled_or_not_there(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    said = problem(folder)
    assert "but pickled ones (pytorch_model.bin)" in said and "save_pretrained" in said
    (folder / "pytorch_model.bin").unlink()
    assert problem(folder) == f"{folder}: no *.safetensors weights in it; download the whole model"
    assert inspect_model(folder, WHOLE_BUILD, weights=False).problems == ()


def test_settings_that_are_no_json(folder: Path) -> None:
    (folder / "config.json").write_text('{"architectures": [')
    assert problem(folder).startswith(f"{folder / 'config.json'}: not JSON")
    (folder / "config.json").unlink()
    assert "no config.json in it" in problem(folder)


def test_a_tokenizer_that_is_not_there(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    assert "no tokenizer in the model's folder (looked for tokenizer.json" in problem(folder)


@pytest.mark.parametrize("how", ["magic", "version", "cut", "short", "part", "unknown"])
def test_a_broken_gguf(how: str, tmp_path: Path) -> None:
    architecture, parts = "rwkv9" if how == "unknown" else "llama", 3 if how == "part" else 1
    path = checkpoints.write_gguf(tmp_path / "tiny.gguf", architecture=architecture, parts=parts)
    data = path.read_bytes()
    broken, said = {
        "magic": (b"GGML" + data[4:], "does not begin with GGUF"),
        "version": (data[:4] + b"\x09" + data[5:], "version 9"),
        "cut": (data[:-100], "damaged or cut off"),
        "short": (data[:30], "damaged or cut off"),
        "part": (data, "one of 3 parts"),
        "unknown": (data, "architecture rwkv9, which transformers does not read"),
    }[how]
    path.write_bytes(broken)
    assert said in problem(path)


def test_a_gguf_without_a_template_and_advice_that_works(tmp_path: Path) -> None:
    path = checkpoints.write_gguf(tmp_path / "tiny.gguf", template=None)
    assert problem(path).endswith(f"write its template as {tmp_path / 'chat_template.jinja'}")
    (tmp_path / "chat_template.jinja").write_text(checkpoints.TEMPLATE)
    assert inspect_model(path, WHOLE_BUILD).problems == ()


# --- whatever bytes they hold ---------------------------------------------------------------------


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(cut=st.integers(0, 6000), at=st.integers(0, 6000), byte=st.binary(min_size=1, max_size=9))
def test_a_damaged_safetensors_header_is_a_sentence(
    tmp_path: Path, cut: int, at: int, byte: bytes
) -> None:
    path = tmp_path / "model.safetensors"
    data = bytearray(checkpoints.write_safetensors(path, checkpoints.shapes()).read_bytes())
    at = min(at, len(data) - 1)
    data[at : at + len(byte)] = byte
    path.write_bytes(data[: len(data) - cut])
    _read_or_refuse(path)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.binary(max_size=200)
    | st.builds(lambda text: len(text).to_bytes(8, "little") + text, st.binary(max_size=60))
)
def test_any_bytes_are_a_sentence(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "model.safetensors"
    for content in (data, b"GGUF\x03\0\0\0" + data):
        path.write_bytes(content)
        _read_or_refuse(path)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(keep=st.integers(0, 2500), at=st.integers(4, 2500), byte=st.binary(min_size=1, max_size=9))
def test_a_damaged_gguf_header_is_a_sentence(
    tmp_path: Path, keep: int, at: int, byte: bytes
) -> None:
    path = tmp_path / "tiny.gguf"
    if not path.exists():
        checkpoints.write_gguf(path)
    data = bytearray(path.read_bytes())
    data[at : at + len(byte)] = byte
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(data if keep > 2000 else data[:keep])
    _read_or_refuse(broken)


_ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["rope_type", "full_attention"]), inner)
    ),
    max_leaves=4,
)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.dictionaries(
        st.sampled_from(
            [
                *checkpoints.CONFIG,
                "head_dim",
                "rope_scaling",
                "rope_parameters",
                "layer_types",
                "sliding_window",
                "use_sliding_window",
                "text_config",
                "quantization_config",
                "auto_map",
            ]
        ),
        _ANYTHING,
    )
)
def test_any_settings_are_sentences(folder: Path, changes: dict[str, Any]) -> None:
    checkpoints.write_json(folder / "config.json", checkpoints.CONFIG | changes)
    inspection = inspect_model(folder, WHOLE_BUILD)
    assert all("\n" not in line for line in inspection.problems + inspection.warnings)


def _read_or_refuse(path: Path) -> None:
    for read in (read_safetensors, read_gguf):
        try:
            read(path)
        except BrokenFile as error:
            assert str(path) in str(error) and "\n" not in str(error)


# --- what the libraries can do with it ------------------------------------------------------------


def test_an_architecture_that_the_builder_has_not(folder: Path) -> None:
    checkpoints.change(folder, architectures=["Olmo2ForCausalLM"], model_type="olmo2")
    said = problem(folder)
    assert (
        "model builder does not export Olmo2ForCausalLM; use a model of an architecture that it "
        "does" in said
    )
    assert "LlamaForCausalLM" in said and "Whisper" not in said and "SmolLM3ForCausalLM" in said


@pytest.mark.parametrize("kind", ["mamba", "linear_attention"])
def test_layers_of_a_kind_that_the_builder_has_not(folder: Path, kind: str) -> None:
    granite = {"architectures": ["GraniteMoeHybridForCausalLM"], "model_type": "granitemoehybrid"}
    checkpoints.change(folder, **granite, layer_types=[kind, "attention"])
    assert (
        f"has no code for the {kind} layers of a GraniteMoeHybridForCausalLM; use a model without "
        "them" in problem(folder)
    )
    checkpoints.change(folder, layer_types=["attention", "attention"])
    assert not inspect_model(folder, WHOLE_BUILD).problems


def test_the_builder_is_asked_and_no_list_kept() -> None:
    """As the builder's own dispatch reads, found another way."""
    builder = libraries.package_folder("onnxruntime_genai")
    assert builder
    text = (builder / "models" / "builder.py").read_text()
    known = libraries.exportable_architectures()
    for name in (
        "LlamaForCausalLM",
        "Gemma2ForCausalLM",
        "Phi3ForCausalLM",
        "WhisperForConditionalGeneration",
    ):
        assert f'"{name}"' in text and name in known
    assert (
        len(known) > 20 and "Olmo2ForCausalLM" not in known and known["PhiMoEForCausalLM"] == "cuda"
    )
    assert {"default", "linear", "llama3", "longrope", "yarn"} <= libraries.exportable_rope_types()


def test_a_rope_that_follows_the_length_of_the_text(folder: Path) -> None:
    checkpoints.change(
        folder, rope_parameters={"rope_type": "dynamic", "factor": 4.0, "rope_theta": 1e4}
    )
    assert "rope scaling of type 'dynamic' picks its factors by the text's length" in problem(
        folder
    )


def test_transformers_source_says_what_transformers_says() -> None:
    """All of what is read without importing it, against the library itself."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING, CONFIG_MAPPING_NAMES
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    assert libraries.native_configs() == dict(CONFIG_MAPPING_NAMES)
    assert libraries.causal_classes() == {
        kind: name if isinstance(name, str) else name[0]
        for kind, name in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.items()
    }
    exportable = [
        k
        for k, n in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.items()
        if n in libraries.exportable_architectures()
    ]
    assert len(exportable) > 15
    for kind in exportable:
        config = CONFIG_MAPPING[kind]()
        read = libraries.default_of(kind, "tie_word_embeddings")
        assert bool(read) == bool(getattr(config, "tie_word_embeddings", False)), kind


def test_an_unknown_model_type(folder: Path) -> None:
    checkpoints.change(folder, model_type="lama")
    assert "does not know model_type 'lama' (did you mean llama?)" in problem(folder)
    checkpoints.change(folder, model_type="bert")
    assert inspect_model(folder, Use()).problems == (), "bert has a decoder in transformers"
    checkpoints.change(folder, model_type="vit")
    assert "a vit is no model that writes text" in problem(folder, Use())


def test_code_of_its_own(folder: Path) -> None:
    checkpoints.change(
        folder,
        model_type="deep_thought",
        auto_map={"AutoConfig": "configuration_dt.DeepThoughtConfig"},
    )
    assert "code of its own (auto_map), which is never run here" in problem(folder)
    checkpoints.change(folder, model_type="llama")
    assert inspect_model(folder, WHOLE_BUILD).problems == (), "transformers has code for it"


def test_a_tokenizer_with_code_of_its_own(folder: Path) -> None:
    written = {
        "tokenizer_class": "DeepTokenizer",
        "auto_map": {"AutoTokenizer": ["tokenization_deep.DeepTokenizer", None]},
        "chat_template": "x",
    }
    checkpoints.write_json(folder / "tokenizer_config.json", written)
    assert "the tokenizer needs code of its own (auto_map, DeepTokenizer)" in problem(folder)
    for known in ("LlamaTokenizer", "PreTrainedTokenizerFast", "GPT2TokenizerFast"):
        checkpoints.write_json(
            folder / "tokenizer_config.json", written | {"tokenizer_class": known}
        )
        assert inspect_model(folder, WHOLE_BUILD).problems == ()


@pytest.mark.parametrize("method", ["gptq", "awq", "fp8", "bitsandbytes"])
def test_quantized_weights(folder: Path, method: str) -> None:
    checkpoints.change(folder, quantization_config={"quant_method": method, "bits": 4})
    assert f"the weights are quantized ({method})" in problem(folder)


def test_layers_of_conv1d(folder: Path) -> None:
    checkpoints.change(folder, architectures=["GPT2LMHeadModel"], model_type="gpt2")
    builder, conv = inspect_model(folder, WHOLE_BUILD).problems[::-1]
    assert (
        "layers from Conv1D" in conv
        and "train: none" in conv
        and "does not export GPT2LMHeadModel" in builder
    )
    assert inspect_model(folder, Use(trains=False)).problems == ()


def test_no_architecture(folder: Path) -> None:
    checkpoints.change(folder, "architectures")
    assert problem(folder).endswith('add "architectures": ["LlamaForCausalLM"]')


# --- sizes ----------------------------------------------------------------------------------------


def test_blocks_that_do_not_fit(folder: Path) -> None:
    checkpoints.change(folder, intermediate_size=96)
    said = problem(folder)
    assert "k_quant needs an even number of blocks" in said and said.endswith(
        "set export.block_size: 16"
    )
    rtn = Use(export=(candidate("int4", "rtn", 32),))
    assert inspect_model(folder, rtn).problems == ()
    some = Use(export=(INT4, parse("int8-32")), fixed=False)
    inspection = inspect_model(folder, some)
    assert (
        not inspection.problems
        and "of export.candidates int4-k_quant_mixed-32 will fail" in inspection.warnings[0]
    )
    assert "none of export.candidates fits" in problem(folder, Use(export=(INT4,), fixed=False))


def test_the_block_sizes_offered_are_the_recipes() -> None:
    from typing import get_args

    from fieldpack_build.models.inspection.inspection import _BLOCK_SIZES

    assert get_args(Export.model_fields["block_size"].annotation) == _BLOCK_SIZES


def test_more_tokens_than_rows(folder: Path) -> None:
    checkpoints.write_tokenizer(folder, checkpoints.ROWS + 3)
    assert "ids up to 98 and the model rows for 96" in problem(folder)
    checkpoints.write_tokenizer(folder, checkpoints.ROWS - 3)
    assert inspect_model(folder, WHOLE_BUILD).problems == (), "rows are often padded"


def test_a_gguf_with_more_tokens_than_rows(tmp_path: Path) -> None:
    assert "ids up to 98 and the model rows for 96" in problem(
        checkpoints.write_gguf(tmp_path / "t.gguf", tokens=99)
    )


def test_a_vocabulary_that_is_not_the_embeddings(folder: Path) -> None:
    checkpoints.change(folder, vocab_size=128)
    assert "vocab_size 128, the embeddings have 96 rows" in problem(folder)


def test_a_layer_that_is_not_there(folder: Path) -> None:
    checkpoints.change(folder, num_hidden_layers=3)
    assert "the weights of 1 of 3 layers are missing (the first is layer 2)" in problem(folder)


def test_a_number_of_layers_that_no_memory_would_hold(folder: Path, tmp_path: Path) -> None:
    checkpoints.change(folder, num_hidden_layers=1 << 60)
    said = problem(folder)
    assert f"the weights of {(1 << 60) - 2:,} of {1 << 60:,} layers are missing" in said
    assert "the first is layer 2" in said and "num_hidden_layers" in said
    path = checkpoints.write_gguf(tmp_path / "tiny.gguf")
    checkpoints.claim(path, "llama.block_count", 1 << 31)
    said = problem(path)
    assert f"of {1 << 31:,} layers are missing (the first is layer 1)" in said
    assert said.endswith("download the whole model")


# --- tied or not ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "head", "tied", "said"),
    [
        (None, None, True, "read as tied"),
        (None, 7, False, None),
        (None, 0, False, None),
        (True, None, True, None),
        (True, 0, True, None),
        (True, 7, False, "read as untied"),
        (False, 7, False, None),
    ],
)
def test_the_tensors_decide_what_is_tied(
    tmp_path: Path, written: bool | None, head: int | None, tied: bool, said: str | None
) -> None:
    """Llama's default is untied. `head`: the byte that the output matrix is full of, the
    embeddings' is 0."""
    folder = checkpoints.write_folder(
        tmp_path / "model", tensors=checkpoints.shapes(tied=head is None)
    )
    checkpoints.change(folder, "tie_word_embeddings")
    if written is not None:
        checkpoints.change(folder, tie_word_embeddings=written)
    if head:
        checkpoints.write_safetensors(
            folder / "model.safetensors",
            checkpoints.shapes(tied=False),
            fill={"lm_head.weight": head},
        )
    inspection = inspect_model(folder, WHOLE_BUILD)
    assert (ties_embeddings(folder), inspection.facts.tied, inspection.problems) == (tied, tied, ())
    assert [line.endswith(str(said)) for line in inspection.warnings] == ([True] if said else [])


def test_the_default_of_a_class_that_ties(tmp_path: Path) -> None:
    folder = checkpoints.write_folder(tmp_path / "model")
    checkpoints.change(
        folder, "tie_word_embeddings", model_type="gemma", architectures=["GemmaForCausalLM"]
    )
    assert inspect_model(folder, WHOLE_BUILD).warnings == () and ties_embeddings(folder)


def test_untied_without_an_output_matrix(folder: Path) -> None:
    checkpoints.change(folder, tie_word_embeddings=False)
    assert "no output matrix (lm_head.weight) is among the tensors" in problem(folder)


# --- lengths --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "kind", "first"),
    [
        ({"model_type": "llama"}, "default", None),
        ({"model_type": "llama", "rope_scaling": None}, "default", None),
        (
            {"model_type": "llama", "rope_parameters": {"rope_type": "default", "rope_theta": 1e4}},
            "default",
            None,
        ),
        (
            {
                "model_type": "llama",
                "rope_scaling": {"rope_type": "llama3", "original_max_position_embeddings": 8192},
            },
            "llama3",
            8192,
        ),
        (
            {
                "model_type": "qwen2",
                "rope_scaling": {
                    "type": "yarn",
                    "factor": 4,
                    "original_max_position_embeddings": 32768,
                },
            },
            "yarn",
            32768,
        ),
        (
            {
                "model_type": "phi3",
                "rope_scaling": {"type": "longrope"},
                "original_max_position_embeddings": 4096,
            },
            "longrope",
            4096,
        ),
        ({"model_type": "phi3", "rope_scaling": {"type": "su"}}, "longrope", 4096),
        (
            {
                "model_type": "phi3",
                "rope_parameters": {
                    "rope_type": "longrope",
                    "original_max_position_embeddings": 2048,
                },
            },
            "longrope",
            2048,
        ),
        (
            {"model_type": "llama", "rope_scaling": {"type": "linear", "factor": 2.0}},
            "linear",
            None,
        ),
        (
            {
                "model_type": "gemma3_text",
                "rope_parameters": {
                    "full_attention": {"rope_type": "linear", "factor": 8},
                    "sliding_attention": {"rope_type": "default"},
                },
            },
            "linear",
            None,
        ),
    ],
)
def test_ropes_of_transformers_4_and_5(
    config: dict[str, Any], kind: str, first: int | None
) -> None:
    assert (rope_type(config), original_context(config)) == (kind, first)


@pytest.mark.parametrize(
    ("config", "window"),
    [
        ({"model_type": "llama"}, None),
        ({"model_type": "mistral"}, 4096),
        ({"model_type": "mistral", "sliding_window": None}, None),
        ({"model_type": "phi3", "sliding_window": 2047}, 2047),
        ({"model_type": "qwen2", "sliding_window": 512}, None),
        ({"model_type": "qwen2", "sliding_window": 512, "use_sliding_window": True}, 512),
        (
            {
                "model_type": "gemma2",
                "sliding_window": 64,
                "layer_types": ["sliding_attention", "full_attention"],
            },
            64,
        ),
        ({"model_type": "gemma2", "sliding_window": 64, "layer_types": ["full_attention"]}, None),
    ],
)
def test_windows(config: dict[str, Any], window: int | None) -> None:
    assert sliding_window(config) == window


def test_lengths_shorter_than_the_recipes_are_warnings(folder: Path) -> None:
    checkpoints.change(
        folder,
        model_type="phi3",
        architectures=["Phi3ForCausalLM"],
        sliding_window=1023,
        rope_scaling={"type": "longrope"},
        original_max_position_embeddings=1024,
        max_position_embeddings=1536,
    )
    made, stretched, window = inspect_model(folder, Use(export=(INT4,), max_context=2048)).warnings
    assert "made for 1,536 tokens: the bundle gets 1,536" in made
    assert "trained on 1,024 tokens and stretched by its rope (longrope)" in stretched
    assert "see 1,023 tokens back" in window and "set export.max_context: 1023" in window
    assert inspect_model(folder, Use(export=(INT4,), max_context=1023)).warnings == ()


# --- its cost -------------------------------------------------------------------------------------


def write_seven_billion(folder: Path) -> Path:
    """Settings and tokenizer of a 7B model, and no weights."""
    checkpoints.write_folder(
        folder,
        config=checkpoints.CONFIG
        | {
            "hidden_size": 4096,
            "intermediate_size": 11008,
            "num_hidden_layers": 32,
            "num_attention_heads": 32,
            "num_key_value_heads": 32,
            "vocab_size": 32000,
            "tie_word_embeddings": False,
        },
    )
    (folder / "model.safetensors").unlink()
    pairs = [[f"a{number}", f"b{number}"] for number in range(60_000)]
    vocabulary = {f"token{number}": number for number in range(32_000)}
    checkpoints.write_json(
        folder / "tokenizer.json",
        {"added_tokens": [], "model": {"vocab": vocabulary, "merges": pairs}},
    )
    return folder


def test_a_look_at_seven_billion_parameters_takes_under_a_second(tmp_path: Path) -> None:
    """Of this process's own time: others may share the machine. In a process of its own, where
    nothing is imported yet."""
    folder = write_seven_billion(tmp_path / "model")
    script = (
        "import sys, time\nfrom pathlib import Path\nstarted = time.process_time()\n"
        "from fieldpack_build.models.precision import candidate\n"
        "from fieldpack_build.models.inspection import Use, inspect_model\n"
        "use = Use(trains=True, export=(candidate('int4', 'k_quant_mixed', 256),), "
        "max_context=8192)\n"
        "inspection = inspect_model(Path(sys.argv[1]), use)\n"
        "import json\n"
        "heavy = sorted({'torch', 'transformers', 'onnx', 'onnxruntime', 'numpy'} & "
        "set(sys.modules))\n"
        "print(json.dumps([time.process_time() - started, heavy, inspection.problems, "
        "inspection.warnings]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(folder)], capture_output=True, text=True, check=True
    )
    seconds, heavy, problems, warnings = json.loads(done.stdout)
    assert seconds < 1 and heavy == []
    weights, blocks = problems
    assert "no *.safetensors weights in it" in weights and "rows of 11008, 43 blocks" in blocks
    assert "made for 4,096 tokens" in warnings[0]


def test_inspections_compare(folder: Path) -> None:
    started = time.process_time()
    first: Inspection = inspect_model(folder, WHOLE_BUILD)
    assert first == inspect_model(folder, WHOLE_BUILD) and time.process_time() - started < 1
