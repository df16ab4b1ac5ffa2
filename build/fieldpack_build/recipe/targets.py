"""The names of a recipe's targets, and how a target is written. Knows nothing of engines or exports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

CPU = "cpu"
OPENVINO = ("openvino-cpu", "openvino-gpu", "openvino-npu")  # OpenVINO GenAI, on a model of its own
STATIC = ("openvino-npu",)  # whose model is compiled for shapes of one size
_UNSUPPORTED = "Qualcomm's NPU is not supported: docs/targets.md says what stopped it"


def by_name(value: object) -> object:
    """Return a target as a mapping with its name in it: `cpu` and `openvino-npu: {max_prompt: 512}` are
    what a recipe writes. What is neither is left to the checks."""
    if isinstance(value, str):
        return _known({"name": value})
    if isinstance(value, Mapping) and len(value) == 1 and "name" not in value:
        name, options = next(iter(value.items()))
        if options is None or isinstance(options, Mapping):
            return _known({"name": name, **(options or {})})
    return value


def _known(fields: dict[str, Any]) -> dict[str, Any]:
    if fields["name"] == "qnn":
        raise ValueError(_UNSUPPORTED)
    return fields
