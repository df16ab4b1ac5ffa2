"""Loads pages of a PDF with bounded memory and time for each.

A page may draw a form a million times, or have a content that unpacks to a gigabyte, and pdfium
cannot be stopped while it loads one: the kernel ends the process at a page that takes too much.
`bounded` is for a process that may be ended so. As a program,

    python load_pages.py FIRST [--render] < FILE

it is such a process: it writes the number of pages, 0 for a file that does not open, and then the
index of each page that it has loaded, from FIRST on, on lines of their own. Imports pypdfium2 and
nothing of ours, because it is started for single documents.
"""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SECONDS = 20  # of processor time for a page
MEMORY = 512 << 20  # bytes for a page, more than its document has: a million things drawn
_ALL_PAGES = 2 << 30  # bytes for all pages of this program, of which pdfium keeps fonts
MOST_PAGES = 100_000  # a damaged page count says billions
_MOST_DOTS = 1 << 26  # of a page's image: A0 at 200 dots an inch has 62 million
_DOTS = 200 / 72  # a point, for OCR
_STATISTICS = Path("/proc/self/statm")  # Linux alone says how much memory there is already
CAN_BOUND = _STATISTICS.exists()


@contextmanager
def bounded() -> Iterator[None]:
    """Have the kernel end this process where it takes more for what is done within than a page may."""
    before = {kind: resource.getrlimit(kind) for kind in (resource.RLIMIT_CPU, resource.RLIMIT_AS)}
    used = resource.getrusage(resource.RUSAGE_SELF)
    lower(resource.RLIMIT_CPU, int(used.ru_utime + used.ru_stime) + SECONDS)
    lower_memory(MEMORY)
    try:
        yield
    finally:
        for kind, limits in before.items():
            resource.setrlimit(kind, limits)


def lower_memory(more: int) -> None:
    """Let this process have `more` bytes than it has, where the system says how many that are."""
    if CAN_BOUND:
        has = int(_STATISTICS.read_text(encoding="ascii").split()[0]) * resource.getpagesize()
        lower(resource.RLIMIT_AS, has + more)


def lower(kind: int, value: int) -> None:
    """Lower a limit of this process, to `value` or to what it is already."""
    soft, hard = resource.getrlimit(kind)
    others = [limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY]
    resource.setrlimit(kind, (min([value, *others]), hard))


def draw(page: Any) -> Any:
    """Return a pypdfium2.PdfPage as an image in grey, 200 dots an inch where that are not too many."""
    width, height = page.get_size()
    scale = min(_DOTS, (_MOST_DOTS / max(width * height, 1)) ** 0.5)
    return page.render(scale=scale, grayscale=True)


def main() -> None:
    """Load the pages, from the index on that the command line names."""
    import pypdfium2

    data = sys.stdin.buffer.read()
    lower(resource.RLIMIT_CORE, 0)
    lower_memory(_ALL_PAGES)
    try:
        with bounded():
            document = pypdfium2.PdfDocument(data)
            count = len(document)
    except pypdfium2.PdfiumError:
        count = 0
    print(count, flush=True)
    for index in range(int(sys.argv[1]), count if count <= MOST_PAGES else 0):
        try:
            with bounded():
                page = document[index]
                page.get_textpage().close()
                if "--render" in sys.argv:
                    draw(page).close()
                page.close()
        except pypdfium2.PdfiumError:
            pass  # damaged, which whoever reads the document is told as well
        print(index, flush=True)


if __name__ == "__main__":
    try:
        main()
    except MemoryError:
        os.abort()
