"""Bounds what this process may take: memory, processor time, the file that a crash leaves.

Memory is bounded on Linux alone, which says how much a process has and keeps to the bound. macOS
takes such limits and does not keep them, and Windows has none of these: there `CAN_BOUND_MEMORY` is
false, and the build says so. Knows nothing of documents, and imports nothing of ours.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

_STATISTICS = Path("/proc/self/statm")
CAN_BOUND_MEMORY = sys.platform == "linux" and _STATISTICS.exists()
Limit = Literal["AS", "CORE", "CPU", "DATA"]  # as setrlimit(2) names them, without RLIMIT_
_COLUMNS = {"AS": 0, "DATA": 5}  # of /proc/self/statm, in pages; see proc(5)


def bound_memory(limit: Literal["AS", "DATA"], more: int, *, lower: bool = False) -> None:
    """Let this process have `more` bytes than it has, where memory can be bounded.

    "AS" counts addresses, files that are mapped too; "DATA" what it writes. What is beyond is a
    MemoryError, or the end of a library that does not expect one. `lower`: an earlier bound that
    is lower stays.
    """
    if CAN_BOUND_MEMORY:
        import resource

        pages = int(_STATISTICS.read_text(encoding="ascii").split()[_COLUMNS[limit]])
        set_limit(limit, pages * resource.getpagesize() + more, lower=lower)


def set_limit(limit: Limit, value: int, *, lower: bool = False) -> None:
    """Set a limit of this process to `value`, or to the most that it may have. `lower`: or to what
    it is already. Does nothing on Windows."""
    if sys.platform == "win32":
        return
    import resource

    kind = getattr(resource, f"RLIMIT_{limit}")
    soft, hard = resource.getrlimit(kind)
    others = [most for most in (hard, *([soft] if lower else [])) if most != resource.RLIM_INFINITY]
    resource.setrlimit(kind, (min([value, *others]), hard))


@contextmanager
def bounded(*, seconds: int, memory: int) -> Iterator[None]:
    """Have the kernel end this process where it takes more for what is done within: seconds of
    processor time, bytes of addresses. The limits of before hold again afterwards."""
    if sys.platform == "win32":
        yield
        return
    import resource

    before = {kind: resource.getrlimit(kind) for kind in (resource.RLIMIT_CPU, resource.RLIMIT_AS)}
    used = resource.getrusage(resource.RUSAGE_SELF)
    set_limit("CPU", int(used.ru_utime + used.ru_stime) + seconds, lower=True)
    bound_memory("AS", memory, lower=True)
    try:
        yield
    finally:
        for kind, limits in before.items():
            resource.setrlimit(kind, limits)
