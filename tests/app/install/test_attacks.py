"""What may be on a stick or come from a server, and what the device says to it: each with its
sentence and exit code. After each the device has what it had, and answers. The table of
docs/ship.md is this one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from tuf.api.metadata import Metadata

import hostile_http
import shipping
from fieldpack.bundle import release as releases
from fieldpack_build.errors import SigningError
from fieldpack_build.ship import pack
from fieldpack_build.ship.keys import read_root_keys
from fieldpack_build.ship.repository import (
    Repository,
    create,
    hashed_name,
    release_key,
    rotate_release_key,
)


@dataclass
class Scene:
    """A device that runs release 1, and the stick that brings release 2, to be spoilt."""

    yard: shipping.Yard
    device: shipping.Device
    newer: Path
    folder: Path

    @property
    def stick(self) -> Path:
        return self.yard.stick

    def metadata(self, name: str) -> Path:
        """The newest file of a role on the stick."""
        if name == "timestamp":
            return self.stick / "metadata" / "timestamp.json"
        return max(
            (self.stick / "metadata").glob(f"*.{name}.json"),
            key=lambda path: int(path.name.split(".")[0]),
        )

    def edit(self, path: Path, change: Callable[[dict[str, Any]], None]) -> None:
        data = json.loads(path.read_text())
        change(data)
        path.write_text(json.dumps(data))

    def target(self, name: str) -> Path:
        offers = Repository(self.stick).offers()
        return self.stick / "targets" / hashed_name(name, offers[name]["sha256"])

    def blob(self, path: str) -> Path:
        manifest = json.loads(self.target("stable/toy.json").read_text())
        digest = next(
            layer["digest"]
            for layer in manifest["layers"]
            if layer["annotations"][releases.FILE_PATH] == path
        )
        return self.stick / "blobs" / "sha256" / digest.removeprefix("sha256:")

    def sign_manifest(self, change: Callable[[dict[str, Any]], None]) -> None:
        """Sign a doctored manifest with the right key: what a mistake, or a thief of the key, could
        do."""
        manifest = json.loads(self.target("stable/toy.json").read_text())
        change(manifest)
        self.sign_bytes(json.dumps(manifest).encode())

    def sign_bytes(self, data: bytes, **custom: Any) -> None:
        own = Repository(self.yard.keys / "repository")
        offer = {
            "channel": "stable",
            "name": "toy",
            "version": "1.1.0",
            "number": 2,
            "share": 100,
            **custom,
        }
        own.sign({"stable/toy.json": (data, offer)}, own.recalls(), release_key(self.yard.keys))
        own.copy_to(Repository(self.stick), ["stable/toy.json"])


def unsigned(scene: Scene) -> None:
    scene.edit(scene.metadata("timestamp"), lambda data: data.update(signatures=[]))


def unknown_key(scene: Scene) -> None:
    """Another maker's stick, rightly signed by his own keys."""
    create(scene.folder / "thief")
    shutil.rmtree(scene.stick)
    shipping.Yard(scene.folder / "thief", scene.stick).ship(scene.newer)


def below_threshold(scene: Scene) -> None:
    """A new root that one root key has signed, where two must, naming a thief's release key."""
    keys = scene.yard.keys
    create(scene.folder / "thief")
    root: Metadata[Any] = Metadata.from_file(str(scene.stick / "metadata" / "1.root.json"))
    thief = release_key(scene.folder / "thief")
    root.signed.version = 2
    for role in ("targets", "snapshot", "timestamp"):
        root.signed.add_key(thief.signer.public_key, role)
    root.signatures.clear()
    root.sign(read_root_keys([keys / "root-1.pem"])[0].signer)
    root.to_file(str(scene.stick / "metadata" / "2.root.json"))


def other_blob(scene: Scene) -> None:
    path = scene.blob("knowledge/chunks.sqlite")
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def other_manifest(scene: Scene) -> None:
    path = scene.target("stable/toy.json")
    path.write_bytes(path.read_bytes().replace(b"1.1.0", b"1.1.1"))


def mixed_targets(scene: Scene) -> None:
    """The targets of one state beside the snapshot of another."""
    old = scene.stick / "metadata" / "2.targets.json"
    shutil.copy(scene.yard.keys.parent / "old-targets.json", old)
    scene.metadata("targets").write_bytes(old.read_bytes())


def rotation_skipped(scene: Scene) -> None:
    """Two rotations; the first new root is left away, and with it the proof that the second is
    rightful."""
    for _ in range(2):
        rotate_release_key(scene.yard.keys, read_root_keys([scene.yard.keys]))
    scene.yard.ship(scene.newer)
    (scene.stick / "metadata" / "2.root.json").unlink()


def mixed_parts(scene: Scene) -> None:
    """Signed by mistake: the release names another embedder than the bundle's own manifest was
    sealed with."""
    other = b"another tokenizer"
    digest = sha256(other).hexdigest()
    (scene.stick / "blobs" / "sha256" / digest).write_bytes(other)

    def change(manifest: dict[str, Any]) -> None:
        for layer in manifest["layers"]:
            if layer["annotations"][releases.FILE_PATH] == "embedder/tokenizer.json":
                layer.update(digest=f"sha256:{digest}", size=len(other))

    scene.sign_manifest(change)


def swapped_blobs(scene: Scene) -> None:
    one, other = scene.blob("knowledge/chunks.sqlite"), scene.blob("knowledge/vectors.bin")
    data = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(data)


def cut_metadata(scene: Scene) -> None:
    path = scene.metadata("timestamp")
    path.write_bytes(path.read_bytes()[:100])


def cut_manifest(scene: Scene) -> None:
    path = scene.target("stable/toy.json")
    path.write_bytes(path.read_bytes()[:-100])


def cut_blob(scene: Scene) -> None:
    path = scene.blob("knowledge/chunks.sqlite")
    path.write_bytes(path.read_bytes()[:-100])


def missing_blob(scene: Scene) -> None:
    scene.blob("knowledge/chunks.sqlite").unlink()


def longer_blob(scene: Scene) -> None:
    path = scene.blob("knowledge/chunks.sqlite")
    with path.open("ab") as file:
        file.write(bytes(1 << 20))


def pipe(scene: Scene) -> None:
    path = scene.blob("knowledge/chunks.sqlite")
    path.unlink()
    os.mkfifo(path)


def link_to_a_secret(scene: Scene) -> None:
    path = scene.blob("knowledge/chunks.sqlite")
    path.unlink()
    path.symlink_to("/etc/passwd")


def _named(name: str) -> Callable[[Scene], None]:
    def attack(scene: Scene) -> None:
        scene.sign_manifest(
            lambda manifest: manifest["layers"][0]["annotations"].update({releases.FILE_PATH: name})
        )

    return attack


def folder_and_file(scene: Scene) -> None:
    def change(manifest: dict[str, Any]) -> None:
        manifest["layers"][0]["annotations"][releases.FILE_PATH] = "knowledge"

    scene.sign_manifest(change)


def other_name(scene: Scene) -> None:
    scene.sign_manifest(lambda manifest: manifest["annotations"].update({releases.TITLE: "clinic"}))


def terabyte(scene: Scene) -> None:
    """A file that claims 1 TB: refused before a byte of it is fetched."""

    def change(manifest: dict[str, Any]) -> None:
        manifest["layers"][0].update(size=10**12, digest="sha256:" + "a" * 64)

    scene.sign_manifest(change)


def negative(scene: Scene) -> None:
    scene.sign_manifest(lambda manifest: manifest["layers"][0].update(size=-1))


def later_format(scene: Scene) -> None:
    scene.sign_manifest(lambda manifest: manifest["annotations"].update({releases.FORMAT: "2"}))


def later_runtime(scene: Scene) -> None:
    scene.sign_manifest(
        lambda manifest: manifest["annotations"].update({releases.MIN_RUNTIME: "99.0"})
    )


def deep_json(scene: Scene) -> None:
    scene.metadata("timestamp").write_bytes(b"[" * 16_000)


def deep_manifest(scene: Scene) -> None:
    scene.sign_bytes(b"[" * 100_000)


def huge_json(scene: Scene) -> None:
    with scene.metadata("timestamp").open("r+b") as file:
        file.truncate(100 << 20)


def huge_manifest(scene: Scene) -> None:
    scene.sign_bytes(b" " * (5 << 20))


def hostile_offer(scene: Scene) -> None:
    scene.sign_bytes(b"{}", number="many")


def recalled(scene: Scene) -> None:
    from fieldpack_build.ship.ship import recall

    recall(scene.stick, scene.yard.keys, "toy", "1.1.0", "its fee table is of 2023")


def gone(scene: Scene) -> None:
    shutil.rmtree(scene.stick)


def not_shipped(scene: Scene) -> None:
    shutil.rmtree(scene.stick / "metadata")


@dataclass(frozen=True)
class Attack:
    what: str
    do: Callable[[Scene], None]
    code: int
    says: str


ATTACKS = (
    Attack("unsigned metadata", unsigned, 3, "not signed by enough of the keys"),
    Attack("signed by unknown keys", unknown_key, 3, "not signed by enough of the keys"),
    Attack(
        "a new root below the threshold", below_threshold, 3, "not signed by enough of the keys"
    ),
    Attack("another blob under a good signature", other_blob, 3, "not those that were signed"),
    Attack(
        "another manifest under a good signature", other_manifest, 3, "not the one that was signed"
    ),
    Attack("targets and snapshot of two states", mixed_targets, 3, "not the one that was signed"),
    Attack("a root rotation skipped", rotation_skipped, 3, "not signed by enough of the keys"),
    Attack(
        "parts of two bundles, signed by mistake",
        mixed_parts,
        3,
        "parts of several bundles were mixed",
    ),
    Attack("index and texts swapped", swapped_blobs, 4, "the copy was cut off"),
    Attack("metadata cut off", cut_metadata, 3, "cannot be used"),
    Attack("manifest cut off", cut_manifest, 3, "not the one that was signed"),
    Attack("blob cut off", cut_blob, 4, "the copy was cut off"),
    Attack("blob missing", missing_blob, 4, "missing"),
    Attack("blob longer than signed", longer_blob, 3, "longer than the"),
    Attack("a pipe in a blob's place", pipe, 4, "no regular file"),
    Attack(
        "a link to a file of the device in a blob's place",
        link_to_a_secret,
        4,
        "the copy was cut off",
    ),
    Attack("file name ../../x", _named("../../x"), 3, "leaves the bundle"),
    Attack("file name /etc/cron.d/x", _named("/etc/cron.d/x"), 3, "leaves the bundle"),
    Attack("file name C:\\x", _named("C:\\x"), 3, "leaves the bundle"),
    Attack("file name with a line break", _named("a\nb"), 3, "is no file name"),
    Attack(
        "file name twice, in capitals",
        _named("EMBEDDER/model.onnx"),
        3,
        "two files would have one name",
    ),
    Attack("a file where a folder must be", folder_and_file, 3, "two files would have one name"),
    Attack(
        "another bundle's manifest under this name", other_name, 3, "whoever signs made a mistake"
    ),
    Attack("a file that claims 1 TB", terabyte, 1, "needs 1,000,"),
    Attack("a file of -1 bytes", negative, 3, "no manifest of a release"),
    Attack("a release of a later format", later_format, 3, "this version reads 1"),
    Attack("a release for a later Fieldpack", later_runtime, 3, "run install.sh"),
    Attack("JSON nested 16,000 deep as metadata", deep_json, 3, "cannot be used"),
    Attack("JSON nested 100,000 deep, signed", deep_manifest, 3, "no manifest of a release"),
    Attack("100 MB of metadata", huge_json, 3, "longer than what was signed, or endless"),
    Attack("5 MB of manifest, signed", huge_manifest, 3, "at most 4,194,304 are taken"),
    Attack(
        "an offer with another type of number, signed",
        hostile_offer,
        3,
        "no list of Fieldpack's releases",
    ),
    Attack("a withdrawn release", recalled, 3, "its fee table is of 2023"),
    Attack("a stick that is not there", gone, 4, "there is no such folder"),
    Attack("a folder that was not shipped", not_shipped, 4, "not what `build ship` wrote"),
)


@pytest.fixture(scope="session")
def second(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shipping.next_version(
        toy,
        tmp_path_factory.mktemp("second") / "toy-1.1.0",
        "1.1.0",
        said="Change the filter after 900 hours of use.",
    )


@pytest.fixture(scope="session")
def settled(
    toy: Path, shipped: shipping.Yard, second: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A folder with keys, a device that runs release 1, and a stick with release 2."""
    folder = tmp_path_factory.mktemp("settled")
    shutil.copytree(shipped.keys, folder / "keys")
    shutil.copytree(shipped.stick, folder / "stick")
    yard = shipping.Yard(folder / "keys", folder / "stick")
    device = shipping.Device(folder / "device")
    assert device.install(yard.stick).code == 0
    shutil.copy(folder / "stick" / "metadata" / "2.targets.json", folder / "old-targets.json")
    yard.ship(second)
    return folder


@pytest.fixture
def scene(settled: Path, second: Path, tmp_path: Path) -> Iterator[Scene]:
    folder = tmp_path / "scene"
    # cp keeps the store's hard links, which copytree would make copies of
    subprocess.run(["cp", "-a", str(settled), str(folder)], check=True)
    found = Scene(
        shipping.Yard(folder / "keys", folder / "stick"),
        shipping.Device(folder / "device"),
        second,
        folder,
    )
    before = found.device.entry()
    yield found
    assert found.device.entry() == before
    asked = found.device.run("ask", "toy", shipping.QUESTION)
    assert asked.code == 0 and "400 hours" in asked.out, asked.err


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.what)
def test_each_is_refused_with_its_sentence(attack: Attack, scene: Scene) -> None:
    attack.do(scene)
    done = scene.device.run("install", scene.stick)
    assert done.code == attack.code and attack.says in done.err, (done.code, done.err)
    assert done.err.startswith("fieldpack: ") and done.err.count("\n") == 1, done.err


def test_without_an_attack_it_goes_through(settled: Path, second: Path, tmp_path: Path) -> None:
    """The proof that what is refused above is refused for the attack."""
    subprocess.run(["cp", "-a", str(settled), str(tmp_path / "scene")], check=True)
    device = shipping.Device(tmp_path / "scene" / "device")
    done = device.run("install", tmp_path / "scene" / "stick")
    assert done.code == 0 and device.entry()["current"]["number"] == 2, done.err


def test_a_replay_and_frozen_metadata_are_nothing_newer(
    scene: Scene, shipped: shipping.Yard
) -> None:
    """A server that goes on showing an old state can keep a device from news, and no more; the age
    says so."""
    assert scene.device.run("update", shipped.stick, "--json").json[0]["action"] == "unchanged"
    old = scene.device.run("install", shipped.stick, "--max-age", "0")
    assert old.code == 0 and "nothing newer" in old.out  # it is signed today


def test_two_installers_at_once(scene: Scene) -> None:
    import fcntl

    with (scene.device.store / "lock").open("r+b") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = scene.device.run("install", scene.stick)
        assert done.code == 1 and "another fieldpack command is changing this store" in done.err
        assert scene.device.run("ask", "toy", shipping.QUESTION).code == 0  # reading takes no lock


def test_an_http_source_that_misbehaves(scene: Scene) -> None:
    with hostile_http.serving(scene.stick) as server:
        server.endless = True
        done = scene.device.run("install", server.url)
        assert done.code == 3 and "longer than the" in done.err, done.err
        server.endless = False
        server.cut_after = 3000
        done = scene.device.run("install", server.url)
        assert done.code == 4 and "run the same command again to go on" in done.err, done.err
        server.wrong_range = True
        done = scene.device.run("install", server.url)
        assert done.code == 4 and "it or a proxy before it is broken" in done.err, done.err
        shutil.rmtree(scene.stick / "metadata")
        done = scene.device.run("install", server.url)
        assert done.code == 4 and "HTTP 404" in done.err, done.err
    done = scene.device.run("install", server.url)
    assert done.code == 4 and "not reachable" in done.err, done.err


def test_install_ask_and_gc_at_once(settled: Path, tmp_path: Path) -> None:
    subprocess.run(["cp", "-a", str(settled), str(tmp_path / "scene")], check=True)
    device = shipping.Device(tmp_path / "scene" / "device")
    base = [sys.executable, "-P", "-m", "fieldpack_app.cli"]
    words = [
        ["install", str(tmp_path / "scene" / "stick")],
        ["ask", "toy", shipping.QUESTION],
        ["gc"],
    ] * 2
    running = [
        subprocess.Popen(
            [*base, *command],
            env=device.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for command in words
    ]
    for command, process in zip(words, running, strict=True):
        out, err = process.communicate(timeout=600)
        busy = process.returncode == 1 and "another fieldpack command" in err
        assert process.returncode == 0 or (busy and command[0] != "ask"), (command, out, err)
    assert device.run("install", tmp_path / "scene" / "stick").code == 0
    assert device.run("verify", "--deep").code == 0
    assert "900 hours" in device.run("ask", "toy", shipping.QUESTION).out


def test_a_mixed_bundle_is_not_shipped(toy: Path, shipped: shipping.Yard, tmp_path: Path) -> None:
    from fieldpack import BundleCorrupt

    mixed = Path(shutil.copytree(toy, tmp_path / "mixed"))
    (mixed / "embedder" / "tokenizer.json").write_text("{}")
    with pytest.raises(BundleCorrupt, match=r"embedder/tokenizer\.json"):
        pack.describe(mixed)


def test_the_signer_is_held_to_the_keys(yard: shipping.Yard, second: Path) -> None:
    """One root key cannot rotate; an old release key cannot sign."""
    with pytest.raises(SigningError, match="2 must sign"):
        rotate_release_key(yard.keys, read_root_keys([yard.keys / "root-1.pem"]))
    rotate_release_key(yard.keys, read_root_keys([yard.keys]))
    (yard.keys / "release.pem").unlink()
    (yard.keys / "release-until-root-2.pem").rename(yard.keys / "release.pem")
    with pytest.raises(SigningError, match="after a rotation the old one is void"):
        yard.ship(second)


def test_the_table_of_the_docs_is_this_one() -> None:
    text = (Path(__file__).parents[3] / "docs" / "ship.md").read_text(encoding="utf-8")
    missing = [
        attack.what
        for attack in ATTACKS
        if f"| {attack.what} | {attack.code} | {attack.says} |" not in text
    ]
    assert not missing
