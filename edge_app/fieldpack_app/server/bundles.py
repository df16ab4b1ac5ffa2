"""Finds the bundles that a server offers, once at its start, by their manifests and their lists of
documents. Opens none. Knows nothing of HTTP."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from fieldpack import BundleCorrupt, BundleNotFound, InputError, Manifest, read_manifest
from fieldpack.bundle.manifest import FILENAME
from fieldpack.index.reader import library_documents


class BundleJson(TypedDict):
    """A bundle in the page's list."""

    id: str
    name: str
    version: str
    description: str
    size: int
    documents: int
    dates: list[str]


@dataclass(frozen=True, slots=True)
class BundleEntry:
    """A bundle that may be opened. `id`: name and version; of two folders that hold the same one,
    the second has its folder's name too. `documents` and the first and last of their `dates`: of its
    library, by which a reader tells versions apart."""

    id: str
    path: Path
    manifest: Manifest
    documents: int = 0
    dates: tuple[str, ...] = ()

    def to_dict(self) -> BundleJson:
        """Return the entry of the page's list."""
        manifest = self.manifest
        return {
            "id": self.id,
            "name": manifest.name,
            "version": manifest.version,
            "description": manifest.description,
            "size": manifest.size,
            "documents": self.documents,
            "dates": list(self.dates),
        }


def find_bundles(paths: Sequence[Path]) -> list[BundleEntry]:
    """Return the bundles at `paths`, in their order; a path is a bundle, or a folder that holds
    bundles, which come by name.

    Raises BundleNotFound, BundleCorrupt, BundleUnsupported, InputError (the same bundle twice)."""
    folders: list[Path] = []
    for path in paths:
        if (path / FILENAME).is_file() or not path.is_dir():
            folders.append(path)
            continue
        inside = sorted(folder for folder in path.iterdir() if (folder / FILENAME).is_file())
        if not inside:
            raise BundleNotFound(
                f"{path}: no bundle here, nor in a folder of it; name what `build recipe` wrote"
            )
        folders += inside
    entries: dict[str, BundleEntry] = {}
    for folder in dict.fromkeys(folder.resolve() for folder in folders):
        manifest = read_manifest(folder)
        name = f"{manifest.name}-{manifest.version}"
        if name in entries:
            name = f"{name}@{folder.name}"
        if name in entries:
            raise InputError(
                f"{folder}: the same bundle, {name}, as {entries[name].path}; name one of the two"
            )
        entries[name] = entry_of(name, folder, manifest)
    return list(entries.values())


def entry_of(name: str, folder: Path, manifest: Manifest) -> BundleEntry:
    """Return a bundle with what its library holds; nothing of one that cannot be read: who opens
    the bundle will be told."""
    if not manifest.has("knowledge"):
        return BundleEntry(name, folder, manifest)
    try:
        records = library_documents(folder / "knowledge")
    except BundleCorrupt:
        return BundleEntry(name, folder, manifest)
    dates = sorted(one.date for one in records if one.date)
    return BundleEntry(name, folder, manifest, len(records), (dates[0], dates[-1]) if dates else ())
