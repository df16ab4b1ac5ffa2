"""The threads and execution providers that this machine offers. Knows nothing of bundles or
questions."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, field
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


def require_provider(name: str) -> None:
    """Raise BundleUnsupported if an execution provider is not on this machine; genai's own error
    comes late and names the wrong cause."""
    import onnxruntime as ort

    if name not in PROVIDERS:
        raise BundleUnsupported(
            f"unknown execution provider {name!r}; one of {', '.join(PROVIDERS)}"
        )
    present = {str(device.ep_name) for device in ort.get_ep_devices()} | set(
        ort.get_available_providers()
    )
    if PROVIDERS[name] not in present:
        raise BundleUnsupported(
            f"{PROVIDERS[name]} is not on this machine; here: {', '.join(sorted(present))}"
        )


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
