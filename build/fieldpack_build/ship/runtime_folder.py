"""runtime/<platform>/ of a shipped folder: the wheels of the device's half, exactly pinned and
hashed, and the installer beside them. Wheels come from the package index once and are kept in the
cache. Knows nothing of bundles or signatures."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from importlib.resources import files
from pathlib import Path

import fieldpack
from fieldpack.bundle.manifest import sha256_file
from fieldpack.bundle.runtime_list import (
    FILENAME,
    RuntimeList,
    Wheel,
    parse_list,
    target_of,
    to_bytes,
)
from fieldpack.child import python, safe_environment

from ..console import say
from ..errors import MachineError, SigningError
from .wheel import write_wheel

RUNTIME = "runtime"
# What pip calls them, the oldest systems that all of the native wheels run on. glibc 2.28: Debian
# 10, RHEL 8.
PLATFORMS: dict[str, tuple[str, ...]] = {
    "linux-x86_64": (
        *tuple(f"manylinux_2_{n}_x86_64" for n in (28, 27, 26, 17)),
        "manylinux2014_x86_64",
    ),
    "linux-aarch64": (
        *tuple(f"manylinux_2_{n}_aarch64" for n in (28, 27, 26, 17)),
        "manylinux2014_aarch64",
    ),
    "windows-x86_64": ("win_amd64",),
    "macos-arm64": (
        *tuple(f"macosx_{n}_0_arm64" for n in (14, 13, 12, 11)),
        "macosx_11_0_universal2",
    ),
}
PYTHONS = ("3.11", "3.12", "3.13")
# The app takes POSIX locks and does not start on Windows yet: its wheels are carried on demand.
DEFAULT = ("linux-x86_64", "linux-aarch64", "macos-arm64")
# What a platform's wheels need besides: click and tqdm colour through it.
_MORE = {"windows-x86_64": "colorama==0.4.6\n"}
_INSTALLERS = ("install.sh", "install.ps1")
# The extras of the device's half that can be carried, as in `fieldpack[pages]`: device-<name>.txt.
EXTRAS = ("pages", "lan")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which wheels to carry. `cache`: the folder in which downloaded wheels are kept. `extras`: those
    of `EXTRAS` whose packages come along."""

    cache: Path
    platforms: tuple[str, ...] = DEFAULT
    pythons: tuple[str, ...] = PYTHONS
    extras: tuple[str, ...] = ()


def write_runtime(folder: Path, wanted: Wanted) -> int:
    """Write runtime/ for each platform, and the installers beside it. Extras that the folder carries
    already stay: another of its bundles may need them. Returns the bytes of all wheels. Raises
    MachineError where a wheel cannot be had."""
    total = 0
    for platform in wanted.platforms:
        target = folder / RUNTIME / platform
        kept = (name for name in EXTRAS if name in wanted.extras or _carries(target, name))
        wheels = download(platform, replace(wanted, extras=tuple(kept)))
        target.mkdir(parents=True, exist_ok=True)
        own = write_wheel(target)
        for wheel in wheels:
            if (
                not (target / wheel.name).is_file()
                or (target / wheel.name).stat().st_size != wheel.stat().st_size
            ):
                shutil.copyfile(wheel, target / wheel.name)
        names = {own.name, *(wheel.name for wheel in wheels)}
        for stale in target.glob("*.whl"):
            if stale.name not in names:
                stale.unlink()
        total += write_lists(target, sorted(names))
    for name in _INSTALLERS:
        (folder / name).write_bytes((files(__package__) / "files" / name).read_bytes())
        (folder / name).chmod(0o755)
    return total


def runtime_lists(folder: Path, signed: Mapping[str, str]) -> dict[str, bytes]:
    """Return the lists of wheels that a shipped folder carries, by their targets, to be signed.
    `signed`: the SHA-256 of those that are signed already, by target; the wheels of the others are
    hashed. Raises SigningError where a wheel is not there as its list says."""
    lists = {}
    for path in sorted((folder / RUNTIME).glob(f"*/{FILENAME}")):
        data, target = path.read_bytes(), target_of(path.parent.name)
        if sha256(data).hexdigest() == signed.get(target):
            continue
        for wheel in parse_list(data, str(path)).wheels:
            file = path.with_name(wheel.name)
            if not file.is_file() or sha256_file(file) != wheel.sha256:
                raise SigningError(
                    f"{file}: not the wheel that {FILENAME} lists; ship with the runtime again"
                )
        lists[target] = data
    return lists


def device_pins(platform: str, extras: Sequence[str] = ()) -> str:
    """Return the requirements of one platform, a line each, with those of `extras`."""
    listed = (files(__package__) / "device.txt").read_text(encoding="utf-8")
    return listed + _MORE.get(platform, "") + "".join(map(extra_pins, extras))


def extra_pins(extra: str) -> str:
    """Return the requirements of one of `EXTRAS`, a line each."""
    return (files(__package__) / f"device-{extra}.txt").read_text(encoding="utf-8")


def _carries(target: Path, extra: str) -> bool:
    """Return whether the wheels in `target` are those of an extra, too."""
    pins = [line.split("==")[0] for line in extra_pins(extra).splitlines() if "==" in line]
    there = {path.name.split("-")[0].replace("_", "-").lower() for path in target.glob("*.whl")}
    return set(pins) <= there


def download(platform: str, wanted: Wanted) -> list[Path]:
    """Return the wheels for one platform and all wanted Pythons, pip's own among them, from the
    cache or the package index."""
    pins = device_pins(platform, wanted.extras)
    by_name: dict[str, Path] = {}
    for version in wanted.pythons:
        key = sha256(f"{pins}\n{platform}\n{version}".encode()).hexdigest()[:16]
        folder = wanted.cache / "wheels" / f"{platform}-{version}-{key}"
        if not (folder / "complete").is_file():
            say(f"  runtime    wheels for {platform}, Python {version}")
            _pip_download(pins, platform, version, folder)
        by_name |= {path.name: path for path in sorted(folder.glob("*.whl"))}
    return list(by_name.values())


def _pip_download(pins: str, platform: str, version: str, folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    listed = folder / "device.txt"
    listed.write_text(pins + "pip>=24\n", encoding="utf-8")
    tags = [word for tag in PLATFORMS[platform] for word in ("--platform", tag)]
    command = python(
        "-m",
        "pip",
        "download",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
        "--only-binary",
        ":all:",
        *tags,
        "--python-version",
        version,
        "--implementation",
        "cp",
        "-d",
        folder,
        "-r",
        listed,
    )
    done = subprocess.run(command, env=safe_environment(), capture_output=True, text=True)
    if done.returncode:
        words = " ".join(line for line in done.stderr.splitlines() if line.startswith("ERROR"))[
            -400:
        ]
        raise MachineError(
            f"wheels for {platform}, Python {version}: {words or done.stderr[-400:]}; is there a"
            " network? --no-runtime ships the bundle alone, --platform and --python name fewer"
        )
    (folder / "complete").write_text("", encoding="utf-8")


def write_lists(target: Path, names: Sequence[str]) -> int:
    """Write requirements.txt with every wheel's hash, which pip holds them to; VERSION; the list of
    wheels that is signed; SHA256SUMS of all files. Return the wheels' bytes."""
    digests = {name: sha256_file(target / name) for name in names}
    packages: dict[str, list[str]] = {}
    for name, digest in digests.items():
        package, version = name.split("-")[:2]
        if package != "pip":
            packages.setdefault(f"{package.replace('_', '-').lower()}=={version}", []).append(
                digest
            )
    lines = [
        " ".join([pin, *(f"--hash=sha256:{digest}" for digest in of_package)])
        for pin, of_package in sorted(packages.items())
    ]
    (target / "requirements.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (target / "VERSION").write_text(fieldpack.__version__ + "\n", encoding="utf-8")
    wheels = tuple(
        Wheel(name, digest, (target / name).stat().st_size) for name, digest in digests.items()
    )
    listed = RuntimeList(fieldpack.__version__, target.name, wheels)
    (target / FILENAME).write_bytes(to_bytes(listed))
    for name in ("requirements.txt", "VERSION", FILENAME):
        digests[name] = sha256_file(target / name)
    (target / "SHA256SUMS").write_text(
        "".join(f"{digest}  {name}\n" for name, digest in sorted(digests.items())), encoding="utf-8"
    )
    return sum((target / name).stat().st_size for name in names)
