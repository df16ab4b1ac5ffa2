"""Reads PDF: the text of each page with its headings and tables, its title and date; images of
pages through OCR.

Knows nothing of how lines become headings (`pdf_lines`) or tables (`pdf_tables`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from fieldpack_build.documents.dates import iso_date
from fieldpack_build.documents.pages import Content, clean, label, squeeze
from fieldpack_build.documents.pdf.annotations import attachments, read_annotations, with_notes
from fieldpack_build.documents.pdf.layout import Sheet, join_hyphens, lay_out
from fieldpack_build.documents.pdf.reading_order import in_reading_order
from fieldpack_build.documents.pdf.rules import read_rules
from fieldpack_build.documents.pdf.tables import find_tables
from fieldpack_build.documents.pdf.text import Line, read_page
from fieldpack_build.documents.titles import says_something
from fieldpack_build.errors import DocumentError

if TYPE_CHECKING:
    import pypdfium2

_PASSWORD = 4  # FPDF_ERR_PASSWORD
_XFA = 2  # FORMTYPE_XFA_FULL
_HANDLER = 5  # FPDF_ERR_SECURITY: a method of encryption that pdfium does not know
_MOST_PAGES = 100_000  # a damaged page count says billions
# What programs leave in the metadata besides the usual: numbers, codes, names of files.
_NO_TITLE = re.compile(
    r"\S*[-_\d]\S*|[(\[]?(?:anonymous|unspecified|unnamed|unknown|none|null|title)[)\]]?",
    re.IGNORECASE,
)
# Largest lines of first pages that stand on thousands of documents.
_GENERIC = re.compile(
    r"(?:for immediate|news|press|earnings) release.*|exhibit .{1,8}|current report.*|part i+",
    re.IGNORECASE,
)
_WORDS = re.compile(r"[^\W\d_]{2}")
_TITLE_WORDS = 100  # characters; a longer line in the type of the text is no title but the text
_FEW = 20  # letters and digits: a stamp or a page number on an image of a page
_COVERED = 0.5  # of the page: an image of it, not one in it
_OCR_DOTS = 200 / 72  # dots a point


@dataclass(slots=True)
class _Found:
    sheets: list[Sheet] = field(default_factory=list)
    images: int = 0  # pages that are one, unread
    damaged: int = 0
    struck: int = 0  # lines drawn through text
    left_out: Counter[str] = field(
        default_factory=Counter
    )  # annotations that are not read, by their kind
    files: list[str] = field(default_factory=list)  # names of attachments
    has_xfa: bool = False  # a form that only its own programs show


def read(data: bytes, name: str, *, ocr: bool = False) -> Content:
    """Raises DocumentError for a file that is encrypted, damaged as a whole or without any text."""
    import pypdfium2

    try:
        document = pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        if error.err_code in (_PASSWORD, _HANDLER):
            raise DocumentError(f"{name}: is encrypted; save it without a password") from error
        raise DocumentError(
            f"{name}: is no PDF, or a damaged one: {squeeze(str(error))}"
        ) from error
    try:
        return _content(document, name, ocr=ocr)
    except pypdfium2.PdfiumError as error:
        raise DocumentError(f"{name}: is a damaged PDF: {squeeze(str(error))}") from error
    finally:
        document.close()


def _content(document: pypdfium2.PdfDocument, name: str, *, ocr: bool) -> Content:
    count = len(document)
    if not 0 < count <= _MOST_PAGES:
        raise DocumentError(
            f"{name}: has {count} pages; save it again with a PDF program, or split it"
        )
    form = document.get_formtype()
    if form:
        document.init_forms()
    found = _read_pages(document, ocr=ocr)
    found.files += attachments(document)
    found.has_xfa = form == _XFA
    if found.damaged == count:
        raise DocumentError(
            f"{name}: is a damaged PDF: none of its {count} pages opens; save it again"
        )
    if not any(sheet.lines for sheet in found.sheets):
        raise DocumentError(f"{name}: has no text (image only?); {_next_step(ocr=ocr)}")
    join_hyphens(found.sheets)
    title = _title(document.get_metadata_value("Title"), found.sheets)
    dates = (iso_date(document.get_metadata_value(key)) for key in ("CreationDate", "ModDate"))
    pages = lay_out(found.sheets)
    return Content(
        title, pages, date=next(filter(None, dates), None), warnings=tuple(_warnings(found, count))
    )


def _next_step(*, ocr: bool) -> str:
    return "OCR found none either" if ocr else "set knowledge.ocr: true to have it read"


def _warnings(found: _Found, count: int) -> Iterator[str]:
    if found.images:
        of_pages = (
            f"{found.images} of {count} pages are images"
            if found.images > 1
            else f"1 of {count} pages is an image"
        )
        yield f"{of_pages}: set knowledge.ocr: true to read {'them' if found.images > 1 else 'it'}"
    for what, number in sorted(found.left_out.items()):
        yield f"{_counted(number, what)} not read"
    if found.files:
        unread = _counted(len(found.files), "attachment")
        yield (
            f"{unread} not read (save attachments as files of their own): {', '.join(found.files)}"
        )
    if found.has_xfa:
        yield "its XFA form is not read: print it to a PDF"
    if found.struck:
        yield f"{_counted(found.struck, 'struck passage')} left out"
    if found.damaged:
        yield (
            f"{found.damaged} of {count} pages {'are' if found.damaged > 1 else 'is'} damaged and "
            "left out"
        )


def _counted(count: int, what: str) -> str:
    return f"{count} {what}s are" if count > 1 else f"1 {what} is"


def _read_pages(document: pypdfium2.PdfDocument, *, ocr: bool) -> _Found:
    from pypdfium2 import PdfiumError

    found = _Found()
    for i in range(len(document)):
        try:
            found.sheets.append(_sheet(document, i, found, ocr=ocr))
        except PdfiumError:
            found.damaged += 1
            found.sheets.append(Sheet(i + 1, [], []))
    return found


def _sheet(document: pypdfium2.PdfDocument, index: int, found: _Found, *, ocr: bool) -> Sheet:
    page = document[index]
    textpage = page.get_textpage()
    try:
        notes = read_annotations(page, document.formenv)
        found.left_out += notes.left_out
        found.files += notes.files
        text = in_reading_order(
            with_notes(read_page(textpage, partial(read_rules, page, notes.strikes)), notes.notes)
        )
        found.struck += text.struck
        if sum(map(str.isalnum, text.text)) < _FEW and _is_image(page):
            if ocr:
                return Sheet(index + 1, _seen_lines(page), [])
            found.images += 1
        lines, tables = find_tables(text)
        return Sheet(index + 1, lines, tables)
    finally:
        textpage.close()
        page.close()


def _is_image(page: pypdfium2.PdfPage) -> bool:
    from pypdfium2 import raw

    width, height = page.get_size()
    covered = 0.0
    for image in page.get_objects(filter=[raw.FPDF_PAGEOBJ_IMAGE], max_depth=3):
        left, bottom, right, top = image.get_bounds()
        covered += max(right - left, 0) * max(top - bottom, 0)
    return bool(covered >= _COVERED * width * height > 0)


def _seen_lines(page: Any) -> list[Line]:
    """What OCR reads in the image of the page, as lines of unknown type and place."""
    import numpy as np

    from fieldpack_build.documents.ocr import page_text

    grey = page.render(scale=_OCR_DOTS, grayscale=True).to_numpy()
    image = np.repeat(grey.reshape(*grey.shape[:2], 1), 3, axis=2)
    lines = (clean(line).strip() for line in page_text(image).split("\n"))
    return [Line(line, 0.0, False, False, 0.0, 0.0) for line in lines if line]


def _title(stated: str, sheets: Sequence[Sheet]) -> str:
    """The metadata's title, unless a program left it there; else the largest line of the first page
    with text.

    Empty, so that the file's name stands in, where that line is one that stands on thousands of
    documents.
    """
    stated = label(stated)
    if says_something(stated) and not _NO_TITLE.fullmatch(stated):
        return stated
    first = next(sheet.lines for sheet in sheets if sheet.lines)
    line = max(first, key=lambda line: line.size if _WORDS.search(line.text) else 0)
    is_text = (
        len(line.text) > _TITLE_WORDS
        and line.size <= Counter(other.size for other in first).most_common(1)[0][0]
    )
    largest = label(line.text)
    return (
        largest
        if says_something(largest) and not is_text and not _GENERIC.fullmatch(largest)
        else ""
    )
