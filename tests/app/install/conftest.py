"""One toy bundle and its keys a session; a stick and a device for each test."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import shipping


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A quoting bundle, version 1.0.0. Do not write to it."""
    return shipping.write_quoting_bundle(tmp_path_factory.mktemp("toy") / "toy-1.0.0", golden=True)


@pytest.fixture(scope="session")
def shipped(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> shipping.Yard:
    """Keys and a stick with release 1 of it. Do not write to it: take `yard` for that."""
    yard = shipping.make_yard(tmp_path_factory.mktemp("yard"))
    yard.ship(toy)
    return yard


@pytest.fixture
def yard(shipped: shipping.Yard, tmp_path: Path) -> shipping.Yard:
    """A copy of the keys and the stick, to sign with and to damage at will."""
    shutil.copytree(shipped.keys, tmp_path / "keys")
    shutil.copytree(shipped.stick, tmp_path / "stick")
    return shipping.Yard(tmp_path / "keys", tmp_path / "stick")


@pytest.fixture
def device(tmp_path: Path) -> shipping.Device:
    return shipping.Device(tmp_path / "device")
