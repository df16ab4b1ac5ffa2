"""What this machine is: processor, cores, memory, limits that a container or a service sets,
versions. Reads /proc and /sys, runs nothing. Knows nothing of bundles."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fieldpack.devices import available_cores

# What int4 and int8 kernels are chosen by: x86-64, then ARM.
FEATURES = (
    "avx2",
    "fma",
    "f16c",
    "avx512f",
    "avx512_vnni",
    "avx_vnni",
    "amx_int8",
    "asimd",
    "asimddp",
    "i8mm",
    "sve",
    "bf16",
)
PACKAGES = ("onnxruntime", "onnxruntime-genai", "usearch", "tokenizers", "numpy")
_UNLIMITED = 1 << 60  # cgroup v1 writes a number of this size where there is no limit


@dataclass(frozen=True, slots=True)
class Machine:
    """Bytes. `cores`: of the machine; `usable`: of its affinity mask; `quota`: cores' worth of time
    that a cgroup grants, None where it sets no limit. `available`: what can still be taken, a
    cgroup's limit regarded. `load`: processes that want to run (1 minute). `versions`: None for a
    package that is not there."""

    cpu: str
    features: tuple[str, ...]
    cores: int
    usable: int
    quota: float | None
    memory: int
    limit: int | None
    available: int
    load: float
    system: str
    python: str
    versions: dict[str, str | None]

    @property
    def x86(self) -> bool:
        return self.system.rpartition(" ")[2] in ("x86_64", "AMD64")


def this_machine(root: Path = Path("/")) -> Machine:
    """`root`: where /proc and /sys are."""
    memory = _sizes(root / "proc" / "meminfo")
    limits = [found for folder in _cgroups(root) if (found := _memory_of(folder))]
    left = [limit - used for limit, used in limits]
    quotas = [quota for folder in _cgroups(root) if (quota := _quota_of(folder))]
    cpu, features = _processor(root / "proc" / "cpuinfo")
    return Machine(
        cpu=cpu or platform.processor() or platform.machine(),
        features=features,
        cores=os.cpu_count() or 1,
        usable=available_cores(),
        quota=min(quotas, default=None),
        memory=memory.get("MemTotal", 0),
        limit=min((limit for limit, _ in limits), default=None),
        available=max(min([memory.get("MemAvailable", 0), *left]), 0),
        load=os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0,
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        python=platform.python_version(),
        versions={name: version_of(name) for name in PACKAGES},
    )


def version_of(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def peak_memory(root: Path = Path("/")) -> int:
    """The most this process has held, in bytes; 0 where the system does not say."""
    return _sizes(root / "proc" / "self" / "status").get("VmHWM", 0)


def _sizes(path: Path) -> dict[str, int]:
    """Lines of the form `MemTotal:  24105 kB`, in bytes."""
    found = {}
    for line in _read(path).splitlines():
        name, _, value = line.partition(":")
        if value.endswith(" kB"):
            found[name] = int(value.split()[0]) * 1024
    return found


def _processor(path: Path) -> tuple[str, tuple[str, ...]]:
    """Model and features of the first processor."""
    lines = [line.partition(":") for line in _read(path).split("\n\n")[0].splitlines()]
    fields = {name.strip(): value.strip() for name, _, value in lines}
    flags = set((fields.get("flags") or fields.get("Features") or "").split())
    return fields.get("model name", ""), tuple(name for name in FEATURES if name in flags)


def _cgroups(root: Path) -> Iterator[Path]:
    """Folders of the process's control groups, its own first; limits of every one hold."""
    top = root / "sys" / "fs" / "cgroup"
    for line in _read(root / "proc" / "self" / "cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(",") if controllers else [""]:
            base = top / controller if controller else top
            own = base / path.lstrip("/")
            yield from (folder for folder in (own, *own.parents) if folder.is_relative_to(base))


def _memory_of(folder: Path) -> tuple[int, int] | None:
    """Limit and use of a cgroup, versions 2 and 1."""
    for limit, used in (
        ("memory.max", "memory.current"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes"),
    ):
        value = _read(folder / limit).strip()
        if value.isdigit() and int(value) < _UNLIMITED:
            return int(value), int(_read(folder / used).strip() or 0)
    return None


def _quota_of(folder: Path) -> float | None:
    """Cores' worth of time, versions 2 and 1."""
    quota, _, period = _read(folder / "cpu.max").strip().partition(" ")
    if not quota:
        quota, period = (
            _read(folder / "cpu.cfs_quota_us").strip(),
            _read(folder / "cpu.cfs_period_us").strip(),
        )
    return int(quota) / int(period) if quota.isdigit() and period.isdigit() else None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:  # another system, or a folder that this user may not read
        return ""
