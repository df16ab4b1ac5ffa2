"""Compresses the weights of one IR in float32 with nncf, in place: int4 by groups, the matrices that
lose most by it and the output matrix in int8. Runs by its path, with nncf and OpenVINO on its import
path.

nncf's symmetric int4 is onnxruntime's: in every group the weight that is furthest from zero becomes
-8. So weights that lie on that grid, with scales that a float16 holds (`export.gptq`), are stored
bit for bit.

Asked by `openvino_ir.build_ir`: {"model", "group", "mixed"}; it answers with the names of the
matrices in int8.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TypedDict

import nncf
import openvino

from fieldpack.child import answer_parent
from fieldpack_build.export.calibrated import stays_int8

_LINEAR = re.compile(r"\.layers\.(\d+)\.(.+?)/.*MatMul$")  # __module.model.layers.3.mlp.up_proj/...


class Question(TypedDict):
    """`model`: the IR's .xml file. `group`: weights that share a scale, -1 for a row. `mixed`:
    whether the matrices that lose most are in int8."""

    model: str
    group: int
    mixed: bool


def compress(question: Question) -> list[str]:
    """Compress one IR, and return the names of the decoder layers' matrices that are in int8."""
    path = Path(question["model"])
    model = openvino.Core().read_model(path)
    kept = matrices_in_int8(model) if question["mixed"] else []
    model = nncf.compress_weights(
        model,
        mode=nncf.CompressWeightsMode.INT4_SYM,
        group_size=question["group"],
        ratio=1.0,
        ignored_scope=nncf.IgnoredScope(names=list(kept)),
    )
    if kept:  # what is compressed already stays as it is
        model = nncf.compress_weights(model, mode=nncf.CompressWeightsMode.INT8_ASYM)
    new = path.with_stem(path.stem + ".compressed")
    openvino.save_model(model, new, compress_to_fp16=False)
    del model  # it may read its weights from the file that is replaced now
    for suffix in (".xml", ".bin"):
        new.with_suffix(suffix).replace(path.with_suffix(suffix))
    return kept


def matrices_in_int8(model: openvino.Model) -> list[str]:
    """Return the names of the matrix products whose weights stay in int8 (`calibrated.stays_int8`)."""
    products = (op for op in model.get_ops() if op.get_type_name() == "MatMul")
    names = [str(op.get_friendly_name()) for op in products]
    linears = {name: match for name in names if (match := _LINEAR.search(name))}
    layers = 1 + max((int(match[1]) for match in linears.values()), default=0)
    return sorted(
        name
        for name, match in linears.items()
        if stays_int8(int(match[1]), match[2], layers=layers)
    )


if __name__ == "__main__":
    answer_parent(compress)
