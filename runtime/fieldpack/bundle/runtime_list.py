"""The wheels of one Fieldpack for one platform, as a shipped folder carries them and its metadata
signs them: written by `build ship`, read by a device whose next release needs a newer Fieldpack.
Knows nothing of signatures or of how wheels are installed."""

from __future__ import annotations

import json
import platform
from dataclasses import asdict, dataclass

from ..errors import BundleCorrupt, BundleUnsupported
from ..untrusted import typed

FORMATS = 1  # the highest format of a list that this version reads
FILENAME = "runtime.json"  # in runtime/<platform>/, beside the wheels
TARGETS = "fieldpack-runtime"  # folder of the signed targets, of which no channel has the name
MOST_BYTES = 1 << 20  # of a list
_LARGEST_WHEEL = 2 << 30
# What Python calls systems and processors, and what our folders are called.
_SYSTEMS = {"Linux": "linux", "Darwin": "macos", "Windows": "windows"}
_MACHINES = {"amd64": "x86_64", "x86_64": "x86_64"}


@dataclass(frozen=True, slots=True)
class Wheel:
    """One wheel: its file's name, SHA-256 and bytes."""

    name: str
    sha256: str
    size: int

    @property
    def package(self) -> str:
        """The package, as requirements write it."""
        return self.name.split("-")[0].replace("_", "-").lower()

    def fits(self, minor: int) -> bool:
        """Whether CPython 3.`minor` can install it, by its name's tags; of its platform says the
        folder."""
        pythons, abi = self.name.removesuffix(".whl").split("-")[-3:-1]
        for tag in pythons.split("."):
            if tag in ("py3", f"cp3{minor}") or (
                abi == "abi3" and tag[:3] == "cp3" and int(tag[3:] or 0) <= minor
            ):
                return True
        return False


@dataclass(frozen=True, slots=True)
class RuntimeList:
    """All wheels of one version of Fieldpack for one platform and several Pythons; pip's own is
    among them. A folder may carry fewer."""

    version: str
    platform: str
    wheels: tuple[Wheel, ...]


def own_platform() -> str:
    """Return what this machine's folder in runtime/ is called, such as linux-x86_64."""
    machine = platform.machine()
    system = platform.system()
    if system == "Darwin" or (system == "Linux" and machine == "arm64"):
        machine = "arm64" if system == "Darwin" else "aarch64"
    return f"{_SYSTEMS.get(system, system.lower())}-{_MACHINES.get(machine.lower(), machine)}"


def target_of(platform_name: str) -> str:
    """Return the signed target that holds a platform's list."""
    return f"{TARGETS}/{platform_name}.json"


def wheel_path(platform_name: str, name: str) -> str:
    """Return where a wheel lies in a shipped folder."""
    return f"runtime/{platform_name}/{name}"


def version_numbers(version: str) -> tuple[int, ...]:
    """Return a version's numbers, to compare by: "0.10.1" -> (0, 10, 1)."""
    return tuple(int(part) for part in version.split(".") if part.isascii() and part.isdigit())


def to_bytes(listed: RuntimeList) -> bytes:
    """Return the list as JSON: the same list gives the same bytes."""
    data = {"format": FORMATS, **asdict(listed)}
    return (json.dumps(data, indent=1, sort_keys=True) + "\n").encode()


def parse_list(data: bytes, where: str) -> RuntimeList:
    """Read a list. Raises BundleCorrupt (not of this shape, names that leave their folder) and
    BundleUnsupported (a later format)."""
    try:
        row = json.loads(data)
        if row["format"] > FORMATS:
            raise BundleUnsupported(
                f"{where}: a list of wheels in format {int(row['format'])}, this version reads"
                f" {FORMATS}; run the installer of the stick or server again to update Fieldpack"
            )
        # Later versions may add fields.
        wheels = tuple(
            typed(Wheel, {name: wheel[name] for name in ("name", "sha256", "size")})
            for wheel in row["wheels"]
        )
        listed = RuntimeList(str(row["version"]), str(row["platform"]), wheels)
        for wheel in wheels:
            _check(wheel)
        if not version_numbers(listed.version):
            raise ValueError(f"{listed.version!r:.40} is no version")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise BundleCorrupt(
            f"{where}: no list of wheels ({type(error).__name__}: {str(error)[:200]}); ship it"
            " again"
        ) from None
    return listed


def _check(wheel: Wheel) -> None:
    plain = wheel.name.replace("-", "").replace("_", "").replace(".", "").replace("+", "")
    if not plain.isascii() or not plain.isalnum() or wheel.name.startswith((".", "-")):
        raise ValueError(f"{wheel.name!r:.80} is no name of a wheel")
    if not wheel.name.endswith(".whl") or not 5 <= len(wheel.name.split("-")) <= 6:
        raise ValueError(f"{wheel.name!r:.80} is no name of a wheel")
    if len(wheel.sha256) != 64 or set(wheel.sha256) - set("0123456789abcdef"):
        raise ValueError(f"{wheel.sha256!r:.80} is no SHA-256")
    if not 0 < wheel.size <= _LARGEST_WHEEL:
        raise ValueError(f"{wheel.name}: {wheel.size!r:.40} is no size of a wheel")
