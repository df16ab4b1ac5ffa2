"""Keys, signing, and the folder that travels, from the build server's side."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tomllib
import zipfile
from dataclasses import replace
from hashlib import sha256
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import shipping
from fieldpack.bundle import release as releases
from fieldpack.bundle.manifest import describe_files, read_manifest, write_manifest
from fieldpack_build.errors import OutputExists, SigningError
from fieldpack_build.ship import pack, runtime_folder
from fieldpack_build.ship.keys import PASSPHRASE, make_key, read_key, read_root_keys
from fieldpack_build.ship.readme import LANGUAGES, write_readme
from fieldpack_build.ship.repository import Repository, create, rotate_release_key, rotate_root_key
from fieldpack_build.ship.runtime_folder import EXTRAS, PLATFORMS, PYTHONS, Wanted, device_pins
from fieldpack_build.ship.ship import fingerprint_of, recall, ship, sign
from fieldpack_build.ship.wheel import write_wheel


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shipping.write_quoting_bundle(tmp_path_factory.mktemp("toy") / "toy-1.0.0")


@pytest.fixture
def yard(tmp_path: Path) -> shipping.Yard:
    return shipping.make_yard(tmp_path)


def build(*words: str | Path) -> shipping.Ran:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "fieldpack_build.cli", *map(str, words)],
        capture_output=True,
        text=True,
    )
    return shipping.Ran(done.returncode, done.stdout, done.stderr)


def offers(stick: Path) -> dict[str, int]:
    return {path: offer["number"] for path, offer in Repository(stick).offers().items()}


def test_the_commands_from_keys_to_a_folder(toy: Path, tmp_path: Path) -> None:
    keys, stick = tmp_path / "keys", tmp_path / "stick"
    missing = build("ship", toy, "--to", stick, "--keys", keys, "--no-runtime")
    assert missing.code == 12 and "build keys init" in missing.err
    made = build("keys", "init", keys, "--json")
    assert made.code == 0, made.err
    done = build("ship", toy, "--to", stick, "--keys", keys, "--no-runtime", "--json")
    assert done.code == 0 and done.json["signed"] and done.json["written"] == done.json["total"], (
        done.err
    )
    assert done.json["fingerprint"] == made.json["fingerprint"] == fingerprint_of(stick)
    readme = (stick / "README.txt").read_text(encoding="utf-8-sig")
    assert made.json["fingerprint"] in readme and "Wenn Sie es gefunden haben" in readme
    assert build("keys", "init", keys).code == 11
    assert (keys / "root-1.pem").stat().st_mode & 0o77 == 0


def test_the_stick_s_readme_says_the_same_in_every_language(tmp_path: Path) -> None:
    assert LANGUAGES == ("en", "de", "fr", "es", "uk", "sk")
    (tmp_path / "runtime" / "windows-x86_64").mkdir(parents=True)
    texts = {}
    for language in LANGUAGES:
        write_readme(tmp_path, [language], "ab12 cd34")
        texts[language] = (tmp_path / "README.txt").read_text(encoding="utf-8-sig")
        lines = texts[language].splitlines()
        assert lines.count("  ab12 cd34") == 1
        assert max(map(len, lines)) <= 100
        for command in (
            "sh install.sh",
            "powershell -ExecutionPolicy Bypass -File install.ps1",
            "fieldpack ask ",
            "fieldpack serve ",
            "fieldpack update ",
        ):
            assert texts[language].count(command) == 1, (language, command)
    assert "Якщо ви це знайшли" in texts["uk"] and "Ak ste to našli" in texts["sk"]

    write_readme(tmp_path, LANGUAGES, None)
    together = (tmp_path / "README.txt").read_text(encoding="utf-8-sig")
    found = [together.index(text.splitlines()[0]) for text in texts.values()]
    assert found == sorted(found), "in this order"
    (tmp_path / "runtime" / "windows-x86_64").rmdir()
    write_readme(tmp_path, LANGUAGES, None)
    assert "powershell" not in (tmp_path / "README.txt").read_text(encoding="utf-8-sig")


def test_the_same_bundle_again_copies_nothing_and_keeps_its_number(
    toy: Path, yard: shipping.Yard
) -> None:
    first = yard.ship(toy)
    again = yard.ship(toy, channel="canary", share=10)
    assert (first.number, again.number, again.written) == (1, 1, 0)
    assert offers(yard.stick) == {"stable/toy.json": 1, "canary/toy.json": 1}
    digests = {offer["sha256"] for offer in Repository(yard.stick).offers().values()}
    assert len(digests) == 1  # what was tried in canary is what stable gets, byte for byte


def test_a_new_version_counts_on_and_the_old_one_s_blobs_go(
    toy: Path, yard: shipping.Yard, tmp_path: Path
) -> None:
    yard.ship(toy)
    newer = shipping.next_version(
        toy, tmp_path / "toy-1.1.0", "1.1.0", said="Change it after 900 hours."
    )
    assert yard.ship(newer).number == 2
    named = {path.name for path in (yard.stick / "blobs" / "sha256").iterdir()}
    _, files = pack.describe(newer)
    assert {file.sha256 for file in files} <= named and len(named) == len(
        {file.sha256 for file in files}
    ) + 1
    assert sorted(path.name for path in (yard.stick / "metadata").iterdir()) == [
        "1.root.json",
        "3.snapshot.json",
        "3.targets.json",
        "timestamp.json",
    ]


def test_the_same_version_with_other_contents_is_said(
    toy: Path, yard: shipping.Yard, tmp_path: Path
) -> None:
    assert yard.ship(toy).replaces is None and yard.ship(toy).replaces is None
    changed = shipping.next_version(toy, tmp_path / "changed", "1.0.0", said="Other words.")
    done = build("ship", changed, "--to", yard.stick, "--keys", yard.keys, "--no-runtime")
    assert done.code == 0 and "toy 1.0.0 was shipped before with other contents" in done.err
    assert "(release 1); devices take release 2" in done.err
    newer = shipping.next_version(toy, tmp_path / "newer", "1.1.0")
    assert yard.ship(newer).replaces is None


def test_another_stick_is_never_older(toy: Path, yard: shipping.Yard, tmp_path: Path) -> None:
    yard.ship(toy)
    other = tmp_path / "second stick"
    yard.ship(toy, to=other)
    assert Repository(other).version > Repository(yard.stick).version
    shutil.rmtree(
        yard.keys / "repository" / "metadata"
    )  # the keys' folder restored from an old backup
    shutil.copytree(yard.stick / "metadata", yard.keys / "repository" / "metadata")
    yard.ship(toy, to=other)
    assert Repository(other).version == 4


def test_unsigned_then_signed_elsewhere(toy: Path, yard: shipping.Yard) -> None:
    """In CI: the build has no key; the approval has no bundle."""
    done = ship(toy, yard.stick, keys=None)
    assert not done.signed and not Repository(yard.stick).exists
    signed = sign(yard.stick, yard.keys)
    assert [offer["name"] for offer in signed] == ["toy"] and offers(yard.stick) == {
        "stable/toy.json": 1
    }
    assert not (yard.stick / "unsigned").exists()
    newer = shipping.next_version(toy, yard.stick.parent / "toy-1.1.0", "1.1.0")
    ship(newer, yard.stick, keys=None)
    manifest = (newer / "manifest.json").read_bytes()
    (yard.stick / "blobs" / "sha256" / sha256(manifest).hexdigest()).unlink()
    with pytest.raises(SigningError, match="lacks 1 blobs"):
        sign(yard.stick, yard.keys)


def test_rotations_keep_the_whole_chain(toy: Path, yard: shipping.Yard) -> None:
    yard.ship(toy)
    first = fingerprint_of(yard.stick)
    rotate_release_key(yard.keys, read_root_keys([yard.keys]))
    lost = read_key(yard.keys / "root-3.pem").id
    rotate_root_key(
        yard.keys, 3, read_root_keys([yard.keys / "root-1.pem", yard.keys / "root-2.pem"]), lost
    )
    yard.ship(toy)
    assert [path.name for path in Repository(yard.stick).roots()] == [
        "1.root.json",
        "2.root.json",
        "3.root.json",
    ]
    assert fingerprint_of(yard.stick) == first  # the paper stays right
    device = shipping.Device(yard.stick.parent / "device")
    assert device.install(yard.stick).code == 0


def test_a_device_follows_a_rotation_and_leaves_the_old_key(
    toy: Path, yard: shipping.Yard, tmp_path: Path
) -> None:
    yard.ship(toy)
    device = shipping.Device(tmp_path / "device")
    assert device.install(yard.stick).code == 0
    stolen = Path(shutil.copytree(yard.keys, tmp_path / "stolen"))
    rotate_release_key(yard.keys, read_root_keys([yard.keys]))
    yard.ship(shipping.next_version(toy, tmp_path / "toy-1.1.0", "1.1.0"))
    assert device.run("update").code == 0
    forged = tmp_path / "forged"
    shipping.Yard(stolen, forged).ship(shipping.next_version(toy, tmp_path / "toy-6.6.6", "6.6.6"))
    refused = device.run("update", forged)
    assert device.entry()["current"]["version"] == "1.1.0", refused.out
    assert refused.code == 3 and "not signed by enough of the keys" in refused.err


def test_a_recall_is_seen_and_names_its_reason(
    toy: Path, yard: shipping.Yard, tmp_path: Path
) -> None:
    yard.ship(toy)
    device = shipping.Device(tmp_path / "device")
    assert device.install(yard.stick).code == 0
    with pytest.raises(SigningError, match=r"offered now: toy 1\.0\.0"):
        recall(yard.stick, yard.keys, "toy", "9.9.9", "no such")
    recall(yard.stick, yard.keys, "toy", "1.0.0", "wrong dosage in table 3")
    news = device.run("update")
    assert news.code == 0 and "nothing newer" in news.out
    assert "wrong dosage in table 3" in news.err and "rollback toy" in news.err
    with pytest.raises(SigningError, match="was withdrawn"):
        yard.ship(toy, channel="canary")
    asked = device.run("ask", "toy", shipping.QUESTION)
    assert asked.code == 3 and "wrong dosage in table 3" in asked.err
    assert "WITHDRAWN" in device.run("list").out
    yard.ship(
        shipping.next_version(
            toy, tmp_path / "toy-1.0.1", "1.0.1", said="Change the filter after 900 hours."
        )
    )
    assert device.run("update").code == 0
    assert "900 hours" in device.run("ask", "toy", shipping.QUESTION).out
    back = device.run("rollback", "toy")
    assert back.code == 3 and "was withdrawn" in back.err


def test_a_share_of_devices(toy: Path, yard: shipping.Yard, tmp_path: Path) -> None:
    from fieldpack_app.install.installer import in_share
    from fieldpack_app.install.state import State
    from fieldpack_app.install.trust import Offer

    offer = Offer("stable", "toy", "1.1.0", 2, "stable/toy.json", 30)
    drawn = [in_share(State(device=f"{number:016x}"), offer) for number in range(2000)]
    assert abs(sum(drawn) / 2000 - 0.3) < 4 * (0.3 * 0.7 / 2000) ** 0.5  # four standard errors
    yard.ship(toy)
    device = shipping.Device(tmp_path / "device")
    assert device.install(yard.stick).code == 0
    yard.ship(shipping.next_version(toy, tmp_path / "toy-1.1.0", "1.1.0"), share=1)
    said = device.run("update", "--json").json[0]
    chosen = in_share(
        State(device=device.state()["device"]), Offer("stable", "toy", "1.1.0", 2, "", 1)
    )
    assert said["action"] == ("updated" if chosen else "waiting")


def test_somebody_else_s_folder_is_not_written_into(
    toy: Path, yard: shipping.Yard, tmp_path: Path
) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "one.jpg").write_bytes(b"")
    with pytest.raises(OutputExists, match=r"one\.jpg"):
        yard.ship(toy, to=tmp_path / "photos")
    create(tmp_path / "other keys")
    yard.ship(toy)
    with pytest.raises(OutputExists, match="other keys"):
        ship(toy, yard.stick, keys=tmp_path / "other keys")


def test_keys_are_encrypted_where_a_passphrase_is_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PASSPHRASE, "correct horse")
    key = make_key(tmp_path / "one.pem")
    assert b"ENCRYPTED" in (tmp_path / "one.pem").read_bytes()
    assert read_key(tmp_path / "one.pem").id == key.id
    monkeypatch.setenv(PASSPHRASE, "battery staple")
    with pytest.raises(SigningError, match=PASSPHRASE):
        read_key(tmp_path / "one.pem")


def test_the_manifest_is_an_oci_image_manifest(toy: Path, yard: shipping.Yard) -> None:
    yard.ship(toy)
    (path,) = (yard.stick / "targets" / "stable").iterdir()
    data = json.loads(path.read_text())
    assert (
        data["schemaVersion"] == 2
        and data["mediaType"] == "application/vnd.oci.image.manifest.v1+json"
    )
    for blob in (data["config"], *data["layers"]):
        place = yard.stick / "blobs" / "sha256" / blob["digest"].removeprefix("sha256:")
        assert place.stat().st_size == blob["size"]
    read = releases.parse_manifest(path.read_bytes(), "here")
    assert (
        releases.to_manifest(read) == path.read_bytes() and read.digest == path.name.split(".")[0]
    )


def test_a_release_of_this_version_opens_with_the_next(tmp_path: Path) -> None:
    """A release as it was written when format 1 began: later runtimes must read it, annotations
    they do not know included."""
    data = (Path(__file__).parent / "release-format-1.json").read_bytes()
    release = releases.parse_manifest(data, "the fixture")
    assert (release.name, release.version, release.number) == ("toy", "1.0.0", 1)
    whole = next(file for file in release.files if file.path == "model/model.onnx.data")
    assert [part.size for part in whole.parts] == [
        4294967295,
        705032705,
    ] and whole.size == 5_000_000_000


def test_the_device_s_wheel_holds_no_build(tmp_path: Path) -> None:
    wheel = write_wheel(tmp_path)
    names = zipfile.ZipFile(wheel).namelist()
    assert "fieldpack/__init__.py" in names and "fieldpack_app/page/index.html" in names
    assert not [name for name in names if name.startswith("fieldpack_build")]
    first = wheel.read_bytes()
    assert write_wheel(tmp_path).read_bytes() == first  # the same sources, the same bytes
    code = (
        f"import sys; sys.path[:0] = [{str(wheel)!r}]; import fieldpack; print(fieldpack.__file__)"
    )
    said = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True)
    assert str(wheel) in said.stdout, said.stderr


def test_what_ships_is_what_the_device_s_list_says() -> None:
    root = Path(__file__).parents[3]

    def pins(path: Path) -> set[str]:
        lines = path.read_text(encoding="utf-8").splitlines()
        return {line for line in lines if line and not line.startswith("#")}

    listed = pins(root / "build" / "fieldpack_build" / "ship" / "device.txt")
    assert listed == pins(root / "runtime" / "device-requirements.txt")
    assert listed <= pins(root / "constraints.txt")  # what was tested
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for extra in EXTRAS:
        listed = pins(root / "build" / "fieldpack_build" / "ship" / f"device-{extra}.txt")
        assert listed <= pins(root / "constraints.txt")
        wanted = {Requirement(line).name for line in project["optional-dependencies"][extra]}
        assert wanted <= {line.split("==")[0] for line in listed}


def test_extras_are_carried_and_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bundle with original pages brings what draws them; a later ship of another bundle into the
    same folder leaves it there."""

    def download(platform: str, wanted: Wanted) -> list[Path]:
        folder = tmp_path / "wheels"
        folder.mkdir(exist_ok=True)
        pins = device_pins(platform, wanted.extras).splitlines()
        names = [pin.replace("==", "-") for pin in pins if "==" in pin]
        for name in names:
            (folder / f"{name}-py3-none-any.whl").write_bytes(name.encode())
        return [folder / f"{name}-py3-none-any.whl" for name in names]

    monkeypatch.setattr(runtime_folder, "download", download)
    yard = shipping.make_yard(tmp_path)
    plain = shipping.write_quoting_bundle(tmp_path / "plain-1.0.0")
    pictured = shipping.write_quoting_bundle(tmp_path / "pictured-1.0.0")
    pdf = pictured / "originals" / f"{'0' * 64}.pdf"
    pdf.parent.mkdir()
    pdf.write_bytes(b"%PDF-1.7")
    manifest = read_manifest(pictured)
    (pictured / "manifest.json").unlink()
    write_manifest(pictured, replace(manifest, name="pictured", files=describe_files(pictured)))
    wanted = Wanted(tmp_path, ("linux-x86_64",), ("3.11",))

    def carried() -> set[str]:
        listed = yard.stick / "runtime" / "linux-x86_64" / "requirements.txt"
        return {line.split("==")[0] for line in listed.read_text(encoding="utf-8").splitlines()}

    yard.ship(plain, runtime=wanted)
    assert not carried() & {"pypdfium2", "cryptography", "segno"}
    yard.ship(pictured, runtime=wanted)
    assert carried() & {"pypdfium2", "cryptography", "segno"} == {"pypdfium2"}
    yard.ship(plain, runtime=replace(wanted, extras=("lan",)))
    assert carried() >= {"pypdfium2", "cryptography", "cffi", "pycparser", "segno", "fieldpack"}


# Asked for by the wheels above and imported by nothing that a device runs.
LEFT_OUT = {"huggingface-hub", "flatbuffers", "protobuf", "packaging", "coloredlogs", "sympy"}


@pytest.mark.parametrize("platform", PLATFORMS)
def test_each_platform_s_wheels_are_complete(platform: str) -> None:
    """Every package that one of them wants on that platform is among them, or left out
    knowingly."""
    system, machine = platform.split("-")
    names = {
        "linux": ("linux", "Linux"),
        "windows": ("win32", "Windows"),
        "macos": ("darwin", "Darwin"),
    }
    environment = {
        **default_environment(),
        "sys_platform": names[system][0],
        "platform_system": names[system][1],
        "os_name": "nt" if system == "windows" else "posix",
        "platform_machine": "AMD64" if system == "windows" else machine,
        "extra": "",
    }
    lines = device_pins(platform, EXTRAS).splitlines()
    pinned = [line.split("==")[0] for line in lines if "==" in line]
    there = {canonicalize_name(name) for name in pinned}
    for version in PYTHONS:
        environment |= {"python_version": version, "python_full_version": f"{version}.0"}
        for name in pinned:
            if name == "colorama":  # wants nothing, and is not installed here
                continue
            for line in requires(name) or []:
                wanted = Requirement(line)
                if wanted.marker is None or wanted.marker.evaluate(environment):
                    found = canonicalize_name(wanted.name)
                    assert found in there | LEFT_OUT, f"{name} wants {line}"
