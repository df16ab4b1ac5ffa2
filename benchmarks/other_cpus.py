"""A device's half on processors that this machine does not have, through qemu's user mode: x86-64
with AVX2 and no VNNI, and ARM64 with its own Python and wheels. What tests/end_to_end and
benchmarks/cpus.py share.

What ARM64 needs is fetched once (0.3 GB unpacked): qemu and Python from Debian
13 through apt, into folders of their own, and the wheels that `build ship` carries. Debian 12's
qemu 7.2 dies when onnxruntime is imported on ARM64.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from fieldpack_build.ship.runtime_folder import Wanted, download

SUITE = "trixie"  # Debian 13
KEYS = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
PYTHON = "3.13"  # Debian 13's
_SCRIPT = Path(__file__).with_name("answer_on_device.py")
_TIMEOUT = 3600  # seconds; ARM64 is a hundred times slower here than on a machine


@dataclass(frozen=True)
class Processor:
    """A way to run Python on some processor. `command`: Python's, with what emulates it. `paths`:
    packages beside the device's half."""

    name: str
    command: tuple[str, ...]
    paths: tuple[Path, ...] = ()
    home: Path | None = None

    def answer(self, bundle: Path, questions: Sequence[str]) -> dict[str, Any]:
        """Return what a bundle answers there (`answer_on_device.py`). Raises RuntimeError."""
        runtime = Path(__file__).parents[1] / "runtime"
        environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("PYTHON")},
            "PYTHONPATH": os.pathsep.join(map(str, (runtime, *self.paths))),
            "PYTHONDONTWRITEBYTECODE": "1",
            **({"PYTHONHOME": str(self.home)} if self.home else {}),
        }
        question = {"bundle": str(bundle), "questions": list(questions)}
        done = subprocess.run(
            [*self.command, str(_SCRIPT)],
            input=json.dumps(question) + "\n",
            env=environment,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT,
        )
        if done.returncode:
            raise RuntimeError(f"{self.name}: exit code {done.returncode}: {done.stderr[-2000:]}")
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return found


def this_processor() -> Processor:
    """Return the processor at hand."""
    return Processor("this", (sys.executable, "-P"))


def avx2() -> Processor | None:
    """Return an x86-64 with AVX2 and neither VNNI nor AVX-512; None without qemu."""
    qemu = shutil.which("qemu-x86_64")
    if not qemu:
        return None
    return Processor("AVX2", (qemu, "-cpu", "Haswell-v4", sys.executable, "-P"))


def arm64(folder: Path, *, cpu: str = "cortex-a76") -> Processor:
    """Return an ARM64 processor, whose qemu, Python and wheels are fetched into `folder` where they
    are not there yet. Raises RuntimeError where they cannot be had."""
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb") and KEYS.is_file()):
        raise RuntimeError("ARM64's Python comes from Debian through apt, which is not here")
    folder.mkdir(parents=True, exist_ok=True)
    final = folder / f"arm64-{SUITE}"
    with FileLock(folder / "arm64.lock"):
        if not final.is_dir():
            partial = final.with_name(final.name + ".partial")
            shutil.rmtree(partial, ignore_errors=True)
            (partial / "host").mkdir(parents=True)
            for deb in _fetch_debs(partial / "apt", "amd64", "qemu-user"):
                if deb.name.startswith("qemu-user_"):  # it is linked statically; 70 others in it
                    _extract(deb, partial / "host", "./usr/bin/qemu-aarch64")
            # The folders that Debian has merged into /usr are links to it.
            for name in ("bin", "lib", "sbin"):
                (partial / "root/usr" / name).mkdir(parents=True)
                (partial / "root" / name).symlink_to(f"usr/{name}")
            for deb in _fetch_debs(partial / "apt", "arm64", "python3", "libstdc++6"):
                _extract(deb, partial / "root")
            shutil.rmtree(partial / "apt")
            for wheel in download("linux-aarch64", Wanted(folder, ("linux-aarch64",), (PYTHON,))):
                with zipfile.ZipFile(wheel) as archive:
                    archive.extractall(partial / "site")
            partial.rename(final)
    root, qemu = final / "root", final / "host/usr/bin/qemu-aarch64"
    python = root / f"usr/bin/python{PYTHON}"
    command = (str(qemu), "-cpu", cpu, "-L", str(root), str(python), "-P")
    return Processor(f"ARM64 ({cpu})", command, (final / "site",), root / "usr")


def _debian_archive() -> str:
    """Return the address of the Debian archive that this machine's own apt is set up with. Raises
    RuntimeError where it is set up with none."""
    found = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(LABEL) $(REPO_URI)", "Created-By: Packages"],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout
    for line in found.splitlines():
        label, _, address = line.partition(" ")
        if label == "Debian":
            return address
    raise RuntimeError("apt is set up with no Debian archive here: run `apt-get update` first")


def _fetch_debs(folder: Path, architecture: str, *packages: str) -> list[Path]:
    """Return Debian packages with all that they need, fetched into `folder`; nothing of this system
    is touched. Raises RuntimeError."""
    state = folder / architecture
    for name in ("etc/preferences.d", "etc/apt.conf.d", "state/lists/partial", "debs/partial"):
        (state / name).mkdir(parents=True)
    (state / "status").touch()
    (state / "etc/sources.list").write_text(
        f"deb [signed-by={KEYS}] {_debian_archive()} {SUITE} main\n"
    )
    settings = {
        "Dir::Etc": state / "etc",
        "Dir::State": state / "state",
        "Dir::State::status": state / "status",
        "Dir::Cache": state,
        "Dir::Cache::archives": state / "debs",
        "APT::Architecture": architecture,
        "APT::Architectures": architecture,
        "APT::Sandbox::User": "root",
        "Acquire::Languages": "none",
    }
    options = (part for key, value in settings.items() for part in ("-o", f"{key}={value}"))
    apt = ["apt-get", *options]
    _run([*apt, "update"])
    _run([*apt, "install", "--yes", "--download-only", "--no-install-recommends", *packages])
    return sorted((state / "debs").glob("*.deb"))


def _extract(deb: Path, folder: Path, *members: str) -> None:
    """Unpack a Debian package, or only some of its files, into `folder`. Raises RuntimeError."""
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", deb], stdout=subprocess.PIPE) as files:
        # Links to folders stay: packages have files below /lib, which is one.
        tar = ["tar", "--extract", "--keep-directory-symlink", "--no-same-owner"]
        _run([*tar, "--directory", str(folder), *members], stdin=files.stdout)


def _run(command: Sequence[str], stdin: Any = None) -> None:
    done = subprocess.run(command, stdin=stdin, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{command[0]} {command[-1]}: {done.stderr.strip()[-500:]}")
