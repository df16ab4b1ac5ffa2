"""Reads a folder of documents into pages of text with their headings and tables.

`survey` says what there is, `read_document` reads one file, `read_library` is both in one loop.
Knows nothing of tokens, indexes or models; `chunking` cuts what comes out.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from fieldpack_build.documents import find, readers
from fieldpack_build.documents.find import EVERYTHING, Survey
from fieldpack_build.documents.language import detect_language
from fieldpack_build.documents.pages import (
    Block,
    Document,
    OnProgress,
    Page,
    Skipped,
    label,
    say_nothing,
)
from fieldpack_build.documents.readers import IMAGE_SUFFIXES, SUFFIXES
from fieldpack_build.documents.titles import says_something, words_of
from fieldpack_build.documents.vocabulary import AUTO, read_vocabulary, vocabulary_for
from fieldpack_build.errors import DocumentError

__all__ = [
    "IMAGE_SUFFIXES",
    "MAX_FILE_MB",
    "SUFFIXES",
    "Block",
    "Document",
    "OnProgress",
    "Page",
    "Skipped",
    "Survey",
    "find_documents",
    "read_document",
    "read_library",
    "survey",
]

# a reader holds the file and what it makes of it in memory, several times its size for Office files
MAX_FILE_MB = 512
_NO_MEMORY = 2  # libxml2's XML_ERR_NO_MEMORY, the code of lxml's XMLSyntaxError
_TOO_LARGE = "needs more memory than there is for it; split it"


def read_library(
    folder: Path,
    *,
    on_error: Literal["warn", "fail"],
    include: Sequence[str] = EVERYTHING,
    ocr: bool = False,
    hidden: bool = False,
    max_file_mb: int = MAX_FILE_MB,
) -> Iterator[Document | Skipped]:
    """Yield what `survey` passed over, then the documents of `folder`, by their paths.

    Under "warn" a broken document is a `Skipped`. Raises DocumentError for a folder without
    documents and, under "fail", for the first that cannot be read.
    """
    library = survey(folder, include, max_file_mb, ocr=ocr)
    if not library.paths and not library.skipped:
        if not folder.is_dir():
            raise DocumentError(f"{folder}: no such folder of documents")
        among = "" if tuple(include) == EVERYTHING else f" that match {', '.join(include)}"
        formats = ", ".join(SUFFIXES)
        raise DocumentError(f"{folder}: no documents{among}; looked for {formats}")
    for entry in library.skipped:
        if on_error == "fail":
            raise DocumentError(entry.reason)
        yield entry
    for path in library.paths:
        relative = library.names[path]
        try:
            yield read_document(path, relative, ocr=ocr, hidden=hidden, max_file_mb=max_file_mb)
        except DocumentError as error:
            if on_error == "fail":
                raise
            yield Skipped(relative, str(error))


def survey(
    where: Path | Sequence[Path],
    include: Sequence[str] = EVERYTHING,
    max_file_mb: int = MAX_FILE_MB,
    *,
    ocr: bool = False,
) -> Survey:
    """Return what there is in a folder, a file or several of them.

    That is documents that we read, and what is skipped and why. With `ocr` images are documents. A
    document's name is its path below the folder; of several folders each name begins with that of
    its folder. Raises DocumentError for two of several that have the same name.
    """
    suffixes = (*SUFFIXES, *IMAGE_SUFFIXES) if ocr else SUFFIXES
    roots = [where] if isinstance(where, Path) else list(where)
    if len({root.name for root in roots}) < len(roots):
        twice = next(
            root
            for at, root in enumerate(roots)
            if root.name in {other.name for other in roots[:at]}
        )
        raise DocumentError(
            f"{twice}: another one of knowledge.documents is named {twice.name} too; rename it"
        )

    def one(root: Path) -> Survey:
        if root.is_file():
            return find.survey_file(root, suffixes=suffixes, max_file_mb=max_file_mb)
        if not root.is_dir():
            return Survey([], [])
        return find.survey(root, suffixes=suffixes, include=include, max_file_mb=max_file_mb)

    if len(roots) == 1:
        return one(roots[0])
    return find.together(
        [one(root) for root in roots], [f"{root.name}/" if root.is_dir() else "" for root in roots]
    )


def find_documents(
    folder: Path, include: Sequence[str] = EVERYTHING, *, ocr: bool = False
) -> list[Path]:
    """Return the files of the formats we read that a pattern of `include` matches, by path.

    See `find.survey`.
    """
    return survey(folder, include, ocr=ocr).paths


def read_document(
    path: Path,
    relative: str,
    *,
    ocr: bool = False,
    hidden: bool = False,
    max_file_mb: int = MAX_FILE_MB,
    vocabulary: str = AUTO,
    language: str = AUTO,
    expendable: bool = False,
    on_progress: OnProgress = say_nothing,
) -> Document:
    """Read one file; `relative` is its name in the library.

    `hidden`: read what a document hides too (`knowledge.hidden: read`). `vocabulary`: what is known
    of its language and kind (`knowledge.vocabulary`). `language`: a code of `fieldpack.language`, or
    "auto" where it is to be found out. `expendable`: this process may end at a page of a PDF that
    takes too much, see `pdf.read`. `on_progress` is told how far a long document is. Raises
    DocumentError, on one line that begins with `relative`, for a file that cannot be read or has no
    text.
    """
    data = _bytes_of(path, relative, max_file_mb << 20)
    try:
        named = vocabulary if language == AUTO else vocabulary_for(vocabulary, language)
        options = readers.Options(ocr, hidden, named, expendable, on_progress)
        content = readers.read(data, relative, options)
    except RecursionError as error:
        raise DocumentError(f"{relative}: its elements are nested too deeply") from error
    except MemoryError as error:
        raise DocumentError(f"{relative}: {_TOO_LARGE}") from error
    except DocumentError as error:
        if getattr(error.__cause__, "code", None) != _NO_MEMORY:
            raise
        raise DocumentError(f"{relative}: {_TOO_LARGE}") from MemoryError()
    if not any(page.blocks for page in content.pages):
        left_out = f" ({'; '.join(content.warnings)})" if content.warnings else ""
        raise DocumentError(f"{relative}: has no text{left_out}")
    if language == AUTO:
        language = detect_language([page.text for page in content.pages])
    title = label(content.title)
    if not says_something(title, read_vocabulary(vocabulary_for(vocabulary, language))):
        title = label(words_of(relative))
    digest = hashlib.sha256(data).hexdigest()
    return Document(
        relative,
        title,
        digest,
        content.pages,
        readers.date_of(content, relative),
        content.tags,
        content.warnings,
        language,
    )


def _bytes_of(path: Path, relative: str, limit: int) -> bytes:
    try:
        # O_NONBLOCK: opening a pipe that has no writer would wait for ever.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise DocumentError(f"{relative}: is no file but a folder, pipe, socket or device")
            if status.st_size > limit:  # it has grown since the survey
                raise DocumentError(
                    f"{relative}: has more than the {limit >> 20} MB of knowledge.max_file_mb"
                )
            data = file.read(status.st_size + 1)
    except OSError as error:
        raise DocumentError(f"{relative}: cannot be read: {error.strerror}") from error
    if len(data) > status.st_size:
        raise DocumentError(f"{relative}: grows while it is read; build again when it is finished")
    if not data:
        raise DocumentError(f"{relative}: is empty")
    return data
