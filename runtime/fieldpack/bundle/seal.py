"""Checks that an opened bundle is still what was verified: its files are opened after they were
hashed, some of them at the first question, and stay mapped. Knows nothing of what is in them."""

from __future__ import annotations

import threading
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
        self._linked: dict[str, Stamp] = {}  # to be hashed again, each with its new stamp
        self._hashing = False  # whether a thread is at it, and will look at `_linked` again
        self._lock = threading.Lock()  # of the two

    def check(self, *, opening: bool = False) -> None:
        """Raise BundleCorrupt where a file is no longer what was verified. To be called before
        reading, as reading what was cut off from a mapped file ends the process (SIGBUS). Takes
        some 5 us a file.

        A file with another time or inode is hashed again, and accepted if the hash is right: it was
        overwritten by a copy. One of which only the time of the inode's last change is another was
        most likely linked, by an installation beside that shares files: it is hashed in a thread,
        as a question must not wait for gigabytes, and accepted when that is done. Once a check has
        failed, all fail: what was read meanwhile nobody knows. `opening`: right after files were
        opened by their names; then none may have been exchanged, not even to and fro, and one that
        was linked is hashed at once."""
        if self.broken:
            raise BundleCorrupt(self.broken)
        for path, stamp in self._stamps.items():
            try:
                now = stamp_of(self._folder / path)
                same = now == stamp
                linked = now._replace(changed=stamp.changed) == stamp
                if not same and linked and not opening:
                    self._hash_in_thread(path, now)
                    continue
                if not same and now.size == stamp.size and (linked or not opening):
                    same = sha256_file(self._folder / path) == self._digests[path]
                    self._stamps[path] = now if same else stamp
            except OSError as error:
                raise self._changed(path, error.strerror or "cannot be read") from None
            if not same:
                raise self._changed(path, "has changed since the bundle was verified")

    def _hash_in_thread(self, path: str, stamp: Stamp) -> None:
        """Hash a file again beside the questions, and accept its stamp if the hash is right; one
        thread does all that are waiting."""
        with self._lock:
            self._linked[path] = stamp
            if not self._hashing:
                threading.Thread(target=self._hash_linked, name="seal", daemon=True).start()
                self._hashing = True

    def _hash_linked(self) -> None:
        try:
            while (waiting := self._first_linked()) is not None:
                path, stamp = waiting
                try:
                    same = sha256_file(self._folder / path) == self._digests[path]
                except OSError as error:
                    self._changed(path, error.strerror or "cannot be read")
                    return
                if not same:
                    self._changed(path, "has changed since the bundle was verified")
                    return
                with self._lock:
                    self._stamps[path] = stamp
                    if self._linked[path] == stamp:  # else it was linked once more meanwhile
                        del self._linked[path]
        except BaseException:
            with self._lock:
                self._hashing = False  # the next check begins again
            raise

    def _first_linked(self) -> tuple[str, Stamp] | None:
        """Return a file that waits to be hashed. None says that this thread ends: whatever is put
        there from then on starts another."""
        with self._lock:
            self._hashing = bool(self._linked)
            return next(iter(self._linked.items()), None)

    def _changed(self, path: str, how: str) -> BundleCorrupt:
        self.broken = f"{self._folder}: {path}: {how}; copy the bundle again and open it anew"
        return BundleCorrupt(self.broken)
