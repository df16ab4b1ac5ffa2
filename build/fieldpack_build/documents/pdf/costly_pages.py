"""Finds the pages of a PDF that take too much memory or time, before this process loads one.

Another process loads them first (`load_pages`), which such a page ends: one that draws the same
form over and over, whose content, fonts or images unpack to gigabytes, or on which pdfium crashes.
Knows nothing of text.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from fieldpack.child import last_line, python
from fieldpack_build.documents.pdf.load_pages import MEMORY, SECONDS
from fieldpack_build.errors import DocumentError

_MOST_COSTLY = 3  # pages; each may cost twice `load_pages.SECONDS`
TOO_MUCH = f"more than {MEMORY >> 20} MB of memory or {SECONDS} s"


def costly_pages(data: bytes, name: str, *, render: bool) -> frozenset[int]:
    """Return the indices of the pages that take too much. `render`: drawing them counts too.

    Raises DocumentError where they are many, or where the document as a whole takes as much.
    """
    costly: set[int] = set()
    first, count = 0, 1
    while first < count:
        options = ["--render"] if render else []
        command = python(Path(__file__).with_name("load_pages.py"), str(first), *options)
        done = subprocess.run(command, input=data, capture_output=True, check=False)
        if done.returncode > 0:
            error = last_line(done.stderr.decode(errors="replace"))
            raise DocumentError(f"{name}: its pages could not be tried one by one: {error}")
        lines = done.stdout.split()
        if not lines:
            raise DocumentError(
                f"{name}: takes {TOO_MUCH} to open; print it to a new PDF, or split it"
            )
        count, loaded = int(lines[0]), len(lines) - 1
        if done.returncode == 0:
            break
        first += loaded  # a signal ended it at this page
        if not loaded:  # and not for what it still had of pages before
            costly.add(first)
            first += 1
        if len(costly) > _MOST_COSTLY:
            raise DocumentError(
                f"{name}: more than {_MOST_COSTLY} of its pages take {TOO_MUCH} to draw; print it "
                "to a new PDF"
            )
    return frozenset(costly)
