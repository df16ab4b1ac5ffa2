"""One bit of an installed file: found by `verify --deep`, mended by `repair`, and never an
answer."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

import fieldpack
import shipping
from fieldpack_app.install.opening import open_installed
from fieldpack_app.install.repair import repair
from fieldpack_app.install.store import Store

FLIPS = 60  # benchmarks/ship_flips.py does 1,000


def test_every_flip_is_found_and_mended(yard: shipping.Yard, device: shipping.Device) -> None:
    assert device.install(yard.stick).code == 0
    store = Store(device.store)
    (slot,) = store.slots.iterdir()
    # Each file as often as any other: a flip in proportion to bytes would never meet the small
    # ones.
    files = sorted(path for path in (slot / "bundle").rglob("*") if path.is_file())
    draw = random.Random(8)
    for _ in range(FLIPS):
        victim = draw.choice(files)
        shipping.flip(victim, draw.randrange(victim.stat().st_size * 8))
        found = store.damages()
        assert [Path(damage.path).name for damage in found] == [victim.name]
        with pytest.raises(fieldpack.BundleError):
            open_installed(slot / "bundle", fieldpack.open)
        mended, left = repair(store, None)
        assert mended == found and not left
        assert not store.damages()
    with fieldpack.open(slot / "bundle") as expert:
        assert "400 hours" in expert.ask(shipping.QUESTION).text


def test_two_damages_in_one_store_and_a_release_json(
    yard: shipping.Yard, device: shipping.Device
) -> None:
    assert device.install(yard.stick).code == 0
    store = Store(device.store)
    (slot,) = store.slots.iterdir()
    shipping.flip(slot / "bundle" / "prompt.json", 40)
    shipping.flip(slot / "release.json", 400)
    found = device.run("verify", "--deep")
    assert found.code == 3 and "release.json" in found.err
    done = device.run("repair")
    assert done.code == 0, done.err
    assert device.run("verify", "--deep").code == 0
    (slot / "bundle" / "prompt.json").unlink()
    assert device.run("verify", "--deep").code == 3
    assert device.run("repair").code == 0
    assert "400 hours" in device.run("ask", "toy", shipping.QUESTION).out


def test_a_blob_that_rotted_is_not_taken_for_an_update(
    toy: Path, yard: shipping.Yard, device: shipping.Device, tmp_path: Path
) -> None:
    """The embedder does not change, so an update would link the rotten file again."""
    assert device.install(yard.stick).code == 0
    store = Store(device.store)
    (slot,) = store.slots.iterdir()
    shipping.flip(slot / "bundle" / "embedder" / "model.onnx", 4000)
    yard.ship(shipping.next_version(toy, tmp_path / "toy-1.1.0", "1.1.0"))
    done = device.run("update", "--json")
    assert (
        done.code == 0 and done.json[0]["copied"] > (toy / "embedder" / "model.onnx").stat().st_size
    ), done.err
    assert "400 hours" in device.run("ask", "toy", shipping.QUESTION).out
