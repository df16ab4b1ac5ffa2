"""The frame of a PDF file: objects, the table of where they begin, the trailer."""

from __future__ import annotations


def pdf_file(*objects: bytes, trailer: bytes = b"") -> bytes:
    """Return a PDF of objects numbered from 1; the first is the catalog. `trailer`: more of the
    trailer's dictionary."""
    data, offsets = bytearray(b"%PDF-1.4\n"), []
    for number, body in enumerate(objects, start=1):
        offsets.append(len(data))
        data += b"%d 0 obj\n%b\nendobj\n" % (number, body)
    rows = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    count, table_at = len(objects) + 1, len(data)
    data += b"xref\n0 %d\n0000000000 65535 f \n%b" % (count, rows)
    data += b"trailer<</Size %d/Root 1 0 R%b>>\nstartxref\n%d\n%%%%EOF" % (count, trailer, table_at)
    return bytes(data)
