"""Loads pages of a PDF with bounded memory and time for each.

A page may draw a form a million times, or have a content that unpacks to a gigabyte, and pdfium
cannot be stopped while it loads one: the kernel ends the process at a page that takes too much.
`bounded_page` is for a process that may be ended so. As a program,

    python load_pages.py FIRST [--render] < FILE

it is such a process: it writes the number of pages, 0 for a file that does not open, and then the
index of each page that it has loaded, from FIRST on, on lines of their own. It is started for single
documents by its path, and imports nothing that takes time: its package would take three times as
long as all that it does.
"""

from __future__ import annotations

import os
import sys
from contextlib import AbstractContextManager
from typing import Any

from fieldpack_build.process_limits import bound_memory, bounded, set_limit

SECONDS = 20  # of processor time for a page
MEMORY = 512 << 20  # bytes for a page, more than its document has: a million things drawn
_ALL_PAGES = 2 << 30  # bytes for all pages of this program, of which pdfium keeps fonts
MOST_PAGES = 100_000  # a damaged page count says billions
_MOST_DOTS = 1 << 26  # of a page's image: A0 at 200 dots an inch has 62 million
_DOTS = 200 / 72  # a point, for OCR


def bounded_page() -> AbstractContextManager[None]:
    """Have the kernel end this process where it takes more for what is done within than a page may."""
    return bounded(seconds=SECONDS, memory=MEMORY)


def draw(page: Any) -> Any:
    """Return a pypdfium2.PdfPage as an image in grey, 200 dots an inch where that are not too many."""
    width, height = page.get_size()
    scale = min(_DOTS, (_MOST_DOTS / max(width * height, 1)) ** 0.5)
    return page.render(scale=scale, grayscale=True)


def main() -> None:
    """Load the pages, from the index on that the command line names."""
    import pypdfium2

    data = sys.stdin.buffer.read()
    set_limit("CORE", 0)
    bound_memory("AS", _ALL_PAGES)
    try:
        with bounded_page():
            document = pypdfium2.PdfDocument(data)
            count = len(document)
    except pypdfium2.PdfiumError:
        count = 0
    print(count, flush=True)
    for index in range(int(sys.argv[1]), count if count <= MOST_PAGES else 0):
        try:
            with bounded_page():
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
