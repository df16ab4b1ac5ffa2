"""Reads a folder of documents into pages of text with their headings and tables.

`read_library` is the whole of it. Knows nothing of tokens, indexes or models; `chunking` cuts what comes out.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal

from fieldpack_build.documents import docx, html, markdown, pdf, plain
from fieldpack_build.documents.pages import Block, Content, Document, Page, Skipped, label
from fieldpack_build.errors import DocumentError

__all__ = [
    "SUFFIXES",
    "Block",
    "Document",
    "Page",
    "Skipped",
    "find_documents",
    "read_document",
    "read_library",
]

_READERS: dict[str, Callable[[bytes, str], Content]] = {
    ".docx": docx.read,
    ".htm": html.read,
    ".html": html.read,
    ".markdown": markdown.read,
    ".md": markdown.read,
    ".pdf": pdf.read,
    ".txt": plain.read,
}
SUFFIXES = tuple(sorted(_READERS))
_EVERYTHING = ("**/*",)


def read_library(
    folder: Path, *, on_error: Literal["warn", "fail"], include: Sequence[str] = _EVERYTHING
) -> Iterator[Document | Skipped]:
    """The documents of `folder` in the order of their paths; under "warn" a `Skipped` for each broken one.

    Raises DocumentError for a folder without documents and, under "fail", for the first broken document.
    """
    paths = find_documents(folder, include)
    if not paths:
        raise DocumentError(_nothing_found(folder, include))
    for path in paths:
        relative = path.relative_to(folder).as_posix()
        try:
            yield read_document(path, relative)
        except DocumentError as error:
            if on_error == "fail":
                raise
            yield Skipped(relative, str(error))


def find_documents(folder: Path, include: Sequence[str] = _EVERYTHING) -> list[Path]:
    """Files of the formats we read that a pattern of `include` matches, sorted by path.

    Patterns are relative to `folder`: `*` and `?` within a name, `**/` for any number of folders. Left out: hidden
    files and folders, linked folders (one inside is met on its own path), and links to files outside of `folder`.
    """
    patterns = [_pattern(glob) for glob in include]
    root = folder.resolve()
    found: dict[str, Path] = {}
    for top, folders, files in os.walk(folder):  # does not follow links to folders
        folders[:] = [name for name in folders if not name.startswith(".")]
        for path in (Path(top, name) for name in files if not name.startswith(".")):
            relative = path.relative_to(folder).as_posix()
            wanted = path.suffix.lower() in _READERS and any(pattern.fullmatch(relative) for pattern in patterns)
            if wanted and path.is_file() and path.resolve().is_relative_to(root):
                found[relative] = path
    return [found[relative] for relative in sorted(found)]


def read_document(path: Path, relative: str) -> Document:
    """Raises DocumentError, on one line that begins with `relative`, for a file that cannot be read or has no text."""
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise DocumentError(f"{relative}: no reader for this format; we read {', '.join(SUFFIXES)}")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DocumentError(f"{relative}: cannot be read: {error.strerror}") from error
    if not data:
        raise DocumentError(f"{relative}: is empty")
    content = reader(data, relative)
    if not any(page.blocks for page in content.pages):
        raise DocumentError(f"{relative}: has no text")
    title = label(content.title) or path.stem.replace("_", " ")
    return Document(relative, title, hashlib.sha256(data).hexdigest(), content.pages)


def _nothing_found(folder: Path, include: Sequence[str]) -> str:
    if not folder.is_dir():
        return f"{folder}: no such folder of documents"
    among = "" if tuple(include) == _EVERYTHING else f" that match {', '.join(include)}"
    return f"{folder}: no documents{among}; looked for {', '.join(SUFFIXES)}"


def _pattern(glob: str) -> re.Pattern[str]:
    parts = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.compile("".join(parts.get(part, re.escape(part)) for part in re.split(r"(\*\*/|\*\*|\*|\?)", glob)))
