"""The server's own certificate: made here, vouched for by nobody, known by its fingerprint. Wants
the package cryptography, of the extra `lan`."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

from fieldpack import InputError

from ..state import locked, write_private

if TYPE_CHECKING:
    from cryptography import x509

_CERTIFICATE, _KEY = "certificate.pem", "certificate.key"
_DAYS = 397  # phones take none that is good for longer than 398 to 825 days
_RENEWED_DAYS = 30  # before it expires


@dataclass(frozen=True, slots=True)
class Certificate:
    """`fingerprint`: the SHA-256 of the certificate, as phones and browsers show it. `is_new`: it
    was made just now, so that devices will warn of it."""

    certificate: Path
    key: Path
    fingerprint: str
    is_new: bool


def own_certificate(folder: Path, names: Sequence[str]) -> Certificate:
    """Return the certificate in `folder`; one is made where there is none for these names and
    addresses, or it expires soon. Raises InputError where cryptography is not installed; OSError.
    """
    try:
        from cryptography import x509
    except ImportError:
        raise InputError(
            'TLS on the local network wants two packages more: pip install "fieldpack[lan]"'
        ) from None
    path, key_path = folder / _CERTIFICATE, folder / _KEY
    with locked(folder):
        is_new = False
        try:
            certificate = x509.load_pem_x509_certificate(path.read_bytes())
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(path, key_path)
            good = _names_of(certificate) == set(names) and not _expires_soon(certificate)
        except (OSError, ValueError):  # none is there, or a damaged one; ssl's error is an OSError
            good = False
        if not good:
            certificate, key = _make(names)
            from cryptography.hazmat.primitives.serialization import Encoding

            write_private(key_path, key)
            write_private(path, certificate.public_bytes(Encoding.PEM))
            is_new = True
    return Certificate(path, key_path, fingerprint_of(certificate), is_new)


def fingerprint_of(certificate: x509.Certificate) -> str:
    """Return the SHA-256 of a certificate as "AB:CD:..."."""
    from cryptography.hazmat.primitives.hashes import SHA256

    return certificate.fingerprint(SHA256()).hex(":").upper()


def _make(names: Sequence[str]) -> tuple[x509.Certificate, bytes]:
    """Return a new certificate for these names and addresses, signed by its own key, with that."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Fieldpack")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))  # clocks differ
        .not_valid_after(now + timedelta(days=_DAYS))
        .add_extension(x509.SubjectAlternativeName([_general(one) for one in names]), False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return certificate, pem


def _general(name: str) -> x509.GeneralName:
    from cryptography import x509

    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _names_of(certificate: x509.Certificate) -> set[str]:
    from cryptography import x509

    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return set()
    return {str(one.value) for one in extension.value}


def _expires_soon(certificate: x509.Certificate) -> bool:
    left = certificate.not_valid_after_utc - datetime.now(UTC)
    return left < timedelta(days=_RENEWED_DAYS)
