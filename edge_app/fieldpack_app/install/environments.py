"""Environments of Fieldpack itself, one a version, beside the releases in a store:
env/<version>-<hash of the wheels>-py<Python>/. state.json names the current one; whichever
environment is started hands over to that one, so that one pointer switches release and runtime
together. Knows nothing of sources or signatures.

`python -m fieldpack_app.install.environments`, for installers, ends what pip has begun in the
environment that runs it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import NoReturn

from .. import locks

FOLDER = "env"
CURRENT = "current"  # a link, so that a command on the PATH has a place to point to
COMPLETE = "complete"  # the file that an environment has once it is whole
IN_USE = "in-use"  # locked, shared, by each process that runs in the environment
_STATE = "state.json"
# Set for a command that an older environment hands over because only this one can do it: state.json
# still names the older one.
_VARIABLE = "FIELDPACK_RUNTIME"
# What no answer needs: tests of libraries, tools that make models. 14 MB in all.
_NOT_NEEDED = (
    "numpy/**/tests",
    "onnxruntime/transformers",
    "onnxruntime/quantization",
    "onnxruntime/tools",
    "onnxruntime/datasets",
    "onnxruntime_genai/models",
    "securesystemslib/_vendor/ed25519/test_data",
)
# An installer makes an environment before it can take the store's lock; one that is not whole after
# a day will not be.
_STALE = 24 * 3600.0


class RuntimeReady(Exception):
    """Not an error: the environment that the next release needs is whole, and the command has to be
    run again in it."""

    def __init__(self, environment: Path) -> None:
        self.environment = environment
        super().__init__(str(environment))


class InstallFailed(Exception):
    """pip could not install the wheels; the message is its last line."""


def environment_name(version: str, sums: bytes) -> str:
    """Return what the environment of these wheels (`sums` names them all) and this Python is
    called."""
    python = f"py{sys.version_info[0]}{sys.version_info[1]}"
    return f"{version}-{sha256(sums).hexdigest()[:8]}-{python}"


def version_of(name: str) -> str:
    """Return the version of Fieldpack in an environment of this name."""
    return name.partition("-")[0]


def own_environment() -> Path | None:
    """Return the environment in a store's env/ that this process runs in; None where Fieldpack was
    installed in another way."""
    here = Path(sys.prefix).resolve()
    return here if here.parent.name == FOLDER else None


def hand_over_to_current() -> None:
    """Go on in the environment that state.json names, where this process runs in an older one of
    the same store. Keeps `gc` from the environment that it stays in."""
    here = own_environment()
    if here is None or not (here / COMPLETE).is_file():
        return
    if os.environ.get(_VARIABLE) != here.name:
        named = ""
        with suppress(OSError, ValueError, AttributeError):
            text = (here.parent.parent / _STATE).read_text(encoding="utf-8")
            named = str(json.loads(text).get("runtime", ""))
        there = here.parent / named
        if named and Path(named).name == named and there != here and (there / COMPLETE).is_file():
            with suppress(OSError):  # its Python was removed: this one goes on
                run_in(there, sys.argv[1:])
    with suppress(OSError):
        flags = os.O_RDWR | os.O_CREAT | locks.CLOSE_ON_EXEC
        # Never closed: the process' end gives it back.
        locks.try_shared(os.open(here / IN_USE, flags, 0o666))


def run_in(environment: Path, arguments: Sequence[str]) -> NoReturn:
    """Run `fieldpack` with `arguments` in another environment, in place of this process."""
    command = [str(python_of(environment)), "-P", "-m", "fieldpack_app.cli", *arguments]
    changes = {**os.environ, _VARIABLE: environment.name}
    sys.stdout.flush()
    sys.stderr.flush()
    if os.name == "nt":  # where exec ends the process that the shell waits for
        raise SystemExit(subprocess.run(command, env=changes).returncode)
    os.execve(command[0], command, changes)


def python_of(environment: Path) -> Path:
    """Return the interpreter of an environment."""
    return environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def make_environment(folder: Path, wheels: Path, requirements: str, pip: Path) -> None:
    """Make an environment in `folder` with this process' Python and what `requirements` (pinned,
    with hashes) names, from `wheels` alone; pip runs from its own wheel and is not kept.

    It counts as whole only when all of it is on the disk. Raises InstallFailed, OSError."""
    import venv

    shutil.rmtree(folder, ignore_errors=True)
    venv.EnvBuilder(with_pip=False, symlinks=os.name != "nt").create(folder)
    listed = wheels / "requirements.txt"
    listed.write_text(requirements, encoding="utf-8")
    words = (
        "-m pip install --quiet --disable-pip-version-check --no-cache-dir --no-compile --no-deps"
        " --no-index --require-hashes --only-binary :all:"
    )
    command = [str(python_of(folder)), "-P", *words.split()]
    command += ["--find-links", str(wheels), "-r", str(listed)]
    # No settings of whoever runs this: an index, a target folder.
    own = {
        name: value
        for name, value in os.environ.items()
        if name != "PYTHONPATH" and not name.startswith("PIP_")
    }
    _run(command, {**own, "PYTHONPATH": str(pip), "PIP_CONFIG_FILE": os.devnull})
    _run([str(python_of(folder)), "-I", "-m", __name__], own)


def _run(command: Sequence[str], environment: dict[str, str]) -> None:
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise InstallFailed(lines[-1][:300] if lines else f"exit code {done.returncode}")


def finish() -> None:
    """End what pip has begun in the environment of this process: remove what no answer needs, bring
    all to the disk, say that it is whole."""
    import sysconfig

    here = Path(sys.prefix)
    for packages in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}:
        for pattern in _NOT_NEEDED:
            for path in list(Path(packages).glob(pattern)):
                shutil.rmtree(path, ignore_errors=True)
    if hasattr(os, "sync"):
        os.sync()  # some thousand files: one by one would take longer, and others' writes are few
    with (here / COMPLETE).open("wb") as marker:
        os.fsync(marker.fileno())


def point(root: Path, name: str) -> None:
    """Let the link env/current name an environment. Until this is done, the one that it names hands
    over."""
    from ..durable import sync_folder

    link = root / FOLDER / CURRENT
    if os.name == "nt" or not name or not (root / FOLDER / name).is_dir():
        return
    if link.is_symlink() and link.readlink() == Path(name):
        return
    beside = root / FOLDER / f".{CURRENT}.new"
    beside.unlink(missing_ok=True)
    beside.symlink_to(name)
    beside.replace(link)
    sync_folder(link.parent)


def unused(root: Path, kept: set[str]) -> list[Path]:
    """Return the folders in env/ that are neither `kept`, nor what the link names, nor where this
    process runs, nor perhaps just being made. Which of them a process runs in it does not say."""
    folder = root / FOLDER
    if not folder.is_dir() or os.name == "nt":  # there the PATH names an environment itself
        return []
    own = own_environment()
    names = {*kept, own.name if own else ""}
    with suppress(OSError):
        names.add((folder / CURRENT).readlink().name)
    gone = []
    for path in sorted(folder.iterdir()):
        if path.is_symlink() or not path.is_dir() or path.name in names:
            continue
        whole = (path / COMPLETE).is_file() or path.name.startswith(".")
        if whole or time.time() - path.stat().st_mtime > _STALE:
            gone.append(path)
    return gone


if __name__ == "__main__":
    finish()
