"""The table of formats: which reader takes which suffix. Knows nothing of folders."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import PurePosixPath
from typing import NamedTuple

from fieldpack_build.documents import image, pdf
from fieldpack_build.documents.office import docx, odf, pptx, rtf, xlsx
from fieldpack_build.documents.pages import Content, OnProgress, say_nothing
from fieldpack_build.documents.stated_dates import stated_date
from fieldpack_build.documents.text import (
    csv_file,
    ics,
    json_file,
    jsonl,
    markdown,
    notebook,
    plain,
    xml_file,
)
from fieldpack_build.documents.vocabulary import AUTO
from fieldpack_build.documents.web import eml, epub, html
from fieldpack_build.errors import DocumentError


class Options(NamedTuple):
    """How documents are read; also the reader of what is attached to one.

    `ocr`: read images of text. `hidden`: read what documents hide (`knowledge.hidden: read`).
    `vocabulary`: a name of `vocabulary.vocabulary_names`, or "auto". `expendable`: as in `pdf.read`.
    `on_progress`: is told how far the reader of a long document is.
    """

    ocr: bool = False
    hidden: bool = False
    vocabulary: str = AUTO
    expendable: bool = False
    on_progress: OnProgress = say_nothing

    def reads(self, name: str) -> bool:
        """Return whether there is a reader for a file of this name."""
        return reads(name, ocr=self.ocr)

    def read(self, data: bytes, name: str) -> Content:
        """Read a file that is part of another with these options; see `read`."""
        return read(data, name, self._replace(on_progress=say_nothing))


Reader = Callable[[bytes, str, Options], Content]
_OFFICE: dict[str, Reader] = {
    **dict.fromkeys(
        (".docm", ".docx", ".dotm", ".dotx"),
        lambda data, name, o: docx.read(data, name, hidden=o.hidden, vocabulary=o.vocabulary),
    ),
    **dict.fromkeys(
        (".pptm", ".pptx", ".ppsm", ".ppsx"),
        lambda data, name, o: pptx.read(
            data, name, hidden=o.hidden, vocabulary=o.vocabulary, on_progress=o.on_progress
        ),
    ),
    **dict.fromkeys(
        (".xlsm", ".xlsx"),
        lambda data, name, o: xlsx.read(data, name, hidden=o.hidden, on_progress=o.on_progress),
    ),
}
_OPEN: dict[str, Reader] = {
    ".epub": lambda data, name, o: epub.read(
        data, name, hidden=o.hidden, on_progress=o.on_progress
    ),
    **dict.fromkeys(
        (".odp", ".ods", ".odt", ".ott"),
        lambda data, name, o: odf.read(data, name, hidden=o.hidden, vocabulary=o.vocabulary),
    ),
    ".rtf": lambda data, name, o: rtf.read(data, name, hidden=o.hidden, vocabulary=o.vocabulary),
}
_TEXTS: dict[str, Reader] = {
    **dict.fromkeys((".csv", ".tab", ".tsv"), lambda data, name, o: csv_file.read(data, name)),
    **dict.fromkeys(
        (".htm", ".html", ".xhtml"), lambda data, name, o: html.read(data, name, hidden=o.hidden)
    ),
    ".ipynb": lambda data, name, o: notebook.read(data, name),
    ".json": lambda data, name, o: json_file.read(data, name),
    **dict.fromkeys((".jsonl", ".ndjson"), lambda data, name, o: jsonl.read(data, name)),
    **dict.fromkeys((".markdown", ".md"), lambda data, name, o: markdown.read(data, name)),
    **dict.fromkeys((".text", ".txt"), lambda data, name, o: plain.read(data, name)),
    ".xml": lambda data, name, o: xml_file.read(data, name),
}
_OTHERS: dict[str, Reader] = {
    ".eml": lambda data, name, o: eml.read(data, name, attachments=o, hidden=o.hidden),
    ".ics": lambda data, name, o: ics.read(data, name),
    ".mbox": lambda data, name, o: eml.read_mbox(
        data, name, attachments=o, hidden=o.hidden, on_progress=o.on_progress
    ),
    ".pdf": lambda data, name, o: pdf.read(
        data,
        name,
        ocr=o.ocr,
        hidden=o.hidden,
        vocabulary=o.vocabulary,
        expendable=o.expendable,
        on_progress=o.on_progress,
    ),
}
IMAGE_SUFFIXES = (".jpeg", ".jpg", ".png", ".tif", ".tiff")
_IMAGES: dict[str, Reader] = dict.fromkeys(
    IMAGE_SUFFIXES,
    lambda data, name, o: image.read(data, name, ocr=o.ocr, on_progress=o.on_progress),
)
_READERS = {**_OFFICE, **_OPEN, **_TEXTS, **_OTHERS, **_IMAGES}
SUFFIXES = tuple(sorted({*_OFFICE, *_OPEN, *_TEXTS, *_OTHERS}))


# Where a person writes a date into the text; a table's dates are of its rows.
_PROSE = tuple(
    suffix
    for suffix in (
        *_OFFICE,
        *_OPEN,
        ".htm",
        ".html",
        ".md",
        ".markdown",
        ".pdf",
        ".text",
        ".txt",
        ".xhtml",
    )
    if suffix not in (".xlsm", ".xlsx", ".ods", ".epub")
)
# The date in such a file is that of its last saving, by a program.
_SAVED_BY_PROGRAMS = (*_OFFICE, *_OPEN, ".pdf")


def date_of(content: Content, name: str) -> str | None:
    """Return the date of a document that was read: the one that a head of Markdown, HTML or an e-mail
    states, else the one in the text, else the date of the file that an office program or a PDF's
    maker wrote into it."""
    suffix = PurePosixPath(name).suffix.lower()
    written = stated_date(content.pages) if suffix in _PROSE else None
    if suffix in _SAVED_BY_PROGRAMS:
        return written or content.date
    return content.date or written


def reads(name: str, *, ocr: bool = False) -> bool:
    """Return whether there is a reader for a file of this name. `ocr`: images of text are read."""
    suffix = PurePosixPath(name).suffix.lower()
    return suffix in SUFFIXES or (ocr and suffix in IMAGE_SUFFIXES)


def read(data: bytes, name: str, options: Options = Options()) -> Content:  # noqa: B008
    """Read a file's bytes with the reader of its suffix.

    Raises DocumentError, on one line that begins with `name`, for what its reader cannot read.
    """
    suffix = PurePosixPath(name).suffix.lower()
    if reader := _READERS.get(suffix):
        return reader(data, name, options)
    raise DocumentError(
        f"{name}: no reader for {suffix or 'a file without suffix'}; we read {', '.join(SUFFIXES)}"
    )
