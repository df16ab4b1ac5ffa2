"""The table of formats: which reader takes which suffix. Knows nothing of folders."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Protocol

from fieldpack_build.documents import csv_file, docx, eml, html, image, jsonl, markdown, pdf, plain, pptx, xlsx
from fieldpack_build.documents.pages import Content
from fieldpack_build.errors import DocumentError


class Reader(Protocol):
    def __call__(self, data: bytes, name: str) -> Content: ...


class SeeingReader(Protocol):
    """A reader of a format that may hold images of text, which it reads when `ocr` says so."""

    def __call__(self, data: bytes, name: str, *, ocr: bool = False) -> Content: ...


_READERS: dict[str, Reader] = {
    ".csv": csv_file.read,
    ".docx": docx.read,
    ".htm": html.read,
    ".html": html.read,
    ".jsonl": jsonl.read,
    ".markdown": markdown.read,
    ".md": markdown.read,
    ".ndjson": jsonl.read,
    ".pptm": pptx.read,
    ".pptx": pptx.read,
    ".tab": csv_file.read,
    ".text": plain.read,
    ".tsv": csv_file.read,
    ".txt": plain.read,
    ".xhtml": html.read,
    ".xlsm": xlsx.read,
    ".xlsx": xlsx.read,
}
IMAGE_SUFFIXES = (".jpeg", ".jpg", ".png", ".tif", ".tiff")
_SEEING: dict[str, SeeingReader] = {".eml": eml.read, ".pdf": pdf.read, **dict.fromkeys(IMAGE_SUFFIXES, image.read)}
SUFFIXES = tuple(sorted({*_READERS, *_SEEING} - set(IMAGE_SUFFIXES)))


def reads(name: str, *, ocr: bool = False) -> bool:
    suffix = PurePosixPath(name).suffix.lower()
    return suffix in SUFFIXES or (ocr and suffix in IMAGE_SUFFIXES)


def read(data: bytes, name: str, *, ocr: bool = False) -> Content:
    """Raises DocumentError, on one line that begins with `name`, for what its reader cannot read."""
    suffix = PurePosixPath(name).suffix.lower()
    if seeing := _SEEING.get(suffix):
        return seeing(data, name, ocr=ocr)
    if reader := _READERS.get(suffix):
        return reader(data, name)
    raise DocumentError(f"{name}: no reader for {suffix or 'a file without suffix'}; we read {', '.join(SUFFIXES)}")
