"""Reads PDF: the text of each page, with headings where the type is larger than the body's, or bold and alone.

Knows nothing of images: a scanned page has no text. Tables stay lines of text, as pdfium gives no cells.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from fieldpack_build.documents.pages import Content, HeadingPath, Page, PageBuilder, label, squeeze
from fieldpack_build.documents.pdf_lines import Line, find_headings, read_lines
from fieldpack_build.errors import DocumentError

if TYPE_CHECKING:
    import pypdfium2

_PASSWORD = 4  # FPDF_ERR_PASSWORD
# What programs leave in the metadata: file names, with or without a suffix, and numbers.
_NO_TITLE = re.compile(r"untitled.*|microsoft word - .*|.*\.(docx?|html?|pdf|indd|qxd|tmp)|\S*[-_\d]\S*", re.IGNORECASE)
_SOFT_HYPHEN = re.compile("(\\w+)\ufffe(\\w+)")
# A new paragraph: a step to the next line of more than 1.35 times the page's usual one. Filings made by wkhtmltopdf
# step 1.0 within and 1.6 or more between; chromium 1.0 and 1.5.
_PARAGRAPH_STEP = 1.35


def read(data: bytes, name: str) -> Content:
    import pypdfium2

    try:
        document = pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        if error.err_code == _PASSWORD:
            raise DocumentError(f"{name}: is encrypted; save it without a password") from error
        raise DocumentError(f"{name}: is no PDF, or a damaged one: {squeeze(str(error))}") from error
    try:
        return _content(document, name)
    except pypdfium2.PdfiumError as error:
        raise DocumentError(f"{name}: is a damaged PDF: {squeeze(str(error))}") from error
    finally:
        document.close()


def _content(document: pypdfium2.PdfDocument, name: str) -> Content:
    pages = [_page_lines(document, i) for i in range(len(document))]
    if not any(pages):
        raise DocumentError(f"{name}: has no text (image only?); run it through OCR first")
    _join_hyphens(pages)
    title = _title(document.get_metadata_value("Title"), pages)
    headings = find_headings(pages)
    path = HeadingPath()
    return Content(title, tuple(_page(lines, number, headings, path) for number, lines in enumerate(pages, start=1)))


def _page_lines(document: Any, index: int) -> list[Line]:
    page = document[index]
    textpage = page.get_textpage()
    try:
        return read_lines(textpage)
    finally:
        textpage.close()
        page.close()


def _join_hyphens(pages: list[list[Line]]) -> None:
    """pdfium marks a hyphen at a line's end with U+FFFE. It goes where the document has the word in one piece."""
    lines = [line for page in pages for line in page]
    if not any("\ufffe" in line.text for line in lines):
        return
    words = {word for line in lines for word in re.findall(r"\w+", line.text)}

    def joined(found: re.Match[str]) -> str:
        word = found[1] + found[2]
        return word if word in words else f"{found[1]}-{found[2]}"

    for line in lines:
        line.text = _SOFT_HYPHEN.sub(joined, line.text).replace("\ufffe", "-")


def _title(stated: str, pages: list[list[Line]]) -> str:
    """The metadata's title, unless a program left it there; else the largest line of the first page with text."""
    stated = label(stated)
    if re.search(r"[^\W\d_]{2}", stated) and not _NO_TITLE.fullmatch(stated):
        return stated
    first = next(lines for lines in pages if lines)
    return label(max(first, key=lambda line: line.size if re.search(r"[^\W\d_]{2}", line.text) else 0).text)


def _page(lines: list[Line], number: int, headings: dict[int, tuple[int, int]], path: HeadingPath) -> Page:
    """`headings`: id of a heading's first line -> its level and its number of lines."""
    builder = PageBuilder(path)
    paragraph: list[str] = []
    starts_paragraph = _paragraph_test(lines)
    i = 0
    while i < len(lines):
        level, count = headings.get(id(lines[i]), (None, 1))
        if level is not None or starts_paragraph(i):
            builder.text("\n".join(paragraph))
            paragraph = []
        if level is None:
            paragraph.append(lines[i].text)
        else:
            builder.heading(level, "\n".join(line.text for line in lines[i : i + count]))
        i += count
    builder.text("\n".join(paragraph))
    return builder.page(number)


def _paragraph_test(lines: list[Line]) -> Callable[[int], bool]:
    steps = [round(above.last_y - below.y, 1) for above, below in pairwise(lines) if above.last_y > below.y]
    usual = Counter(steps).most_common(1)[0][0] if steps else 0.0

    def starts(i: int) -> bool:
        if i == 0 or not usual:
            return False
        step = lines[i - 1].last_y - lines[i].y
        return step > _PARAGRAPH_STEP * usual or step < -usual  # up the page: the next column

    return starts
