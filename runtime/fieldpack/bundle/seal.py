"""Checks that an opened bundle is still what was verified: its files are opened after they were
hashed, some of them at the first question, and stay mapped. Knows nothing of what is in them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..errors import BundleCorrupt
from .manifest import Manifest, Stamp, sha256_file, stamp_of


class Seal:
    """The verified state of a bundle's files. Safe to use from several threads."""

    def __init__(self, folder: Path, manifest: Manifest, stamps: Mapping[str, Stamp]) -> None:
        """`stamps`: of each file, by its path in the bundle, as `verify` returned them."""
        self._folder = folder
        self._digests = {entry.path: entry.sha256 for entry in manifest.files}
        self._stamps = dict(stamps)
        self.broken = ""  # why, once a check has failed

    def check(self, *, opening: bool = False) -> None:
        """Raise BundleCorrupt where a file is no longer what was verified. To be called before
        reading, as reading what was cut off from a mapped file ends the process (SIGBUS). Takes
        some 5 us a file.

        A file with another time or inode is hashed again, and accepted if the hash is right: it was
        linked, or overwritten by a copy. Once a check has failed, all fail: what was read meanwhile
        nobody knows. `opening`: right after files were opened by their names; then none may have
        been exchanged, not even to and fro: only the time of an inode's last change may be another,
        which a hard link to it moves (an installation beside, which shares files)."""
        if self.broken:
            raise BundleCorrupt(self.broken)
        for path, stamp in self._stamps.items():
            try:
                now = stamp_of(self._folder / path)
                same = now == stamp
                linked = now._replace(changed=stamp.changed) == stamp
                if not same and now.size == stamp.size and (linked or not opening):
                    same = sha256_file(self._folder / path) == self._digests[path]
                    self._stamps[path] = now if same else stamp
            except OSError as error:
                raise self._changed(path, error.strerror or "cannot be read") from None
            if not same:
                raise self._changed(path, "has changed since the bundle was verified")

    def _changed(self, path: str, how: str) -> BundleCorrupt:
        self.broken = f"{self._folder}: {path}: {how}; copy the bundle again and open it anew"
        return BundleCorrupt(self.broken)
