"""Opens a target's engine on this device, and says what is missing where it cannot be opened. Knows
nothing of which target is wanted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..bundle.targets import Target
from ..devices import PLUG_INS, PROVIDERS, Device, placement, provider_devices, require_provider
from ..errors import BundleUnsupported
from ..generation.engine import Engine

GENAI = ("onnxruntime", "onnxruntime-genai")
# What a language model spends its time on. Where these run on the CPU, so does the model.
_MATRIX_NODES = ("MatMulNBits", "MatMul", "Gemm", "GroupQueryAttention", "EPContext")


@dataclass(frozen=True, slots=True)
class Opening:
    """What an engine is opened with. `max_context`: tokens of a prompt with its answer. `emulated`:
    an NPU's static pipeline runs on the CPU."""

    bundle: Path
    threads: int
    skip_tokens: int
    max_context: int
    speculate: bool
    emulated: bool = False


def missing(target: Target, *, emulated: bool = False) -> str:
    """Return why `target` cannot run here, and what to do; empty where nothing is known to hinder
    it."""
    if target.engine == "openvino":
        from ..generation import openvino

        return openvino.missing(target.device, emulated=emulated)
    if emulated:
        return f"{target.name} has no emulation; only static targets have"
    try:
        require_provider(target.device)
    except BundleUnsupported as error:
        return str(error)
    return ""


def open_target(target: Target, opening: Opening) -> Engine:
    """Open the target's engine. Raises BundleUnsupported, which says what is missing."""
    if why := missing(target, emulated=opening.emulated):
        raise BundleUnsupported(f"{target.name}: {why}")
    folder = opening.bundle / target.folder
    if target.engine == "openvino":
        from ..generation.openvino import OpenVinoGenerator, StaticShape

        static = None
        if target.prompt_limit is not None and target.total_limit is not None:
            answer = target.total_limit - target.prompt_limit
            static = StaticShape(target.prompt_limit, answer, emulated=opening.emulated)
        return OpenVinoGenerator.open(
            folder,
            device=target.device,
            threads=opening.threads,
            max_context=opening.max_context,
            speculate=opening.speculate,
            static=static,
        )
    from ..generation.generator import TextGenerator

    device = Device(target.device, opening.threads)
    return TextGenerator.open(
        folder, device=device, skip_tokens=opening.skip_tokens, speculate=opening.speculate
    )


def require_placement(target: Target, bundle: Path) -> None:
    """Raise BundleUnsupported where onnxruntime would run the model's matrices on the CPU. Other
    engines compile a model for one device or refuse it."""
    if target.engine != "genai":
        return
    counts = placement(bundle / target.folder / "model.onnx", target.device)
    if why := elsewhere(counts, PROVIDERS[target.device]):
        raise BundleUnsupported(
            f"{target.name}: {PROVIDERS[target.device]} does not take this model's matrices "
            f"({why}); use --target cpu"
        )


def elsewhere(counts: Mapping[tuple[str, str], int], provider: str) -> str:
    """Return which of a model's matrices run on another provider, in words; empty where none does."""
    heavy = {key: count for key, count in counts.items() if key[1] in _MATRIX_NODES}
    if not heavy:
        return "no matrices were seen"
    return ", ".join(
        f"{count} {kind} on {name}" for (name, kind), count in heavy.items() if name != provider
    )


def driver_of(target: Target, *, emulated: bool = False) -> str:
    """Return what names the packages, the driver and the processor that `target` runs with here:
    right answers hold for as long as it stays the same."""
    if target.engine == "openvino":
        from ..generation.openvino import driver_version

        about = driver_version("CPU" if emulated else target.device)
    else:
        devices = provider_devices(target.device)
        about = json.dumps([[one.device.vendor, dict(one.ep_metadata)] for one in devices])
    return json.dumps({"packages": versions_of(target), "device": about}, sort_keys=True)


def versions_of(target: Target) -> dict[str, str]:
    """Return the versions of the packages that `target` runs with, by distribution; "none" for one
    that is not installed."""
    from importlib.metadata import PackageNotFoundError, version

    names: tuple[str, ...]
    if target.engine == "openvino":
        from ..generation.openvino import PACKAGES as names
    else:
        plug_in = PLUG_INS.get(target.device)
        names = (*GENAI, *([plug_in.distribution] if plug_in else []))
    versions = {}
    for name in names:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "none"
    return versions
