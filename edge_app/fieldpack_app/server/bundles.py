"""Which bundles a server offers: found once at the start, by their manifests. Opens none. Knows
nothing of HTTP."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fieldpack import BundleNotFound, InputError, Manifest, read_manifest
from fieldpack.bundle.manifest import FILENAME


@dataclass(frozen=True, slots=True)
class BundleEntry:
    """`id`: name and version; two folders that hold the same one are told apart by their folder's
    name."""

    id: str
    path: Path
    manifest: Manifest

    def to_dict(self) -> dict[str, Any]:
        manifest = self.manifest
        return {
            "id": self.id,
            "name": manifest.name,
            "version": manifest.version,
            "description": manifest.description,
            "size": manifest.size,
        }


def find_bundles(paths: Sequence[Path]) -> list[BundleEntry]:
    """Each path a bundle, or a folder that holds bundles; in the order given, a folder's by name.

    Raises BundleNotFound, BundleCorrupt, BundleUnsupported, InputError (the same bundle twice)."""
    folders = dict.fromkeys(folder.resolve() for path in paths for folder in _bundles_of(path))
    found: dict[str, BundleEntry] = {}
    for folder in folders:
        manifest = read_manifest(folder)
        name = f"{manifest.name}-{manifest.version}"
        if name in found:
            name = f"{name}@{folder.name}"
        if name in found:
            raise InputError(
                f"{folder}: the same bundle, {name}, as {found[name].path}; name one of the two"
            )
        found[name] = BundleEntry(name, folder, manifest)
    return list(found.values())


def _bundles_of(path: Path) -> list[Path]:
    if (path / FILENAME).is_file() or not path.is_dir():
        return [path]
    inside = sorted(folder for folder in path.iterdir() if (folder / FILENAME).is_file())
    if not inside:
        raise BundleNotFound(
            f"{path}: no bundle here, nor in a folder of it; name what `build recipe` wrote"
        )
    return inside
