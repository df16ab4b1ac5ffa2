"""Reads EPUB books: the chapters in the order of the book, each a page, by the reader of HTML.
Knows nothing of HTML itself."""

from __future__ import annotations

import posixpath
import zipfile
from collections import Counter
from io import BytesIO
from typing import Any
from urllib.parse import unquote

from fieldpack_build.documents.dates import iso_date
from fieldpack_build.documents.office.package import PACKAGE_ERRORS, check_sizes, parse_xml
from fieldpack_build.documents.omissions import Omissions
from fieldpack_build.documents.pages import Content, OnProgress, Page, label, say_nothing, squeeze
from fieldpack_build.documents.web import html
from fieldpack_build.errors import DocumentError

_CONTAINER, _ENCRYPTION = "META-INF/container.xml", "META-INF/encryption.xml"
_FONTS = (
    "http://www.idpf.org/2008/embedding",
    "http://ns.adobe.com/pdf/enc#RC",
)  # fonts are hidden so, and no text
_TEXTS = ("application/xhtml+xml", "text/html", "application/x-dtbook+xml")


def read(
    data: bytes, name: str, *, hidden: bool = False, on_progress: OnProgress = say_nothing
) -> Content:
    """Read an EPUB book, each chapter a page. `hidden`: what the chapters hide too.

    Raises DocumentError for a file that is protected, damaged or no book.
    """
    try:
        with zipfile.ZipFile(BytesIO(data)) as package:
            check_sizes(package.infolist(), name)
            return _content(package, name, hidden=hidden, on_progress=on_progress)
    except (*PACKAGE_ERRORS, KeyError, ValueError) as error:
        raise DocumentError(
            f"{name}: is no EPUB book, or a damaged one: {squeeze(str(error))}"
        ) from error


def _content(
    package: zipfile.ZipFile, name: str, *, hidden: bool, on_progress: OnProgress
) -> Content:
    members = set(package.namelist())
    encryption = parse_xml(package.read(_ENCRYPTION)) if _ENCRYPTION in members else None
    methods = encryption.iter("{*}EncryptionMethod") if encryption is not None else ()
    if any(method.get("Algorithm") not in _FONTS for method in methods):
        raise DocumentError(f"{name}: is protected against reading (DRM); get it without")
    container = parse_xml(package.read(_CONTAINER))
    roots = container.iter("{*}rootfile") if container is not None else ()
    path = next((entry.get("full-path") for entry in roots), None)
    if not path:
        raise ValueError(f"{_CONTAINER} names no book")
    book = parse_xml(package.read(str(path)))
    if book is None:
        raise DocumentError(f"{name}: is a damaged EPUB book: {path} is no XML")
    items = {item.get("id"): item for item in book.iter("{*}item")}
    pages: list[Page] = []
    warnings: Counter[str] = Counter()
    missing = 0
    chapters: set[str] = set()  # an order of reading may name one twice, and is read once
    references = list(book.iter("{*}itemref"))
    for number, reference in enumerate(references):
        on_progress(number, len(references), "chapter")
        item = items.get(reference.get("idref"))
        link = unquote(item.get("href", "")) if item is not None else ""
        target = posixpath.normpath(posixpath.join(posixpath.dirname(path), link)) if link else ""
        if target in chapters:
            continue
        if target not in members:
            missing += 1
        elif item is not None and item.get("media-type") in _TEXTS:
            chapters.add(target)
            content = html.read(
                package.read(target), f"{name}: {target}", hidden=hidden, chapter=True
            )
            pages += [
                Page(len(pages) + 1, page.text, page.blocks) for page in content.pages if page.text
            ]
            warnings.update(
                f"{posixpath.basename(target)}: {warning}" for warning in content.warnings
            )
    outside = [
        item.get("href", "")
        for item in items.values()
        if item.get("media-type") in _TEXTS
        and "nav" not in (item.get("properties") or "").split()
        and posixpath.normpath(
            posixpath.join(posixpath.dirname(path), unquote(item.get("href", "")))
        )
        in members - chapters
    ]
    if outside:
        names = Omissions()
        for link in outside:
            names.add("unlisted chapters", posixpath.basename(link))
        warnings.update(names.sentences())
    if missing:
        chapters_are = (
            "chapters that the book names are" if missing > 1 else "chapter that the book names is"
        )
        warnings[f"{missing} {chapters_are} not in it"] += 1
    pictures = sum((item.get("media-type") or "").startswith("image/") for item in items.values())
    if pictures:
        warnings[f"not read: {pictures:,} picture{'s' if pictures > 1 else ''}"] += 1
    return Content(
        label(_stated(book, "title")),
        tuple(pages),
        iso_date(_stated(book, "date")),
        (),
        tuple(warnings),
    )


def _stated(book: Any, name: str) -> str:
    return next(
        (
            squeeze(entry.text or "")
            for entry in book.iter(f"{{http://purl.org/dc/elements/1.1/}}{name}")
        ),
        "",
    )
