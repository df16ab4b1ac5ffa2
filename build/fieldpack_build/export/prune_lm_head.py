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
# between the matrix and the logits: a bias, soft capping
_BEHIND = {"Add", "Cast", "Div", "Tanh", "Mul"}
_PREFIX = "/fieldpack/window"


def prune_lm_head(folder: Path) -> bool:
    """Rewrite `folder`/model.onnx. Returns False, and changes nothing, where its end is of another
    kind."""
    import onnx

    path = folder / "model.onnx"
    model = onnx.load(str(path), load_external_data=False)
    made_by = {output: node for node in model.graph.node for output in node.output}
    head = made_by.get("logits")
    while head is not None and head.op_type in _BEHIND:
        head = made_by.get(head.input[0])
    if head is None or head.op_type not in _HEADS:
        return False
    _narrow(model.graph, head)
    onnx.save(model, str(path))
    return True


def _narrow(graph: Any, head: Any) -> None:
    """Have the head read the last WINDOW rows of hidden [1, n, h] alone, and put zeros before their
    logits: [1, n, vocabulary]."""
    from onnx import helper

    hidden, window = head.input[0], f"{_PREFIX}/hidden"
    last = next(node for node in graph.node if "logits" in node.output)
    before = [
        _constant(graph, "start", [-WINDOW]),
        _constant(graph, "end", [2**62]),
        _constant(graph, "axis", [1]),
    ]
    graph.node.insert(
        list(graph.node).index(head),
        helper.make_node("Slice", [hidden, *before], [window], name=window),
    )
    head.input[0] = window
    last.output[list(last.output).index("logits")] = rows = f"{_PREFIX}/logits"
    zero, zeros = _constant(graph, "none", [0]), _constant(graph, "rest", [0, 0, 0])
    count, computed, missing, pads = (
        f"{_PREFIX}/{name}" for name in ("all", "some", "missing", "pads")
    )
    graph.node.extend(
        [
            helper.make_node("Shape", [hidden], [count], name=count, start=1, end=2),
            helper.make_node("Shape", [rows], [computed], name=computed, start=1, end=2),
            helper.make_node("Sub", [count, computed], [missing], name=missing),
            helper.make_node("Concat", [zero, missing, zero, zeros], [pads], name=pads, axis=0),
            helper.make_node("Pad", [rows, pads], ["logits"], name=f"{_PREFIX}/pad"),
        ]
    )
    del graph.value_info[:]  # shapes that no longer hold


def _constant(graph: Any, name: str, values: list[int]) -> str:
    """Add whole numbers to the graph; returns their name in it."""
    import numpy as np
    from onnx import numpy_helper

    full_name = f"{_PREFIX}/{name}"
    graph.initializer.append(numpy_helper.from_array(np.array(values, dtype=np.int64), full_name))
    return full_name
