"""Only the last rows of a prompt's logits are computed, and they are what they were."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import fakes
from fieldpack.generation.kv_cache import WINDOW
from fieldpack_build.export.prune_lm_head import prune_lm_head


def read(folder: Path, *steps: int) -> list[Any]:
    """Logits after each step of so many tokens."""
    import onnxruntime_genai as og

    model = og.Model(str(folder))
    params = og.GeneratorParams(model)
    params.set_search_options(max_length=200)
    generator, at, logits = og.Generator(model, params), 0, []
    for size in steps:
        generator.append_tokens([20 + i % 60 for i in range(at, at + size)])
        at += size
        logits.append(np.array(generator.get_output("logits"), dtype=np.float32).reshape(size, -1))
    return logits


@pytest.mark.parametrize(
    "family", ["llama", "gemma2", "phi3"]
)  # phi3: a matrix of its own; gemma2: soft capping behind it
def test_the_rows_that_are_looked_at_are_the_same_to_the_bit(family: str, tmp_path: Path) -> None:
    whole = fakes.export_tiny_model(
        fakes.write_tiny_model(tmp_path / "hf", family), tmp_path / "whole"
    )
    few = Path(shutil.copytree(whole, tmp_path / "few"))
    assert prune_lm_head(few)
    for expected, logits in zip(
        read(whole, 64, 1, 3, WINDOW, 40), read(few, 64, 1, 3, WINDOW, 40), strict=True
    ):
        assert np.array_equal(expected[-WINDOW:], logits[-WINDOW:])
        assert not logits[:-WINDOW].any()


def test_a_graph_that_ends_otherwise_is_left_alone(tmp_path: Path) -> None:
    from onnx import TensorProto, helper

    x, y = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, "n", 4])
        for name in ("x", "logits")
    )
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["logits"])], "g", [x], [y])
    path = tmp_path / "model.onnx"
    onnx.save(helper.make_model(graph), str(path))
    before = path.read_bytes()
    assert prune_lm_head(tmp_path) is False and path.read_bytes() == before
