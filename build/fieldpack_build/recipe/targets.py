"""The recipe's `targets` and `device` sections: what hardware a bundle is made for, and how much of it
there is. Knows nothing of engines or exports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, model_validator

from .types import STRICT

CPU = "cpu"
OPENVINO = ("openvino-cpu", "openvino-gpu", "openvino-npu")  # OpenVINO GenAI, on a model of its own
_UNSUPPORTED = "Qualcomm's NPU is not supported: docs/targets.md says what stopped it"


class TargetSection(BaseModel):
    """One target: a name, or a name with options. `group`: how many weights of a row share a scale in
    an OpenVINO model; auto takes the first of 128, 64 and channel (a whole row) that divides the
    model's widths and passes the export's gates. `max_prompt` and `max_answer`: tokens that an NPU's
    model is compiled for, 1,024 and the bundle's own if left away."""

    model_config = STRICT

    name: Literal["cpu", "openvino", "webgpu", "openvino-cpu", "openvino-gpu", "openvino-npu"]
    group: Literal["auto", 128, 64, "channel"] = "auto"
    max_prompt: Annotated[int, Field(ge=256, le=32_768)] | None = None
    max_answer: Annotated[int, Field(ge=32, le=8192)] | None = None

    @model_validator(mode="after")
    def _fitting(self) -> TargetSection:
        if self.group != "auto" and self.name not in OPENVINO:
            raise ValueError(f"group: {self.name} runs the bundle's own model; leave it away")
        for name in ("max_prompt", "max_answer"):
            if getattr(self, name) is not None and not self.is_static:
                raise ValueError(f"{name}: {self.name} takes texts of any length; leave it away")
        return self

    @property
    def is_static(self) -> bool:
        """Return whether the target's model is compiled for shapes of one size."""
        return self.name == "openvino-npu"


class DeviceLimits(BaseModel):
    """What the device has. `ram_mb`: memory that the bundle may take at its peak, megabytes of 10^6
    bytes. `disk_mb`: of the bundle. `tokens_per_s`: the least decode speed wanted."""

    model_config = STRICT

    ram_mb: Annotated[float, Field(gt=0)] | None = None
    disk_mb: Annotated[float, Field(gt=0)] | None = None
    tokens_per_s: Annotated[float, Field(gt=0)] | None = None


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
