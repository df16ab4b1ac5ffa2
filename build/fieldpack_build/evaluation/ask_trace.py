"""What a report says of a bundle's silence: `fieldpack ask`, once, on the very files that ship,
watched from outside. Knows nothing of how strace is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fieldpack.child import python, safe_environment

from .network_trace import tool, trace

_SHOWN = 20  # calls and files that a report names; more are counted
# Ours would not be seen to work where somebody else's setting has silenced onnxruntime already.
_LEFT_AWAY = ("ORT_DISABLE_TELEMETRY", "HF_HUB_OFFLINE")


def watch(bundle: Path, question: str) -> dict[str, Any]:
    """JSON-ready. `tool` None: nothing could be watched on this machine, and `why`."""
    named, why = tool()
    if named is None:
        return {"tool": None, "why": why}
    command = python("-m", "fieldpack_app.cli", "ask", bundle, "--quick", "--", question)
    environment = {
        name: value for name, value in safe_environment().items() if name not in _LEFT_AWAY
    }
    seen = trace(command, environment=environment)
    found = {"network": seen.network, "looked_up": seen.looked_up, "written": seen.written}
    return {
        "tool": named,
        "why": "",
        "command": f'fieldpack ask {bundle.name} --quick "{question}"',
        "exit": seen.returncode,
        "calls": seen.calls,
        "threads": seen.threads,
        "silent": seen.silent and seen.returncode == 0,
        **{name: len(items) for name, items in found.items()},
        "named": [*sum(found.values(), ())][:_SHOWN],
        "errors": seen.errors.strip()[-500:] if seen.returncode else "",
    }
