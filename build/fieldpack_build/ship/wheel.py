"""The device's half of this very Fieldpack as a wheel: the packages `fieldpack` and
`fieldpack_app`, the command, and no build. Written from the installed sources, so that what ships
is what was evaluated with; the same sources give the same bytes."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires
from importlib.util import find_spec
from pathlib import Path

import fieldpack

_PACKAGES = ("fieldpack", "fieldpack_app")
_TIME = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip can say


def write_wheel(folder: Path) -> Path:
    """Write fieldpack-VERSION-py3-none-any.whl. Its name does not tell two builds of one version
    apart; its hash does."""
    version = fieldpack.__version__
    info = f"fieldpack-{version}.dist-info"
    members = dict(_sources())
    members[f"{info}/METADATA"] = _metadata(version)
    members[f"{info}/WHEEL"] = (
        b"Wheel-Version: 1.0\nGenerator: fieldpack\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    )
    members[f"{info}/entry_points.txt"] = b"[console_scripts]\nfieldpack = fieldpack_app.cli:main\n"
    rows = []
    for name, data in sorted(members.items()):
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        rows.append(f"{name},sha256={digest},{len(data)}")
    members[f"{info}/RECORD"] = "\n".join([*rows, f"{info}/RECORD,,", ""]).encode()
    path = folder / f"fieldpack-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in sorted(members.items()):
            archive.writestr(zipfile.ZipInfo(name, _TIME), data, zipfile.ZIP_DEFLATED)
    return path


def _sources() -> Iterator[tuple[str, bytes]]:
    """Yield every file of the device's packages; fieldpack_app is found, not imported: the build
    knows nothing of it."""
    for package in _PACKAGES:
        spec = find_spec(package)
        assert spec is not None and spec.origin is not None, package
        home = Path(spec.origin).parent
        for path in sorted(home.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".pyc":
                yield f"{package}/{path.relative_to(home).as_posix()}", path.read_bytes()


def _metadata(version: str) -> bytes:
    try:
        needs = [line for line in requires("fieldpack") or [] if "extra ==" not in line]
    except PackageNotFoundError:
        needs = []
    lines = [
        "Metadata-Version: 2.1",
        "Name: fieldpack",
        f"Version: {version}",
        "License: Apache-2.0",
        "Requires-Python: >=3.11",
    ]
    return "\n".join([*lines, *(f"Requires-Dist: {need}" for need in needs), ""]).encode()
