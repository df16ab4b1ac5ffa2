"""A bundle as a release: its files as blobs in a folder, large ones in parts, and the manifest that
names them. Knows nothing of keys or signatures."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from fieldpack.bundle.manifest import FILENAME, Manifest, read_manifest, sha256_file, verify
from fieldpack.bundle.patch import make_patch
from fieldpack.bundle.release import (
    LARGEST_PART,
    Blob,
    Patch,
    Release,
    ReleaseFile,
    blob_path,
    model_config,
    parse_manifest,
)

from ..errors import MachineError

MIN_RUNTIME = "0.1.0"  # the first Fieldpack that reads releases of this format, and bundles
_PIECE = 1 << 20
_PATCHED = "knowledge/"
_EARLIER = 2  # releases that a release is patched from


def describe(
    bundle: Path, *, part_bytes: int = LARGEST_PART
) -> tuple[Manifest, tuple[ReleaseFile, ...]]:
    """Verify a bundle and name its files and their parts. Raises BundleError where it is not
    whole."""
    manifest = read_manifest(bundle)
    verify(bundle, manifest)
    own = bundle / FILENAME
    entries = [(entry.path, entry.sha256, entry.size) for entry in manifest.files]
    entries.append((FILENAME, sha256_file(own), own.stat().st_size))
    files = []
    for path, digest, size in sorted(entries):
        parts = (
            _parts(bundle / path, size, part_bytes) if size > part_bytes else (Blob(digest, size),)
        )
        files.append(ReleaseFile(path, digest, size, parts))
    return manifest, tuple(files)


def make_release(
    manifest: Manifest,
    files: tuple[ReleaseFile, ...],
    number: int,
    *,
    min_runtime: str = MIN_RUNTIME,
) -> tuple[Release, bytes]:
    """Return the release and the config blob that its manifest names."""
    created = datetime.now(UTC).isoformat(timespec="seconds")
    config = model_config(manifest.name, manifest.version, created, files)
    blob = Blob(hashlib.sha256(config).hexdigest(), len(config))
    return (
        Release(manifest.name, manifest.version, number, created, min_runtime, files, blob),
        config,
    )


def write_blobs(
    bundle: Path, release: Release, config: bytes, folder: Path, progress: Callable[[int], None]
) -> int:
    """Copy every part that `folder` does not hold whole. Returns the bytes written. Raises
    MachineError where a file changed while it was read, OSError."""
    target = folder / blob_path("")
    target.mkdir(parents=True, exist_ok=True)
    written = done = 0
    for file in release.files:
        begin = 0
        for part in file.parts:
            place = folder / blob_path(part.sha256)
            if not (
                place.is_file()
                and place.stat().st_size == part.size
                and sha256_file(place) == part.sha256
            ):
                _write(_read(bundle / file.path, begin, part.size), place, part)
                written += part.size
            begin += part.size
            done += part.size
            progress(done)
    place = folder / blob_path(release.config.sha256)
    if not place.is_file():
        _write([config], place, release.config)
    return written


def add_patches(
    bundle: Path, files: Sequence[ReleaseFile], offered: Release, folder: Path
) -> tuple[ReleaseFile, ...]:
    """Write patches of knowledge files into `folder`, from those of the release that is offered now
    and of the one before it; return the files with them. One that is more than half of its file is
    not kept: a device that is cut off goes on with a file, not with a patch."""
    before = {file.path: file for file in offered.files}
    with_patches = []
    for file in files:
        patches = []
        old = before.get(file.path) if file.path.startswith(_PATCHED) else None
        bases = [old.sha256, *(patch.base for patch in old.patches)] if old else []
        for base in bases[:_EARLIER]:
            place = folder / blob_path(base)
            if base != file.sha256 and place.is_file():
                beside = folder / blob_path(".patch.new")
                size = make_patch(place, bundle / file.path, beside)
                blob = Blob(sha256_file(beside), size)
                beside.replace(folder / blob_path(blob.sha256))
                if blob.size * 2 <= file.size:
                    patches.append(Patch(base, blob))
        with_patches.append(replace(file, patches=tuple(patches)))
    return tuple(with_patches)


def missing_blobs(folder: Path, release: Release) -> list[str]:
    """Return the blobs of a release that a folder does not hold, by size alone."""
    missing = []
    for part in (part for file in release.files for part in file.parts):
        path = folder / blob_path(part.sha256)
        if not path.is_file() or path.stat().st_size != part.size:
            missing.append(part.sha256)
    return missing


def prune(folder: Path, manifests: Iterable[bytes]) -> int:
    """Remove blobs that none of the manifests names. Returns how many."""
    named = set()
    for data in manifests:
        release = parse_manifest(data, str(folder))
        named |= release.blobs()
        # The next release is patched from these too.
        named |= {patch.base for file in release.files for patch in file.patches}
    gone = [path for path in (folder / blob_path("")).glob("*") if path.name not in named]
    for path in gone:
        path.unlink()
    return len(gone)


def _parts(path: Path, size: int, part_bytes: int) -> tuple[Blob, ...]:
    parts = []
    for begin in range(0, size, part_bytes):
        length = min(part_bytes, size - begin)
        digest = hashlib.sha256()
        for piece in _read(path, begin, length):
            digest.update(piece)
        parts.append(Blob(digest.hexdigest(), length))
    return tuple(parts)


def _read(path: Path, begin: int, length: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(begin)
        while length and (piece := file.read(min(_PIECE, length))):
            length -= len(piece)
            yield piece


def _write(pieces: Iterable[bytes], place: Path, part: Blob) -> None:
    """Beside, synced, then renamed: what has a blob's name is whole, on a FAT stick too."""
    beside = place.with_name(f".{place.name[:16]}.new")
    digest = hashlib.sha256()
    with beside.open("wb") as out:
        for piece in pieces:
            digest.update(piece)
            out.write(piece)
        out.flush()
        os.fsync(out.fileno())
    if digest.hexdigest() != part.sha256:
        beside.unlink()
        raise MachineError(
            f"{place}: the bundle's file changed while it was read; run the same command again"
        )
    beside.replace(place)
