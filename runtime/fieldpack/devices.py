"""The threads and execution providers that this machine offers. Knows nothing of bundles or
questions."""

from __future__ import annotations

import os
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from .errors import BundleUnsupported

# Short names that onnxruntime-genai's `append_provider` takes, with the provider that must be
# there.
PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "dml": "DmlExecutionProvider",
    "webgpu": "WebGpuExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
    "qnn": "QNNExecutionProvider",
}


# The libraries that shape speed and answers.
PACKAGES = ("onnxruntime", "onnxruntime-genai", "tokenizers", "usearch", "numpy")


def package_versions() -> dict[str, str | None]:
    """Return the versions of PACKAGES; None for a package that is not installed."""
    from importlib.metadata import PackageNotFoundError, version

    versions: dict[str, str | None] = dict.fromkeys(PACKAGES)
    for name in PACKAGES:
        with suppress(PackageNotFoundError):
            versions[name] = version(name)
    return versions


def available_cores() -> int:
    """Return how many cores this process may use: its affinity mask, not the machine's count."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True, slots=True)
class Device:
    """What models run on. `provider`: a key of PROVIDERS, for the language model; the embedder
    always runs on the CPU."""

    provider: str = "cpu"
    threads: int = field(default_factory=available_cores)


@dataclass(frozen=True, slots=True)
class PlugIn:
    """A provider that comes as a package of its own. `genai`: what `append_provider` calls it."""

    distribution: str
    module: str
    extra: str
    genai: str


PLUG_INS = {
    "openvino": PlugIn(
        "onnxruntime-ep-openvino", "onnxruntime_ep_openvino", "openvino-plug-in", "OpenVINO"
    ),
    "webgpu": PlugIn("onnxruntime-ep-webgpu", "onnxruntime_ep_webgpu", "webgpu", "WebGPU"),
}


@cache
def register_plug_in(name: str) -> str:
    """Make a plug-in provider known to onnxruntime and to genai; return why that is not possible,
    and what to do, or an empty string. The library comes from an installed package and from nowhere
    else.
    """
    from importlib.metadata import PackageNotFoundError, distribution

    plug_in = PLUG_INS[name]
    try:
        home = Path(str(distribution(plug_in.distribution).locate_file(""))).resolve()
    except PackageNotFoundError:
        return f'{plug_in.distribution} is not installed: pip install "fieldpack[{plug_in.extra}]"'
    import onnxruntime as ort
    import onnxruntime_genai as og

    library = Path(import_module(plug_in.module).get_library_path()).resolve()
    if not library.is_relative_to(home):
        return f"{library} is not of the installed {plug_in.distribution}"
    try:
        for registry in (ort, og):
            registry.register_execution_provider_library(PROVIDERS[name], str(library))
    except RuntimeError as error:
        return f"{plug_in.distribution} does not load: {str(error).splitlines()[0][:200]}"
    return ""


def provider_devices(name: str) -> list[Any]:
    """Return onnxruntime's devices of a provider, those of a plug-in after it was registered."""
    import onnxruntime as ort

    return [device for device in ort.get_ep_devices() if device.ep_name == PROVIDERS[name]]


def require_provider(name: str) -> None:
    """Raise BundleUnsupported if an execution provider is not on this machine; genai's own error
    comes late and names the wrong cause."""
    import onnxruntime as ort

    if name not in PROVIDERS:
        raise BundleUnsupported(
            f"unknown execution provider {name!r}; one of {', '.join(PROVIDERS)}"
        )
    why = register_plug_in(name) if name in PLUG_INS else ""
    present = {str(device.ep_name) for device in ort.get_ep_devices()} | set(
        ort.get_available_providers()
    )
    if PROVIDERS[name] not in present:
        reason = why or "no device of this machine is one of its"
        here = ", ".join(sorted(present))
        raise BundleUnsupported(
            f"{PROVIDERS[name]} is not on this machine ({reason}); here: {here}"
        )


def genai_name(provider: str) -> str:
    """Return what genai's `append_provider` calls a provider."""
    return PLUG_INS[provider].genai if provider in PLUG_INS else provider


def placement(model: Path, provider: str) -> Counter[tuple[str, str]]:
    """Return how many nodes of an ONNX model each provider runs where `provider` is asked first, by
    (provider, kind of node). onnxruntime runs on the CPU what a provider does not take, in silence.
    Opens the model once, which takes its memory for a moment. Raises BundleUnsupported."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    devices = provider_devices(provider)
    try:
        if devices:
            options.add_provider_for_devices(devices, {})
            session = ort.InferenceSession(str(model), options, enable_fallback=False)
        else:
            chosen = [PROVIDERS[provider]]
            session = ort.InferenceSession(
                str(model), options, providers=chosen, enable_fallback=False
            )
    except (RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0][:200]
        raise BundleUnsupported(f"{model}: does not open with {provider}: {reason}") from None
    counts: Counter[tuple[str, str]] = Counter()
    for part in session.get_provider_graph_assignment_info():
        counts.update((str(part.ep_name), str(node.op_type)) for node in part.get_nodes())
    return counts


def session_options(device: Device) -> Any:
    """Return onnxruntime's options for a session on the device's threads."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = device.threads
    options.inter_op_num_threads = 1
    # Spinning costs a whole core between questions and, on a shared machine, slows the language
    # model.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return options
