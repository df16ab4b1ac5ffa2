"""Has a process of Python do something at a certain moment of its work, where a test that waits for
the moment and then acts would come too late on a machine that stalls."""

from __future__ import annotations

from importlib.util import cache_from_source
from pathlib import Path

_HOOK = """\
import os, signal, sys, time

seen = []

def look(event, arguments):
    if {moment}:
        {action}

sys.addaudithook(look)
"""


def act_at(folder: Path, moment: str, action: str) -> Path:
    """Write the module that every Python with `folder` on its path loads as it starts, and return
    it. `moment`: an expression of `event` and `arguments`, an audit event's (the table in Python's
    library reference); `action`: a statement that is run when that is true. Both may use the list
    `seen`."""
    module = folder / "sitecustomize.py"
    module.write_text(_HOOK.format(moment=moment, action=action), encoding="utf-8")
    # The compiled one is told from its source by size and second alone.
    Path(cache_from_source(str(module))).unlink(missing_ok=True)
    return module
