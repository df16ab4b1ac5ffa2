"""An IR holds the weights that GPTQ chose, bit for bit, and in int8 what the CPU's model has in
int8."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import fakes
from fieldpack_build.export.calibrated import stays_int8, write_rounded
from fieldpack_build.export.openvino_ir import CHANNEL, Rounding, Toolchains, build_ir
from fieldpack_build.models import causal_lm
from fieldpack_build.models.precision import parse
from openvino_tools import openvino_tools

__all__ = ["openvino_tools"]
LAYERS = 6
TEXTS = [[(7 * i + 3 * n) % 97 + 3 for i in range(24)] for n in range(8)]


def test_a_format_is_rounded_as_the_model_for_the_cpu_is() -> None:
    names = {
        name: Rounding.like(parse(name)).name(64)
        for name in ("int4-rtn-32", "int4-k_quant_mixed-32", "int4-gptq-32", "int4-gptq_mixed-32")
    }
    assert names == {
        "int4-rtn-32": "openvino-int4-64",
        "int4-k_quant_mixed-32": "openvino-int4-mixed-64",
        "int4-gptq-32": "openvino-int4-gptq-64",
        "int4-gptq_mixed-32": "openvino-int4-gptq-mixed-64",
    }
    config = {"hidden_size": 64, "intermediate_size": 128}
    assert Rounding(True, True).candidate(CHANNEL, config).name == "int4-gptq_mixed-128"


@pytest.mark.parametrize("mixed", [False, True])
def test_openvino_stores_the_rounded_weights_bit_for_bit(
    mixed: bool, openvino_tools: Toolchains, tmp_path: Path
) -> None:
    model = fakes.write_tiny_model(tmp_path / "hf", "llama", num_hidden_layers=LAYERS)
    candidate = Rounding(True, mixed).candidate(64, {"hidden_size": 64, "intermediate_size": 128})
    rounded = tmp_path / "rounded"
    write_rounded(
        model, rounded, candidate, TEXTS, half_scales=True, on_progress=lambda *step: None
    )
    build_ir(rounded, tmp_path / "ir", group=64, mixed=mixed, ends=[2], tools=openvino_tools)
    stored = stored_weights(tmp_path / "ir" / "openvino_model.xml")
    weights = causal_lm.load_model(rounded, dtype=torch.float32)
    in_int8 = set()
    for name, module in weights.named_modules():
        if not isinstance(module, torch.nn.Linear) or ".layers." not in name:
            continue
        kind, values = stored[name]
        expected = module.weight.detach().numpy()
        if kind == "i4":
            assert np.array_equal(values.reshape(expected.shape), expected), name
        else:
            in_int8.add(name)
    expected_in_int8 = {
        f"model.layers.{layer}.{part}"
        for layer in range(LAYERS)
        for part in ("mlp.down_proj", "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")
        if mixed and stays_int8(layer, part, layers=LAYERS)
    }
    assert in_int8 == expected_in_int8 and bool(in_int8) == mixed


def stored_weights(path: Path) -> dict[str, tuple[str, Any]]:
    """The matrices of an IR by their module's name: the type they are stored in, and int4 ones as
    float32, [out, groups, width of a group]. A compressed matrix is a constant, its scale and their
    product."""
    import openvino

    constants = {
        op.get_friendly_name(): op
        for op in openvino.Core().read_model(path).get_ops()
        if op.get_type_name() == "Constant"
    }
    found = {}
    for name, constant in constants.items():
        scale = constants.get(f"{name}/scale")
        if scale is None or ".layers." not in name:
            continue
        kind = constant.get_element_type().get_type_name()
        values = constant.get_data(dtype=np.float32) * scale.get_data().astype(np.float32)
        found[name.removeprefix("self.").removesuffix(".weight")] = (kind, values)
    return found
