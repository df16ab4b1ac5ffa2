"""Reads PDF: the text of each page with its headings and tables, its title and date; images of
pages through OCR.

Knows nothing of how lines become headings (`headings`) or tables (`tables`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fieldpack_build.documents.dates import iso_date
from fieldpack_build.documents.language import detect_language
from fieldpack_build.documents.pages import Content, OnProgress, clean, label, say_nothing, squeeze
from fieldpack_build.documents.pdf.annotations import (
    HIDEABLE,
    attachments,
    read_annotations,
    with_notes,
)
from fieldpack_build.documents.pdf.costly_pages import TOO_MUCH, costly_pages
from fieldpack_build.documents.pdf.layout import Sheet, join_hyphens, lay_out
from fieldpack_build.documents.pdf.load_pages import MOST_PAGES, bounded_page, draw
from fieldpack_build.documents.pdf.reading_order import in_reading_order
from fieldpack_build.documents.pdf.rules import read_rules
from fieldpack_build.documents.pdf.tables import find_tables
from fieldpack_build.documents.pdf.text import Line, PageText, read_page
from fieldpack_build.documents.titles import says_something
from fieldpack_build.documents.vocabulary import (
    AUTO,
    DEFAULT,
    Vocabulary,
    read_vocabulary,
    vocabulary_for,
)
from fieldpack_build.errors import DocumentError
from fieldpack_build.process_limits import CAN_BOUND_MEMORY

if TYPE_CHECKING:
    import pypdfium2

_PASSWORD = 4  # FPDF_ERR_PASSWORD
_XFA = 2  # FORMTYPE_XFA_FULL
_HANDLER = 5  # FPDF_ERR_SECURITY: a method of encryption that pdfium does not know
_PEEK_PAGES = 8  # whose plain text says which language a PDF is in
# What programs leave in the metadata besides the usual: numbers, codes, names of files.
_NO_TITLE = re.compile(
    r"\S*[-_\d]\S*|[(\[]?(?:anonymous|unspecified|unnamed|unknown|none|null|title)[)\]]?",
    re.IGNORECASE,
)
_WORDS = re.compile(r"[^\W\d_]{2}")
_TITLE_WORDS = 100  # characters; a longer line in the type of the text is no title but the text
_NAMED = 8  # attachments
_FEW = 20  # letters and digits: a stamp or a page number on an image of a page
_COVERED = 0.5  # of the page: an image of it, not one in it


@dataclass(slots=True)
class _Reading:
    """The pages that were read so far, and what of them was not.

    `load`: the limits under which pdfium loads a page. `costly`: indices of pages that take too
    much, see `costly_pages`. `images`: pages that are one, unread. `struck`: lines drawn through
    text. `outside`: words outside of what is shown of a page. `left_out`: annotations that are not
    read, by their kind. `files`: names of attachments. `has_xfa`: a form that only its own programs
    show.
    """

    load: Callable[[], AbstractContextManager[None]]
    costly: frozenset[int]
    sheets: list[Sheet] = field(default_factory=list)
    images: int = 0
    damaged: int = 0
    struck: int = 0
    outside: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    files: list[str] = field(default_factory=list)
    has_xfa: bool = False

    def warnings(self) -> Iterator[str]:
        count = len(self.sheets)
        if self.images:
            pages = "pages are images" if self.images > 1 else "pages is an image"
            them = "them" if self.images > 1 else "it"
            yield f"{self.images} of {count} {pages}: set knowledge.ocr: true to read {them}"
        for what, number in sorted(self.left_out.items()):
            how = "; knowledge.hidden: read reads it" if what in HIDEABLE else ""
            yield f"{_counted(number, what)} not read{how}"
        if self.files:
            unread = _counted(len(self.files), "attachment")
            more = len(self.files) - _NAMED
            names = ", ".join(self.files[:_NAMED]) + (f" and {more:,} more" if more > 0 else "")
            yield f"{unread} not read (save attachments as files of their own): {names}"
        if self.has_xfa:
            yield "its XFA form is not read: print it to a PDF"
        if self.costly:
            pages = "pages take" if len(self.costly) > 1 else "pages takes"
            are = "are" if len(self.costly) > 1 else "is"
            numbers = ", ".join(str(index + 1) for index in sorted(self.costly))
            yield (
                f"{len(self.costly)} of {count} {pages} {TOO_MUCH} to draw and {are} left out "
                f"(page {numbers}): print it to a new PDF"
            )
        if self.outside:
            words = _counted(self.outside, "word")
            yield f"{words} outside of the page and not read; knowledge.hidden: read reads it"
        if self.struck:
            yield f"{_counted(self.struck, 'struck passage')} left out"
        if self.damaged:
            pages = "pages are" if self.damaged > 1 else "pages is"
            yield f"{self.damaged} of {count} {pages} damaged and left out"


def _counted(count: int, what: str) -> str:
    return f"{count} {what}s are" if count > 1 else f"1 {what} is"


def read(
    data: bytes,
    name: str,
    *,
    ocr: bool = False,
    hidden: bool = False,
    vocabulary: str = DEFAULT,
    expendable: bool = False,
    on_progress: OnProgress = say_nothing,
) -> Content:
    """Read a PDF.

    `ocr`: the text in pages that are images too. `hidden`: comments and hidden fields too.
    `vocabulary`: see `vocabulary`. `expendable`: this process may end at a page that takes too
    much; whoever started it then has the document read by one that may not, and that leaves such
    pages out. `on_progress`: is told of each page.

    Raises DocumentError for a file that is encrypted, damaged as a whole or without any text.
    """
    import pypdfium2

    expendable = expendable and CAN_BOUND_MEMORY
    costly = frozenset() if expendable else costly_pages(data, name, render=ocr)
    load = bounded_page if expendable else nullcontext
    with load():
        document = open_pdf(data, name)
    try:
        count = len(document)
        if not 0 < count <= MOST_PAGES:
            raise DocumentError(
                f"{name}: has {count} pages; save it again with a PDF program, or split it"
            )
        reading = _Reading(load, costly)
        if vocabulary == AUTO:
            vocabulary = vocabulary_for(AUTO, _language(document, reading))
        words = read_vocabulary(vocabulary)
        return _content(
            document,
            name,
            reading,
            ocr=ocr,
            hidden=hidden,
            vocabulary=words,
            on_progress=on_progress,
        )
    except pypdfium2.PdfiumError as error:
        raise DocumentError(f"{name}: is a damaged PDF: {squeeze(str(error))}") from error
    finally:
        document.close()


def open_pdf(source: bytes | Path, name: str) -> pypdfium2.PdfDocument:
    """Open a PDF. Raises DocumentError for one that is encrypted or damaged as a whole."""
    import pypdfium2

    try:
        return pypdfium2.PdfDocument(source)
    except pypdfium2.PdfiumError as error:
        if error.err_code in (_PASSWORD, _HANDLER):
            raise DocumentError(f"{name}: is encrypted; save it without a password") from error
        raise DocumentError(
            f"{name}: is no PDF, or a damaged one: {squeeze(str(error))}"
        ) from error


def _language(document: pypdfium2.PdfDocument, reading: _Reading) -> str:
    """Return the language of a PDF by the plain text of a few of its pages."""
    from pypdfium2 import PdfiumError

    texts = []
    for i in range(0, len(document), max(len(document) // _PEEK_PAGES, 1)):
        if i in reading.costly:
            continue
        with suppress(PdfiumError), reading.load():  # `_content` reports the page
            page = document[i]
            textpage = page.get_textpage()
            texts.append(textpage.get_text_range())
            textpage.close()
            page.close()
    return detect_language(texts)


def _content(
    document: pypdfium2.PdfDocument,
    name: str,
    reading: _Reading,
    *,
    ocr: bool,
    hidden: bool,
    vocabulary: Vocabulary,
    on_progress: OnProgress,
) -> Content:
    from pypdfium2 import PdfiumError

    count = len(document)
    form = document.get_formtype()
    if form:
        document.init_forms()
    for i in range(count):
        on_progress(i, count, "page")
        if i in reading.costly:
            reading.sheets.append(Sheet(i + 1, [], []))
            continue
        try:
            sheet = _sheet(document, i, reading, ocr=ocr, hidden=hidden, vocabulary=vocabulary)
            reading.sheets.append(sheet)
        except PdfiumError:
            reading.damaged += 1
            reading.sheets.append(Sheet(i + 1, [], []))
    on_progress(count, count, "page")
    reading.files += attachments(document)
    reading.has_xfa = form == _XFA
    if reading.damaged == count:
        raise DocumentError(
            f"{name}: is a damaged PDF: none of its {count} pages opens; save it again"
        )
    if not any(sheet.lines for sheet in reading.sheets):
        if reading.costly:
            raise DocumentError(f"{name}: takes {TOO_MUCH} to draw; print it to a new PDF")
        next_step = "OCR found none either" if ocr else "set knowledge.ocr: true to have it read"
        raise DocumentError(f"{name}: has no text (image only?); {next_step}")
    join_hyphens(reading.sheets)
    title = _title(document.get_metadata_value("Title"), reading.sheets, vocabulary)
    dates = (iso_date(document.get_metadata_value(key)) for key in ("CreationDate", "ModDate"))
    date = next(filter(None, dates), None)
    return Content(title, lay_out(reading.sheets), date, warnings=tuple(reading.warnings()))


def _sheet(
    document: pypdfium2.PdfDocument,
    index: int,
    reading: _Reading,
    *,
    ocr: bool,
    hidden: bool,
    vocabulary: Vocabulary,
) -> Sheet:
    with reading.load():
        page = document[index]
        textpage = page.get_textpage()
    try:
        notes = read_annotations(page, document.formenv, hidden=hidden)
        reading.left_out += notes.left_out
        reading.files += notes.files
        text = in_reading_order(
            with_notes(read_page(textpage, partial(read_rules, page, notes.strikes)), notes.notes)
        )
        reading.struck += text.struck
        if not hidden and not text.turn:
            text, words = _within(text, page.get_bbox())
            reading.outside += words
        if sum(map(str.isalnum, text.text)) < _FEW and _is_image(page):
            if ocr:
                return Sheet(index + 1, _recognized_lines(page, reading), [])
            reading.images += 1
        lines, tables = find_tables(text, vocabulary)
        for line in lines:
            line.segments = []  # half of a page's memory, which what comes next does not ask for
        return Sheet(index + 1, lines, tables)
    finally:
        textpage.close()
        page.close()


def _within(text: PageText, box: tuple[float, float, float, float]) -> tuple[PageText, int]:
    """The text of a page without the lines that stand outside of what is shown of it, and how many
    words those have."""
    left, bottom, right, top = box
    kept = [
        line
        for line in text.lines
        if not line.segments
        or any(
            one.right > left and one.left < right and one.top > bottom and one.bottom < top
            for one in line.segments
        )
    ]
    if len(kept) == len(text.lines) or left >= right or bottom >= top:
        return text, 0
    words = sum(len(line.text.split()) for line in text.lines)
    return replace(text, lines=kept), words - sum(len(line.text.split()) for line in kept)


def _is_image(page: pypdfium2.PdfPage) -> bool:
    from pypdfium2 import raw

    width, height = page.get_size()
    covered = 0.0
    for image in page.get_objects(filter=[raw.FPDF_PAGEOBJ_IMAGE], max_depth=3):
        left, bottom, right, top = image.get_bounds()
        covered += max(right - left, 0) * max(top - bottom, 0)
    return bool(covered >= _COVERED * width * height > 0)


def _recognized_lines(page: Any, reading: _Reading) -> list[Line]:
    """What OCR reads in the image of the page, as lines of unknown type and place."""
    import numpy as np

    from fieldpack_build.documents.ocr import page_text

    with reading.load():
        grey = draw(page).to_numpy()
    image = np.repeat(grey.reshape(*grey.shape[:2], 1), 3, axis=2)
    lines = (clean(line).strip() for line in page_text(image).split("\n"))
    return [Line(line, 0.0, False, False, 0.0, 0.0) for line in lines if line]


def _title(stated: str, sheets: Sequence[Sheet], vocabulary: Vocabulary) -> str:
    """The metadata's title, unless a program left it there; else the largest line of the first page
    with text.

    Empty, so that the file's name stands in, where that line is one that stands on thousands of
    documents.
    """
    stated = label(stated)
    if says_something(stated, vocabulary) and not _NO_TITLE.fullmatch(stated):
        return stated
    first = next(sheet.lines for sheet in sheets if sheet.lines)
    line = max(first, key=lambda line: line.size if _WORDS.search(line.text) else 0)
    usual_size = Counter(other.size for other in first).most_common(1)[0][0]
    is_text = len(line.text) > _TITLE_WORDS and line.size <= usual_size
    largest = label(line.text)
    is_generic = vocabulary.generic_line.fullmatch(largest) is not None
    return largest if says_something(largest, vocabulary) and not is_text and not is_generic else ""
