"""Keeps the output matrix of an exported model from being multiplied with every token of a prompt:
only the last few rows are ever looked at, and for a small model the matrix is a fifth of the work
(1.15 times the prefill on SmolLM2-135M, the logits that are looked at equal to the bit).

genai allocates logits for every token that it gives, so the rows before the window are there and
zero. Its builder's own `prune_lm_head` leaves one row: too few to check a draft with.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fieldpack.generation.kv_cache import WINDOW

_HEADS = {"MatMul", "MatMulNBits", "Gemm"}
_BEHIND = {
    "Add",
    "Cast",
    "Div",
    "Tanh",
    "Mul",
}  # between the matrix and the logits: a bias, soft capping
_PREFIX = "/fieldpack/window"


def prune_lm_head(folder: Path) -> bool:
    """Rewrite `folder`/model.onnx; False, and nothing changed, where its end is of another kind."""
    import onnx

    path = folder / "model.onnx"
    model = onnx.load(str(path), load_external_data=False)
    head = _head(model.graph)
    if head is None:
        return False
    _narrow(model.graph, head)
    onnx.save(model, str(path))
    return True


def _head(graph: Any) -> Any:
    made_by = {output: node for node in graph.node for output in node.output}
    node = made_by.get("logits")
    while node is not None and node.op_type in _BEHIND:
        node = made_by.get(node.input[0])
    return node if node is not None and node.op_type in _HEADS else None


def _narrow(graph: Any, head: Any) -> None:
    """hidden [1, n, h] -> its last WINDOW rows -> logits of those -> zeros before them, [1, n,
    vocabulary]."""
    from onnx import helper

    hidden, few = head.input[0], f"{_PREFIX}/hidden"
    last = next(node for node in graph.node if "logits" in node.output)
    before = [
        _constant(graph, "start", [-WINDOW]),
        _constant(graph, "end", [2**62]),
        _constant(graph, "axis", [1]),
    ]
    graph.node.insert(
        list(graph.node).index(head), helper.make_node("Slice", [hidden, *before], [few], name=few)
    )
    head.input[0] = few
    last.output[list(last.output).index("logits")] = rows = f"{_PREFIX}/logits"
    none, rest = _constant(graph, "none", [0]), _constant(graph, "rest", [0, 0, 0])
    all_of, some_of, missing, pads = (
        f"{_PREFIX}/{name}" for name in ("all", "some", "missing", "pads")
    )
    graph.node.extend(
        [
            helper.make_node("Shape", [hidden], [all_of], name=all_of, start=1, end=2),
            helper.make_node("Shape", [rows], [some_of], name=some_of, start=1, end=2),
            helper.make_node("Sub", [all_of, some_of], [missing], name=missing),
            helper.make_node("Concat", [none, missing, none, rest], [pads], name=pads, axis=0),
            helper.make_node("Pad", [rows, pads], ["logits"], name=f"{_PREFIX}/pad"),
        ]
    )
    del graph.value_info[:]  # shapes that no longer hold


def _constant(graph: Any, name: str, values: list[int]) -> str:
    import numpy as np
    from onnx import numpy_helper

    whole = f"{_PREFIX}/{name}"
    graph.initializer.append(numpy_helper.from_array(np.array(values, dtype=np.int64), whole))
    return whole
