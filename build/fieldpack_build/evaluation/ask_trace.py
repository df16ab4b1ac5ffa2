"""What a report says of a bundle's silence: `fieldpack ask`, once, on the very files that ship,
watched from outside. Knows nothing of how strace is read."""

from __future__ import annotations

from pathlib import Path

from fieldpack.child import python, safe_environment

from .network_trace import find_strace, trace
from .report_file import Silence

_MAX_NAMED = 20  # calls and files that a report names; more are counted
# Ours would not be seen to work where somebody else's setting has silenced onnxruntime already.
_LEFT_AWAY = ("ORT_DISABLE_TELEMETRY", "HF_HUB_OFFLINE")


def watch(bundle: Path, question: str, *, name: str) -> Silence:
    """Ask a bundle one question under strace, and return what the command asked of the system.
    `name`: what the bundle is called once it is sealed, for the report."""
    strace, why = find_strace()
    if strace is None:
        return Silence(tool=None, why=why)
    command = python("-m", "fieldpack_app.cli", "ask", bundle, "--quick", "--", question)
    environment = {
        name: value for name, value in safe_environment().items() if name not in _LEFT_AWAY
    }
    watched = trace(command, environment=environment)
    return Silence(
        tool=strace,
        why="",
        command=f'fieldpack ask {name} --quick "{question}"',
        exit=watched.returncode,
        calls=watched.calls,
        threads=watched.threads,
        silent=watched.silent and watched.returncode == 0,
        network=len(watched.network),
        looked_up=len(watched.looked_up),
        written=len(watched.written),
        named=[*watched.network, *watched.looked_up, *watched.written][:_MAX_NAMED],
        errors=watched.errors.strip()[-500:] if watched.returncode else "",
    )
