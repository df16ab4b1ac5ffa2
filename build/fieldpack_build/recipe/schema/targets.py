"""The recipe's `targets` and `device` sections: what hardware a bundle is made for, and how much of
it there is. Knows nothing of engines or exports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from .base import Section

CPU = "cpu"
OPENVINO = ("openvino-cpu", "openvino-gpu", "openvino-npu")  # OpenVINO GenAI, on a model of its own
_UNSUPPORTED = "Qualcomm's NPU is not supported: docs/targets.md says what stopped it"


class TargetSection(Section):
    """One of the hardware targets: a name alone, `cpu`, or a name with options, `openvino-npu:
    {max_prompt: 512}`. docs/targets.md says what each needs and what was run."""

    name: Literal["cpu", "openvino", "webgpu", "openvino-cpu", "openvino-gpu", "openvino-npu"]
    """What the language model runs on; in a recipe it stands before the options."""
    group: Literal["auto", 128, 64, "channel"] = "auto"
    """How many weights of a row share a scale in an OpenVINO model; auto takes the first of 128, 64
    and channel (a whole row) that divides the model's widths and passes the export's gates."""
    max_prompt: Annotated[int, Field(ge=256, le=32_768)] | None = None
    """Tokens of the longest prompt that an NPU's model is compiled for; 1,024 where none are
    given."""
    max_answer: Annotated[int, Field(ge=32, le=8192)] | None = None
    """Tokens of the longest answer that an NPU's model is compiled for; those of
    `answer.max_answer_tokens` where none are given."""

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
        """Whether the target's model is compiled for shapes of one size."""
        return self.name == "openvino-npu"


class DeviceLimits(Section):
    """What the device has. `build check` computes from the base model's shape what a bundle would
    take, and names what fits where the recipe does not."""

    ram_mb: Annotated[float, Field(gt=0)] | None = None
    """Memory that the bundle may take at its peak, in megabytes of 10^6 bytes."""
    disk_mb: Annotated[float, Field(gt=0)] | None = None
    """Disk that the bundle may take, in megabytes of 10^6 bytes."""
    tokens_per_s: Annotated[float, Field(gt=0)] | None = None
    """Least speed at which answers are to be generated."""


def with_name(value: object) -> object:
    """Return a target as a mapping with its name in it: `cpu` and `openvino-npu: {max_prompt: 512}`
    are what a recipe writes. What is neither is left to the checks. Raises ValueError for a target
    that is known and not supported."""
    if isinstance(value, str):
        return _refuse_unsupported({"name": value})
    if isinstance(value, Mapping) and len(value) == 1 and "name" not in value:
        name, options = next(iter(value.items()))
        if options is None or isinstance(options, Mapping):
            return _refuse_unsupported({"name": name, **(options or {})})
    return value


def _refuse_unsupported(fields: dict[str, Any]) -> dict[str, Any]:
    if fields["name"] == "qnn":
        raise ValueError(_UNSUPPORTED)
    return fields
