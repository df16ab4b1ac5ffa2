"""A program that loads the pages of a PDF, with bounded memory and time for each.

    python load_pages.py FIRST < FILE

It writes the index of each page that it has loaded, from FIRST on, on a line of its own. pdfium
cannot be stopped while it loads a page, so the kernel ends this process at one that takes too much.
Imports pypdfium2 and nothing of ours, because it is started for single documents.
"""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path

SECONDS = 20  # of processor time for a page
MEMORY = 512 << 20  # bytes for a page, more than its document has: a million things drawn


def main() -> None:
    """Load the pages, from the index on that the command line names."""
    import pypdfium2

    document = pypdfium2.PdfDocument(sys.stdin.buffer.read())
    lower(resource.RLIMIT_CORE, 0)
    for index in range(int(sys.argv[1]), len(document)):
        bound_page()
        try:
            page = document[index]
            page.get_textpage().close()
            page.close()
        except pypdfium2.PdfiumError:
            pass  # damaged, which whoever reads the document is told as well
        print(index, flush=True)


def bound_page() -> None:
    """Have the kernel end this process where it takes more for what comes next than a page may."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    lower(resource.RLIMIT_CPU, int(used.ru_utime + used.ru_stime) + SECONDS)
    statistics = Path("/proc/self/statm")  # Linux alone says how much memory there is already
    if statistics.exists():
        has = int(statistics.read_text(encoding="ascii").split()[0]) * resource.getpagesize()
        lower(resource.RLIMIT_AS, has + MEMORY)


def lower(kind: int, value: int) -> None:
    """Set a limit of this process, within the one that it was started with."""
    _, highest = resource.getrlimit(kind)
    soft = value if highest == resource.RLIM_INFINITY else min(value, highest)
    resource.setrlimit(kind, (soft, highest))


if __name__ == "__main__":
    try:
        main()
    except MemoryError:
        os.abort()
