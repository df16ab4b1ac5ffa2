"""Reads an e-mail, or a mailbox of them: its subject as title, who wrote to whom and when, its
text, invitations, and attachments of formats we read; what is attached and not read is named."""

from __future__ import annotations

import email
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from email.message import Message
from itertools import pairwise
from typing import Literal, NamedTuple, Protocol

from fieldpack_build.documents.dates import iso_date
from fieldpack_build.documents.encoding import decode
from fieldpack_build.documents.omissions import Omissions
from fieldpack_build.documents.pages import (
    Block,
    Content,
    HeadingPath,
    OnProgress,
    Page,
    PageBuilder,
    label,
    say_nothing,
    squeeze,
)
from fieldpack_build.documents.text import ics
from fieldpack_build.documents.web import html
from fieldpack_build.documents.web.around import words_of
from fieldpack_build.errors import DocumentError

_SHOWN = ("From", "To", "Cc", "Date")
_DEEPEST = 3  # e-mails in e-mails
_NAME_LIMIT = 120
# of the words of the HTML that the plain text has too: with fewer it is a stub, "needs an HTML
# viewer"
_SAME = 0.5
_TNEF = ("application/ms-tnef", "application/vnd.ms-tnef")
_FROM_LINE = re.compile(rb"(?:\A|(?<=\n\n)|(?<=\n\r\n))From [^\n]*\d{4}\r?\n")
# What decoding "=?x?b?...?=" ends in: no base64, an unknown character set, bytes that are not of
# it.
_WORD_ERRORS = (HeaderParseError, LookupError, ValueError)


class AttachmentReader(Protocol):
    """Reads attachments: the table of readers, which has the reader of e-mails in it too."""

    def reads(self, name: str) -> bool:
        """Return whether there is a reader for a file of this name."""
        ...

    def read(self, data: bytes, name: str) -> Content:
        """Return what a file says. Raises DocumentError for one that cannot be read."""
        ...


def read(data: bytes, name: str, *, attachments: AttachmentReader, hidden: bool = False) -> Content:
    """Read an e-mail (RFC 5322) with its attachments. `hidden`: what its HTML hides too.

    Raises DocumentError for what is no e-mail.
    """
    # The old policy: the new one parses each header when it is touched, and ends in errors of many
    # kinds on bad ones.
    message = email.message_from_bytes(data)
    if not any(_header(message, key) for key in ("From", "Subject", "Date", "Received")):
        raise DocumentError(f"{name}: is no e-mail: it has no From, Subject or Date")
    mail = _Mail(name, attachments, hidden)
    mail.read(message, 0)
    return mail.content(_header(message, "Subject"), iso_date(_header(message, "Date")))


def read_mbox(
    data: bytes,
    name: str,
    *,
    attachments: AttachmentReader,
    hidden: bool = False,
    on_progress: OnProgress = say_nothing,
) -> Content:
    """Read a mailbox (RFC 4155): its e-mails one after the other, each under its subject.

    Raises DocumentError for what is no mailbox.
    """
    starts = [match.start() for match in _FROM_LINE.finditer(data)]
    if not starts:
        raise DocumentError(
            f'{name}: is no mailbox: no line begins with "From " and ends with a year'
        )
    mail = _Mail(name, attachments, hidden)
    for number, (start, end) in enumerate(pairwise([*starts, len(data)]), start=1):
        whole = data[start:end].partition(b"\n")[2]
        mail.read(email.message_from_bytes(re.sub(rb"(?m)^>(>*From )", rb"\1", whole)), 0)
        on_progress(number, len(starts), "e-mail")
    return mail.content("", None)


class _Body(NamedTuple):
    """What a person sees of an e-mail, in order: plain text, HTML or an invitation."""

    kind: Literal["plain", "html", "calendar"]
    text: str


@dataclass
class _Mail:
    """Pages as they are found: the e-mail itself, then those of its attachments under the
    attachment's name."""

    name: str
    attachments: AttachmentReader
    hidden: bool
    pages: list[Page] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    omissions: Omissions = field(default_factory=Omissions)

    def content(self, title: str, date: str | None) -> Content:
        pages = tuple(self.pages)
        if len(pages) == 1:
            pages = (replace(pages[0], number=None),)
        return Content(title, pages, date, (), (*self.warnings, *self.omissions.sentences()))

    def read(self, message: Message, depth: int, above: tuple[str, ...] = ()) -> None:
        attachments = list(_attachments(message))
        builder = PageBuilder(HeadingPath())
        builder.heading(1, _header(message, "Subject"))
        lines = [f"{key}: {value}" for key in _SHOWN if (value := _header(message, key))]
        names = ", ".join(name for name, _ in attachments)
        builder.text("\n".join([*lines, f"Attachments: {names}"] if names else lines))
        subject = tuple(filter(None, [label(_header(message, "Subject"))]))
        self._add(builder.page(), above)
        for body in _bodies(message):
            if body.kind == "html":
                content = html.read(body.text.encode(), self.name, hidden=self.hidden)
                self.warnings += content.warnings
                for page in content.pages:
                    self._join(page, (*above, *subject))
                continue
            path = HeadingPath()
            path.enter(1, _header(message, "Subject"))
            builder = PageBuilder(path)
            if body.kind == "plain":
                for paragraph in body.text.replace("\r\n", "\n").split("\n\n"):
                    builder.text(paragraph)
            else:
                ics.add_events(builder, body.text)
            self._join(builder.page(), above)
        for name, part in attachments:
            self._attachment(name, part, depth, above)

    def _attachment(self, name: str, part: Message, depth: int, above: tuple[str, ...]) -> None:
        path = (*above, f"Attachment: {name}")
        inner = (
            part.get_payload(0)
            if part.get_content_type() == "message/rfc822" and part.is_multipart()
            else None
        )
        if isinstance(inner, Message):
            if depth < _DEEPEST:
                self.read(inner, depth + 1, path)
            else:
                self.omissions.add("e-mails nested too deeply", name)
            return
        data = part.get_payload(decode=True)
        if not isinstance(data, bytes) or not data:
            self.warnings.append(f"attachment {name}: is empty")
            return
        if not self.attachments.reads(name):
            # Named, with what to do where there is something.
            if part.get_content_type() in _TNEF or name.lower() == "winmail.dat":
                how = "have the e-mail sent anew as HTML, or unpack it with the program tnef"
                what = "not read: Outlook's own format (TNEF)"
                self.warnings.append(f"attachment {name}: {what}; {how}")
            elif part.get_content_maintype() == "image":
                self.omissions.add("attached pictures", name)
            else:
                self.omissions.add("attachments of a format without a reader", name)
            return
        try:
            content = self.attachments.read(data, name)
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
        """The text of a body goes on the page of the headers."""
        before = self.pages.pop()
        shift = len(before.text) + 2 if before.text else 0
        text = (
            f"{before.text}\n\n{page.text}"
            if before.text and page.text
            else before.text or page.text
        )
        moved = tuple(
            Block(block.kind, block.start + shift, block.end + shift, (*above, *block.heading))
            for block in page.blocks
        )
        self.pages.append(Page(before.number, text, (*before.blocks, *moved)))


def _header(message: Message, key: str) -> str:
    raw = next(
        (str(value) for name, value in message.raw_items() if name.lower() == key.lower()), ""
    )
    return _words(raw)


def _words(raw: str) -> str:
    text = decode(raw.encode("utf-8", "surrogateescape"))
    try:
        return squeeze(str(make_header(decode_header(text))))
    except _WORD_ERRORS:
        return squeeze(text)


def _bodies(part: Message) -> list[_Body]:
    """What is no attachment, in order. Of alternatives the plain text, unless it lacks most of what
    the HTML says; an invitation beside them is read too."""
    inner = part.get_payload() if part.get_content_maintype() == "multipart" else None
    if isinstance(inner, list):
        parts = [_bodies(entry) for entry in inner if isinstance(entry, Message)]
        if part.get_content_type() == "multipart/alternative":
            return _chosen(parts)
        return [body for some in parts for body in some]
    kinds: dict[str, Literal["plain", "html", "calendar"]] = {
        "text/plain": "plain",
        "text/html": "html",
        "text/calendar": "calendar",
    }
    kind = kinds.get(part.get_content_type())
    data = part.get_payload(decode=True)
    if kind is None or _is_attachment(part) or not isinstance(data, bytes):
        return []
    try:
        charset = part.get_content_charset()
        text = data.decode(charset) if charset else decode(data)
    # An unknown character set, or bytes that are not of the one stated.
    except (LookupError, ValueError):
        text = decode(data)
    if kind == "plain" and str(part.get_param("format")).lower() == "flowed":
        text = _unflowed(text, delete_space=str(part.get_param("delsp")).lower() == "yes")
    return [_Body(kind, text)] if text.strip() else []


def _unflowed(text: str, *, delete_space: bool) -> str:
    """Return the text of a mail with its paragraphs on a line each (RFC 3676): a line that ends with
    a blank goes on in the next one of the same depth of quotation.

    `delete_space`: that blank is no part of the text, so that a word may go on.
    """
    lines: list[str] = []
    before: int | None = None  # the depth of a line that goes on
    for line in text.splitlines():
        words = line.lstrip(">")
        depth = len(line) - len(words)
        words = words.removeprefix(" ")
        goes_on = words.endswith(" ") and words != "-- "
        if goes_on and delete_space:
            words = words[:-1]
        if before == depth and words != "-- ":
            lines[-1] += words
        else:
            lines.append(f"{'>' * depth} {words}" if depth else words)
        before = depth if goes_on else None
    return "\n".join(lines)


def _chosen(alternatives: list[list[_Body]]) -> list[_Body]:
    plain = next(
        (bodies for bodies in alternatives if any(body.kind == "plain" for body in bodies)), []
    )
    rich = next(
        (bodies for bodies in alternatives if any(body.kind == "html" for body in bodies)), []
    )
    invitations = [body for bodies in alternatives for body in bodies if body.kind == "calendar"]
    said, shown = _vocabulary(plain), _vocabulary(rich)
    chosen = rich if len(shown & said) < _SAME * len(shown) or not plain else plain
    return [*(body for body in chosen if body.kind != "calendar"), *invitations]


def _vocabulary(bodies: list[_Body]) -> set[str]:
    """The different words of some bodies, without markup."""
    texts = (words_of(body.text) if body.kind == "html" else body.text for body in bodies)
    return {word.lower() for text in texts for word in re.findall(r"\w{3,}", text)}


def _attachments(message: Message) -> Iterator[tuple[str, Message]]:
    """The parts that are not made of parts, with their names; an e-mail in it is one."""
    number = 0
    waiting = [message]
    while waiting:
        part = waiting.pop(0)
        inner = part.get_payload() if part.get_content_maintype() == "multipart" else None
        if isinstance(inner, list):
            waiting = [entry for entry in inner if isinstance(entry, Message)] + waiting
        elif _is_attachment(part):
            number += 1
            yield _file_name(part, number), part


def _is_attachment(part: Message) -> bool:
    if part.get_content_type() == "message/rfc822":
        return True
    return _words(part.get_filename() or "") != "" or (
        part.get_content_maintype() != "text" and part.get_content_type() != "multipart/mixed"
    )


def _file_name(part: Message, number: int) -> str:
    name = label(_words(part.get_filename() or "")).replace("/", "_")[-_NAME_LIMIT:]
    if name:
        return name
    inner = (
        part.get_payload(0)
        if part.get_content_type() == "message/rfc822" and part.is_multipart()
        else None
    )
    if isinstance(inner, Message):
        return label(_header(inner, "Subject")) or f"e-mail {number}"
    return f"{number}.{part.get_content_type().partition('/')[2] or 'part'}"
