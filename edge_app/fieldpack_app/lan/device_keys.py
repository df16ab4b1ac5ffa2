"""The keys of paired devices: one for each, kept as a digest, revoked alone. Knows nothing of HTTP.

The file is read again when it has changed, so that a key that another command revokes is gone at
the next request."""

from __future__ import annotations

import hashlib
import json
import secrets
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from hmac import compare_digest
from pathlib import Path

from fieldpack import InputError
from fieldpack.untrusted import typed

from ..state import locked, read_regular, write_private

_FILE = "keys.json"
_MAX_KEYS = 100
_MAX_NAME = 40  # characters


@dataclass(frozen=True, slots=True)
class DeviceKey:
    """A paired device. `id`: names the key and opens nothing. `digest`: the SHA-256 of the key,
    which has 256 random bits. `added`: when."""

    id: str
    name: str
    digest: str
    added: str


class TooManyKeys(InputError):
    """As many devices have keys as may have one."""


class DeviceKeys:
    """The keys in a folder, for several processes and threads."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / _FILE
        self._lock = threading.Lock()
        self._seen: object = None  # the file's metadata when it was last read
        self._keys: tuple[DeviceKey, ...] = ()

    def all(self) -> Sequence[DeviceKey]:
        """Return the keys, the oldest first. Raises InputError where the file is damaged: then
        nobody is let in."""
        with self._lock:
            try:
                status = self._path.stat()
                seen = (status.st_ino, status.st_mtime_ns, status.st_size)
                if seen != self._seen:
                    self._keys, self._seen = self._read(), seen
            except FileNotFoundError:
                self._keys, self._seen = (), None
            except OSError as error:
                raise InputError(f"{self._path}: {error.strerror}; run this as its owner") from None
            return self._keys

    def find(self, secret: str) -> DeviceKey | None:
        """Return the key that `secret` is; None where there is none. Raises InputError."""
        digest = _digest(secret)
        match = None
        for key in self.all():
            if compare_digest(key.digest, digest):
                match = key
        return match

    def add(self, name: str) -> tuple[DeviceKey, str]:
        """Make a key for a device, and return it with its secret, which is kept nowhere. Raises
        TooManyKeys; InputError, where the file is damaged; OSError."""
        secret = secrets.token_urlsafe(32)
        shown = " ".join(name.split())[:_MAX_NAME] or "unnamed"
        added = datetime.now(UTC).isoformat(timespec="seconds")
        key = DeviceKey(secrets.token_hex(4), shown, _digest(secret), added)
        with locked(self._path.parent):
            keys = self.all()
            if len(keys) >= _MAX_KEYS:
                raise TooManyKeys(f"{_MAX_KEYS} devices have keys; revoke one of them first")
            self._write([*keys, key])
        return key, secret

    def revoke(self, which: str) -> Sequence[DeviceKey]:
        """Remove the key of an id, or all of a name, and return them. Raises InputError where there
        is none; OSError."""
        with locked(self._path.parent):
            keys = self.all()
            gone = [key for key in keys if which in (key.id, key.name)]
            if not gone:
                raise InputError(f"{which}: no such key; `fieldpack keys list` shows them")
            self._write([key for key in keys if key not in gone])
        return gone

    def _read(self) -> tuple[DeviceKey, ...]:
        try:
            rows = json.loads(read_regular(self._path))
            return tuple(typed(DeviceKey, row) for row in rows)
        except (OSError, ValueError, TypeError, RecursionError) as error:
            raise InputError(
                f"{self._path}: {error}; remove it and pair the devices again"
            ) from None

    def _write(self, keys: Sequence[DeviceKey]) -> None:
        text = json.dumps([asdict(key) for key in keys], indent=2) + "\n"
        write_private(self._path, text.encode())


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()
