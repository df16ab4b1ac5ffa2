"""Describes this machine: processor, cores, memory, the limits that a container or a service sets,
versions. Reads /proc and /sys, runs nothing. Knows nothing of bundles."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fieldpack.devices import available_cores, package_versions

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
_UNLIMITED = 1 << 60  # cgroup v1 writes a number of this size where there is no limit


@dataclass(frozen=True, slots=True)
class Machine:
    """What a machine has; memory in bytes. `cores`: of the machine; `usable`: of its affinity mask;
    `quota`: cores' worth of time that a cgroup grants, None where it sets no limit. `available`:
    memory that can still be taken, under a cgroup's limit too. `load`: processes that want to run
    (1 minute). `versions`: None for a package that is not installed."""

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

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Machine:
        """Return the machine that `dataclasses.asdict` made `data` of, or JSON of that."""
        return cls(**data)

    @property
    def x86(self) -> bool:
        """Whether the processor is an x86-64."""
        return self.system.rpartition(" ")[2] in ("x86_64", "AMD64")


def this_machine(root: Path = Path("/")) -> Machine:
    """Return what this machine is. `root`: where /proc and /sys are."""
    memory = {}  # lines such as `MemTotal:  24105 kB`, in bytes
    for line in _read(root / "proc" / "meminfo").splitlines():
        name, _, value = line.partition(":")
        if value.endswith(" kB"):
            memory[name] = int(value.split()[0]) * 1024
    limits = [limit for folder in _cgroups(root) if (limit := _memory_of(folder))]
    left = [limit - used for limit, used in limits]
    quotas = [quota for folder in _cgroups(root) if (quota := _quota_of(folder))]
    first = _read(root / "proc" / "cpuinfo").split("\n\n")[0]  # the first processor
    lines = [line.partition(":") for line in first.splitlines()]
    fields = {name.strip(): value.strip() for name, _, value in lines}
    flags = set((fields.get("flags") or fields.get("Features") or "").split())
    return Machine(
        cpu=fields.get("model name") or platform.processor() or platform.machine(),
        features=tuple(name for name in FEATURES if name in flags),
        cores=os.cpu_count() or 1,
        usable=available_cores(),
        quota=min(quotas, default=None),
        memory=memory.get("MemTotal", 0),
        limit=min((limit for limit, _ in limits), default=None),
        available=max(min([memory.get("MemAvailable", 0), *left]), 0),
        load=os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0,
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        python=platform.python_version(),
        versions=package_versions(),
    )


def _cgroups(root: Path) -> Iterator[Path]:
    """Yield the folders of the process's control groups, its own first; the limits of each one
    hold."""
    top = root / "sys" / "fs" / "cgroup"
    for line in _read(root / "proc" / "self" / "cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(",") if controllers else [""]:
            base = top / controller if controller else top
            own = base / path.lstrip("/")
            yield from (folder for folder in (own, *own.parents) if folder.is_relative_to(base))


def _memory_of(folder: Path) -> tuple[int, int] | None:
    """Return a cgroup's limit of memory and its use, in bytes, of versions 2 and 1; None without a
    limit."""
    for limit, used in (
        ("memory.max", "memory.current"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes"),
    ):
        value = _read(folder / limit).strip()
        if value.isdigit() and int(value) < _UNLIMITED:
            return int(value), int(_read(folder / used).strip() or 0)
    return None


def _quota_of(folder: Path) -> float | None:
    """Return a cgroup's limit in cores' worth of time, of versions 2 and 1; None without one."""
    quota, _, period = _read(folder / "cpu.max").strip().partition(" ")
    if not quota:
        quota = _read(folder / "cpu.cfs_quota_us").strip()
        period = _read(folder / "cpu.cfs_period_us").strip()
    return int(quota) / int(period) if quota.isdigit() and period.isdigit() else None


def _read(path: Path) -> str:
    """Return a file's text; empty where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:  # another system, or a folder that this user may not read
        return ""
