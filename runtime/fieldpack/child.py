"""How one of our processes starts another Python: with the same interpreter, and never with the
current folder on its import path. A stray `http.py` or `json.py` there (in a bundle, in a folder of
documents) would be run in place of the library's. Knows nothing of what the child does."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path


def python(*arguments: str | Path) -> list[str]:
    """Return the command line that runs this interpreter with `arguments`, such as `"-m", "pip",
    "install"`.

    `-P` (Python 3.11) keeps `sys.path` free of the current folder and of a script's own folder;
    PYTHONPATH still counts."""
    return [sys.executable, "-P", *map(str, arguments)]


def safe_environment(changes: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment of this process with `changes`, for a child that may start further
    Pythons (torchrun's ranks, spawned workers, pip): PYTHONSAFEPATH does for these what -P does for
    the child.

    An empty entry of PYTHONPATH, as in ":/opt/lib", means the current folder to Python: it is left
    out, all others stay."""
    environment = {**os.environ, **(changes or {}), "PYTHONSAFEPATH": "1"}
    if "PYTHONPATH" in environment:
        entries = [entry for entry in environment.pop("PYTHONPATH").split(os.pathsep) if entry]
        if entries:
            environment["PYTHONPATH"] = os.pathsep.join(entries)
    return environment
