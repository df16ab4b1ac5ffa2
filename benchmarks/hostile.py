"""Hostile and huge inputs: the time, the memory and the message of each.

    python benchmarks/hostile.py [--only NAME ...] [-o benchmarks/results/hostile.json]

Each file is made in a temporary folder and then surveyed, read and cut into chunks as a build does
it, in a process of its own, which is stopped after --limit seconds. Time is the processor's, so
that a busy machine changes it little; memory is the process's peak. The tokenizer is left away
(words are counted), and so is the embedder, which sees chunks alone.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from measuring import machine, machine_line, table, write_json

sys.path.append(str(Path(__file__).parent.parent / "tests" / "support"))

from pdf_file import pdf_file

Maker = Callable[[Path], None]
_MB = 1 << 20
_TYPES = (
    '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    '<Default Extension="xml" ContentType="application/xml"/>'
)
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_WORD = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
_SHEET = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="*", choices=tuple(MAKERS), default=tuple(MAKERS))
    parser.add_argument("--limit", type=float, default=120, help="seconds of one input")
    parser.add_argument("-o", "--output", type=Path, help="JSON to write")
    parser.add_argument("--read", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.read:
        limit = round(arguments.limit)
        resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 5))
        print(json.dumps(read_folder(arguments.read)))
        return
    facts = machine(("pypdfium2", "lxml", "beautifulsoup4", "openpyxl", "python-docx"))
    kept: dict[str, dict[str, Any]] = {}  # of earlier runs that took other inputs
    if arguments.output and arguments.output.exists():
        before = json.loads(arguments.output.read_text(encoding="utf-8"))["inputs"]
        kept = {row["input"]: row for row in before}
    rows = []
    for name in arguments.only:
        with tempfile.TemporaryDirectory() as folder:
            MAKERS[name](Path(folder))
            rows.append({"input": name, **measured(Path(folder), arguments.limit)})
        row = rows[-1]
        print(f"{name}: {row['seconds']} s, {row['peak_mb']} MB: {row['message']}", flush=True)
        if arguments.output:  # at once: an input may take minutes
            kept[name] = row
            ordered = [kept[maker] for maker in MAKERS if maker in kept]
            write_json(arguments.output, {"machine": facts, "inputs": ordered})
    print(machine_line(facts))
    head = ("input", "size", "seconds", "peak MB", "what is said")
    shown = [
        (row["input"], row["size"], row["seconds"], row["peak_mb"], row["message"][:100])
        for row in rows
    ]
    print(table(head, shown))


def measured(folder: Path, limit: float) -> dict[str, Any]:
    """Read a folder in a process of its own; return what it took and what it said."""
    command = [sys.executable, __file__, "--read", str(folder), "--limit", str(limit)]
    size = sum(path.lstat().st_size for path in folder.rglob("*"))
    done = subprocess.run(command, capture_output=True, check=False)
    said: dict[str, Any] = json.loads(done.stdout) if done.returncode == 0 else {}
    ended = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
    if done.returncode == -signal.SIGXCPU:
        ended = f"stopped after {limit:.0f} s of processor time"
    message = said.get("message") or f"ended with {done.returncode}: {ended}"
    shown = f"{size / _MB:.1f} MB" if size >= _MB else f"{size / 1024:.1f} KB"
    return {
        "size": shown,
        "seconds": said.get("seconds"),
        "peak_mb": said.get("peak_mb"),
        "chunks": said.get("chunks"),
        "message": message,
    }


def read_folder(folder: Path) -> dict[str, Any]:
    """Survey, read and cut a folder's documents in this process."""
    from fieldpack_build.chunking import chunk_document
    from fieldpack_build.documents import Skipped, read_library

    def words(text: str) -> int:
        return len(text.split())

    started = time.process_time()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    said, chunks = [], 0
    for entry in read_library(folder, on_error="warn"):
        if isinstance(entry, Skipped):
            said.append(entry.reason)
            continue
        cut = chunk_document(entry, count_tokens=words, max_tokens=220)
        chunks += len(cut)
        said += [f"read, {len(cut):,} chunk{'s' if len(cut) != 1 else ''}", *entry.warnings]
    return {
        "seconds": round(time.process_time() - started, 1),
        "peak_mb": round(max(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, before) / 1024),
        "chunks": chunks,
        "message": "; ".join(said).replace("\n", " ")[:400],
    }


def write(name: str, data: bytes | str) -> Maker:
    """Return a maker of one file."""

    def make(folder: Path) -> None:
        (folder / name).write_bytes(data.encode() if isinstance(data, str) else data)

    return make


def later(name: str, data: Callable[[], bytes | str]) -> Maker:
    """Return a maker of one file whose content is computed when it is made."""

    def make(folder: Path) -> None:
        write(name, data())(folder)

    return make


def package(*parts: tuple[str, str | bytes]) -> bytes:
    """Return a zip archive of parts."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in parts:
            archive.writestr(name, data)
    return buffer.getvalue()


def word(body: str, *parts: tuple[str, str | bytes], related: str = "") -> bytes:
    """Return a Word file of a body's XML; `related`: more of its relationships."""
    kind = "application/vnd.openxmlformats-officedocument.wordprocessingml"
    types = f'<Override PartName="/word/document.xml" ContentType="{kind}.document.main+xml"/>'
    types += f'<Override PartName="/word/styles.xml" ContentType="{kind}.styles+xml"/></Types>'
    space = "http://schemas.openxmlformats.org/package/2006/relationships"
    start = f'<Relationships xmlns="{space}"><Relationship Id="r1" Type="{_OFFICE}/officeDocument" '
    styles = f'<Relationship Id="s1" Type="{_OFFICE}/styles" Target="styles.xml"/>'
    own = dict(parts)
    return package(
        ("[Content_Types].xml", _TYPES + types),
        ("_rels/.rels", f'{start}Target="word/document.xml"/></Relationships>'),
        (
            "word/_rels/document.xml.rels",
            f'<Relationships xmlns="{space}">{styles}{related}</Relationships>',
        ),
        ("word/document.xml", f"<w:document {_WORD}><w:body>{body}</w:body></w:document>"),
        ("word/styles.xml", own.pop("word/styles.xml", f"<w:styles {_WORD}/>")),
        *own.items(),
    )


def book(sheet: str, *parts: tuple[str, str | bytes]) -> bytes:
    """Return a workbook of one sheet's XML."""
    kind = "application/vnd.openxmlformats-officedocument.spreadsheetml"
    types = f'<Override PartName="/xl/workbook.xml" ContentType="{kind}.sheet.main+xml"/>'
    types += f'<Override PartName="/xl/worksheets/sheet1.xml" ContentType="{kind}.worksheet+xml"/>'
    space = "http://schemas.openxmlformats.org/package/2006/relationships"
    start = f'<Relationships xmlns="{space}"><Relationship Id="r1" Type="{_OFFICE}/'
    sheets = f'<sheets><sheet name="S" sheetId="1" r:id="r1" xmlns:r="{_OFFICE}"/></sheets>'
    strings = f'<Relationship Id="r2" Type="{_OFFICE}/sharedStrings" Target="sharedStrings.xml"/>'
    has_strings = any(name == "xl/sharedStrings.xml" for name, _ in parts)
    if has_strings:
        types += (
            f'<Override PartName="/xl/sharedStrings.xml" ContentType="{kind}.sharedStrings+xml"/>'
        )
    return package(
        ("[Content_Types].xml", f"{_TYPES}{types}</Types>"),
        ("_rels/.rels", f'{start}officeDocument" Target="xl/workbook.xml"/></Relationships>'),
        (
            "xl/_rels/workbook.xml.rels",
            (
                f'{start}worksheet" Target="worksheets/sheet1.xml"/>'
                f"{strings if has_strings else ''}</Relationships>"
            ),
        ),
        ("xl/workbook.xml", f"<workbook {_SHEET}>{sheets}</workbook>"),
        ("xl/worksheets/sheet1.xml", f"<worksheet {_SHEET}>{sheet}</worksheet>"),
        *parts,
    )


def one_page(content: bytes, *, keys: bytes = b"", font: bytes = b"", more: bytes = b"") -> bytes:
    """Return a PDF of one page; `keys` are of its content's stream, `more` is a sixth object."""
    font = font or b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>"
    return pdf_file(
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Count 1/Kids[3 0 R]>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Contents 4 0 R"
        b"/Resources<</Font<</F1 5 0 R>>/XObject<</X 6 0 R>>>>>>",
        b"<</Length %d%b>>stream\n%b\nendstream" % (len(content), keys, content),
        font,
        more or b"<<>>",
    )


def many_pages(count: int) -> bytes:
    """Return a PDF of `count` pages that share one content."""
    kids = b" ".join(b"%d 0 R" % (5 + i) for i in range(count))
    page = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Contents 4 0 R/Resources<</Font<</F1 3 0 R>>>>>>"
    content = b"BT /F1 10 Tf 50 700 Td (The charge accrues on each day.) Tj ET"
    return pdf_file(
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Count %d/Kids[%b]>>" % (count, kids),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
        b"<</Length %d>>stream\n%b\nendstream" % (len(content), content),
        *[page] * count,
    )


def drawn(count: int) -> bytes:
    """Return a page's content of `count` words, row by row."""
    words = (b"1 0 0 1 %d %d Tm (%d) Tj" % (i % 500, 800 - i // 500 % 790, i) for i in range(count))
    return b"BT /F1 1 Tf " + b"\n".join(words) + b" ET"


def nested_mail(depth: int) -> bytes:
    """Return a mail in a mail in a mail."""
    head = b"Subject: s%d\r\nMIME-Version: 1.0\r\nContent-Type: message/rfc822\r\n\r\n"
    heads = b"".join(head % i for i in range(depth))
    return heads + b"Subject: last\r\nContent-Type: text/plain\r\n\r\nThe crane is at gate 5.\r\n"


def mail_of_parts(count: int) -> bytes:
    """Return a mail of `count` small attachments."""
    head = (
        b"Subject: parts\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n"
    )
    part = b'--x\r\nContent-Type: text/plain\r\nContent-Disposition: attachment; filename="a.txt"\r\n\r\nhi\r\n'
    return head + part * count + b"--x--\r\n"


def repeated_chapter(count: int, size: int) -> bytes:
    """Return a book whose order of reading names one chapter `count` times."""
    chapter = f"<html><body><p>{'The valve opens. ' * (size // 17)}</p></body></html>"
    order = '<itemref idref="c"/>' * count
    return package(
        ("mimetype", "application/epub+zip"),
        (
            "META-INF/container.xml",
            (
                '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
                '<rootfile full-path="b.opf" media-type="application/oebps-package+xml"/></rootfiles>'
                "</container>"
            ),
        ),
        (
            "b.opf",
            (
                '<package xmlns="http://www.idpf.org/2007/opf"><manifest><item id="c" href="c.xhtml" '
                f'media-type="application/xhtml+xml"/></manifest><spine>{order}</spine></package>'
            ),
        ),
        ("c.xhtml", chapter),
    )


def open_document(kind: str, body: str) -> bytes:
    """Return an OpenDocument file of a body's XML."""
    spaces = " ".join(
        f'xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"'
        for name in ("office", "table", "text")
    )
    content = f"<office:document-content {spaces}><office:body>{body}</office:body></office:document-content>"
    media = f"application/vnd.oasis.opendocument.{kind}"
    return package(("mimetype", media), ("content.xml", content))


def strange_folder(folder: Path) -> None:
    """Links in circles, a pipe, a socket, devices, and names that no program should write."""
    (folder / "good.txt").write_text("The gate closes at eleven.")
    (folder / "a").symlink_to(folder / "b")
    (folder / "b").symlink_to(folder / "a")
    (folder / "loop").symlink_to(folder)
    (folder / "zero.txt").symlink_to("/dev/zero")
    (folder / "gone.pdf").symlink_to("/nowhere/at/all.pdf")
    (folder / "folder.docx").mkdir()
    os.mkfifo(folder / "pipe.txt")
    with socket.socket(socket.AF_UNIX) as one:
        here = Path.cwd()
        os.chdir(folder)  # the path of a socket has 108 characters at most
        one.bind("socket.txt")
        os.chdir(here)
    (folder / "new\nline\x1b[31m.txt").write_text("A name with a line end.")
    (folder / ("n" * 250 + ".txt")).write_text("A long name.")
    (folder / os.fsdecode(b"latin-\xe9.txt")).write_text("A name that is not UTF-8.")
    (folder / "‮txt.exe.txt").write_text("A name written backwards.")
    (folder / "logs.txt.gz").write_bytes(zlib.compress(bytes(_MB)))


PROSE = "The custody fee accrues on each valuation day, and is paid to the firm every month. "
LAUGHS = '<!DOCTYPE a [<!ENTITY b "bbbbbbbbbb">' + "".join(
    f'<!ENTITY {after} "{f"&{before};" * 10}">'
    for before, after in zip("bcdefghi", "cdefghij", strict=True)
)
CELL = "<w:tc><w:tcPr><w:gridSpan w:val='63'/><w:vMerge/></w:tcPr><w:p/></w:tc>"
MAKERS: dict[str, Maker] = {
    "zip bomb in Word, 1 GB": later(
        "a.docx", lambda: word("<w:p/>", ("word/media/a.bmp", bytes(1024 * _MB)))
    ),
    "one text shown in 500,000 cells": later(
        "a.xlsx",
        lambda: book(
            "<sheetData>" + '<row><c t="s"><v>0</v></c></row>' * 500_000 + "</sheetData>",
            ("xl/sharedStrings.xml", f"<sst {_SHEET}><si><t>{'word ' * 6000}</t></si></sst>"),
        ),
    ),
    "merged cells over a whole sheet": later(
        "a.xlsx",
        lambda: book(
            '<sheetData><row r="1"><c r="A1" t="inlineStr"><is><t>label</t></is></c></row>'
            '<row r="1048576"><c r="XFD1048576"><v>1</v></c></row></sheetData>'
            '<mergeCells><mergeCell ref="A1:XFD1048576"/></mergeCells>'
        ),
    ),
    "XML that expands a billion times": write("a.xml", f"{LAUGHS}]><a>&j;</a>"),
    "XML 200,000 elements deep": later("a.xml", lambda: "<a>" * 200_000 + "x" + "</a>" * 200_000),
    "JSON a million lists deep": later("a.json", lambda: "[" * 1_000_000 + "]" * 1_000_000),
    "HTML 200,000 elements deep": later("a.html", lambda: "<div>" * 200_000 + "text"),
    "HTML 20,000 lists in each other": later("a.html", lambda: "<ul><li>a" * 20_000),
    "HTML 3,000 definitions in each other": later("a.html", lambda: "<dl><dt>a<dd>b" * 3_000),
    "HTML 60,000 cells of 1,000 columns": later(
        "a.html", lambda: "<table>" + "<tr><td colspan=1000 rowspan=65534>a" * 60_000
    ),
    "HTML, a style sheet of 5 MB": later(
        "a.html", lambda: f"<style>{'a{' * 1_000_000}{'}.b{display:none}' * 200_000}</style><p>text"
    ),
    "HTML, 300,000 links to themselves": later("a.html", lambda: '<a href="#a">#</a> w ' * 300_000),
    "Markdown, 1 MB of brackets": later("a.md", lambda: "[" * 1_000_000),
    "Markdown, 1 MB of stars": later("a.md", lambda: "**a_" * 250_000),
    "Markdown, 500,000 code marks": later("a.md", lambda: "`a`` " * 200_000),
    "Markdown, 100,000 quotes deep": later("a.md", lambda: "> " * 100_000 + "deep"),
    "Markdown, 200,000 openings of comments": later("a.md", lambda: "<!-- a ~~ <del> " * 200_000),
    "text of 60 MB": later("a.txt", lambda: (PROSE * 12 + "\n\n") * (60 * _MB // 1000)),
    "text of 20 MB in one line without a blank": later("a.txt", lambda: "a" * (20 * _MB)),
    "440,000 characters of base64": later(
        "a.txt", lambda: f"{PROSE}\n{base64.b64encode(os.urandom(330_000)).decode()}\n{PROSE}"
    ),
    "CSV of a million rows": later(
        "a.csv", lambda: "Part,Left\n" + "".join(f"BX-{i},{i % 97}\n" for i in range(1_000_000))
    ),
    "CSV of a million columns": later("a.csv", lambda: ("a," * 1_000_000 + "\n") * 3),
    "PDF whose pages are in a circle": write(
        "a.pdf",
        pdf_file(
            b"<</Type/Catalog/Pages 2 0 R>>",
            b"<</Type/Pages/Count 9/Kids[3 0 R]>>",
            b"<</Type/Pages/Parent 2 0 R/Count 9/Kids[2 0 R 3 0 R]>>",
        ),
    ),
    "PDF of 100,000 pages": later("a.pdf", lambda: many_pages(100_000)),
    "PDF, a page that unpacks to 1 GB": later(
        "a.pdf",
        lambda: one_page(zlib.compress(b" " * (1024 * _MB)), keys=b"/Filter/FlateDecode"),
    ),
    "PDF, 300,000 words on a page": later("a.pdf", lambda: one_page(drawn(300_000))),
    "PDF, a form that draws itself": write(
        "a.pdf",
        one_page(
            b"/X Do BT /F1 10 Tf 50 700 Td (Text) Tj ET",
            more=b"<</Type/XObject/Subtype/Form/BBox[0 0 9 9]/Resources<</XObject<</X 6 0 R>>>>"
            b"/Length 11>>stream\n/X Do /X Do\nendstream",
        ),
    ),
    "PDF, a font without its file": write(
        "a.pdf",
        one_page(
            b"BT /F1 10 Tf 50 700 Td <0102030405> Tj ET",
            font=b"<</Type/Font/Subtype/Type0/BaseFont/X/Encoding/Identity-H/DescendantFonts[7 0 R]>>",
        ),
    ),
    "mail in mail, 2,000 deep": later("a.eml", lambda: nested_mail(2_000)),
    "mail of 50,000 attachments": later("a.eml", lambda: mail_of_parts(50_000)),
    "calendar line that matches nothing": write(
        "a.ics", f"BEGIN:VCALENDAR\nBEGIN:VEVENT\nSUMMARY:a\nDTSTART;X={',' * 50_000}\nEND:VEVENT\n"
    ),
    "RTF 300,000 groups deep": later("a.rtf", lambda: "{\\rtf1 " + "{a" * 300_000),
    "RTF with 2 GB of announced bytes": write("a.rtf", "{\\rtf1 text\\bin2147483647 x}"),
    "book, a chapter named 20,000 times": later(
        "a.epub", lambda: repeated_chapter(20_000, 1_000_000)
    ),
    "OpenDocument, a cell repeated a billion times": write(
        "a.ods",
        open_document(
            "spreadsheet",
            '<office:spreadsheet><table:table><table:table-row table:number-rows-repeated="1000000">'
            '<table:table-cell table:number-columns-repeated="1000000000"><text:p>a</text:p>'
            "</table:table-cell></table:table-row></table:table></office:spreadsheet>",
        ),
    ),
    "Word, a table of 20,000 merged rows": later(
        "a.docx", lambda: word(f"<w:tbl>{f'<w:tr>{CELL}</w:tr>' * 20_000}</w:tbl>")
    ),
    "Word, styles based on each other": write(
        "a.docx",
        word(
            "<w:p><w:pPr><w:pStyle w:val='A'/></w:pPr><w:r><w:t>Text.</w:t></w:r></w:p>",
            (
                "word/styles.xml",
                (
                    f"<w:styles {_WORD}>"
                    "<w:style w:type='paragraph' w:styleId='A'><w:basedOn w:val='B'/></w:style>"
                    "<w:style w:type='paragraph' w:styleId='B'><w:basedOn w:val='A'/></w:style>"
                    "</w:styles>"
                ),
            ),
        ),
    ),
    "Word, a note that refers to itself": write(
        "a.docx",
        word(
            "<w:p><w:r><w:footnoteReference w:id='2'/><w:t>Text.</w:t></w:r></w:p>",
            (
                "word/footnotes.xml",
                (
                    f"<w:footnotes {_WORD}><w:footnote w:id='2'><w:p><w:r><w:footnoteReference "
                    "w:id='2'/></w:r></w:p></w:footnote></w:footnotes>"
                ),
            ),
            related=f'<Relationship Id="n1" Type="{_OFFICE}/footnotes" Target="footnotes.xml"/>',
        ),
    ),
    "Word, a note of 1 MB named 20,000 times": later(
        "a.docx",
        lambda: word(
            "<w:p>" + "<w:r><w:footnoteReference w:id='2'/></w:r>" * 20_000 + "</w:p>",
            (
                "word/footnotes.xml",
                (
                    f"<w:footnotes {_WORD}><w:footnote w:id='2'><w:p><w:r><w:t>{PROSE * 12_000}</w:t>"
                    "</w:r></w:p></w:footnote></w:footnotes>"
                ),
            ),
            related=f'<Relationship Id="n1" Type="{_OFFICE}/footnotes" Target="footnotes.xml"/>',
        ),
    ),
    "links in circles, pipes, devices, strange names": strange_folder,
}


if __name__ == "__main__":
    main()
