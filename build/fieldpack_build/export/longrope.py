"""Lets the runtime choose between the two sets of rotary factors of a model (LongRoPE), where the
builder's graph chooses by the tokens read so far, which is right only for a text that is read in
one step (see `fieldpack.generation.longrope`)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fieldpack.generation.longrope import LongRope

_INPUT = "fieldpack.long_rope"
_TABLES = {"cos_cache", "sin_cache"}


def take_choice_as_input(folder: Path, config: Mapping[str, Any]) -> bool:
    """Give `folder`/model.onnx an input that chooses between its tables of cosines and sines, and
    write beside it when which is right. Returns False, and changes nothing, where the graph has one
    table. `config`: as the builder read it.

    An input, not an initializer that may be overridden: genai does not set those (0.18), and with
    an input a runtime that does not know of it fails instead of answering wrongly."""
    import onnx
    from onnx import TensorProto, helper

    path = folder / "model.onnx"
    model = onnx.load(str(path), load_external_data=False)
    choice = _choice(model.graph)
    if choice is None:
        return False
    condition = f"{choice.name}/fieldpack/Cast"
    cast = helper.make_node("Cast", [_INPUT], [condition], to=TensorProto.BOOL, name=condition)
    model.graph.input.append(helper.make_tensor_value_info(_INPUT, TensorProto.INT64, [1]))
    model.graph.node.insert(list(model.graph.node).index(choice), cast)
    choice.input[0] = condition
    onnx.save(model, str(path))
    LongRope(_INPUT, int(config["original_max_position_embeddings"])).write(folder)
    return True


def cut_tables(folder: Path, context: int) -> bool:
    """Leave the tables of `folder`/model.onnx the `context` rows that a bundle will read. Returns
    False where it has one table.

    A step copies the table that it chooses: 50 MB each time for the 131,072 positions of a
    Phi-4-mini."""
    import onnx
    from onnx import numpy_helper

    rope = LongRope.read(folder)
    if rope is None:
        return False
    path = folder / "model.onnx"
    model = onnx.load(str(path), load_external_data=False)
    choice = _choice(model.graph)
    assert choice is not None, "longrope.json lies beside a graph without a choice"
    for branch in choice.attribute:
        for node in branch.g.node:
            rows = numpy_helper.to_array(node.attribute[0].t)[:context]
            node.attribute[0].t.CopyFrom(
                numpy_helper.from_array(rows.copy(), node.attribute[0].t.name)
            )
        for value in branch.g.output:
            value.type.tensor_type.shape.dim[0].dim_value = min(
                value.type.tensor_type.shape.dim[0].dim_value, context
            )
    onnx.save(model, str(path))
    return True


def _choice(graph: Any) -> Any:
    """Return the node that chooses between two tables; None where there is none."""
    return next(
        (node for node in graph.node if node.op_type == "If" and set(node.output) == _TABLES), None
    )
