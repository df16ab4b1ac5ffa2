"""From a stick to answers: install, update, roll back, repair, collect, as the one at the device
does it."""

from __future__ import annotations

import os
import shutil
import stat
from hashlib import sha256
from pathlib import Path

import pytest

import shipping
from fieldpack import Expert, OutOfMemory
from fieldpack.bundle.release import Blob, ReleaseFile, blob_path
from fieldpack.untrusted import untrusted
from fieldpack_app.install.fetch import fetch_file
from fieldpack_app.install.source import open_source
from fieldpack_app.install.state import TRIES
from fieldpack_app.install.store import Store


def links(store: Path) -> set[Path]:
    return {path for path in (store / "slots").rglob("*") if path.is_file()}


def test_the_first_install_asks_for_the_fingerprint_and_then_answers(
    yard: shipping.Yard, device: shipping.Device
) -> None:
    refused = device.run("install", yard.stick)
    assert refused.code == 3 and device.fingerprint(yard.stick) in refused.err
    wrong = device.run("install", yard.stick, "--fingerprint", "0" * 32)
    assert wrong.code == 3 and "not from those who gave you" in wrong.err
    short = device.run("install", yard.stick, "--fingerprint", device.fingerprint(yard.stick)[:9])
    assert short.code == 3
    assert not (device.store / "state.json").exists()

    done = device.install(yard.stick, "--json")
    assert done.code == 0, done.err
    (outcome,) = done.json
    assert (outcome["name"], outcome["action"], outcome["number"]) == ("toy", "installed", 1)
    assert outcome["copied"] == outcome["size"] and outcome["health"]["questions"] == 1

    asked = device.run("ask", "toy", shipping.QUESTION)
    assert asked.code == 0 and "400 hours" in asked.out, asked.err
    assert device.entry()["tries"] is None  # a first release has nothing to go back to


def test_blobs_are_read_only_and_slots_are_links_to_them(
    yard: shipping.Yard, device: shipping.Device
) -> None:
    assert device.install(yard.stick).code == 0
    blobs = {path.stat().st_ino: path for path in (device.store / "blobs" / "sha256").iterdir()}
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o444 for path in blobs.values())
    (slot,) = (device.store / "slots").iterdir()
    files = [path for path in (slot / "bundle").rglob("*") if path.is_file()]
    assert files and all(path.stat().st_ino in blobs for path in files)


def test_an_update_copies_only_what_changed_and_says_what(
    toy: Path, yard: shipping.Yard, device: shipping.Device
) -> None:
    assert device.install(yard.stick).code == 0
    assert "nothing newer" in device.run("update").out
    newer = shipping.next_version(
        toy,
        yard.stick.parent / "toy-1.1.0",
        "1.1.0",
        said="Change the filter after 900 hours of use.",
    )
    yard.ship(newer)
    done = device.run("update", "--json")
    assert done.code == 0, done.err
    (outcome,) = done.json
    changed = sum(
        (newer / path).stat().st_size
        for path in (path.relative_to(newer) for path in newer.rglob("*") if path.is_file())
        if not (toy / path).is_file() or (toy / path).read_bytes() != (newer / path).read_bytes()
    )
    assert outcome["action"] == "updated" and outcome["copied"] == changed < outcome["size"]
    assert outcome["changes"]["changed"] == ["pump.md"] and outcome["changes"]["added"] == []
    assert device.entry()["tries"] == TRIES
    asked = device.run("ask", "toy", shipping.QUESTION)
    assert "900 hours" in asked.out
    assert device.entry()["tries"] is None


def test_roll_back_is_a_pointer(toy: Path, yard: shipping.Yard, device: shipping.Device) -> None:
    assert device.install(yard.stick).code == 0
    assert device.run("rollback").code == 3  # nothing before it
    yard.ship(
        shipping.next_version(
            toy,
            yard.stick.parent / "toy-1.1.0",
            "1.1.0",
            said="Change the filter after 900 hours of use.",
        )
    )
    assert device.run("update").code == 0
    before = links(device.store)
    done = device.run("rollback", "toy", "--json")
    assert done.code == 0 and done.json[0]["seconds"] < 1, done.err
    assert (
        links(device.store) - {path for path in links(device.store) if path.name == "in-use"}
        <= before
    )
    assert "400 hours" in device.run("ask", "toy", shipping.QUESTION).out
    stays = device.run("update", "--json").json[
        0
    ]  # what was left is not brought back by the next nightly update
    assert stays["action"] == "unchanged" and "was left again" in stays["notes"][0]
    text = device.run("update").out
    assert "was left again" in text and "nothing newer" not in text
    again = device.run("install", yard.stick)
    assert again.code == 0 and "1.1.0" in again.out
    assert "900 hours" in device.run("ask", "toy", shipping.QUESTION).out


def test_an_older_stick_is_nothing_newer(
    toy: Path, yard: shipping.Yard, device: shipping.Device, tmp_path: Path
) -> None:
    old = Path(shutil.copytree(yard.stick, tmp_path / "old"))
    yard.ship(shipping.next_version(toy, tmp_path / "toy-1.1.0", "1.1.0"))
    assert device.install(yard.stick).code == 0
    update = device.run("update", old, "--json")
    assert (
        update.code == 0
        and update.json[0]["action"] == "unchanged"
        and "nothing newer" in update.json[0]["notes"][0]
    )
    refused = device.run("install", old)
    assert refused.code == 3 and "older" in refused.err
    assert device.entry()["current"]["number"] == 2
    forced = device.run("install", old, "--allow-downgrade")
    assert forced.code == 0, forced.err
    assert device.entry()["current"]["number"] == 1


def test_a_release_that_dies_at_its_start_is_left_after_its_tries(
    toy: Path, yard: shipping.Yard, device: shipping.Device
) -> None:
    """The health check passes; then the machine changes. A model that cannot be mapped any more
    stands for it."""
    assert device.install(yard.stick).code == 0
    yard.ship(
        shipping.next_version(
            toy,
            yard.stick.parent / "toy-1.1.0",
            "1.1.0",
            said="Change the filter after 900 hours of use.",
        )
    )
    assert device.run("update").code == 0
    from fieldpack_app.install.opening import open_installed

    class Died(BaseException):
        """As the kernel's SIGKILL: nothing of ours runs after it."""

    def dies(path: Path) -> object:
        raise Died

    path = device.store / "slots" / device.entry()["current"]["digest"] / "bundle"
    for left in range(TRIES - 1, -1, -1):
        with pytest.raises(Died):
            open_installed(path, dies)  # type: ignore[arg-type]
        assert device.entry()["tries"] == left
    asked = device.run("ask", "toy", shipping.QUESTION)
    assert asked.code == 0 and "400 hours" in asked.out and "back to 1.0.0" in asked.err
    assert (
        device.entry()["current"]["version"] == "1.0.0"
        and "did not start" in device.entry()["failed"]
    )


def test_a_shortage_of_memory_at_a_start_is_no_fault_of_the_release(
    toy: Path, yard: shipping.Yard, device: shipping.Device
) -> None:
    """It went back to the release before at the first one."""
    assert device.install(yard.stick).code == 0
    yard.ship(shipping.next_version(toy, yard.stick.parent / "toy-1.1.0", "1.1.0"))
    assert device.run("update").code == 0
    from fieldpack_app.install.opening import open_installed

    path = device.store / "slots" / device.entry()["current"]["digest"] / "bundle"

    def without_memory(folder: Path) -> Expert:
        with untrusted(folder / "model"):
            raise MemoryError("std::bad_alloc")

    for _ in range(TRIES + 1):
        with pytest.raises(OutOfMemory):
            open_installed(path, without_memory)
        assert device.entry()["tries"] == TRIES
    asked = device.run("ask", "toy", shipping.QUESTION)
    assert asked.code == 0 and device.entry()["current"]["version"] == "1.1.0"
    assert device.entry()["tries"] is None and not device.entry()["failed"]


def test_a_release_that_does_not_open_is_never_pointed_to(
    toy: Path, yard: shipping.Yard, device: shipping.Device
) -> None:
    """Rightly signed, sealed, and broken: the embedder of another bundle."""
    assert device.install(yard.stick).code == 0
    broken = shipping.next_version(toy, yard.stick.parent / "toy-2.0.0", "2.0.0")
    (broken / "embedder" / "model.onnx").write_bytes(b"no model")
    shipping.seal(broken, version="2.0.0")
    yard.ship(broken)
    before = device.state()["bundles"]
    done = device.run("update")
    assert done.code == 3 and "the release before it stays in use" in done.err, done.err
    assert device.state()["bundles"] == before
    assert "400 hours" in device.run("ask", "toy", shipping.QUESTION).out


def test_gc_keeps_what_counts_and_what_is_read(
    toy: Path, yard: shipping.Yard, device: shipping.Device
) -> None:
    assert device.install(yard.stick).code == 0
    for number in (1, 2):
        yard.ship(
            shipping.next_version(
                toy,
                yard.stick.parent / f"toy-1.{number}.0",
                f"1.{number}.0",
                said=f"It takes {number} hours.",
            )
        )
        assert device.run("update").code == 0
    slots = {path.name for path in (device.store / "slots").iterdir()}
    entry = device.entry()
    assert slots == {
        entry["current"]["digest"],
        entry["previous"]["digest"],
    }  # an update tidies up after itself
    stray = device.store / "blobs" / "sha256" / ("0" * 64)
    stray.write_bytes(b"stray")
    (device.store / "partial" / "half").write_bytes(b"half")
    done = device.run("gc", "--json")
    assert done.code == 0 and not stray.exists() and not list((device.store / "partial").iterdir())
    assert {path.name for path in (device.store / "slots").iterdir()} == slots


def test_a_damaged_file_is_found_and_mended(yard: shipping.Yard, device: shipping.Device) -> None:
    assert device.install(yard.stick).code == 0
    assert device.run("verify", "--deep").code == 0
    slot = device.store / "slots" / device.entry()["current"]["digest"] / "bundle"
    victim = slot / "knowledge" / "vectors.bin"
    data = bytearray(victim.read_bytes())
    data[len(data) // 2] ^= 1
    victim.chmod(0o644)
    victim.write_bytes(data)
    found = device.run("verify", "--deep")
    assert (
        found.code == 3 and "knowledge/vectors.bin" in found.err and "fieldpack repair" in found.err
    )
    asked = device.run("ask", "toy", shipping.QUESTION)
    assert asked.code == 3 and "sha256 differs" in asked.err and "`fieldpack repair`" in asked.err
    assert "copy the bundle again" not in asked.err
    mended = device.run("repair", "--json")
    assert mended.code == 0 and [Path(path).name for path in mended.json["mended"]] == [
        "vectors.bin"
    ], mended.err
    assert device.run("verify", "--deep").code == 0
    assert "400 hours" in device.run("ask", "toy", shipping.QUESTION).out


def test_a_large_file_travels_in_parts(
    toy: Path, yard: shipping.Yard, device: shipping.Device, tmp_path: Path
) -> None:
    stick = tmp_path / "fat"
    yard.ship(
        shipping.next_version(toy, tmp_path / "toy-1.1.0", "1.1.0"), to=stick, part_bytes=1000
    )
    assert (
        max(
            path.stat().st_size
            for path in (stick / "blobs" / "sha256").iterdir()
            if path.suffix == ""
        )
        > 0
    )
    sizes = [path.stat().st_size for path in (stick / "blobs" / "sha256").iterdir()]
    config = max(sizes)  # the list of all parts, which no device reads
    assert sorted(sizes)[-2] <= 1000 or config > 1000
    assert device.install(stick).code == 0
    slot = device.store / "slots" / device.entry()["current"]["digest"] / "bundle"
    assert (slot / "embedder" / "model.onnx").read_bytes() == (
        toy / "embedder" / "model.onnx"
    ).read_bytes()


def test_status_can_be_carried_back(yard: shipping.Yard, device: shipping.Device) -> None:
    assert device.run("list").out.startswith("nothing is installed")
    assert device.install(yard.stick).code == 0
    out = yard.stick / "status.json"
    assert device.run("status", "--json", "-o", out).code == 0
    said = device.run("status", "--json").json
    assert (
        said["kind"] == "fieldpack-status" and said["bundles"][0]["current"]["version"] == "1.0.0"
    )
    assert "from " + str(yard.stick) in device.run("list").out


def test_old_signatures_are_named_and_refused_on_demand(
    yard: shipping.Yard, device: shipping.Device
) -> None:
    from datetime import UTC, datetime, timedelta

    from fieldpack_app.install.trust import age_in_days

    now = datetime.now(UTC)
    assert age_in_days((now - timedelta(days=94)).isoformat(), now) == 94
    assert (
        age_in_days((now + timedelta(days=2)).isoformat(), now) is None
    )  # the clock is wrong, or the signer's was
    assert age_in_days("yesterday", now) is None
    assert device.install(yard.stick, "--max-age", "0").code == 0  # signed today


def test_rollback_moves_a_pointer_and_nothing_else(
    toy: Path, yard: shipping.Yard, device: shipping.Device
) -> None:
    assert device.install(yard.stick).code == 0
    yard.ship(shipping.next_version(toy, yard.stick.parent / "toy-1.1.0", "1.1.0"))
    assert device.run("update").code == 0

    def contents() -> dict[str, tuple[int, int, int]]:
        return {
            str(path): (entry.st_ino, entry.st_size, entry.st_mtime_ns)
            for folder in ("blobs", "slots")
            for path in (device.store / folder).rglob("*")
            for entry in [path.stat()]
        }

    before, pointer = contents(), (device.store / "state.json").read_bytes()
    assert len(before) > 10
    assert device.run("rollback").code == 0
    assert contents() == before and (device.store / "state.json").read_bytes() != pointer
    assert len(pointer) < 4096


def test_a_stick_that_carries_one_of_two_bundles_updates_that_one(
    toy: Path, yard: shipping.Yard, device: shipping.Device, tmp_path: Path
) -> None:
    other = shipping.write_quoting_bundle(tmp_path / "other-1.0.0", name="other")
    yard.ship(other)
    assert device.install(yard.stick, "--name", "toy").code == 0
    assert device.run("install", yard.stick).code == 4  # two are offered: say which
    assert device.run("install", yard.stick, "--name", "other").code == 0
    yard.ship(shipping.next_version(other, tmp_path / "other-1.1.0", "1.1.0"))
    second = tmp_path / "second stick"
    yard.ship(shipping.next_version(toy, tmp_path / "toy-1.1.0", "1.1.0"), to=second)
    done = device.run("update", second, "--json")
    assert done.code == 0, done.err
    actions = {outcome["name"]: outcome["action"] for outcome in done.json}
    assert actions == {"other": "unchanged", "toy": "updated"}
    assert "does not carry release 2" in done.json[0]["notes"][0]
    assert device.run("update", yard.stick).code == 0  # older metadata than the second stick's
    assert device.entry("other")["current"]["version"] == "1.0.0"
    yard.ship(tmp_path / "other-1.1.0")
    assert device.run("update", yard.stick).code == 0
    assert device.entry("other")["current"]["version"] == "1.1.0"
    assert "400 hours" in device.run("ask", "other", shipping.QUESTION).out


@pytest.mark.real
def test_a_file_over_two_gib_goes_on_behind_them(tmp_path: Path) -> None:
    """Sparse on the stick and, up to where an earlier try was cut off, in the store: at 2 GiB and a
    byte, behind which no offset fits into 31 bits."""
    zeros, tail = 2 << 30, os.urandom(4096)
    digest = sha256()
    for _ in range(zeros >> 20):
        digest.update(bytes(1 << 20))
    digest.update(tail)
    name, size = digest.hexdigest(), zeros + len(tail)
    (tmp_path / "stick" / "metadata").mkdir(parents=True)
    blob = tmp_path / "stick" / blob_path(name)
    blob.parent.mkdir(parents=True)
    with blob.open("wb") as file:
        file.truncate(zeros)
        file.seek(zeros)
        file.write(tail)
    large = ReleaseFile("model/model.onnx.data", name, size, (Blob(name, size),))
    store, source = Store(tmp_path / "store"), open_source(str(tmp_path / "stick"))
    with store.lock():
        with (store.partial / name).open("wb") as file:
            file.truncate(zeros)
            file.seek(zeros)
            file.write(tail[:1])
        assert fetch_file(source, large, store, lambda done: None) == size - zeros - 1
        assert store.has_blob(large)
