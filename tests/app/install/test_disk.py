"""What a store's disk must be able to do, and what is said where it cannot."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import shipping
from fieldpack_app.install import disk
from fieldpack_app.install.errors import StoreFailed


@pytest.fixture
def fat(tmp_path: Path) -> Iterator[Path]:
    """A FAT32 file system of 64 MB, where this machine can mount one."""
    image, point = tmp_path / "fat.img", tmp_path / "fat"
    point.mkdir()
    with image.open("wb") as file:
        file.truncate(64 << 20)
    tool = shutil.which("mkfs.vfat", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if not tool or os.geteuid() != 0:
        pytest.skip("no mkfs.vfat here, or not root")
    subprocess.run([tool, "-F", "32", str(image)], check=True, capture_output=True)
    if subprocess.run(
        ["mount", "-o", "loop", str(image), str(point)], capture_output=True
    ).returncode:
        pytest.skip("this machine mounts no FAT")
    yield point
    subprocess.run(["umount", str(point)], check=True)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A disk of 6 MB."""
    point = tmp_path / "small"
    point.mkdir()
    if (
        os.geteuid() != 0
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=6m", "none", str(point)], capture_output=True
        ).returncode
    ):
        pytest.skip("this machine lets us mount nothing")
    yield point
    subprocess.run(["umount", str(point)], check=True)


def test_a_stick_may_be_fat_and_a_store_not(
    toy: Path, yard: shipping.Yard, fat: Path, device: shipping.Device
) -> None:
    yard.ship(toy, to=fat / "fieldpack")
    refused = device.run(
        "install", fat, "--fingerprint", device.fingerprint(fat), "--store", fat / "store"
    )
    assert refused.code == 1 and "lies on vfat" in refused.err and "FIELDPACK_STORE" in refused.err
    done = device.install(fat)  # the folder `fieldpack` on it is found
    assert done.code == 0, done.err
    assert "400 hours" in device.run("ask", "toy", shipping.QUESTION).out


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("vfat", "no hard links"),
        ("exfat", "no hard links"),
        ("nfs4", "on a network"),
        ("cifs", "on a network"),
    ],
)
def test_file_systems_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, says: str
) -> None:
    table = tmp_path / "mountinfo"
    table.write_text(
        f"20 1 8:1 / / rw - ext4 /dev/sda rw\n31 20 8:2 / {tmp_path} rw,nosuid shared:7 - {kind}"
        " /dev/sdb rw\n"
    )
    monkeypatch.setattr(disk, "MOUNTS", table)
    assert disk.filesystem_of(tmp_path) == kind and disk.filesystem_of(Path("/usr")) == "ext4"
    with pytest.raises(StoreFailed, match=says):
        disk.require_disk(tmp_path)


def test_a_folder_beside_a_mount_is_not_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "mountinfo"
    table.write_text(
        f"20 1 8:1 / / rw - ext4 /dev/sda rw\n31 20 8:2 / {tmp_path}/a\\040b rw - vfat /dev/sdb"
        " rw\n"
    )
    monkeypatch.setattr(disk, "MOUNTS", table)
    assert disk.filesystem_of(tmp_path / "a b") == "vfat"
    assert disk.filesystem_of(tmp_path / "a bc") == "ext4"


def test_a_disk_without_room_is_said_with_bytes(
    yard: shipping.Yard, small: Path, device: shipping.Device
) -> None:
    (small / "full").write_bytes(bytes(3 << 20))
    done = device.run(
        "install",
        yard.stick,
        "--fingerprint",
        device.fingerprint(yard.stick),
        "--store",
        small / "store",
    )
    assert done.code == 1 and "bytes, the disk has" in done.err and "fieldpack gc" in done.err
    (small / "full").unlink()
    again = device.run(
        "install",
        yard.stick,
        "--fingerprint",
        device.fingerprint(yard.stick),
        "--store",
        small / "store",
    )
    assert again.code == 0, again.err
