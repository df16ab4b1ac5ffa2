"""Finds files that no reader will take, by a look that costs milliseconds: empty ones, encrypted
ones, PDFs and packages that do not open. Knows nothing of what stands in them."""

from __future__ import annotations

import zipfile
from pathlib import Path, PurePosixPath

from fieldpack_build.documents import pdf
from fieldpack_build.errors import DocumentError

_OLE_MAGIC = b"\xd0\xcf\x11\xe0"  # Office 97 to 2003, and Office files with a password
_ZIPS = frozenset(
    f".{ending}"
    for ending in (
        *("docx", "docm", "dotx", "dotm", "xlsx", "xlsm", "pptx", "pptm", "ppsx", "ppsm"),
        *("odt", "ott", "ods", "odp", "epub"),
    )
)


def why_unreadable(path: Path, name: str) -> str | None:
    """Return on one line, which begins with `name`, why a file will not be read; None where a quick
    look finds nothing. A file of which it finds nothing may still turn out to be damaged."""
    suffix = PurePosixPath(name).suffix.lower()
    try:
        with path.open("rb") as file:
            head = file.read(len(_OLE_MAGIC))
        if not head:
            return f"{name}: is empty"
        if suffix == ".pdf":
            pdf.open_pdf(path, name).close()
        elif suffix in _ZIPS and head == _OLE_MAGIC:
            return f"{name}: is encrypted, or of Office 97 to 2003; save it anew without a password"
        elif suffix in _ZIPS and not zipfile.is_zipfile(path):
            return f"{name}: is no {suffix} file, or a damaged one"
    except OSError as error:
        return f"{name}: cannot be read: {error.strerror}"
    except DocumentError as error:
        return str(error)
    return None
