"""What a bundle says of the hardware its language model can run on: one record for each target, in
the manifest. Written by the build, chosen from on the device. Knows no engine and opens nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, TypedDict, cast

from ..untrusted import typed

# How much of a target has been seen to work. executed: on such a device. emulated: its pipeline, on
# another device. config: nothing ran; it was written as its documentation says.
Proof = Literal["executed", "emulated", "config"]
CPU = "cpu"  # the target that every bundle has
AUTO = "auto"  # in the place of a name: the first target that works here
VARIANTS = "variants"  # the bundle's folder of models in other formats than the CPU's
_MAX_TOKENS = 1 << 24


@dataclass(frozen=True, slots=True)
class Target:
    """One thing that the bundle's language model can run on. `engine` runs the model in `folder`
    (relative to the bundle) on `device`, a word of the engine's. `packages`: the distributions that
    must be installed, with the versions it was measured with. `prompt_limit` and `total_limit`:
    tokens of a prompt, and of a prompt with its answer; None where only the bundle's context
    counts. `figures`: what was measured, `machine`: on what. `answers`: what the target answered to
    the bundle's golden questions, in their order. `note`: what a reader should know of it."""

    name: str
    engine: Literal["genai", "openvino"]
    device: str
    folder: str
    proof: Proof
    prompt_limit: int | None = None
    total_limit: int | None = None
    machine: str = ""
    answers: tuple[str, ...] = ()
    note: str = ""
    packages: Mapping[str, str] = field(default_factory=dict)
    figures: Mapping[str, float] = field(default_factory=dict)

    @property
    def is_static(self) -> bool:
        """Whether the model is compiled for shapes of one size."""
        return self.prompt_limit is not None


_MAPS: dict[str, type] = {"packages": str, "figures": float}


class TargetJson(TypedDict):
    """A `Target` as it stands in a manifest and in `fieldpack info --json`."""

    name: str
    engine: str
    device: str
    folder: str
    proof: str
    prompt_limit: int | None
    total_limit: int | None
    machine: str
    answers: Sequence[str]
    note: str
    packages: Mapping[str, str]
    figures: Mapping[str, float]


def targets_to_json(targets: Sequence[Target]) -> list[TargetJson]:
    """Return the records as they stand in a manifest."""
    return [cast("TargetJson", asdict(target)) for target in targets]


def targets_from_json(data: object) -> tuple[Target, ...]:
    """Return a manifest's records; fields that a newer minor version added are passed over. Raises
    TypeError, ValueError or KeyError for what cannot be a record."""
    if not isinstance(data, list):
        raise TypeError(f"targets: want a list, not {data!r:.80}")
    targets = tuple(_target(record) for record in data)
    if len({target.name for target in targets}) < len(targets):
        raise ValueError("targets: a name is there twice")
    return targets


def _target(record: object) -> Target:
    if not isinstance(record, Mapping):
        raise TypeError(f"targets: want an object, not {record!r:.80}")
    known = {one.name for one in fields(Target)} - set(_MAPS)
    plain = typed(Target, {name: record[name] for name in known if name in record})
    for limit in (plain.prompt_limit, plain.total_limit):
        if limit is not None and not 0 < limit < _MAX_TOKENS:
            raise ValueError("targets: a limit that cannot be")
    maps = {}
    for name, kind in _MAPS.items():
        data = record.get(name, {})
        if not isinstance(data, Mapping):
            raise TypeError(f"targets: want an object, not {data!r:.80}")
        maps[name] = {str(key): kind(cast(Any, value)) for key, value in data.items()}
    return Target(**{**{name: getattr(plain, name) for name in known}, **maps})
