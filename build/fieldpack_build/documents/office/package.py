"""What Word, Excel and PowerPoint files share: a zip of XML with properties. Guards it before a
library opens it.

Knows nothing of what the parts say, but for the properties.
"""

from __future__ import annotations

import re
import zipfile
import zlib
from io import BytesIO
from typing import Any, NamedTuple

from fieldpack_build.documents.dates import iso_date
from fieldpack_build.documents.pages import label, squeeze
from fieldpack_build.errors import DocumentError

_OLE_MAGIC = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_ENCRYPTED = "EncryptedPackage".encode(
    "utf-16-le"
)  # the stream that holds the whole file when it has a password
# Limits of what a package may unpack to. XML takes five to ten times its size in memory once
# parsed; the largest real ones we met (a workbook of 1,000,000 rows) have 150 MB of XML. Deflate
# packs XML 10 to 60 to 1, a bomb 1,000 to 1.
_MAX_XML = 256 << 20
_MAX_ALL = 1 << 30
_MAX_RATIO = 200
_RATIO_FROM = 32 << 20
_MAX_MEMBERS = 50_000
_HEAD = 4096  # bytes of a part in which a document type would stand
_DOCTYPE = re.compile(
    rb"<\0?!\0?(?:D\0?O\0?C\0?T\0?Y\0?P\0?E|E\0?N\0?T\0?I\0?T\0?Y)", re.IGNORECASE
)
_STRICT = re.compile(rb"http://purl\.oclc\.org/ooxml/(\w+)/")
_TYPES = "[Content_Types].xml"
_RELATIONS = "_rels/.rels"
_WORD = b"application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"
_POWERPOINT = b"application/vnd.openxmlformats-officedocument.presentationml.presentation.main+xml"
_VARIANTS = {
    b"application/vnd.ms-word.document.macroEnabled.main+xml": _WORD,
    b"application/vnd.ms-word.template.macroEnabledTemplate.main+xml": _WORD,
    b"application/vnd.openxmlformats-officedocument.wordprocessingml.template.main+xml": _WORD,
    b"application/vnd.openxmlformats-officedocument.presentationml.slideshow.main+xml": _POWERPOINT,
    b"application/vnd.ms-powerpoint.slideshow.macroEnabled.main+xml": _POWERPOINT,
}
# Dates of the templates that python-docx and python-pptx start from: no date of any document.
_TEMPLATE_DATES = ("2013-12-23", "2013-01-27")

# zipfile: RuntimeError for a member with a password, NotImplementedError for an unknown
# compression.
PACKAGE_ERRORS = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError)


class Properties(NamedTuple):
    """What a package states of itself; `date` as YYYY-MM-DD."""

    title: str = ""
    date: str | None = None
    tags: tuple[str, ...] = ()


def open_package(data: bytes, name: str, kind: str, old: str) -> tuple[bytes, Properties]:
    """Return the file as the libraries know it, and its properties.

    `kind`: "Word file"; `old`: ".doc of Word 97 to 2003". Raises DocumentError for a file with a
    password, one of the old formats, no zip, a zip bomb, or XML that defines entities, which Office
    never writes.
    """
    if data.startswith(_OLE_MAGIC):
        if _ENCRYPTED in data:
            raise DocumentError(f"{name}: is encrypted; save it without a password")
        raise DocumentError(f"{name}: is encrypted, or a {old}; save it anew without a password")
    try:
        with zipfile.ZipFile(BytesIO(data)) as package:
            check_sizes(package.infolist(), name)
            for member in filter(_is_xml, package.infolist()):
                with package.open(member) as part:
                    if _DOCTYPE.search(part.read(_HEAD)):
                        raise DocumentError(
                            f"{name}: {member.filename} defines XML entities, which no Office "
                            "program writes"
                        )
            members = package.namelist()
            relations = package.read(_RELATIONS) if _RELATIONS in members else b""
            types = package.read(_TYPES) if _TYPES in members else b""
            # With macros, a template or a show: the same parts under another content type, which
            # the libraries refuse.
            is_variant = any(variant in types for variant in _VARIANTS)
            is_usual = not is_variant and b"http://purl.oclc.org/ooxml/" not in relations
            return data if is_usual else _usual(package), _properties(package)
    # ValueError: an offset before the file's start.
    except (*PACKAGE_ERRORS, ValueError) as error:
        raise DocumentError(
            f"{name}: is no {kind}, or a damaged one: {squeeze(str(error))}"
        ) from error


def check_sizes(members: list[zipfile.ZipInfo], name: str) -> None:
    """Raise DocumentError for a zip that unpacks to more than a document does."""
    # zipfile unpacks no more of a member than its stated size, so that what is added up here is
    # what can come.
    whole = sum(member.file_size for member in members)
    packed = sum(member.compress_size for member in members)
    xml = sum(member.file_size for member in members if _is_xml(member))
    if len(members) > _MAX_MEMBERS:
        raise DocumentError(f"{name}: is a zip bomb, or no document: {len(members):,} parts")
    if (
        whole > _MAX_ALL
        or xml > _MAX_XML
        or (whole > _RATIO_FROM and whole > _MAX_RATIO * max(packed, 1))
    ):
        raise DocumentError(
            f"{name}: is a zip bomb, or too large: unpacks from {packed >> 10:,} KB to "
            f"{whole >> 20:,} MB; split it"
        )


def _usual(package: zipfile.ZipFile) -> bytes:
    """The same in the names that Office writes by default: "Strict Open XML" has its own, which no
    library knows."""
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as copy:
        for member in package.infolist():
            part = package.read(member)
            if member.filename == _TYPES:
                for variant, usual in _VARIANTS.items():
                    part = part.replace(variant, usual)
            if _is_xml(member):
                part = _STRICT.sub(rb"http://schemas.openxmlformats.org/\1/2006/", part)
            copy.writestr(member.filename, part)
    return buffer.getvalue()


def without_address(error: BaseException) -> str:
    """Return the libraries' words about an error.

    They begin with "file '<_io.BytesIO object at 0x7f...>'", which goes.
    """
    return squeeze(re.sub(r"(?:file )?'?<_io\.BytesIO object at \w+>'?", "it", str(error)))


def _is_xml(member: zipfile.ZipInfo) -> bool:
    return member.filename.lower().endswith((".xml", ".rels", ".vml", ".psmdcp"))


def _properties(package: zipfile.ZipFile) -> Properties:
    names = [
        name
        for name in package.namelist()
        if name.lower().endswith(("docprops/core.xml", ".psmdcp"))
    ]
    root = parse_xml(package.read(names[0])) if names else None
    if root is None:
        return Properties()
    stated = {
        element.tag.rpartition("}")[2]: (element.text or "").strip()
        for element in root
        if isinstance(element.tag, str)
    }
    dates = [iso_date(stated.get(key)) for key in ("modified", "created")]
    date = next((date for date in dates if date and date not in _TEMPLATE_DATES), None)
    return Properties(label(stated.get("title", "")), date, split_tags(stated.get("keywords", "")))


def parse_xml(data: bytes) -> Any | None:
    """Return the root of a small XML part, None where it is damaged.

    No entity is expanded, nothing is loaded.
    """
    from lxml import etree

    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    try:
        return etree.fromstring(data, parser)
    except etree.XMLSyntaxError as error:
        if error.code == etree.ErrorTypes.ERR_NO_MEMORY:
            raise MemoryError from error
        return None
    except ValueError:
        return None


def split_tags(stated: str) -> tuple[str, ...]:
    """Return "fees, funds; 2024" as three tags; what is there twice once."""
    return tuple(dict.fromkeys(tag for part in re.split(r"[,;\n]", stated) if (tag := label(part))))
