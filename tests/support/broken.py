"""Folders of good and of broken documents, one of each kind that real folders hold; made with the
formats' own libraries.

`write_broken_files` gives, for each broken one, a word that its reason must have.
"""

from __future__ import annotations

import os
import zipfile
from email.message import EmailMessage
from io import BytesIO
from pathlib import Path
from typing import Any

from pdf_file import pdf_file

PROSE = "The charge accrues on each valuation day and is paid to the firm monthly."
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504)
ENCRYPTED_OFFICE = OLE + "EncryptedPackage".encode("utf-16-le") + bytes(900)
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 4
_LOCK_KEY = "28BF4E5E4E758A4164004E56FFFA01082E2E00B6D0683E802F0CA9FE6453697A"
_PDF_LOCK = f"/Encrypt<</Filter/Standard/V 1/R 2/P -4/O<{_LOCK_KEY}>/U<{_LOCK_KEY}>>>/ID[<00><00>]"
_BOMB = 40 << 20  # bytes of blanks, which deflate to 40 KB
_ENTITIES = b'<!DOCTYPE a [<!ENTITY b "bbbbbbbbbb"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]>'


def write_good_files(folder: Path) -> dict[str, str]:
    """One file a format, each with a sentence that only it has."""
    folder.mkdir(parents=True, exist_ok=True)
    made: dict[str, bytes] = {
        "good.md": b"# Fees\n\nThe custody fee is nine francs.\n",
        "good.txt": b"The gate closes at eleven.\n",
        "good.html": b"<h1>Rules</h1><p>Dogs stay on the lead.</p>",
        "good.csv": b"Item,Price\nLamp,12.50\nChair,80.00\n",
        "good.jsonl": b'{"title": "Leave", "text": "Leave is thirty days."}\n',
        "good.docx": word("The notice period is six weeks."),
        "good.xlsx": workbook([["Country", "Capital"], ["Austria", "Vienna"]]),
        "good.pptx": slides("The launch is in October."),
        "good.pdf": pdf([("The deposit is two rents.", 11, "F1")]),
        "good.eml": mail("The lift is repaired on Monday."),
    }
    for name, data in made.items():
        (folder / name).write_bytes(data)
    return {
        "good.md": "nine francs",
        "good.txt": "at eleven",
        "good.html": "on the lead",
        "good.csv": "Lamp | 12.50",
        "good.jsonl": "thirty days",
        "good.docx": "six weeks",
        "good.xlsx": "Austria | Vienna",
        "good.pptx": "in October",
        "good.pdf": "two rents",
        "good.eml": "on Monday",
    }


def write_broken_files(folder: Path) -> dict[str, str]:
    """Broken files and links in `folder`; name -> a word of the reason. Files outside go beside the
    folder."""
    folder.mkdir(parents=True, exist_ok=True)
    docx, xlsx, pptx = word(PROSE), workbook([["a", "b"], ["1", "2"]]), slides(PROSE)
    files: dict[str, tuple[bytes, str]] = {
        "empty.pdf": (b"", "is empty"),
        "truncated.pdf": (pdf([(PROSE, 11, "F1")])[:200], "damaged"),
        "locked.pdf": (pdf([(PROSE, 11, "F1")], trailer=_PDF_LOCK), "encrypted"),
        "letter.pdf": (b"Dear Sir or Madam", "no PDF"),
        "locked.docx": (ENCRYPTED_OFFICE, "is encrypted; save it without a password"),
        "truncated.docx": (docx[: len(docx) // 2], "no Word file"),
        "a-workbook.docx": (xlsx, "damaged Word file"),
        "bad-xml.docx": (
            with_part(docx, "word/document.xml", b"<w:document><w:body>"),
            "damaged Word file",
        ),
        "bomb.docx": (with_part(docx, "word/media/image1.bmp", bytes(_BOMB)), "zip bomb"),
        "entities.docx": (
            with_part(docx, "word/document.xml", _ENTITIES + b"<a>&c;</a>"),
            "XML entities",
        ),
        "locked.xlsx": (ENCRYPTED_OFFICE, "is encrypted; save it without a password"),
        "old.xlsx": (OLE, "Excel 97"),
        "truncated.xlsx": (xlsx[:-300], "no Excel file"),
        "no-sheet.xlsx": (with_part(xlsx, "xl/worksheets/sheet1.xml", None), "damaged Excel file"),
        "bomb.xlsx": (with_part(xlsx, "xl/worksheets/sheet1.xml", b" " * _BOMB), "zip bomb"),
        "bad-xml.pptx": (
            with_part(pptx, "ppt/slides/slide1.xml", b"<p:sld>"),
            "damaged PowerPoint file",
        ),
        "program.txt": (bytes(range(256)) * 40, "no text"),
        "photo.md": (PNG, "PNG image"),
        "nuls.csv": (b"a,b\n1,2\n" + bytes(4096), "control characters"),
        "deep.html": (b"<div>" * 5000 + b"text", "nested too deeply"),
        "broken.jsonl": (b'{"text": "cut of', "no JSONL"),
        "deep.jsonl": (b"[" * 100_000, "nested too deeply"),
        "note.eml": (b"Call me back, Ann", "no e-mail"),
        "blank.txt": (b" \n\t\n", "has no text"),
        "old.doc": (OLE, "save it as .docx"),
    }
    for name, (data, _) in files.items():
        (folder / name).write_bytes(data)
    return {name: word for name, (_, word) in files.items()} | _links(folder) | _others(folder)


def _links(folder: Path) -> dict[str, str]:
    outside = folder.parent / f"{folder.name}-outside.md"
    outside.write_text("secret")
    (folder / "outside.md").symlink_to(outside)
    (folder / "dangling.md").symlink_to("gone.md")
    (folder / "circle.md").symlink_to("circle.md")
    (folder / "loop").symlink_to(folder, target_is_directory=True)
    return {
        "outside.md": "out of the folder",
        "dangling.md": "not there",
        "circle.md": "circle",
        "loop": "a loop",
    }


def _others(folder: Path) -> dict[str, str]:
    os.mkfifo(folder / "pipe.txt")
    with (folder / "huge.txt").open("wb") as file:
        file.truncate(600 << 20)  # a hole: no disk is used
    found = {"pipe.txt": "pipe", "huge.txt": "max_file_mb"}
    if os.geteuid() != 0:  # who may read everything meets no such file
        (folder / "private.txt").write_text("private")
        (folder / "private.txt").chmod(0)
        found["private.txt"] = "Permission denied"
    return found


def word(text: str) -> bytes:
    import docx

    document = docx.Document()
    document.add_paragraph(text)
    return saved(document)


def workbook(rows: list[list[Any]], title: str = "Sheet of figures") -> bytes:
    import openpyxl

    book = openpyxl.Workbook()
    book.active.title = title
    for row in rows:
        book.active.append(row)
    return saved(book)


def slides(*texts: str) -> bytes:
    import pptx

    show = pptx.Presentation()
    for text in texts:
        slide = show.slides.add_slide(show.slide_layouts[1])
        slide.shapes.title.text = "A slide"
        slide.placeholders[1].text_frame.text = text
    return saved(show)


def mail(text: str) -> bytes:
    message = EmailMessage()
    message["Subject"] = "News"
    message["From"] = "ann@example.org"
    message["Date"] = "Wed, 31 Jan 2024 10:00:00 +0100"
    message.set_content(text)
    return message.as_bytes()


def saved(made: Any) -> bytes:
    buffer = BytesIO()
    made.save(buffer)
    return buffer.getvalue()


def with_part(package: bytes, name: str, part: bytes | None) -> bytes:
    """The package with a part in the place of another, or beside the others; None takes it out."""
    buffer = BytesIO()
    with (
        zipfile.ZipFile(BytesIO(package)) as source,
        zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as copy,
    ):
        for member in source.namelist():
            if member != name:
                copy.writestr(member, source.read(member))
        if part is not None:
            copy.writestr(name, part)
    return buffer.getvalue()


def pdf(*pages: list[tuple[str, int, str]], title: str = "", trailer: str = "") -> bytes:
    """A PDF written by hand; a page is lines of (text, size, "F1" or, for bold, "F2"), one below
    the other."""
    objects = [
        "<</Type/Catalog/Pages 2 0 R>>",
        (
            "<</Type/Pages/Count "
            f"{len(pages)}/Kids[{' '.join(f'{6 + 2 * i} 0 R' for i in range(len(pages)))}]>>"
        ),
        "<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
        "<</Type/Font/Subtype/Type1/BaseFont/Helvetica-Bold>>",
        f"<</Title({title})>>",
    ]
    for i, lines in enumerate(pages):
        content = "".join(
            f"BT /{font} {size} Tf 50 {780 - 14 * row} Td ({text}) Tj ET\n"
            for row, (text, size, font) in enumerate(lines)
            if text
        )
        resources = "<</Font<</F1 3 0 R/F2 4 0 R>>>>"
        objects.append(
            f"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Resources{resources}/Contents "
            f"{7 + 2 * i} 0 R>>"
        )
        objects.append(f"<</Length {len(content)}>>stream\n{content}endstream")
    return pdf_file(
        *(body.encode("latin-1") for body in objects),
        trailer=f"/Info 5 0 R{trailer}".encode("latin-1"),
    )
