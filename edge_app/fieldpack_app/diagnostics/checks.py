"""Checks a machine that a bundle shall run on. Pure functions: facts in, findings out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from .findings import Finding
from .machine import Machine

_MIN_DISK = 20_000_000  # bytes for history and feedback


def check_machine(machine: Machine, compat: Mapping[str, object]) -> Iterator[Finding]:
    """Yield what is to be said of versions, processor and load. `compat`: the manifest's."""
    proved = compat.get("proved_with")
    yield versions(machine, proved if isinstance(proved, Mapping) else {})
    yield processor(machine)
    yield load(machine)


def versions(machine: Machine, proved: Mapping[str, object]) -> Finding:
    """Return what is to be said of installed versions. `proved`: those that the bundle was tested
    with."""
    here = {"python": machine.python, **machine.versions}
    says = ", ".join(f"{name} {version or 'missing'}" for name, version in here.items())
    missing = [name for name, version in machine.versions.items() if version is None]
    others = {
        name: version
        for name, version in proved.items()
        if machine.versions.get(name, version) != version
    }
    facts = {"here": here, "proved_with": dict(proved)}
    if missing:
        return Finding("versions", "wrong", says, f"pip install {' '.join(missing)}", facts)
    if others:
        pins = " ".join(f"{name}=={version}" for name, version in others.items())
        advice = (
            f"if answers differ from the report's: pip install {pins} (the bundle was proved "
            "with that)"
        )
        return Finding("versions", "note", says, advice, facts)
    return Finding(
        "versions", "ok", says + (", as the bundle was proved with" if proved else ""), facts=facts
    )


def processor(machine: Machine) -> Finding:
    """Return what is to be said of the processor and the cores that may be used."""
    cores = (
        f"{machine.usable} of {machine.cores} cores"
        if machine.usable < machine.cores
        else f"{machine.cores} cores"
    )
    quota = "" if machine.quota is None else f", limited to {machine.quota:.3g} of them by a cgroup"
    says = (
        f"{machine.cpu}, {cores}{quota}; "
        f"{', '.join(machine.features) or 'no vector features known'}; {machine.system}"
    )
    facts = {
        "cpu": machine.cpu,
        "features": machine.features,
        "cores": machine.cores,
        "usable": machine.usable,
        "quota": machine.quota,
        "system": machine.system,
    }
    if machine.quota is not None and machine.quota < machine.usable:
        fit = max(int(machine.quota), 1)
        return Finding(
            "processor",
            "warning",
            says,
            f"more threads than time: pass --threads {fit}, or raise the limit",
            facts,
        )
    if machine.x86 and "avx2" not in machine.features:
        return Finding(
            "processor",
            "warning",
            says,
            "no AVX2: answers take far longer; use a newer processor",
            facts,
        )
    if machine.usable < machine.cores:
        return Finding(
            "processor",
            "note",
            says,
            "the others are kept from this process (taskset, CPUAffinity)",
            facts,
        )
    return Finding("processor", "ok", says, facts=facts)


def load(machine: Machine) -> Finding:
    """Return what is to be said of how busy the machine is."""
    says, facts = f"{machine.load:.2g} processes want to run", {"load": machine.load}
    if machine.load > machine.usable / 2:
        return Finding(
            "load", "note", says, "the machine is busy: the speeds below are too low", facts
        )
    return Finding("load", "ok", says, facts=facts)


def memory(machine: Machine, needed_mb: float) -> Finding:
    """Return what is to be said of memory. `needed_mb`: the runtime's estimate of what the bundle
    takes at its peak."""
    free = machine.available / 1e6
    limit = "" if machine.limit is None else f", a cgroup's limit of {machine.limit / 1e6:,.0f} MB"
    says = (
        f"needs about {needed_mb:,.0f} MB; {free:,.0f} of {machine.memory / 1e6:,.0f} MB "
        f"free{limit}"
    )
    facts = {
        "needed_mb": round(needed_mb),
        "available_mb": round(free),
        "total_mb": round(machine.memory / 1e6),
        "limit_mb": None if machine.limit is None else round(machine.limit / 1e6),
    }
    if free < needed_mb:
        return Finding(
            "memory",
            "wrong",
            says,
            "close other programs, raise the limit, or build with a smaller model",
            facts,
        )
    if free < 1.25 * needed_mb:
        return Finding(
            "memory",
            "warning",
            says,
            "little is left for anything else: close other programs",
            facts,
        )
    return Finding("memory", "ok", says, facts=facts)


def disk(free: int, *, state: str, writable: bool) -> Finding:
    """Return what is to be said of the disk of the state folder, or of where it would be made."""
    says = f"{free / 1e6:,.0f} MB free for {state}"
    facts = {"free_mb": round(free / 1e6), "state": state}
    if not writable:
        return Finding(
            "disk",
            "note",
            f"{state} cannot be written",
            "no history and no feedback are kept: --state DIR",
            facts,
        )
    if free < _MIN_DISK:
        return Finding(
            "disk",
            "warning",
            says,
            "history and feedback may be lost: make room, or --state DIR",
            facts,
        )
    return Finding("disk", "ok", says, facts=facts)
