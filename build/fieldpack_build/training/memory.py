"""How much memory a training may take: of a GPU, or of this machine within the limits that a
container sets. Imports torch only for a GPU."""

from __future__ import annotations

import resource
from pathlib import Path

PROC, CGROUPS = Path("/proc"), Path("/sys/fs/cgroup")
_NO_LIMIT = 1 << 60  # cgroup v1 writes a figure near 2**63 where there is none


class OutOfMemory(Exception):
    """Says what failed. Caught by the engine, which tries again with less at once."""


def free_bytes(device: str) -> int:
    """What is free now on the current device."""
    if device == "cpu":
        return available_ram()
    import torch

    return int(torch.cuda.mem_get_info()[0])


def available_ram(proc: Path = PROC, cgroups: Path = CGROUPS) -> int:
    """What can be had without swapping or a kill, in bytes: the least of what the kernel calls
    available, what the process's control groups leave, and what its own limit of address space
    leaves."""
    return max(0, min(_meminfo(proc), _control_groups(proc, cgroups), _address_space(proc)))


def is_memory_error(error: BaseException) -> bool:
    """Whether it says that memory ran out: torch's, accelerate's list of messages, Python's,
    oneDNN's, C++'s."""
    from accelerate.utils.memory import should_reduce_batch_size
    from torch import OutOfMemoryError

    if isinstance(error, (MemoryError, OutOfMemoryError)):
        return True
    spoken = (
        "can't allocate memory",
        "std::bad_alloc",
        "could not create a memory object",
        "CUBLAS_STATUS_ALLOC_FAILED",
    )
    return isinstance(error, RuntimeError) and (
        should_reduce_batch_size(error) or any(words in str(error) for words in spoken)
    )


def _meminfo(proc: Path) -> int:
    lines = (proc / "meminfo").read_text(encoding="ascii").splitlines()
    return next(
        (int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")),
        _NO_LIMIT,
    )


def _control_groups(proc: Path, cgroups: Path) -> int:
    """The least that any group from ours up to the root leaves, version 2 or 1."""
    left = [_NO_LIMIT]
    for line in _lines(proc / "self" / "cgroup"):
        _, kinds, path = line.split(":", 2)
        if kinds == "":
            root, limit, used, cache = cgroups, "memory.max", "memory.current", "inactive_file "
        elif kinds == "memory":
            root, limit, used, cache = (
                cgroups / "memory",
                "memory.limit_in_bytes",
                "memory.usage_in_bytes",
                "total_inactive_file ",
            )
        else:
            continue
        group = root / path.lstrip("/")
        for folder in (group, *group.parents):
            if folder.is_relative_to(root):
                left.append(_left(folder, limit, used, cache))
    return min(left)


def _left(folder: Path, limit: str, used: str, cache: str) -> int:
    """Limit less use; cached files that nobody reads are given back first and do not count."""
    most, held = _number(folder / limit), _number(folder / used)
    if most is None or held is None or most >= _NO_LIMIT:
        return _NO_LIMIT
    stats = _lines(folder / "memory.stat")
    reclaimable = next((int(line.split()[1]) for line in stats if line.startswith(cache)), 0)
    return most - held + reclaimable


def _address_space(proc: Path) -> int:
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit == resource.RLIM_INFINITY:
        return _NO_LIMIT
    return (
        limit
        - int((proc / "self" / "statm").read_text(encoding="ascii").split()[0])
        * resource.getpagesize()
    )


def _number(path: Path) -> int | None:
    """None where there is none, or the word `max`."""
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii").splitlines()
    except OSError:
        return []
