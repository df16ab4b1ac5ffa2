"""Installs, removes and looks at the service of a server: unit and key are files, the rest is
systemctl's. Knows nothing of what a unit says."""

from __future__ import annotations

import http.client
import os
import secrets
import shutil
import stat
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fieldpack import InputError
from fieldpack.child import python

from ..state import written_whole
from .unit import Service, unit_text

_SYSTEM_UNITS, _SYSTEM_KEYS = Path("/etc/systemd/system"), Path("/etc/fieldpack")
_SHOWN = ("ActiveState", "SubState", "Result", "NRestarts", "MainPID", "MemoryCurrent")
_HEALTH_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Manager:
    """A service manager: of the system, or of one user (`for_user`). `root`: a folder that is
    another system's `/`, such as an image that is being prepared; nothing is started there."""

    for_user: bool
    root: Path | None = None

    @property
    def units(self) -> Path:
        """The folder of units. Raises InputError without a home."""
        return _config_home() / "systemd" / "user" if self.for_user else self.below(_SYSTEM_UNITS)

    @property
    def keys(self) -> Path:
        """The folder of keys, as it is called on the system that runs the service."""
        return _config_home() / "fieldpack" if self.for_user else _SYSTEM_KEYS

    def below(self, path: Path) -> Path:
        """Return where a path of that system lies here."""
        return self.root / path.relative_to("/") if self.root else path

    def run(self, *arguments: str) -> str:
        """Run systemctl, and return what it prints. Raises InputError where it is not there or
        fails."""
        command = ["systemctl", *(["--user"] if self.for_user else []), *arguments]
        if shutil.which(command[0]) is None:
            raise InputError(
                "no systemctl here: this system does not run systemd; --print shows the unit, and "
                "--root DIR writes it into another system's folder"
            )
        done = subprocess.run(command, capture_output=True, text=True, errors="replace")
        if done.returncode:
            words = " ".join((done.stderr or done.stdout).split())[:300]
            raise InputError(f"{' '.join(command)}: {words or f'exit code {done.returncode}'}")
        return done.stdout


def key_path(manager: Manager, name: str) -> Path:
    """Return the file of a service's key, as the unit names it."""
    return manager.keys / f"{name}.key"


def own_command() -> tuple[str, ...]:
    """Return the command line that runs this very program again."""
    return tuple(python("-m", "fieldpack_app.cli"))


def device_groups(manager: Manager) -> tuple[str, ...]:
    """Return the groups that GPUs and NPUs belong to, of those that the system has."""
    path = manager.below(Path("/etc/group"))
    text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    known = {line.partition(":")[0] for line in text.splitlines()}
    return tuple(name for name in ("render", "video") if name in known)


def install(manager: Manager, service: Service, *, start: bool) -> str:
    """Write key and unit, and start the service, now and whenever the system starts. A key that is
    there stays. Returns the key. Raises InputError, OSError."""
    if not manager.for_user and not service.owner:
        for path in (service.command[0], *service.bundles):
            _check_readable(Path(path), manager)
    text = unit_text(service)
    key_file = manager.below(service.key_file)
    try:
        key = key_file.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        key = secrets.token_urlsafe(32)
        key_file.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        with os.fdopen(os.open(key_file, flags, 0o600), "w", encoding="ascii") as file:
            file.write(key + "\n")
    manager.units.mkdir(parents=True, exist_ok=True)
    with written_whole(manager.units / service.unit_name) as unit:
        unit.write(text)
    if manager.root is not None:
        wants = manager.units / "multi-user.target.wants" / service.unit_name
        wants.parent.mkdir(exist_ok=True)
        wants.unlink(missing_ok=True)
        wants.symlink_to(_SYSTEM_UNITS / service.unit_name)
    elif start:
        manager.run("daemon-reload")
        manager.run("enable", service.unit_name)
        manager.run("restart", service.unit_name)  # one that runs with another unit takes this one
    return key


def remove(manager: Manager, name: str) -> list[Path]:
    """Stop the service, and remove its unit and its key. Returns what was removed. Raises InputError
    where there is no such service, OSError."""
    unit, key = manager.units / f"{name}.service", manager.below(key_path(manager, name))
    if not unit.exists():
        raise InputError(f"{unit}: no such service; `fieldpack service status` shows what there is")
    if manager.root is None and shutil.which("systemctl"):
        manager.run("disable", "--now", unit.name)
    removed = [path for path in (unit, key) if path.exists()]
    for path in removed:
        path.unlink()
    (manager.units / "multi-user.target.wants" / unit.name).unlink(missing_ok=True)
    if manager.root is None and shutil.which("systemctl"):
        manager.run("daemon-reload")
    return removed


def status(manager: Manager, name: str) -> Mapping[str, Any]:
    """Return what is known of a service: `installed`, systemctl's words, and whether it answers on
    its port (`health`). Raises InputError."""
    unit = manager.units / f"{name}.service"
    if not unit.exists():
        return {"name": name, "installed": False, "running": False}
    facts: dict[str, Any] = {"name": name, "installed": True, "unit": str(unit)}
    shown = manager.run("show", unit.name, f"--property={','.join(_SHOWN)}")
    for line in shown.splitlines():
        key, _, value = line.partition("=")
        if key in _SHOWN and value not in ("", "[not set]"):
            facts[key] = int(value) if value.isdigit() else value
    facts["running"] = facts.get("ActiveState") == "active"
    words = unit.read_text(encoding="utf-8").split()
    if "--port" in words and "--lan" not in words:
        facts["port"] = int(words[words.index("--port") + 1])
        facts["health"] = _health(facts["port"])
    return facts


def _health(port: int) -> str:
    """Return what a server on this machine says of itself: ok, loading, damaged; or why it says
    nothing."""
    try:
        with closing(
            http.client.HTTPConnection("127.0.0.1", port, timeout=_HEALTH_SECONDS)
        ) as connection:
            connection.request("GET", "/health")
            body = connection.getresponse().read(1000)
    except (OSError, http.client.HTTPException) as error:
        return f"no answer ({error})"
    for word in ("ok", "loading", "damaged"):
        if f'"{word}"'.encode() in body:
            return word
    return "another program answers there"


def _config_home() -> Path:
    """Return $XDG_CONFIG_HOME, else ~/.config. Raises InputError without a home."""
    named = os.environ.get("XDG_CONFIG_HOME", "")
    if named and Path(named).is_absolute():
        return Path(named)
    try:
        return Path.home() / ".config"
    except RuntimeError:
        raise InputError("no home folder for a user's units; set HOME") from None


def _check_readable(path: Path, manager: Manager) -> None:
    """Raise InputError where another user could not read a file, or all of a folder's top."""
    here: Sequence[Path] = [path, *path.parents]
    if path.is_dir():
        here = [*here, *path.iterdir()]
    for one in here:
        mode = manager.below(one).stat().st_mode if manager.root is None else 0o555
        want = stat.S_IROTH | (stat.S_IXOTH if stat.S_ISDIR(mode) else 0)
        passing = one in path.parents  # to go through a folder, x is enough
        if mode & (stat.S_IXOTH if passing else want) != (stat.S_IXOTH if passing else want):
            raise InputError(
                f"{one}: the service has a user of its own, who may not read this; copy the bundle "
                "to /opt or change its mode, or install with --user"
            )
