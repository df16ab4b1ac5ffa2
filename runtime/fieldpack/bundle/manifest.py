"""The bundle's format: `manifest.json` names every file with its role, size and SHA-256. The build
writes it, the device reads and verifies it. Knows nothing of models, indexes or questions."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from ..errors import BundleCorrupt, BundleNotFound, BundleUnsupported
from .targets import Target, targets_from_json, targets_to_json

FILENAME = "manifest.json"
KIND = "fieldpack-bundle"
# Major: a reader of another major refuses. Minor: a reader ignores what it does not know. 1.1:
# `model` may be absent, and the bundle then quotes its documents; prompt.json has `quoting`. 1.2:
# `targets`, with their models under variants/; a bundle without them is written as 1.1.
# `originals`, source PDFs that are named by their SHA-256, change nothing for a reader without them.
SCHEMA = (1, 1)
_WITH_TARGETS = (1, 2)
ORIGINALS = "originals"
ROLES = {
    "model": "model",
    "embedder": "embedder",
    "knowledge": "knowledge",
    "reranker": "reranker",
    "report": "report",
    "variants": "variant",
    "originals": "originals",
}


@dataclass(frozen=True, slots=True)
class FileEntry:
    """Describe one file of a bundle: its path in the bundle, its role, bytes and SHA-256."""

    path: str
    role: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a bundle is and holds. `limits`: what it was built for (context and answer lengths in
    tokens, question in characters). `compat`: what the device must have (execution provider,
    runtime versions it was tested with). `provenance`: recipe, tool versions, source hashes,
    licences; for people and audits, read by no code. `targets`: what the language model can run on
    beside the CPU, in the order in which they are to be tried."""

    name: str
    version: str
    description: str = ""
    files: tuple[FileEntry, ...] = ()
    limits: Mapping[str, int] = field(default_factory=dict)
    compat: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    schema: tuple[int, int] = SCHEMA
    targets: tuple[Target, ...] = ()

    def has(self, role: str) -> bool:
        """Return whether the bundle has files of a role."""
        return any(entry.role == role for entry in self.files)

    @property
    def size(self) -> int:
        """The bytes of all files, without the manifest."""
        return sum(entry.size for entry in self.files)

    def size_of(self, role: str) -> int:
        """The bytes of the files of a role."""
        return sum(entry.size for entry in self.files if entry.role == role)


def original_path(sha256: str) -> str:
    """Return where in a bundle the source PDF lies that has this SHA-256."""
    return f"{ORIGINALS}/{sha256}.pdf"


class Stamp(NamedTuple):
    """The metadata that tells a file from another that was put in its place, and from itself before
    it was written to."""

    device: int
    inode: int
    size: int
    modified: int
    changed: int


def stamp_of(path: Path) -> Stamp:
    """Return the stamp of a file. Raises OSError."""
    stat = path.stat()
    return Stamp(stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def list_files(folder: Path) -> list[str]:
    """Return the relative POSIX paths of all files of a bundle, without the manifest, sorted.
    Raises BundleCorrupt for links and devices: a pipe would block its reader."""
    paths = []
    for root, folders, names in os.walk(folder):
        for name in (*folders, *names):
            path = Path(root) / name
            if path.is_symlink() or not (path.is_dir() or path.is_file()):
                raise BundleCorrupt(f"{path}: a link or a device; a bundle holds plain files only")
        paths += [(Path(root) / name).relative_to(folder).as_posix() for name in names]
    return sorted(path for path in paths if path != FILENAME)


def describe_files(folder: Path) -> tuple[FileEntry, ...]:
    """Hash every file under `folder` and return the manifest's entries. The first folder of a path
    is its role ("settings" at the top)."""
    paths = list_files(folder)
    with ThreadPoolExecutor() as pool:
        digests = list(pool.map(lambda path: sha256_file(folder / path), paths))
    return tuple(
        FileEntry(
            path, ROLES.get(path.split("/")[0], "settings"), (folder / path).stat().st_size, digest
        )
        for path, digest in zip(paths, digests, strict=True)
    )


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write manifest.json into `folder`."""
    major, minor = max(manifest.schema, _WITH_TARGETS) if manifest.targets else manifest.schema
    data = {"kind": KIND, **asdict(manifest), "schema": f"{major}.{minor}"}
    del data["targets"]
    if manifest.targets:
        data["targets"] = targets_to_json(manifest.targets)
    text = json.dumps(data, indent=2, ensure_ascii=False, sort_keys=True) + "\n"
    (folder / FILENAME).write_text(text, encoding="utf-8")


def read_manifest(folder: Path) -> Manifest:
    """Return the manifest of the bundle in `folder`. Raises BundleNotFound, BundleCorrupt (not our
    JSON, or a path that leaves the bundle), BundleUnsupported."""
    path = folder / FILENAME
    if not path.is_file():
        raise BundleNotFound(
            f"{folder}: no bundle here ({FILENAME} is missing); name what `build recipe` wrote"
        )
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    # ValueError: no UTF-8, no JSON, a number of 5,000 digits.
    except (OSError, ValueError, RecursionError) as error:
        raise BundleCorrupt(
            f"{path}: not readable as JSON ({error}); copy the bundle again"
        ) from None
    if not isinstance(data, dict) or data.get("kind") != KIND:
        raise BundleCorrupt(f"{path}: not a Fieldpack manifest; copy the bundle again")
    schema = _parse_schema(data.get("schema"), path)
    try:
        files = tuple(
            FileEntry(str(e["path"]), str(e["role"]), int(e["size"]), str(e["sha256"]))
            for e in data["files"]
        )
        manifest = Manifest(
            name=str(data["name"]),
            version=str(data["version"]),
            description=str(data.get("description", "")),
            files=files,
            limits={str(k): int(v) for k, v in data["limits"].items()},
            compat=dict(data["compat"]),
            provenance=dict(data["provenance"]),
            schema=schema,
            targets=targets_from_json(data.get("targets", [])),
        )
    # OverflowError: a size of Infinity.
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise BundleCorrupt(
            f"{path}: a field is missing or mistyped ({error}); copy the bundle again"
        ) from None
    folders = [target.folder for target in manifest.targets]
    for name in (*(entry.path for entry in manifest.files), *folders):
        refuse_escape(name, path)
    return manifest


def refuse_escape(name: str, path: Path) -> None:
    """Raise BundleCorrupt where the name of a bundle's file leads out of the bundle. `path`: the
    file that names it."""
    pure = PurePosixPath(name)
    escapes = not name or pure.is_absolute() or ".." in pure.parts
    if escapes or any(character in name for character in "\\:\0"):
        raise BundleCorrupt(
            f"{path}: the file name {name!r} leaves the bundle; do not use this bundle"
        )


def verify(folder: Path, manifest: Manifest, *, contents: bool = True) -> dict[str, Stamp]:
    """Check that a bundle holds exactly the files of its manifest, each of its size and (with
    `contents`) its SHA-256, and return each file's stamp from before it was hashed. Raises
    BundleCorrupt, which names the first few files that differ."""
    there, named = set(list_files(folder)), {entry.path for entry in manifest.files}
    problems = [f"{path}: missing" for path in sorted(named - there)]
    problems += [f"{path}: not in the manifest" for path in sorted(there - named)]
    present = [entry for entry in manifest.files if entry.path in there]

    def check(entry: FileEntry) -> tuple[str | None, Stamp]:
        stamp = stamp_of(folder / entry.path)
        if stamp.size != entry.size:
            return f"{entry.path}: {stamp.size} bytes, the manifest says {entry.size}", stamp
        if contents and sha256_file(folder / entry.path) != entry.sha256:
            return f"{entry.path}: sha256 differs from the manifest", stamp
        return None, stamp

    with ThreadPoolExecutor() as pool:
        checked = list(pool.map(check, present))
    problems += [problem for problem, _ in checked if problem]
    if problems:
        more = f" (and {len(problems) - 3} more)" if len(problems) > 3 else ""
        raise BundleCorrupt(
            f"{folder}: " + "; ".join(problems[:3]) + more + "; copy the bundle again"
        )
    return {entry.path: stamp for entry, (_, stamp) in zip(present, checked, strict=True)}


def _parse_schema(value: object, path: Path) -> tuple[int, int]:
    """Return (major, minor) of "1.1". Raises BundleCorrupt, BundleUnsupported (another major)."""
    try:
        major, minor = (int(part) for part in str(value).split("."))
    except ValueError:
        raise BundleCorrupt(
            f"{path}: schema {value!r} is no version; copy the bundle again"
        ) from None
    if major != SCHEMA[0]:
        raise BundleUnsupported(
            f"{path}: bundle schema {major}.{minor}, this runtime reads {SCHEMA[0]}.x; "
            + ("update fieldpack on this device" if major > SCHEMA[0] else "build the bundle again")
        )
    return major, minor
