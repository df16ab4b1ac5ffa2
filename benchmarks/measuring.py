"""What every benchmark needs: the machine's facts, a table, a JSON file, the peak of a process.
Imports nothing heavy. Knows nothing of what is measured."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import statistics
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

_PROC = Path("/proc")
# As a stage's worker is started: threads that spin while they wait starve each other on a busy
# machine (GPTQ was six times slower). Before torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def machine(packages: Iterable[str] = ()) -> dict[str, Any]:
    """Cores this process may use, CPU, memory, load, Python and the versions of `packages` (None:
    not installed)."""
    return {
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "cpu": _after_colon(_PROC / "cpuinfo", "model name")
        or platform.processor()
        or platform.machine(),
        "memory_gb": round(
            int((_after_colon(_PROC / "meminfo", "MemTotal") or "0 kB").split()[0]) / 2**20, 1
        ),
        "load_at_start": [round(load, 2) for load in os.getloadavg()],
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: version_of(name) for name in packages},
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def version_of(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def machine_line(facts: dict[str, Any]) -> str:
    versions = ", ".join(
        f"{name} {version}" for name, version in facts["versions"].items() if version
    )
    load = facts["load_at_start"][0]
    busy = (
        f" (busy at the start: load {load}, so compare only within this run)"
        if load > facts["cores"] / 2
        else ""
    )
    return f"{facts['cpu']}, {facts['cores']} cores, Python {facts['python']}, {versions}{busy}"


def peak_rss_mb() -> float:
    """The most memory this process has held (VmHWM), in MiB."""
    return round(
        int((_after_colon(_PROC / "self" / "status", "VmHWM") or "0 kB").split()[0]) / 1024, 1
    )


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """First column to the left, the others to the right; None is a dash."""
    text = [[*head], *([_cell(value) for value in row] for row in rows)]
    widths = [max(len(row[i]) for row in text) for i in range(len(head))]
    lines = [
        "  ".join(
            c.ljust(w) if not i else c.rjust(w)
            for i, (c, w) in enumerate(zip(row, widths, strict=True))
        )
        for row in text
    ]
    return "\n".join(
        line.rstrip() for line in (lines[0], "  ".join("-" * w for w in widths), *lines[1:])
    )


def median(values: Iterable[float | None]) -> float | None:
    """Of those that are there; None if none is."""
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def write_json(path: Path | None, data: object) -> None:
    if path:
        path.write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        print(f"\nwrote {path}")


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return (
            f"{value:,.0f}"
            if abs(value) >= 1000
            else f"{value:.1f}"
            if abs(value) >= 100
            else f"{value:.3g}"
        )
    return f"{value:,}" if isinstance(value, int) else str(value)


def _after_colon(path: Path, name: str) -> str | None:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return None
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), None)
