"""Reads an e-mail: its subject as title, who wrote to whom and when, its text, and attachments of formats we read."""

from __future__ import annotations

import email
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from email.message import Message

from fieldpack_build.documents import html
from fieldpack_build.documents.dates import iso_date
from fieldpack_build.documents.encoding import decode
from fieldpack_build.documents.pages import Block, Content, HeadingPath, Page, PageBuilder, label, squeeze
from fieldpack_build.errors import DocumentError

_SHOWN = ("From", "To", "Cc", "Date")
_DEEPEST = 3  # e-mails in e-mails
_NAME_LIMIT = 120
# What decoding "=?x?b?...?=" ends in: no base64, an unknown character set, bytes that are not of it.
_WORD_ERRORS = (HeaderParseError, LookupError, ValueError)


def read(data: bytes, name: str, *, ocr: bool = False, hidden: bool = False) -> Content:
    # The old policy: the new one parses each header when it is touched, and ends in errors of many kinds on bad ones.
    message = email.message_from_bytes(data)
    if not any(_header(message, key) for key in ("From", "Subject", "Date", "Received")):
        raise DocumentError(f"{name}: is no e-mail: it has no From, Subject or Date")
    found = _Mail(name, ocr)
    found.read(message, 0)
    pages = tuple(found.pages)
    if len(pages) == 1:
        pages = (replace(pages[0], number=None),)
    return Content(_header(message, "Subject"), pages, iso_date(_header(message, "Date")), (), tuple(found.warnings))


@dataclass
class _Mail:
    """Pages as they are found: the e-mail itself, then those of its attachments under the attachment's name."""

    name: str
    ocr: bool
    pages: list[Page] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def read(self, message: Message, depth: int, above: tuple[str, ...] = ()) -> None:
        attachments = list(_attachments(message))
        builder = PageBuilder(HeadingPath())
        builder.heading(1, _header(message, "Subject"))
        lines = [f"{key}: {value}" for key in _SHOWN if (value := _header(message, key))]
        names = ", ".join(name for name, _ in attachments)
        builder.text("\n".join([*lines, f"Attachments: {names}"] if names else lines))
        plain, rich = _bodies(message)
        if plain.strip() or rich is None:
            _add_paragraphs(builder, plain)
            self._add(builder.page(), above)
        else:
            self._add(builder.page(), above)
            subject = tuple(filter(None, [label(_header(message, "Subject"))]))
            for page in html.read(rich, self.name).pages:
                self._join(page, (*above, *subject))
        for name, part in attachments:
            self._attachment(name, part, depth, above)

    def _attachment(self, name: str, part: Message, depth: int, above: tuple[str, ...]) -> None:
        path = (*above, f"Attachment: {name}")
        inner = part.get_payload(0) if part.get_content_type() == "message/rfc822" and part.is_multipart() else None
        if isinstance(inner, Message):
            if depth < _DEEPEST:
                self.read(inner, depth + 1, path)
            return
        from fieldpack_build.documents import readers  # here, as the table of readers has this one in it

        data = part.get_payload(decode=True)
        if not isinstance(data, bytes) or not data or not readers.reads(name, ocr=self.ocr):
            return  # it is listed by name
        try:
            content = readers.read(data, name, ocr=self.ocr)
        except DocumentError as error:
            self.warnings.append(f"attachment {error}")
            return
        self.warnings += [f"attachment {name}: {warning}" for warning in content.warnings]
        for page in content.pages:
            self._add(page, path)

    def _add(self, page: Page, above: tuple[str, ...]) -> None:
        """Numbered as they come, so that a place in the text is one place."""
        blocks = tuple(replace(block, heading=(*above, *block.heading)) for block in page.blocks)
        self.pages.append(Page(len(self.pages) + 1, page.text, blocks))

    def _join(self, page: Page, above: tuple[str, ...]) -> None:
        """The text of an HTML body goes on the page of the headers."""
        before = self.pages.pop()
        shift = len(before.text) + 2 if before.text else 0
        text = f"{before.text}\n\n{page.text}" if before.text else page.text
        moved = tuple(
            Block(block.kind, block.start + shift, block.end + shift, (*above, *block.heading)) for block in page.blocks
        )
        self.pages.append(Page(before.number, text, (*before.blocks, *moved)))


def _header(message: Message, key: str) -> str:
    raw = next((str(value) for name, value in message.raw_items() if name.lower() == key.lower()), "")
    return _words(raw)


def _words(raw: str) -> str:
    text = decode(raw.encode("utf-8", "surrogateescape"))
    try:
        return squeeze(str(make_header(decode_header(text))))
    except _WORD_ERRORS:
        return squeeze(text)


def _bodies(message: Message) -> tuple[str, bytes | None]:
    """The plain text of all parts that are no attachment, and the first part in HTML."""
    plain: list[str] = []
    rich: bytes | None = None
    for part in _leaves(message):
        if _is_attachment(part):
            continue
        data = part.get_payload(decode=True)
        if not isinstance(data, bytes):
            continue
        if part.get_content_type() == "text/plain":
            plain.append(_decoded(part, data))
        elif part.get_content_type() == "text/html" and rich is None:
            rich = _decoded(part, data).encode()
    return "\n\n".join(plain), rich


def _decoded(part: Message, data: bytes) -> str:
    try:
        charset = part.get_content_charset()
        return data.decode(charset) if charset else decode(data)
    except (LookupError, ValueError):  # an unknown character set, or bytes that are not of the one stated
        return decode(data)


def _attachments(message: Message) -> Iterator[tuple[str, Message]]:
    number = 0
    for part in _leaves(message):
        if _is_attachment(part):
            number += 1
            yield _file_name(part, number), part


def _leaves(message: Message) -> Iterator[Message]:
    """The parts that are not made of parts; an e-mail in it is one."""
    waiting = [message]
    while waiting:
        part = waiting.pop(0)
        inner = part.get_payload() if part.get_content_maintype() == "multipart" else None
        if isinstance(inner, list):
            waiting = [entry for entry in inner if isinstance(entry, Message)] + waiting
        else:
            yield part


def _is_attachment(part: Message) -> bool:
    if part.get_content_type() == "message/rfc822":
        return True
    return _raw_name(part) != "" or (part.get_content_maintype() != "text" and part.get_content_type() != "multipart/mixed")


def _raw_name(part: Message) -> str:
    return _words(part.get_filename() or "")


def _file_name(part: Message, number: int) -> str:
    name = label(_raw_name(part)).replace("/", "_")[-_NAME_LIMIT:]
    if name:
        return name
    inner = part.get_payload(0) if part.get_content_type() == "message/rfc822" and part.is_multipart() else None
    if isinstance(inner, Message):
        return label(_header(inner, "Subject")) or f"e-mail {number}"
    return f"{number}.{part.get_content_type().partition('/')[2] or 'part'}"


def _add_paragraphs(builder: PageBuilder, text: str) -> None:
    for paragraph in text.replace("\r\n", "\n").split("\n\n"):
        builder.text(paragraph)
