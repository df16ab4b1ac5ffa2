"""The child process that opens a PDF: draws one page and finds a quote on it.

    python -P -m fieldpack_app.originals.draw_page

A line of JSON on stdin says what is wanted (`DrawRequest`); the PDF comes as an open file, whose
number it names. On stdout: a line of JSON (`DrawReply`), then the picture as PNG. A PDF is foreign
data for a large library in C++, so this process may not open another file or socket, start another
program, write a file, or take more than its memory and time."""

from __future__ import annotations

import ctypes
import json
import os
import struct
import sys
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypedDict

from fieldpack.untrusted import typed

from .marking import Box, PageLetters, mark

if TYPE_CHECKING:
    import pypdfium2

WIDTH = 1240  # pixels: 150 dots an inch on A4, small type is read at twice a panel's width
_MOST_PIXELS = 6_000_000  # of a long or wide sheet; it is drawn smaller
_MOST_CHARACTERS = 200_000  # of a page; a full page of small type has 10,000
MEMORY = 1 << 30  # bytes of address space: Python and pdfium 0.3 GB, a picture 0.05 GB
CPU_SECONDS = 20  # a page of a filing takes 0.1 s on a desktop, and ten times that on a small board
CANNOT_OPEN, NO_SUCH_PAGE = "cannot_open", "no_such_page"


@dataclass(frozen=True, slots=True)
class DrawRequest:
    """What the child is asked for. `file`: number of the open PDF; `page` counts from 1; `draw`:
    whether the picture is wanted, or the boxes alone."""

    file: int
    page: int
    quote: str
    passage: str
    draw: bool


class DrawReply(TypedDict):
    """What the child says before the picture: its size in pixels, `boxes` of the quote as shares of
    them (left, top, right, bottom), the bytes of `picture`, and `problem`, empty where it went
    well."""

    problem: str
    width: int
    height: int
    boxes: list[list[float]]
    picture: int


def confine() -> None:
    """Take from this process what drawing a page does not need. What is open stays open. Root is
    not held by the limit on processes; without a file no program can be started anyway."""
    import resource  # here, as this module's names are wanted where there is none, on Windows

    limits = {
        resource.RLIMIT_AS: MEMORY,
        resource.RLIMIT_CPU: CPU_SECONDS,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NPROC: 0,
        resource.RLIMIT_NOFILE: 0,
    }
    for kind, limit in limits.items():
        resource.setrlimit(kind, (limit, limit))


def draw(request: DrawRequest) -> tuple[DrawReply, bytes]:
    """Draw a page and find the quote on it. Raises pypdfium2's PdfiumError where pdfium cannot."""
    import pypdfium2

    with os.fdopen(request.file, "rb") as file:
        confine()
        try:
            document = pypdfium2.PdfDocument(file)
        except pypdfium2.PdfiumError:
            return _failed(CANNOT_OPEN), b""
        if not 1 <= request.page <= len(document):
            return _failed(NO_SUCH_PAGE), b""
        page = document[request.page - 1]
        scale, width, height = _size_of(page)
        boxes = mark(_letters(page), request.quote, request.passage)
        picture = _picture(page, scale) if request.draw else b""
        reply: DrawReply = {
            "problem": "",
            "width": width,
            "height": height,
            "boxes": [_in_picture(page, box, width, height) for box in boxes],
            "picture": len(picture),
        }
        return reply, picture


def _failed(problem: str) -> DrawReply:
    return {"problem": problem, "width": 0, "height": 0, "boxes": [], "picture": 0}


def _size_of(page: pypdfium2.PdfPage) -> tuple[float, int, int]:
    """Return pixels a point, and the picture's width and height."""
    wide, high = page.get_size()
    scale = WIDTH / max(wide, 1.0)
    scale = min(scale, (_MOST_PIXELS / max(wide * high, 1.0)) ** 0.5)
    # As pypdfium2 has it in PdfPage.render.
    return scale, -int(-wide * scale // 1), -int(-high * scale // 1)


def _letters(page: pypdfium2.PdfPage) -> PageLetters:
    """Return the page's letters with their places in points, as the page lies before it is turned:
    lines of type run to the right there. y grows downwards, so that it is negative."""
    from pypdfium2 import raw

    textpage = page.get_textpage()
    count = min(textpage.count_chars(), _MOST_CHARACTERS)
    codes = (raw.FPDFText_GetUnicode(textpage, i) for i in range(count))
    characters = [chr(code) if code <= sys.maxunicode else "" for code in codes]
    rectangle = raw.FS_RECTF()

    def box(number: int) -> Box:
        raw.FPDFText_GetLooseCharBox(textpage, number, rectangle)
        low, high = sorted((rectangle.bottom, rectangle.top))
        return rectangle.left, -high, rectangle.right, -low

    return PageLetters(characters, box)


def _in_picture(page: pypdfium2.PdfPage, box: Box, width: int, height: int) -> list[float]:
    """Return a box of the page as shares of its picture, none of it outside."""
    from pypdfium2 import raw

    left, top, right, bottom = box
    x, y = ctypes.c_int(), ctypes.c_int()
    corners = []
    for across, down in ((left, top), (right, bottom)):
        raw.FPDF_PageToDevice(page, 0, 0, width, height, 0, across, -down, x, y)
        corners.append((min(max(x.value / width, 0.0), 1.0), min(max(y.value / height, 0.0), 1.0)))
    (left, right), (top, bottom) = (sorted(pair) for pair in zip(*corners, strict=True))
    return [round(share, 5) for share in (left, top, right, bottom)]


def _picture(page: pypdfium2.PdfPage, scale: float) -> bytes:
    bitmap = page.render(scale=scale, rev_byteorder=True, fill_color=(255, 255, 255, 255))
    data, channels = bytes(bitmap.buffer), bitmap.n_channels
    rows = [
        data[start : start + bitmap.width * channels]
        for start in range(0, bitmap.height * bitmap.stride, bitmap.stride)
    ]
    planes = [[row[plane::channels] for row in rows] for plane in range(min(channels, 3))]
    if all(plane == planes[0] for plane in planes):
        return png(planes[0], bitmap.width, grey=True)
    if channels == 4:
        rows = [_without_fourth(row) for row in rows]
    return png(rows, bitmap.width, grey=False)


def _without_fourth(row: bytes) -> bytes:
    """Return a row of red, green, blue and a fourth byte without that."""
    kept = bytearray(len(row) // 4 * 3)
    for plane in range(3):
        kept[plane::3] = row[plane::4]
    return bytes(kept)


def png(rows: list[bytes], width: int, *, grey: bool) -> bytes:
    """Return rows of 8 bit a channel as a PNG (RFC 2083), grey or of three colours. Unfiltered:
    drawn pages are flat, and text is smaller so than with filters."""

    def chunk(name: bytes, data: bytes) -> bytes:
        check = zlib.crc32(name + data)
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", check)

    head = struct.pack(">IIBBBBB", width, len(rows), 8, 0 if grey else 2, 0, 0, 0)
    body = zlib.compress(b"".join(b"\0" + row for row in rows), 6)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def main() -> None:
    """Answer the question on stdin."""
    data: Any = json.loads(sys.stdin.readline())
    reply, picture = draw(typed(DrawRequest, data))
    sys.stdout.buffer.write(json.dumps(reply).encode() + b"\n" + picture)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
