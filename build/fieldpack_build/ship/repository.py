"""The signed metadata of all releases (TUF): which keys count, which release each channel offers,
which are withdrawn. Its files lie in metadata/ and targets/ of a shipped folder, and of the keys'
folder, which remembers the newest. Knows nothing of blobs, wheels or READMEs."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp
from tuf.api.serialization.json import JSONSerializer

from fieldpack.bundle.runtime_list import TARGETS as RUNTIMES

from ..errors import OutputExists, SigningError
from .keys import RELEASE_KEY, ROOT_KEYS, THRESHOLD, KeyFile, make_key, read_key, root_key_path

METADATA, TARGETS, RECALLS = "metadata", "targets", "recalls.json"
SIGNED = "x-fieldpack-signed"  # read by the device: fieldpack_app.install.trust
# Devices in the field may see no new stick for years; they warn by the age of the signatures
# instead.
YEARS = 20
_ONLINE = ("targets", "snapshot", "timestamp")
_ROOT_FILE = re.compile(r"(\d+)\.root\.json")
_Signed = TypeVar("_Signed", Root, Targets, Snapshot, Timestamp)


class Repository:
    """Metadata as it was last signed. `folder` holds metadata/ and targets/."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.metadata = folder / METADATA
        self.targets = folder / TARGETS

    @property
    def exists(self) -> bool:
        """Return whether anything is signed here yet."""
        return (self.metadata / "timestamp.json").is_file()

    def roots(self) -> list[Path]:
        """The whole chain of roots, the first first."""
        numbered = [
            (int(match[1]), path)
            for path in self.metadata.glob("*.root.json")
            if (match := _ROOT_FILE.fullmatch(path.name))
        ]
        return [path for _, path in sorted(numbered)]

    def root(self) -> Metadata[Root]:
        """Return the newest root. Raises SigningError where there is none."""
        if not (chain := self.roots()):
            raise SigningError(
                f"{self.metadata}: no root of trust here; `build keys init` makes one, --keys names"
                " its folder"
            )
        return _read(chain[-1])

    @property
    def version(self) -> int:
        """Return the version of the timestamp; 0 where nothing was signed yet."""
        return int(_read(self.metadata / "timestamp.json").signed.version) if self.exists else 0

    def current_targets(self) -> Metadata[Targets]:
        """Return the newest targets metadata, as timestamp and snapshot name it. Raises
        SigningError."""
        timestamp: Metadata[Timestamp] = _read(self.metadata / "timestamp.json")
        snapshot: Metadata[Snapshot] = _read(
            self.metadata / f"{timestamp.signed.snapshot_meta.version}.snapshot.json"
        )
        return _read(self.metadata / f"{snapshot.signed.meta['targets.json'].version}.targets.json")

    def offers(self) -> dict[str, dict[str, Any]]:
        """Target's path -> {channel, name, version, number, share, sha256} of what is signed
        now."""
        if not self.exists:
            return {}
        targets = self.current_targets().signed.targets
        return {
            path: {**(info.custom or {}), "sha256": info.hashes["sha256"]}
            for path, info in targets.items()
            if path != RECALLS and not path.startswith(f"{RUNTIMES}/")
        }

    def runtimes(self) -> dict[str, str]:
        """Target's path -> SHA-256 of each signed list of Fieldpack's wheels."""
        if not self.exists:
            return {}
        targets = self.current_targets().signed.targets
        return {
            path: info.hashes["sha256"]
            for path, info in targets.items()
            if path.startswith(f"{RUNTIMES}/")
        }

    def recalls(self) -> list[dict[str, str]]:
        """Return the releases that are withdrawn so far."""
        if not self.exists:
            return []
        info = self.current_targets().signed.targets[RECALLS]
        data = (self.targets / hashed_name(RECALLS, info.hashes["sha256"])).read_bytes()
        return list(json.loads(data)["recalls"])

    def sign(
        self,
        offers: Mapping[str, tuple[bytes, Mapping[str, Any]]],
        recalls: Sequence[Mapping[str, str]],
        key: KeyFile,
    ) -> None:
        """Add or replace offers (target's path -> manifest's bytes and custom fields; lists of wheels
        without fields), write the recalls, raise every version, sign. The timestamp comes last: who reads meanwhile sees the
        old state as a whole. Raises SigningError for a key that is void."""
        root = self.root().signed
        if key.id not in root.roles["targets"].keyids:
            raise SigningError(
                f"{key.path}: not the release key that the newest root names; after a rotation the"
                " old one is void"
            )
        targets = self.current_targets().signed if self.exists else Targets()
        snapshot_version = timestamp_version = 0
        if self.exists:
            targets.version += 1
            timestamp_version = self.version
            snapshot_version = _read(self.metadata / "timestamp.json").signed.snapshot_meta.version
        recalled = json.dumps(
            {"recalls": list(recalls)}, indent=1, ensure_ascii=False, sort_keys=True
        )
        for path, (data, custom) in {**offers, RECALLS: (f"{recalled}\n".encode(), {})}.items():
            digest = sha256(data).hexdigest()
            place = self.targets / hashed_name(path, digest)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)
            fields = {"custom": dict(custom)} if custom else {}
            targets.targets[path] = TargetFile(
                len(data), {"sha256": digest}, path, unrecognized_fields=fields
            )
        now = datetime.now(UTC).replace(microsecond=0)
        expires = now + timedelta(days=365 * YEARS)
        targets.expires = expires
        targets.unrecognized_fields[SIGNED] = now.isoformat()
        signed = _signed(targets, [key])
        snapshot = Snapshot(
            snapshot_version + 1,
            expires=expires,
            meta={"targets.json": _meta(targets.version, signed)},
        )
        signed_snapshot = _signed(snapshot, [key])
        timestamp = Timestamp(
            timestamp_version + 1,
            expires=expires,
            snapshot_meta=_meta(snapshot.version, signed_snapshot),
        )
        self.metadata.mkdir(parents=True, exist_ok=True)
        for name, data in (
            (f"{targets.version}.targets.json", signed),
            (f"{snapshot.version}.snapshot.json", signed_snapshot),
            ("timestamp.json", _signed(timestamp, [key])),
        ):
            beside = self.metadata / f".{name}"
            beside.write_bytes(data)
            beside.replace(self.metadata / name)

    def copy_to(self, other: Repository, carried: Iterable[str] = ()) -> None:
        """Bring root chain, newest metadata and recalls to another folder, and the manifests of the
        `carried` targets. What the other folder held of older metadata goes. Raises OutputExists
        where it holds other keys' metadata."""
        if other.roots() and other.roots()[0].read_bytes() != self.roots()[0].read_bytes():
            raise OutputExists(
                f"{other.folder}: holds releases that other keys have signed; name another folder,"
                f" or remove its {METADATA}/"
            )
        targets = self.current_targets().signed
        timestamp: Metadata[Timestamp] = _read(self.metadata / "timestamp.json")
        wanted = [
            *(path.name for path in self.roots()),
            f"{targets.version}.targets.json",
            f"{timestamp.signed.snapshot_meta.version}.snapshot.json",
            "timestamp.json",
        ]
        other.metadata.mkdir(parents=True, exist_ok=True)
        for target in {*carried, RECALLS}:
            name = hashed_name(target, targets.targets[target].hashes["sha256"])
            if (source := self.targets / name).is_file():
                (other.targets / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, other.targets / name)
        for name in wanted:
            shutil.copyfile(self.metadata / name, other.metadata / name)
        for path in other.metadata.iterdir():
            if path.is_file() and path.name not in wanted:
                path.unlink()


def hashed_name(path: str, digest: str) -> str:
    """Return where a target lies: TUF's consistent snapshots put the digest before the file's
    name."""
    folder, slash, name = path.rpartition("/")
    return f"{folder}{slash}{digest}.{name}"


def create(folder: Path) -> Repository:
    """Make the keys and the first root in `folder`, and sign that nothing is released yet. Raises
    OutputExists."""
    repository = Repository(folder / "repository")
    if repository.roots():
        raise OutputExists(
            f"{folder}: holds keys already; name another folder, or `build keys rotate {folder}`"
        )
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    roots = [make_key(root_key_path(folder, number)) for number in range(1, ROOT_KEYS + 1)]
    release = make_key(folder / RELEASE_KEY)
    root = Root(version=1, expires=_in_years(), consistent_snapshot=True)
    for key in roots:
        root.add_key(key.signer.public_key, "root")
    root.roles["root"].threshold = THRESHOLD
    for role in _ONLINE:
        root.add_key(release.signer.public_key, role)
    repository.metadata.mkdir(parents=True)
    (repository.metadata / "1.root.json").write_bytes(_signed(root, roots))
    repository.sign({}, [], release)
    return repository


def rotate_release_key(folder: Path, roots: Sequence[KeyFile]) -> Repository:
    """Replace the release key: the old one counts no more once a device has seen the new root.
    Everything is signed anew."""
    repository = Repository(folder / "repository")
    root = repository.root()
    _require_threshold(root.signed, roots)
    old = folder / RELEASE_KEY
    spare = folder / f"release-until-root-{root.signed.version + 1}.pem"
    if old.is_file():
        old.rename(spare)
    key = make_key(old)
    for role in _ONLINE:
        for keyid in list(root.signed.roles[role].keyids):
            root.signed.revoke_key(keyid, role)
        root.signed.add_key(key.signer.public_key, role)
    _write_root(repository, root, roots)
    repository.sign({}, repository.recalls(), key)
    return repository


def rotate_root_key(folder: Path, number: int, roots: Sequence[KeyFile], lost: str) -> Repository:
    """Put a new root key in the place of a lost or stolen one (by its id); the others must reach
    the threshold."""
    repository = Repository(folder / "repository")
    root = repository.root()
    signing = [key for key in roots if key.id != lost]
    _require_threshold(root.signed, signing)
    path = root_key_path(folder, number)
    if path.is_file():
        path.rename(path.with_name(f"root-{number}-until-root-{root.signed.version + 1}.pem"))
    key = make_key(path)
    root.signed.revoke_key(lost, "root")
    root.signed.add_key(key.signer.public_key, "root")
    _write_root(repository, root, [*signing, key])
    return repository


def newest(*repositories: Repository) -> Repository:
    """Return the one that was signed last, of those of the same keys."""
    return max(repositories, key=lambda one: (one.version, len(one.roots())))


def release_key(folder: Path) -> KeyFile:
    """Read the release key of a folder of keys. Raises SigningError."""
    return read_key(folder / RELEASE_KEY)


def _write_root(repository: Repository, root: Metadata[Root], keys: Sequence[KeyFile]) -> None:
    root.signed.version += 1
    root.signed.expires = _in_years()
    path = repository.metadata / f"{root.signed.version}.root.json"
    path.write_bytes(_signed(root.signed, keys))


def _require_threshold(root: Root, keys: Sequence[KeyFile]) -> None:
    known = [key for key in keys if key.id in root.roles["root"].keyids]
    if len(known) < root.roles["root"].threshold:
        raise SigningError(
            f"{len(known)} of the root keys are here"
            f" ({', '.join(key.path.name for key in known) or 'none'}), and"
            f" {root.roles['root'].threshold} must sign; name the folders or files of the others"
            " with --root-key"
        )


def _signed(signed: _Signed, keys: Sequence[KeyFile]) -> bytes:
    metadata = Metadata(signed)
    for key in keys:
        metadata.sign(key.signer, append=True)
    return bytes(metadata.to_bytes(JSONSerializer()))


def _meta(version: int, data: bytes) -> MetaFile:
    return MetaFile(version, len(data), {"sha256": sha256(data).hexdigest()})


def _read(path: Path) -> Metadata[Any]:
    try:
        return Metadata.from_file(str(path))
    except (RepositoryError, OSError) as error:
        raise SigningError(
            f"{path}: not readable as signed metadata ({error}); restore it from a backup"
        ) from None


def _in_years() -> datetime:
    return datetime.now(UTC).replace(microsecond=0) + timedelta(days=365 * YEARS)
