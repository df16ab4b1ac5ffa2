"""`build ship`, `build sign`, `build recall`: from a bundle to a folder for a stick or a server.
The order of steps."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import fieldpack
from fieldpack.bundle.manifest import ORIGINALS, Manifest
from fieldpack.bundle.release import (
    LARGEST_PART,
    Release,
    ReleaseFile,
    model_config,
    parse_manifest,
    to_manifest,
)
from fieldpack.bundle.runtime_list import TARGETS as RUNTIMES
from fieldpack.bundle.runtime_list import version_numbers

from ..console import duration, say
from ..errors import MachineError, OutputExists, SigningError
from . import oci, pack
from .readme import write_readme
from .repository import METADATA, TARGETS, Repository, hashed_name, newest, release_key
from .runtime_folder import Wanted, runtime_lists, write_runtime

UNSIGNED = "unsigned"  # folder of manifests that wait for `build sign`
_MARGIN = 8 << 20


@dataclass(frozen=True, slots=True)
class Shipment:
    """What came of it. `written`: bytes of blobs that were copied; `total`: of the release.
    `replaces`: the number of an earlier release of the same version with other contents."""

    folder: Path
    name: str
    version: str
    number: int
    channel: str
    signed: bool
    total: int
    written: int
    seconds: float
    replaces: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain values, for JSON."""
        names = ("name", "version", "number", "channel", "signed", "total", "written", "seconds")
        done = {"folder": str(self.folder), **{name: getattr(self, name) for name in names}}
        return done if self.replaces is None else {**done, "replaces": self.replaces}


def ship(
    bundle: Path,
    folder: Path,
    *,
    keys: Path | None,
    channel: str = "stable",
    share: int = 100,
    runtime: Wanted | None = None,
    languages: Sequence[str] = ("en",),
    part_bytes: int = LARGEST_PART,
    patches: bool = False,
    min_runtime: str = pack.MIN_RUNTIME,
    as_oci: bool = False,
) -> Shipment:
    """Write a bundle into `folder` and sign that `channel` offers it. `keys`: the folder with the
    release key; None: `build sign` does it later. `patches`: for a server, so that devices fetch
    changes of knowledge files alone. `min_runtime`: the version of Fieldpack that devices get
    first, from the wheels that a folder carries. `runtime`: which wheels to write, with those that
    draw original pages where the bundle has any. `as_oci`: make the folder an OCI image layout,
    too. What the folder carries of other bundles stays.

    Raises BundleError, SigningError, OutputExists, MachineError."""
    started = time.monotonic()
    own = fieldpack.__version__
    if version_numbers(min_runtime) > version_numbers(own):
        raise SigningError(
            f"--min-runtime {min_runtime}: this is Fieldpack {own}, whose wheels would be shipped;"
            " update the build server first"
        )
    if channel == RUNTIMES:
        raise SigningError(f"--channel {channel}: kept for Fieldpack's own wheels; name another")
    _check_target(folder)
    base = _base(folder, keys)
    manifest, files = pack.describe(bundle, part_bytes=part_bytes)
    _require_room(folder, files)
    release, config, data = _release_of(
        base, manifest, files, folder if patches else None, bundle, min_runtime
    )
    digest = sha256(data).hexdigest()
    if (
        recalled := next((row for row in base.recalls() if row["digest"] == digest), None)
    ) is not None:
        raise SigningError(
            f"{release.name} {release.version}: was withdrawn ({recalled['reason']}), and devices refuse"
            " it; build a new version"
        )
    replaces = _same_version_before(base, release)
    total = release.size
    meter = _Meter(total, f"{release.name} {release.version}")
    written = pack.write_blobs(bundle, release, config, folder, meter.at)
    offer = {
        "channel": channel,
        "name": release.name,
        "version": release.version,
        "number": release.number,
        "share": share,
    }
    waiting = folder / UNSIGNED
    waiting.mkdir(exist_ok=True)
    (waiting / f"{channel}.{release.name}.json").write_text(
        json.dumps({"offer": offer, "manifest": data.decode()}, indent=1, ensure_ascii=False)
        + "\n",
        encoding="utf-8",
    )
    if runtime is not None:
        if manifest.has(ORIGINALS):
            runtime = replace(runtime, extras=(*runtime.extras, "pages"))
        write_runtime(folder, runtime)
    if as_oci and not oci.is_layout(folder):
        oci.write_layout(folder, [])  # filled when it is signed
    if keys is not None:
        sign(folder, keys)
    write_readme(folder, languages, fingerprint_of(folder))
    seconds = round(time.monotonic() - started, 2)
    return Shipment(
        folder,
        release.name,
        release.version,
        release.number,
        channel,
        keys is not None,
        total,
        written,
        seconds,
        replaces,
    )


def sign(folder: Path, keys: Path) -> list[dict[str, Any]]:
    """Sign what `build ship --unsigned` has left in a folder, after looking that it is all there.
    Returns the offers signed. Raises SigningError."""
    base = _base(folder, keys)
    offers: dict[str, tuple[bytes, Mapping[str, Any]]] = {}
    for path in sorted((folder / UNSIGNED).glob("*.json")):
        waiting = json.loads(path.read_text(encoding="utf-8"))
        data, offer = waiting["manifest"].encode(), waiting["offer"]
        release = parse_manifest(data, str(path))
        if lacking := pack.missing_blobs(folder, release):
            raise SigningError(
                f"{folder}: lacks {len(lacking)} blobs of {release.name}, first {lacking[0][:16]};"
                " ship it again"
            )
        offers[f"{offer['channel']}/{release.name}.json"] = (data, offer)
    lists: Mapping[str, tuple[bytes, Mapping[str, Any]]] = {
        path: (data, {}) for path, data in runtime_lists(folder, base.runtimes()).items()
    }
    _sign(base, folder, keys, {**offers, **lists}, base.recalls())
    return [dict(offer) for _, offer in offers.values()]


def recall(folder: Path, keys: Path, name: str, version: str, reason: str) -> dict[str, str]:
    """Withdraw a release: devices that see the folder's metadata stop using it, refuse to install
    it and show the reason. Raises SigningError where no such release was signed."""
    base = _base(folder, keys)
    digests = {
        offer["sha256"]: path
        for path, offer in base.offers().items()
        if (offer["name"], offer["version"]) == (name, version)
    }
    known = _digests_of(base, folder, name, version) | set(digests)
    if not known:
        there = (
            ", ".join(
                sorted(f"{offer['name']} {offer['version']}" for offer in base.offers().values())
            )
            or "nothing"
        )
        raise SigningError(
            f"{name} {version}: was not signed by these keys, or is forgotten; offered now: {there}"
        )
    at = datetime.now(UTC).isoformat(timespec="seconds")
    rows = [
        {"name": name, "version": version, "digest": digest, "reason": reason, "at": at}
        for digest in sorted(known)
    ]
    others = [row for row in base.recalls() if row["digest"] not in known]
    _sign(base, folder, keys, {}, [*others, *rows])
    return rows[0]


def fingerprint_of(folder: Path) -> str | None:
    """Return the fingerprint of a folder's first root, as devices show it; None where nothing is
    signed yet."""
    chain = Repository(folder).roots()
    if not chain:
        return None
    digits = sha256(chain[0].read_bytes()).hexdigest()[:32]
    return " ".join(digits[n : n + 4] for n in range(0, 32, 4))


def _base(folder: Path, keys: Path | None) -> Repository:
    """Return the newest signed state of these keys: the keys' own folder's, or the shipped
    folder's."""
    there = Repository(folder)
    if keys is None:
        return there
    own = Repository(keys / "repository")
    own.root()
    if there.roots() and there.roots()[0].read_bytes() != own.roots()[0].read_bytes():
        raise OutputExists(
            f"{folder}: holds releases that other keys have signed; name another folder, or remove"
            f" its {METADATA}/"
        )
    return newest(own, there) if there.exists else own


def _sign(
    base: Repository,
    folder: Path,
    keys: Path,
    offers: Mapping[str, tuple[bytes, Mapping[str, Any]]],
    recalls: Sequence[Mapping[str, str]],
) -> None:
    """Sign in the keys' folder, which remembers every version, then copy to the shipped one."""
    own, there = Repository(keys / "repository"), Repository(folder)
    if base.folder != own.folder:
        base.copy_to(own, {**base.offers(), **base.runtimes()})
    own.sign(offers, recalls, release_key(keys))
    digests = {path: str(offer["sha256"]) for path, offer in own.offers().items()}
    carried = {
        path
        for path, digest in digests.items()
        if path in offers or (there.targets / hashed_name(path, digest)).is_file()
    }
    carried |= set(own.runtimes())  # small; a folder without wheels may be followed by one with
    own.copy_to(there, carried)
    shutil.rmtree(folder / UNSIGNED, ignore_errors=True)
    manifests = _prune(there)
    if oci.is_layout(folder):
        oci.write_layout(folder, manifests)


def _prune(there: Repository) -> list[bytes]:
    """Remove manifests that are offered no more, then blobs that none names; return the manifests
    that stay."""
    offered = {hashed_name(path, offer["sha256"]) for path, offer in there.offers().items()}
    lists = {hashed_name(path, digest) for path, digest in there.runtimes().items()}
    manifests = []
    for path in sorted(there.targets.rglob("*.json")):
        relative = path.relative_to(there.targets).as_posix()
        if relative in offered:
            manifests.append(path.read_bytes())
        elif "/" in relative and relative not in lists:
            path.unlink()
    pack.prune(there.folder, manifests)
    return manifests


def _release_of(
    base: Repository,
    manifest: Manifest,
    files: tuple[ReleaseFile, ...],
    patched: Path | None,
    bundle: Path,
    min_runtime: str,
) -> tuple[Release, bytes, bytes]:
    """Return release, config blob and manifest: those of another channel where it offers the very
    same files to the same runtimes, else new ones. `patched`: the folder that patches are written to, if any are."""
    earlier, number = [], 0
    for path, offer in base.offers().items():
        place = base.targets / hashed_name(path, offer["sha256"])
        if offer["name"] != manifest.name:
            continue
        number = max(number, int(offer["number"]))
        if place.is_file():
            data = place.read_bytes()
            release = parse_manifest(data, str(place))
            if _unpatched(release.files) == files and release.min_runtime == min_runtime:
                config = model_config(release.name, release.version, release.created, files)
                return release, config, data
            earlier.append(release)
    highest = max(earlier, key=lambda release: release.number, default=None)
    if patched is not None and highest is not None:
        files = pack.add_patches(bundle, files, highest, patched)
    release, config = pack.make_release(manifest, files, number + 1, min_runtime=min_runtime)
    return release, config, to_manifest(release)


def _same_version_before(base: Repository, release: Release) -> int | None:
    """Return the number of an earlier release of this name and version that has other files."""
    for path, offer in base.offers().items():
        number = int(offer["number"])
        if (offer["name"], offer["version"]) != (release.name, release.version):
            continue
        place = base.targets / hashed_name(path, offer["sha256"])
        if number < release.number and not (
            place.is_file()
            and _unpatched(parse_manifest(place.read_bytes(), str(place)).files)
            == _unpatched(release.files)
        ):
            return number
    return None


def _unpatched(files: Sequence[ReleaseFile]) -> tuple[ReleaseFile, ...]:
    return tuple(replace(file, patches=()) for file in files)


def _digests_of(base: Repository, folder: Path, name: str, version: str) -> set[str]:
    """Manifests of a release that is offered no more, but still lies in the keys' folder or the
    shipped one."""
    digests = set()
    for root in {base.targets, folder / TARGETS}:
        for path in root.rglob("*.json"):
            data = path.read_bytes()
            folder_name, slash, _ = path.relative_to(root).as_posix().partition("/")
            if slash and folder_name != RUNTIMES:
                release = parse_manifest(data, str(path))
                if (release.name, release.version) == (name, version):
                    digests.add(release.digest)
    return digests


def _check_target(folder: Path) -> None:
    """Raise OutputExists where the folder holds what is not ours; a stick's own hidden files do not
    count."""
    if folder.is_dir() and not (folder / METADATA).is_dir() and not (folder / UNSIGNED).is_dir():
        others = [
            path.name
            for path in folder.iterdir()
            if not path.name.startswith(".") and path.name != "System Volume Information"
        ]
        if others and "blobs" not in others:
            raise OutputExists(
                f"{folder}: holds {others[0]!r} and no releases; name an empty folder, such as"
                f" {folder / 'fieldpack'}"
            )
    folder.mkdir(parents=True, exist_ok=True)


def _require_room(folder: Path, files: Any) -> None:
    free = shutil.disk_usage(folder).free
    there = {path.name for path in (folder / "blobs" / "sha256").glob("*")}
    needed = (
        sum(part.size for file in files for part in file.parts if part.sha256 not in there)
        + _MARGIN
    )
    if free < needed:
        raise MachineError(
            f"{folder}: needs {needed:,} bytes, {free:,} are free; make room, or take a larger"
            " stick"
        )


class _Meter:
    """Progress of a long copy, on stderr, with the time left."""

    def __init__(self, total: int, what: str) -> None:
        self._total, self._what = total, what
        self._begun = self._last = time.monotonic()

    def at(self, done: int) -> None:
        now = time.monotonic()
        if now - self._last >= 10 and done:
            self._last = now
            left = (now - self._begun) / done * (self._total - done)
            say(
                f"  {self._what}: {done / 1e6:,.0f} of {self._total / 1e6:,.0f} MB, about"
                f" {duration(left)} left"
            )
