"""One PDF library over the files of a folder, for `readers.py`: writes text, rows of tables and
time. Imports one library.

python readers_child.py NAME FOLDER OUT.json
"""

from __future__ import annotations

import importlib.metadata
import io
import json
import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

Page = dict[str, Any]


def fieldpack(data: bytes) -> Iterator[Page]:
    from fieldpack_build.documents import pdf

    for page in pdf.read(data, "a.pdf", expendable=True).pages:
        tables = [
            page.text[block.start : block.end] for block in page.blocks if block.kind == "table"
        ]
        yield {
            "text": page.text,
            "rows": [line.split(" | ") for text in tables for line in text.split("\n")],
        }


def pdfium(data: bytes) -> Iterator[Page]:
    import pypdfium2

    for page in pypdfium2.PdfDocument(data):
        yield {"text": page.get_textpage().get_text_range().replace("\r\n", "\n"), "rows": []}


def pypdf(data: bytes) -> Iterator[Page]:
    import pypdf as library

    for page in library.PdfReader(io.BytesIO(data)).pages:
        yield {"text": page.extract_text(), "rows": []}


def pdfminer(data: bytes) -> Iterator[Page]:
    from pdfminer.high_level import extract_text

    for text in extract_text(io.BytesIO(data)).split("\f")[:-1]:
        yield {"text": text, "rows": []}


def pdfplumber(data: bytes) -> Iterator[Page]:
    import pdfplumber as library

    with library.open(io.BytesIO(data)) as document:
        for page in document.pages:
            rows = [
                [cell or "" for cell in row] for found in page.extract_tables() for row in found
            ]
            lines = [
                re.split(r"\s+", line["text"].strip())
                for line in page.extract_text_lines(return_chars=False)
            ]
            yield {"text": page.extract_text(), "rows": rows, "lines": lines}


def pdf_oxide(data: bytes) -> Iterator[Page]:
    import pdf_oxide as library

    document = library.PdfDocument.from_bytes(data)
    for i in range(document.page_count()):
        yield {"text": document.extract_text(i), "rows": []}


def pdftext(data: bytes) -> Iterator[Page]:
    from pdftext.extraction import paginated_plain_text_output

    for text in paginated_plain_text_output(io.BytesIO(data)):
        yield {"text": text, "rows": []}


# The reader, whether it finds tables, and the packages that it takes on a disk (pypdfium2 with its
# binary).
_READERS: dict[str, tuple[Callable[[bytes], Iterator[Page]], bool, tuple[str, ...]]] = {
    "fieldpack": (fieldpack, True, ("pypdfium2",)),
    "pypdfium2": (pdfium, False, ("pypdfium2",)),
    "pypdf": (pypdf, False, ("pypdf",)),
    "pdfminer.six": (
        pdfminer,
        False,
        ("pdfminer.six", "cryptography", "cffi", "pycparser", "charset-normalizer"),
    ),
    "pdfplumber": (
        pdfplumber,
        True,
        (
            "pdfplumber",
            "pdfminer.six",
            "cryptography",
            "cffi",
            "pycparser",
            "charset-normalizer",
            "pillow",
            "pypdfium2",
        ),
    ),
    "pdf_oxide": (pdf_oxide, False, ("pdf_oxide",)),
    "pdftext": (
        pdftext,
        False,
        (
            "pdftext",
            "pypdfium2",
            "pydantic",
            "pydantic-core",
            "pydantic-settings",
            "click",
            "numpy",
        ),
    ),
}


def main() -> None:
    name, folder, out = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    read, tables, packages = _READERS[name]
    files = {path.name: path.read_bytes() for path in sorted(folder.glob("*.pdf"))}
    list(read(files[min(files, key=lambda file: len(files[file]))]))  # imports are not reading
    start = time.process_time()
    pages = {file: list(read(data)) for file, data in files.items()}
    seconds = time.process_time() - start
    size = round(sum(map(_bytes, packages)) / 2**20, 1)
    result = {
        "version": importlib.metadata.version(packages[0]),
        "seconds": seconds,
        "tables": tables,
        "mb": size,
        "pages": pages,
    }
    out.write_text(json.dumps(result), encoding="utf-8")


def _bytes(package: str) -> int:
    files = importlib.metadata.files(package) or []
    return sum(
        path.stat().st_size for path in (file.locate() for file in files) if Path(path).is_file()
    )


if __name__ == "__main__":
    main()
