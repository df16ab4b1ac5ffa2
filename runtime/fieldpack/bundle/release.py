"""A release: one bundle as it travels, an OCI image manifest (ModelPack's media types) that names
every file by SHA-256, a file too large for FAT32 in several parts. Written by `build ship`, read by
`fieldpack install`. Knows nothing of signatures, of sticks and servers, or of how a device stores
files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from ..errors import BundleCorrupt, BundleUnsupported
from .manifest import FILENAME as BUNDLE_MANIFEST
from .manifest import refuse_escape

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
# Media types and annotations of github.com/modelpack/model-spec (docs/spec.md,
# docs/annotations.md).
ARTIFACT_TYPE = "application/vnd.cncf.model.manifest.v1+json"
CONFIG_TYPE = "application/vnd.cncf.model.config.v1+json"
WEIGHTS_TYPE = "application/vnd.cncf.model.weight.v1.raw"
SETTINGS_TYPE = "application/vnd.cncf.model.weight.config.v1.raw"
DATA_TYPE = "application/vnd.cncf.model.dataset.v1.raw"
REPORT_TYPE = "application/vnd.cncf.model.doc.v1.raw"
FILE_PATH = "org.cncf.model.filepath"
# Ours: which part of how many, and the digest and size of the file that the parts make.
PART = "dev.fieldpack.part"
WHOLE = "dev.fieldpack.file.digest"
WHOLE_SIZE = "dev.fieldpack.file.size"
PATCHES = "dev.fieldpack.patches"  # of a file: base, patch and the patch's size, for each patch
NUMBER = "dev.fieldpack.release"
FORMAT = "dev.fieldpack.release.format"
MIN_RUNTIME = "dev.fieldpack.min_runtime"
TITLE, VERSION, CREATED = (
    f"org.opencontainers.image.{word}" for word in ("title", "version", "created")
)

# The highest format of a release that this runtime reads. Within one number a reader ignores what
# it does not know.
FORMATS = 1
MOST_BYTES = 4 << 20  # of a manifest: some 8,000 files
MOST_FILES = 10_000
LARGEST_PART = (4 << 30) - 1  # bytes: the largest file of FAT32
LARGEST_FILE = 1 << 42  # bytes: 4 TiB, beyond which a size is nonsense
_FOLDERS = {
    "embedder": WEIGHTS_TYPE,
    "knowledge": DATA_TYPE,
    "model": WEIGHTS_TYPE,
    "reranker": WEIGHTS_TYPE,
    "report": REPORT_TYPE,
}


@dataclass(frozen=True, slots=True)
class Blob:
    """A run of bytes that is stored and sent under the name of its SHA-256."""

    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class Patch:
    """A shorter way to a file, for a device that has the file whose SHA-256 is `base`
    (fieldpack.bundle.patch)."""

    base: str
    blob: Blob


@dataclass(frozen=True, slots=True)
class ReleaseFile:
    """`path`: in the bundle, with slashes. `parts`: one for most files; their bytes in this order
    are the file's. `patches`: from files of earlier releases, none for most."""

    path: str
    sha256: str
    size: int
    parts: tuple[Blob, ...]
    patches: tuple[Patch, ...] = ()


@dataclass(frozen=True, slots=True)
class Release:
    """`number`: counts the releases of this name, from 1. `created`: ISO 8601, when it was shipped.
    `min_runtime`: the version of Fieldpack that a device must have. `digest`: SHA-256 of the
    manifest's bytes, which names the release."""

    name: str
    version: str
    number: int
    created: str
    min_runtime: str
    files: tuple[ReleaseFile, ...]
    config: Blob
    digest: str = ""

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    def blobs(self) -> set[str]:
        """Every blob that belongs to the release where it is shipped."""
        parts = {part.sha256 for file in self.files for part in file.parts}
        return {
            self.config.sha256,
            *parts,
            *(patch.blob.sha256 for file in self.files for patch in file.patches),
        }


def blob_path(sha256: str) -> str:
    """Return where a blob lies in a shipped folder and in a device's store."""
    return f"blobs/sha256/{sha256}"


def model_config(name: str, version: str, created: str, files: tuple[ReleaseFile, ...]) -> bytes:
    """Return the blob that ModelPack wants as a manifest's config; Fieldpack's devices do not read
    it."""
    data = {
        "descriptor": {"createdAt": created, "name": name, "version": version},
        "config": {"format": "fieldpack"},
        "modelfs": {
            "type": "layers",
            "diffIds": [f"sha256:{part.sha256}" for file in files for part in file.parts],
        },
    }
    return _dumps(data)


def to_manifest(release: Release) -> bytes:
    """Return the release as an OCI image manifest: the same release gives the same bytes."""
    layers = []
    for file in release.files:
        for number, part in enumerate(file.parts, 1):
            notes = {FILE_PATH: file.path}
            if len(file.parts) > 1:
                notes |= {
                    PART: f"{number}/{len(file.parts)}",
                    WHOLE: f"sha256:{file.sha256}",
                    WHOLE_SIZE: str(file.size),
                }
            if file.patches and number == 1:
                notes[PATCHES] = " ".join(
                    f"sha256:{patch.base} sha256:{patch.blob.sha256} {patch.blob.size}"
                    for patch in file.patches
                )
            folder = "" if file.path.endswith(".json") else file.path.partition("/")[0]
            media_type = _FOLDERS.get(folder, SETTINGS_TYPE)
            layers.append({**_descriptor(part, media_type), "annotations": notes})
    notes = {
        TITLE: release.name,
        VERSION: release.version,
        CREATED: release.created,
        NUMBER: str(release.number),
        MIN_RUNTIME: release.min_runtime,
        FORMAT: str(FORMATS),
    }
    return _dumps(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "artifactType": ARTIFACT_TYPE,
            "config": _descriptor(release.config, CONFIG_TYPE),
            "layers": layers,
            "annotations": notes,
        }
    )


def parse_manifest(data: bytes, where: str) -> Release:
    """Read a release from its manifest's bytes, of which nothing is believed but what their
    signature says of them as a whole.

    Raises BundleCorrupt (no JSON of this shape, sizes or names that cannot be) and
    BundleUnsupported (a later format)."""
    try:
        manifest = json.loads(data)
        notes = manifest["annotations"]
        if int(notes[FORMAT]) > FORMATS:
            raise BundleUnsupported(
                f"{where}: written in release format {int(notes[FORMAT])}, this version reads"
                f" {FORMATS}; run the installer of the stick or server again to update Fieldpack,"
                " then repeat"
            )
        if manifest["mediaType"] != MANIFEST_TYPE:
            raise ValueError(f"media type {manifest['mediaType']!r}")
        release = Release(
            name=_text(notes[TITLE]),
            version=_text(notes[VERSION]),
            number=_count(notes[NUMBER]),
            created=_text(notes[CREATED]),
            min_runtime=_text(notes[MIN_RUNTIME]),
            files=_files(manifest["layers"]),
            config=_blob(manifest["config"]),
            digest=hashlib.sha256(data).hexdigest(),
        )
    except (
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        RecursionError,
        OverflowError,
    ) as error:
        raise BundleCorrupt(
            f"{where}: no manifest of a release ({type(error).__name__}: {str(error)[:200]}); ship"
            " it again"
        ) from None
    _check_names(release, where)
    return release


def _files(layers: object) -> tuple[ReleaseFile, ...]:
    """Join consecutive layers of one path to a file. Raises ValueError and TypeError."""
    if not isinstance(layers, list) or len(layers) > MOST_FILES:
        raise ValueError(f"want a list of at most {MOST_FILES:,} layers")
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for layer in layers:
        groups.setdefault(_text(layer["annotations"][FILE_PATH]), []).append(layer)
    files = []
    for path, group in groups.items():
        parts = tuple(_blob(layer) for layer in group)
        words = _text(group[0]["annotations"].get(PATCHES, "")).split()
        patches = tuple(
            Patch(_hex(base), Blob(_hex(digest), _count(size)))
            for base, digest, size in (words[n : n + 3] for n in range(0, len(words), 3))
        )
        if len(parts) == 1:
            files.append(ReleaseFile(path, parts[0].sha256, parts[0].size, parts, patches))
            continue
        wanted = [f"{number}/{len(group)}" for number in range(1, len(group) + 1)]
        if [layer["annotations"][PART] for layer in group] != wanted:
            raise ValueError(
                f"{path}: its parts are not {wanted[0]} to {wanted[-1]}, in this order"
            )
        size = _count(group[0]["annotations"][WHOLE_SIZE])
        if size != sum(part.size for part in parts):
            raise ValueError(
                f"{path}: its parts have {sum(part.size for part in parts)} bytes, not {size}"
            )
        files.append(ReleaseFile(path, _hex(group[0]["annotations"][WHOLE]), size, parts, patches))
    return tuple(files)


def _check_names(release: Release, where: str) -> None:
    """Raise BundleCorrupt for names that cannot be files side by side in one folder, on any file
    system."""
    name = release.name
    if (
        name != PurePosixPath(name).name
        or name.startswith((".", "-"))
        or not name.isprintable()
        or len(name) > 100
    ):
        raise BundleCorrupt(f"{where}: {name!r} is no name for a bundle; do not use this release")
    paths = [file.path for file in release.files]
    for path in paths:
        refuse_escape(path, Path(where))
        if not path.isprintable() or path != PurePosixPath(path).as_posix() or len(path) > 500:
            raise BundleCorrupt(f"{where}: {path!r} is no file name; do not use this release")
    folders = {
        parent.as_posix().casefold() for path in paths for parent in PurePosixPath(path).parents
    }
    folded = [path.casefold() for path in paths]
    if len(set(folded)) != len(folded) or folders & set(folded):
        raise BundleCorrupt(
            f"{where}: two files would have one name, or a file and a folder; do not use this"
            " release"
        )
    if BUNDLE_MANIFEST not in paths:
        raise BundleCorrupt(
            f"{where}: names no {BUNDLE_MANIFEST}, so it is no bundle; ship it again"
        )


def _descriptor(blob: Blob, media_type: str) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": f"sha256:{blob.sha256}", "size": blob.size}


def _blob(descriptor: Mapping[str, Any]) -> Blob:
    return Blob(_hex(descriptor["digest"]), _count(descriptor["size"]))


def _hex(digest: object) -> str:
    """Return the 64 digits of "sha256:..."; ValueError for all else."""
    text = _text(digest)
    kind, _, digits = text.partition(":")
    if kind != "sha256" or len(digits) != 64 or set(digits) - set("0123456789abcdef"):
        raise ValueError(f"{text[:80]!r} is no SHA-256")
    return digits


def _count(value: object) -> int:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        value = int(value)
    if type(value) is not int or not 0 <= value <= LARGEST_FILE:
        raise ValueError(f"{value!r:.80} is no number of bytes, parts or releases")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"want text, not {value!r:.80}")
    return value


def _dumps(data: object) -> bytes:
    return (json.dumps(data, indent=1, ensure_ascii=False, sort_keys=True) + "\n").encode()
