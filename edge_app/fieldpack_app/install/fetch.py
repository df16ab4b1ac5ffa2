"""Brings the files of a release from a source into the store: streamed, hashed, resumed where it
was cut off. Knows nothing of signatures: the SHA-256 it is given decides."""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Protocol

from fieldpack.bundle.patch import BadPatch, apply_patch
from fieldpack.bundle.release import Blob, Release, ReleaseFile, blob_path

from .disk import require_room
from .errors import NotTrusted, SourceFailed
from .progress import Progress
from .source import Source
from .store import Store

_PIECE = 1 << 20
_MAX_PATCH = 64 << 20  # bytes, which are held in memory; beyond it the whole file is copied


class _Hash(Protocol):
    def update(self, data: bytes, /) -> None: ...

    def hexdigest(self) -> str: ...


def fetch_release(store: Store, source: Source, release: Release) -> int:
    """Bring every file that is not here and whole. Returns the bytes copied. Raises StoreFailed
    where they do not fit."""
    by_hash: dict[str, ReleaseFile] = {file.sha256: file for file in release.files}
    missing = [file for file in by_hash.values() if not store.has_blob(file)]
    present = sum(
        path.stat().st_size for file in missing if (path := store.partial / file.sha256).is_file()
    )
    total = sum(file.size for file in missing)
    require_room(store.root, total - present, f"{release.name} {release.version}")
    progress = Progress(total, f"{release.name} {release.version}")
    done = copied = 0
    for file in missing:
        copied += fetch_file(source, file, store, functools.partial(progress.at, before=done))
        done += file.size
    progress.done()
    return copied


def fetch_file(
    source: Source, file: ReleaseFile, store: Store, progress: Callable[[int], None]
) -> int:
    """Copy a file into blobs/; return the bytes that came from the source. `progress` is called
    with the bytes done of this file.

    From a server a patch is taken where there is one for a file that is here. What an earlier try
    has left is taken up again; if the whole then has the wrong hash, it is copied once from the
    start. Raises SourceFailed (cut off: what came stays) and NotTrusted (other bytes than those
    signed)."""
    partial = store.partial / file.sha256
    present = partial.stat().st_size if partial.is_file() else 0
    if not source.local and not present and (took := _patched(source, file, store, progress)):
        return took
    if _fill(source, file, partial, progress):
        store.add_blob(partial, file.sha256)
        return file.size - present
    partial.unlink()
    if present and _fill(source, file, partial, progress):
        store.add_blob(partial, file.sha256)
        return file.size
    partial.unlink(missing_ok=True)
    raise NotTrusted(
        f"{source.name}: {file.path}: its contents are not those that were signed; it is damaged or"
        " was tampered with: copy or ship the folder again. Nothing was changed"
    )


def _patched(
    source: Source, file: ReleaseFile, store: Store, progress: Callable[[int], None]
) -> int:
    """Make the file of one that is here and a patch; return the bytes that came, 0 where there is
    no such patch or it failed: whatever was wrong with it, the whole file is right."""
    patch = next((one for one in file.patches if store.blob(one.base).is_file()), None)
    if patch is None or patch.blob.size * 2 > file.size:
        return 0
    made, digest, done = store.partial / f"{file.sha256}.patched", hashlib.sha256(), 0
    try:
        with made.open("wb", buffering=0) as out:

            def write(piece: bytes) -> None:
                nonlocal done
                out.write(piece)
                digest.update(piece)
                done += len(piece)
                progress(done)

            packed = _at_most(
                source.read(blob_path(patch.blob.sha256)), patch.blob.size, patch.blob.sha256
            )
            apply_patch(store.blob(patch.base), packed, file.size, write)
            os.fsync(out.fileno())
        if digest.hexdigest() == file.sha256:
            store.add_blob(made, file.sha256)
            return patch.blob.size
    except (BadPatch, SourceFailed):
        pass
    made.unlink(missing_ok=True)
    return 0


def _at_most(pieces: Iterable[bytes], size: int, sha256: str) -> Iterator[bytes]:
    """Pass a patch on once it is known to be the signed one: it is small, and a decompressor is not
    fed with what nobody has vouched for. Raises BadPatch."""
    data = bytearray()
    for piece in pieces:
        data += piece
        if len(data) > min(size, _MAX_PATCH):
            raise BadPatch("longer than it was signed, or too long")
    if hashlib.sha256(data).hexdigest() != sha256:
        raise BadPatch("not the one that was signed")
    yield bytes(data)


def _fill(
    source: Source, file: ReleaseFile, partial: Path, progress: Callable[[int], None]
) -> bool:
    """Append what is missing, sync, and say whether the whole has the right hash."""
    with partial.open("r+b" if partial.is_file() else "w+b", buffering=0) as out:
        digest = hashlib.sha256()
        done = _hash_present(out, digest, file.size)
        begin = 0
        for part in file.parts:
            if done < begin + part.size:
                done = _copy_part(source, file, part, out, digest, begin, done, progress)
            begin += part.size
        os.fsync(out.fileno())
    return digest.hexdigest() == file.sha256


def _hash_present(out: BinaryIO, digest: _Hash, most: int) -> int:
    """Hash what an earlier try left, at most `most` bytes, and stand behind it."""
    out.seek(0)
    done = 0
    while done < most and (piece := out.read(min(_PIECE, most - done))):
        digest.update(piece)
        done += len(piece)
    out.seek(done)
    out.truncate()
    return done


def _copy_part(
    source: Source,
    file: ReleaseFile,
    part: Blob,
    out: BinaryIO,
    digest: _Hash,
    begin: int,
    done: int,
    progress: Callable[[int], None],
) -> int:
    """Write the rest of the part that begins at `begin`; `done` bytes of the file are here. Returns
    the bytes then done."""
    end = begin + part.size
    for piece in source.read(blob_path(part.sha256), offset=done - begin):
        if done + len(piece) > end:
            raise NotTrusted(
                f"{source.name}: {file.path}: longer than the {part.size:,} bytes that were signed,"
                " or endless; it is damaged or was tampered with: copy or ship the folder again."
                " Nothing was changed"
            )
        view = memoryview(piece)
        while view:
            view = view[out.write(view) :]
        digest.update(piece)
        done += len(piece)
        progress(done)
    if done < end:
        raise SourceFailed(
            f"{source.name}: {file.path}: ends after {done - begin:,} of {part.size:,} bytes; the"
            " copy was cut off: run the same command again to go on, or ship the folder again"
        )
    return done
