"""Finds the bundles that a server offers, once at its start, by their manifests. Opens none. Knows
nothing of HTTP."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from fieldpack import BundleNotFound, InputError, Manifest, read_manifest
from fieldpack.bundle.manifest import FILENAME


class BundleJson(TypedDict):
    """A bundle in the page's list."""

    id: str
    name: str
    version: str
    description: str
    size: int


@dataclass(frozen=True, slots=True)
class BundleEntry:
    """A bundle that may be opened. `id`: name and version; of two folders that hold the same one,
    the second has its folder's name too."""

    id: str
    path: Path
    manifest: Manifest

    def to_dict(self) -> BundleJson:
        """Return the entry of the page's list."""
        manifest = self.manifest
        return {
            "id": self.id,
            "name": manifest.name,
            "version": manifest.version,
            "description": manifest.description,
            "size": manifest.size,
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
        entries[name] = BundleEntry(name, folder, manifest)
    return list(entries.values())
