"""Bytes to text for the formats that do not state their encoding reliably. Knows nothing of documents."""

from __future__ import annotations

import codecs
import re

from fieldpack_build.documents.pages import clean

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    # UTF-32 first: its little-endian mark begins with that of UTF-16.
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_DECLARED = re.compile(rb"""(?:charset|encoding)\s*=\s*["']?\s*([A-Za-z0-9_.:-]{2,40})""")


def decode(data: bytes) -> str:
    """By byte order mark, else UTF-8, else cp1252; cleaned. Never fails: bytes with no meaning become U+FFFD."""
    return _decode(data, "cp1252")


def decode_markup(data: bytes) -> str:
    """As `decode`, but the encoding that an HTML or XML head declares comes before cp1252.

    UTF-8 comes before the declaration: text that is valid UTF-8 beyond ASCII is UTF-8, whatever its head says.
    """
    return _decode(data, _declared(data) or "cp1252")


def _decode(data: bytes, fallback: str) -> str:
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return clean(data[len(mark) :].decode(encoding, "replace"))
    try:
        return clean(data.decode("utf-8"))
    except UnicodeDecodeError:
        return clean(data.decode(fallback, "replace"))


def _declared(data: bytes) -> str | None:
    found = _DECLARED.search(data[:4096])
    if found is None:
        return None
    try:
        info = codecs.lookup(found[1].decode("ascii"))
    except LookupError:
        return None
    # UTF-8 has failed already; a UTF-16 that states itself in ASCII letters is not UTF-16; "hex" and "rot13" are
    # codecs to Python but no character sets.
    return None if info.name.startswith("utf") or not getattr(info, "_is_text_encoding", True) else info.name
