"""Pinned, isolated package folders for tools whose pins fight ours. Made once in the cache, run as
a subprocess with files in and files out; never imported."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

from fieldpack.child import python, safe_environment

from ..errors import MachineError, StageError
from ..uncaught import disk_is_full, no_space

_HERE = Path(__file__).parent


def lock_hash(name: str) -> str:
    """Return the SHA-256 of the toolchain's pins: part of the key of every stage that runs it."""
    return sha256((_HERE / f"{name}.txt").read_bytes()).hexdigest()


def ensure(name: str, toolchains: Path, log: Callable[[str], None]) -> Path:
    """Return the toolchain's folder, installed if it is not there; a half-made one is never seen.
    Raises MachineError."""
    version = f"py{sys.version_info.major}{sys.version_info.minor}"
    final = toolchains / f"{name}-{lock_hash(name)[:16]}-{version}"
    if final.is_dir():
        return final
    log(f"installing toolchain {name}")
    partial = final.with_name(final.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    command = python(
        *("-m", "pip", "install", "--quiet", "--no-deps"),
        *("--target", partial, "-r", _HERE / f"{name}.txt"),
    )
    done = subprocess.run(command, env=safe_environment(), capture_output=True, text=True)
    if done.returncode:
        if disk_is_full(done.stderr):
            raise no_space(toolchains)
        errors = [
            line for line in done.stderr.splitlines() if line.startswith("ERROR")
        ] or done.stderr.splitlines()[-1:]
        raise MachineError(f"toolchain {name}: pip could not install it: {' '.join(errors)[:400]}")
    partial.rename(final)
    return final


def run(folder: Path, arguments: list[str], *more: Path) -> str:
    """Run `python ARGUMENTS` with the toolchain first on its path and those of `more` behind it,
    offline, and return what it prints. Raises StageError with its last lines, MachineError for a
    full disk."""
    environment = safe_environment(
        {
            "PYTHONPATH": os.pathsep.join(map(str, (folder, *more))),
            "HF_HUB_OFFLINE": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "ORT_DISABLE_TELEMETRY": "1",
            "TOKENIZERS_PARALLELISM": "false",
        }
    )
    done = subprocess.run(python(*arguments), env=environment, capture_output=True, text=True)
    if done.returncode:
        if disk_is_full(done.stderr):
            raise no_space(Path(arguments[-1]).parent)
        last = " | ".join(line for line in done.stderr.strip().splitlines()[-3:])
        raise StageError(f"{' '.join(arguments[:3])}: exit {done.returncode}: {last[:600]}")
    return done.stdout
