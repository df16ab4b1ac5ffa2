"""Input embeddings that the builder would leave in float32: tied before the export where they equal
the output matrix, quantized after it where they do not.

genai's builder quantizes the embeddings only where they are the output matrix in int4: Qwen2.5-0.5B
with two matrices came out at 862 MB in int4, 544 of them a float32 table; SmolLM2-135M at 255 MB in
int8, 113 of them one.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..models.inspection import ties_embeddings

_MODEL, _DATA, _CONFIG = "model.onnx", "model.onnx.data", "config.json"
_TABLE = "model.embed_tokens.weight"  # the builder's name for a table of its own
_BLOCK = 32  # values that share a scale and a zero point: 9.25 bits a value


def tied_copy(source: Path, folder: Path) -> Path:
    """Return `source` itself; or, where its config says that its two matrices differ and they are
    equal, a folder of links to it whose config says that they are one."""
    if are_tied(source) or not _equal_matrices(source):
        return source
    config = json.loads((source / _CONFIG).read_text(encoding="utf-8"))
    folder.mkdir(parents=True)
    for path in sorted(source.iterdir()):
        if path.name != _CONFIG:
            (folder / path.name).symlink_to(path.resolve())
    (folder / _CONFIG).write_text(
        json.dumps(config | {"tie_word_embeddings": True}, indent=1), encoding="utf-8"
    )
    return folder


def are_tied(source: Path) -> bool:
    """Say whether input embeddings and output matrix are one; the tensors decide where config.json
    does not say it."""
    return ties_embeddings(source)


def _equal_matrices(source: Path) -> bool:
    """Return whether the files hold both matrices, and these are equal."""
    import torch
    from safetensors import safe_open

    matrices: dict[str, Any] = {}
    for path in sorted(source.glob("*.safetensors")):
        with safe_open(path, "pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118 (no mapping)
                if name.endswith(("embed_tokens.weight", "lm_head.weight")):
                    short = name.removesuffix(".weight").rsplit(".", 1)[-1]
                    matrices[short] = tensors.get_tensor(name)
    return len(matrices) == 2 and torch.equal(matrices["embed_tokens"], matrices["lm_head"])


def quantize_embeddings(folder: Path, *, tied: bool) -> None:
    """Have an exported model that looks its tokens up in a float table look them up in the output
    matrix's own bytes if the two are `tied`, else in an int8 table. Does nothing where the builder
    has shared them."""
    import onnx_ir as ir

    model = ir.load(folder / _MODEL)
    graph: Any = model.graph
    gather = next(
        (n for n in graph if n.op_type == "Gather" and n.inputs[0] and n.inputs[0].name == _TABLE),
        None,
    )
    if gather is None:
        return
    shared = _table_of_the_head(graph, int(gather.inputs[0].shape[1])) if tied else None
    if shared is not None:
        (values, *scales), block, reshapes = shared
    else:
        names = (f"{_TABLE}_Q8", f"{_TABLE}_scale", f"{_TABLE}_zp")
        arrays = _quantize(gather.inputs[0].const_value.numpy())
        values, *scales = map(_constant, arrays, names)
        block, reshapes = _BLOCK, []
    lookup = ir.node(
        "GatherBlockQuantized",
        [values, gather.inputs[1], *scales],
        domain="com.microsoft",
        attributes={"bits": 8, "block_size": block, "gather_axis": 0, "quantize_axis": 1},
        name=f"{gather.name}BlockQuantized",
    )
    ir.convenience.replace_nodes_and_values(
        graph, gather, [gather], [*reshapes, lookup], gather.outputs, lookup.outputs
    )
    table = graph.initializers.pop(_TABLE)
    assert not table.uses()
    for value in (node_input for node in (*reshapes, lookup) for node_input in node.inputs):
        if (
            value is not None
            and value.const_value is not None
            and value.name not in graph.initializers
        ):
            graph.register_initializer(value)
    ir.save(model, folder / _MODEL, external_data=_DATA)


def _table_of_the_head(graph: Any, width: int) -> tuple[list[Any], int, list[Any]] | None:
    """Return ([values as a matrix, scales, zero points], block, the nodes that make the matrix) of
    the int8 output matrix. None where there is none, or its rows are padded to whole blocks."""
    import numpy as np
    import onnx_ir as ir

    heads = [
        node
        for node in graph
        if node.op_type == "MatMulNBits" and (node.name or "").startswith("/lm_head/MatMul")
    ]
    if (
        not heads
        or heads[0].attributes["bits"].as_int() != 8
        or width % heads[0].attributes["block_size"].as_int()
    ):
        return None
    rows, block = heads[0].attributes["N"].as_int(), heads[0].attributes["block_size"].as_int()
    reshapes, inputs = [], []
    for part, columns in zip(
        heads[0].inputs[1:4], (width, width // block, width // block), strict=False
    ):
        if part is not None:
            shape = _constant(np.array([rows, columns], dtype=np.int64), f"{part.name}_as_a_table")
            reshape = ir.node("Reshape", [part, shape], name=f"/model/embed_tokens/{part.name}")
            reshapes.append(reshape)
            inputs.append(reshape.outputs[0])
    return inputs, block, reshapes


def _constant(array: Any, name: str) -> Any:
    """Return an array as a value that is not yet part of a graph."""
    import onnx_ir as ir

    tensor = ir.tensor(array, name=name)
    return ir.Value(
        name=name, const_value=tensor, type=ir.TensorType(tensor.dtype), shape=ir.Shape(array.shape)
    )


def _quantize(weights: Any) -> tuple[Any, Any, Any]:
    """Quantize float32 [rows, width] by blocks of a row, the last one as short as the row leaves it.

    Returns (uint8 values [rows, width], float32 scales, uint8 zero points, both [rows, blocks]). A
    block's range holds zero, so that zero stays zero."""
    import numpy as np

    width = weights.shape[1]
    starts = np.arange(0, width, _BLOCK)
    low = np.minimum(np.minimum.reduceat(weights, starts, axis=1), 0)
    high = np.maximum(np.maximum.reduceat(weights, starts, axis=1), 0)
    scales = np.maximum((high - low) / 255, np.finfo(np.float32).tiny).astype(np.float32)
    zeros = np.rint(-low / scales).astype(np.uint8)
    scale, zero = (np.repeat(part, _BLOCK, axis=1)[:, :width] for part in (scales, zeros))
    return np.clip(np.rint(weights / scale) + zero, 0, 255).astype(np.uint8), scales, zeros
