"""GPTQ: less error than rounding to the nearest, on the grid that the exporter finds again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

import fakes
from fieldpack_build.export import build_onnx
from fieldpack_build.export.calibrated import write_rounded
from fieldpack_build.export.gptq import decoder_layers, round_matrix, round_to_int4
from fieldpack_build.export.rounding import round_by_blocks
from fieldpack_build.models import causal_lm
from fieldpack_build.models.precision import parse
from fieldpack_build.pipeline.task import Task
from fieldpack_build.stages import export
from toys import Project, build_here

pytest_plugins = ["toys"]


def correlated_inputs(count: int, width: int) -> torch.Tensor:
    """Inputs of a layer whose columns depend on each other and differ in size, as a model's do."""
    generator = torch.Generator().manual_seed(0)
    mix = torch.randn(width, width, generator=generator) / width**0.5
    sizes = torch.logspace(-1, 1, width)[torch.randperm(width, generator=generator)]
    return torch.randn(count, width, generator=generator) @ mix * sizes


@pytest.mark.parametrize("width, block_size", [(96, 32), (80, 32), (300, 64)])
def test_the_layer_s_output_changes_less_than_by_rounding_to_the_nearest(
    width: int, block_size: int
) -> None:
    inputs = correlated_inputs(1_000, width)
    weights = torch.randn(40, width, generator=torch.Generator().manual_seed(1))
    rounded = round_matrix(weights, inputs.T @ inputs, block_size=block_size)
    nearest = round_by_blocks(weights, 4, block_size)
    unseen = correlated_inputs(2_000, width)[1_000:]
    errors = [((w - weights) @ unseen.T).square().mean() for w in (rounded, nearest)]
    assert errors[0] < 0.6 * errors[1]


@pytest.mark.parametrize("width, block_size", [(96, 32), (80, 32), (300, 64)])
def test_the_exporter_s_quantizer_finds_the_same_grid(width: int, block_size: int) -> None:
    inputs = correlated_inputs(1_000, width)
    weights = torch.randn(40, width, generator=torch.Generator().manual_seed(1))
    weights[3, :block_size] = 0
    rounded = round_matrix(weights, inputs.T @ inputs, block_size=block_size)
    assert torch.equal(round_by_blocks(rounded, 4, block_size), rounded)
    assert not torch.equal(round_by_blocks(weights, 4, block_size), rounded)


def test_inputs_that_are_always_zero_break_nothing() -> None:
    inputs = correlated_inputs(200, 64)
    inputs[:, 10:20] = 0
    weights = torch.randn(8, 64, generator=torch.Generator().manual_seed(1))
    assert round_matrix(weights, inputs.T @ inputs, block_size=32).isfinite().all()


@pytest.mark.parametrize("family", ["llama", "phi3", "gemma2", "qwen2"])
def test_a_model_is_rounded_layer_by_layer(family: str, tmp_path: Path) -> None:
    folder = fakes.write_tiny_model(tmp_path / family, family)
    model = causal_lm.load_model(folder, dtype=torch.float32).eval()
    before = {name: value.clone() for name, value in model.named_parameters()}
    texts = [[(7 * i + 3 * n) % 97 + 3 for i in range(24)] for n in range(8)]
    done: list[tuple[int, int]] = []
    round_to_int4(
        model,
        texts,
        block_size=32,
        keep=lambda layer, name: layer == 1 and name.endswith("down_proj"),
        on_progress=lambda *step: done.append(step),
    )
    count = len(decoder_layers(model))
    assert done == [(number, count) for number in range(1, count + 1)]
    for name, value in model.named_parameters():
        linear = (
            value.dim() == 2 and ".layers." in name and not name.endswith("1.mlp.down_proj.weight")
        )
        if linear:
            assert torch.equal(round_by_blocks(value.data, 4, 32), value.data), name
        assert torch.equal(value, before[name]) != linear, name


def test_the_exporter_stores_the_rounded_weights_bit_for_bit(tmp_path: Path) -> None:
    folder = fakes.write_tiny_model(tmp_path / "model", "llama")
    wanted = parse("int4-gptq_mixed-32")
    texts = [[(7 * i + 3 * n) % 97 + 3 for i in range(24)] for n in range(8)]
    steps: list[tuple[int, int, str]] = []
    write_rounded(
        folder, tmp_path / "rounded", wanted, texts, on_progress=lambda *step: steps.append(step)
    )
    assert steps[-1] == (2, 2, "layers calibrated")
    build_onnx(tmp_path / "rounded", tmp_path / "onnx", wanted, tmp_path / "work")
    graph = onnx.load(str(tmp_path / "onnx" / "model.onnx")).graph
    stored = {
        tensor.name: onnx.numpy_helper.to_array(tensor, str(tmp_path / "onnx"))
        for tensor in graph.initializer
    }
    rounded = causal_lm.load_model(tmp_path / "rounded", dtype=torch.float32)
    compared = 0
    for node in graph.node:
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        if node.op_type != "MatMulNBits" or attributes["bits"] != 4:
            continue
        name = (
            node.name.split("/MatMul")[0].strip("/").replace("/", ".").replace("attn", "self_attn")
        )
        packed, scales = stored[node.input[1]], stored[node.input[2]]
        whole = np.stack([packed & 15, packed >> 4], axis=-1).reshape(*packed.shape[:2], -1)
        values = (whole.astype(np.float32) - 8) * scales.reshape(*packed.shape[:2], 1)
        parts = (
            ("q_proj", "k_proj", "v_proj")
            if name.endswith("qkv_proj")
            else (name.rpartition(".")[2],)
        )
        modules = [rounded.get_submodule(f"{name.rpartition('.')[0]}.{part}") for part in parts]
        expected = torch.cat([module.weight.detach() for module in modules]).numpy()
        assert np.array_equal(values.reshape(len(packed), -1)[:, : expected.shape[1]], expected), (
            name
        )
        compared += 1
    assert compared >= 5


def test_they_are_candidates_like_the_others_and_share_their_prompts(
    toy: Project, built: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    made_in, real = [], export.calibration_samples

    def counted(task: Task, *args: Any, **options: Any) -> Any:
        made_in.append(task.out)
        return real(task, *args, **options)

    monkeypatch.setattr(export, "calibration_samples", counted)
    made = build_here(
        toy,
        "export.precision=auto",
        'export.candidates=["int4-gptq-32", "int4-gptq_mixed-32", "int8-32"]',
        "export.max_degradation=1000000",
    )
    figures = {c["name"]: c for c in made.results["export"]["candidates"]}
    for name in ("int4-gptq-32", "int4-gptq_mixed-32"):
        assert figures[name]["refused"] is None
    assert figures["int4-gptq-32"]["kl"] > 0
    assert made_in and len(made_in) == len(set(made_in))  # once a stage, for all its candidates
    # Of a toy both have the same size in tenths of a megabyte.
    assert made.results["export"]["candidate"] in ("int4-gptq-32", "int4-gptq_mixed-32")
