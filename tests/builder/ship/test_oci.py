"""A shipped folder as an OCI image layout, and pushing from it with a program that stands in for
oras and keeps what it is given."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest

import shipping
from fieldpack_build.errors import DataError, MachineError
from fieldpack_build.ship.oci import check_layout, push
from fieldpack_build.ship.ship import ship, sign

ORAS = """#!{python}
import json, shutil, sys
from pathlib import Path
registry = Path({registry!r})
if sys.argv[1:3] == ["cp", "--from-oci-layout"]:
    folder, _, tag = sys.argv[3].rpartition(":")
    rows = json.loads((Path(folder) / "index.json").read_text())["manifests"]
    (row,) = [r for r in rows if r["annotations"]["org.opencontainers.image.ref.name"] == tag]
    blob = Path(folder) / "blobs" / "sha256" / row["digest"].partition(":")[2]
    shutil.copy(blob, registry / "manifest")
    (registry / "reference").write_text(sys.argv[4])
elif sys.argv[1:3] == ["manifest", "fetch"] and (registry / "reference").read_text() == sys.argv[3]:
    sys.stdout.buffer.write((registry / "manifest").read_bytes() + {more!r})
else:
    sys.exit("oras: " + " ".join(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shipping.write_quoting_bundle(tmp_path_factory.mktemp("toy") / "toy-1.0.0")


@pytest.fixture
def yard(tmp_path: Path) -> shipping.Yard:
    return shipping.make_yard(tmp_path)


def oras(folder: Path, monkeypatch: pytest.MonkeyPatch, more: bytes = b"") -> Path:
    registry = folder / "registry"
    registry.mkdir(exist_ok=True)
    program = folder / "bin" / "oras"
    program.parent.mkdir(exist_ok=True)
    program.write_text(ORAS.format(python=sys.executable, registry=str(registry), more=more))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    return registry


def test_the_same_folder_is_a_stick_and_a_layout(
    toy: Path, yard: shipping.Yard, tmp_path: Path
) -> None:
    yard.ship(toy, as_oci=True)
    tags = check_layout(yard.stick)
    assert list(tags) == ["toy-1.0.0"]
    device = shipping.Device(tmp_path / "device")
    assert device.install(yard.stick).code == 0
    assert device.entry()["current"]["digest"] == tags["toy-1.0.0"]
    # A later release, shipped without a word of it, is in the layout; the old one's blobs are gone.
    newer = shipping.next_version(toy, tmp_path / "toy-1.1.0", "1.1.0", said="After 900 hours.")
    yard.ship(newer)
    assert list(check_layout(yard.stick)) == ["toy-1.1.0"]
    assert not (yard.stick / "blobs" / "sha256" / tags["toy-1.0.0"]).exists()
    assert device.run("update", yard.stick).code == 0


def test_what_is_signed_elsewhere_is_in_the_layout_then(toy: Path, yard: shipping.Yard) -> None:
    ship(toy, yard.stick, keys=None, as_oci=True)
    assert check_layout(yard.stick) == {}
    sign(yard.stick, yard.keys)
    assert list(check_layout(yard.stick)) == ["toy-1.0.0"]


def test_a_damaged_layout_is_named(toy: Path, yard: shipping.Yard) -> None:
    yard.ship(toy, as_oci=True)
    (digest,) = check_layout(yard.stick).values()
    layers = json.loads((yard.stick / "blobs" / "sha256" / digest).read_text())["layers"]
    blob = yard.stick / "blobs" / "sha256" / layers[0]["digest"].partition(":")[2]
    shipping.flip(blob, 7)
    with pytest.raises(DataError, match="not what the layout names"):
        check_layout(yard.stick)
    with pytest.raises(DataError, match="no OCI image layout"):
        check_layout(toy)


def test_pushing(
    toy: Path, yard: shipping.Yard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = oras(tmp_path, monkeypatch)
    words = ["ship", toy, "--to", yard.stick, "--keys", yard.keys, "--no-runtime"]
    reference = "registry.example.org/toy:1.0.0"
    command = [sys.executable, "-P", "-m", "fieldpack_build.cli", *map(str, words)]
    wrong = subprocess.run([*command, "--push", reference], capture_output=True, text=True)
    assert wrong.returncode == 2 and "--as oci" in wrong.stderr
    done = subprocess.run(
        [*command, "--as", "oci", "--push", reference], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    digest = sha256((registry / "manifest").read_bytes()).hexdigest()
    assert check_layout(yard.stick) == {"toy-1.0.0": digest}
    oras(tmp_path, monkeypatch, b" ")  # a registry that hands out other bytes
    with pytest.raises(DataError, match="another manifest"):
        push(yard.stick, "toy-1.0.0", reference)
    with pytest.raises(DataError, match=r"no release toy-2\.0\.0"):
        push(yard.stick, "toy-2.0.0", reference)
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    with pytest.raises(MachineError, match="skopeo copy oci:"):
        push(yard.stick, "toy-1.0.0", reference)
