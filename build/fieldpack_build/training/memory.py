"""How much memory a training may take: of a GPU, or of this machine within the limits that a
container sets. Imports torch only for a GPU."""

from __future__ import annotations

import resource
from pathlib import Path

PROC, CGROUPS = Path("/proc"), Path("/sys/fs/cgroup")
_NO_LIMIT = 1 << 60  # cgroup v1 writes a figure near 2**63 where there is none


class OutOfMemory(Exception):
    """A training ran out of memory; its text says where. Caught by the engine, which tries again
    with less at once."""


def free_bytes(device: str) -> int:
    """Return the bytes that are free now on the current device."""
    if device == "cpu":
        return available_ram()
    import torch

    return int(torch.cuda.mem_get_info()[0])


def available_ram(proc: Path = PROC, cgroups: Path = CGROUPS) -> int:
    """Return the bytes that can be had without swapping or a kill: the least of what the kernel
    calls available, what the process's control groups leave, and what its own limit of address
    space leaves."""
    lines = (proc / "meminfo").read_text(encoding="ascii").splitlines()
    available = next(
        (int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")),
        _NO_LIMIT,
    )
    address_space = _NO_LIMIT
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit != resource.RLIM_INFINITY:
        pages = int((proc / "self" / "statm").read_text(encoding="ascii").split()[0])
        address_space = limit - pages * resource.getpagesize()
    return max(0, min(available, _control_groups(proc, cgroups), address_space))


def is_memory_error(error: BaseException) -> bool:
    """Return whether an error says that memory ran out: torch's, accelerate's list of messages,
    Python's, oneDNN's, C++'s."""
    from accelerate.utils.memory import should_reduce_batch_size
    from torch import OutOfMemoryError

    if isinstance(error, (MemoryError, OutOfMemoryError)):
        return True
    messages = (
        "can't allocate memory",
        "std::bad_alloc",
        "could not create a memory object",
        "CUBLAS_STATUS_ALLOC_FAILED",
    )
    return isinstance(error, RuntimeError) and (
        should_reduce_batch_size(error) or any(text in str(error) for text in messages)
    )


def _control_groups(proc: Path, cgroups: Path) -> int:
    """Return the least that any group from ours up to the root leaves, version 2 or 1."""
    left = [_NO_LIMIT]
    for line in _lines(proc / "self" / "cgroup"):
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            root, limit, used, cache = cgroups, "memory.max", "memory.current", "inactive_file "
        elif controllers == "memory":
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
    """Return a group's limit less its use; cached files that nobody reads are given back first and
    do not count."""
    max_bytes, used_bytes = _number(folder / limit), _number(folder / used)
    if max_bytes is None or used_bytes is None or max_bytes >= _NO_LIMIT:
        return _NO_LIMIT
    stats = _lines(folder / "memory.stat")
    reclaimable = next((int(line.split()[1]) for line in stats if line.startswith(cache)), 0)
    return max_bytes - used_bytes + reclaimable


def _number(path: Path) -> int | None:
    """Read a number; None where the file is missing, or holds the word `max`."""
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii").splitlines()
    except OSError:
        return []
