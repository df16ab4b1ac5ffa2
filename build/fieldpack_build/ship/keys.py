"""The keys that releases are signed with: three root keys of which two must sign, kept offline, and
one release key. Makes them, reads them, replaces them. Knows nothing of bundles."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import OutputExists, SigningError

if TYPE_CHECKING:
    from securesystemslib.signer import CryptoSigner

ROOT_KEYS, THRESHOLD = 3, 2
RELEASE_KEY = "release.pem"
PASSPHRASE = "FIELDPACK_KEY_PASSPHRASE"


@dataclass(frozen=True, slots=True)
class KeyFile:
    """A private key and the file it lies in."""

    path: Path
    signer: CryptoSigner

    @property
    def id(self) -> str:
        """Return the id of the public key, as the signed metadata names it."""
        return str(self.signer.public_key.keyid)


def root_key_path(folder: Path, number: int) -> Path:
    """Return where root key 1, 2 or 3 is in a folder of keys."""
    return folder / f"root-{number}.pem"


def make_key(path: Path) -> KeyFile:
    """Write a new ed25519 key, encrypted if $FIELDPACK_KEY_PASSPHRASE is set, readable by its owner
    alone. Raises OutputExists."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import (
        BestAvailableEncryption,
        Encoding,
        KeySerializationEncryption,
        NoEncryption,
        PrivateFormat,
    )

    phrase = os.environ.get(PASSPHRASE, "")
    how: KeySerializationEncryption = (
        BestAvailableEncryption(phrase.encode()) if phrase else NoEncryption()
    )
    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise OutputExists(
            f"{path}: there is a key already, and it is not replaced; name another folder"
        ) from None
    with os.fdopen(descriptor, "wb") as file:
        file.write(pem)
        file.flush()
        os.fsync(file.fileno())
    return read_key(path)


def read_key(path: Path) -> KeyFile:
    """Read a private key. Raises SigningError where the file is not there, no key, or its
    passphrase is another one."""
    from cryptography.hazmat.primitives.serialization import load_pem_private_key
    from securesystemslib.signer import CryptoSigner

    phrase = os.environ.get(PASSPHRASE, "")
    try:
        key = load_pem_private_key(path.read_bytes(), phrase.encode() or None)
        return KeyFile(path, CryptoSigner(key))
    except FileNotFoundError:
        raise SigningError(
            f"{path}: no such key; put the medium that holds it in place, or name its folder with"
            " --keys"
        ) from None
    except (TypeError, ValueError) as error:
        raise SigningError(
            f"{path}: cannot be read ({error}); is {PASSPHRASE} set, and to its passphrase?"
        ) from None


def read_root_keys(places: Sequence[Path]) -> list[KeyFile]:
    """Read the root keys that lie in these folders or are these files, each key once."""
    by_id: dict[str, KeyFile] = {}
    for place in places:
        for path in sorted(place.glob("root-*.pem")) if place.is_dir() else [place]:
            key = read_key(path)
            by_id.setdefault(key.id, key)
    return list(by_id.values())
