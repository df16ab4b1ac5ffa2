"""Hostile and huge inputs: the time, the memory and the message of each.

    python benchmarks/hostile.py [--only NAME ...] [-o benchmarks/results/hostile.json]

Each file is made in a temporary folder and then surveyed, read and cut into chunks as a build does
it, in a process of its own, which is stopped after --limit seconds. One that ends its process by a
limit of memory or time is read once more, as a build does too. Time is the processor's, so that a
busy machine changes it little, and memory the largest peak of one of the processes, both times and
with those that try the pages of a PDF. The tokenizer is left away
(words are counted), and so is the embedder, which sees chunks alone.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import os
import re
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
    parser.add_argument("--again", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.read:
        limit = round(arguments.limit)
        resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 5))
        print(json.dumps(read_folder(arguments.read, again=arguments.again)))
        return
    facts = machine(("pypdfium2", "lxml", "openpyxl", "python-docx"))
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
    used = _used_by_children()
    done = subprocess.run(command, capture_output=True, check=False)
    lost = 0.0  # seconds of a process that ended at a page
    if done.returncode < 0 and -done.returncode != signal.SIGKILL:
        lost = _used_by_children() - used
        done = subprocess.run([*command, "--again"], capture_output=True, check=False)
    said: dict[str, Any] = json.loads(done.stdout) if done.returncode == 0 else {}
    ended = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
    if done.returncode == -signal.SIGXCPU:
        ended = f"stopped after {limit:.0f} s of processor time"
    message = said.get("message") or f"ended with {done.returncode}: {ended}"
    shown = f"{size / _MB:.1f} MB" if size >= _MB else f"{size / 1024:.1f} KB"
    return {
        "size": shown,
        "seconds": round(said["seconds"] + lost, 1) if said else None,
        "peak_mb": said.get("peak_mb"),
        "chunks": said.get("chunks"),
        "message": message,
    }


def _used_by_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def read_folder(folder: Path, *, again: bool) -> dict[str, Any]:
    """Survey, read and cut a folder's documents in this process, which may end of it unless it is
    done `again`."""
    from fieldpack_build.chunking import chunk_document
    from fieldpack_build.documents import read_document, survey
    from fieldpack_build.errors import DocumentError

    def words(text: str) -> int:
        return len(text.split())

    started = time.process_time()
    library = survey(folder)
    said, chunks = [entry.reason for entry in library.skipped], 0
    for path in library.paths:
        try:
            document = read_document(path, library.names[path], expendable=not again)
        except DocumentError as error:
            said.append(str(error))
            continue
        cut = chunk_document(document, count_tokens=words, max_tokens=220)
        chunks += len(cut)
        said += [f"read, {len(cut):,} chunk{'s' if len(cut) != 1 else ''}", *document.warnings]
    tried = resource.getrusage(resource.RUSAGE_CHILDREN)
    # ru_maxrss begins with what the process had that started this one, which holds the whole file.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    peak = max(int(re.search(r"VmHWM:\s+(\d+)", status)[1]), tried.ru_maxrss)  # type: ignore[index]
    return {
        "seconds": round(time.process_time() - started + tried.ru_utime + tried.ru_stime, 1),
        "peak_mb": round(peak / 1024),
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


def stream(keys: bytes, data: bytes) -> bytes:
    """Return a stream that Flate has packed."""
    head = b"<<%b/Filter/FlateDecode/Length %d>>" % (keys, len(data))
    return head + b"stream\n%b\nendstream" % data


def large_image(data: bytes) -> bytes:
    """Return an image of a gigabyte of grey."""
    size = b"/Width 32768/Height 32768/ColorSpace/DeviceGray/BitsPerComponent 8"
    return stream(b"/Type/XObject/Subtype/Image" + size, data)


def packed(size: int, *, before: bytes = b"") -> bytes:
    """Return what unpacks to `before` and then `size` MB of noughts."""
    packing = zlib.compressobj(9)
    parts = [packing.compress(before), *(packing.compress(bytes(_MB)) for _ in range(size))]
    return b"".join([*parts, packing.flush()])


def large_font(size: int) -> bytes:
    """Return a page whose font, and the table of what its letters mean, unpack to `size` MB."""
    words = b"BT /F1 10 Tf 50 700 Td (Text) Tj ET"
    return pdf_file(
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Count 1/Kids[3 0 R]>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Contents 4 0 R"
        b"/Resources<</Font<</F1 5 0 R>>>>>>",
        b"<</Length %d>>stream\n%b\nendstream" % (len(words), words),
        b"<</Type/Font/Subtype/TrueType/BaseFont/A/FontDescriptor 6 0 R/ToUnicode 8 0 R>>",
        b"<</Type/FontDescriptor/FontName/A/Flags 32/FontFile2 7 0 R>>",
        stream(b"", packed(size)),
        stream(b"", packed(size)),
    )


def large_objects(size: int) -> bytes:
    """Return a PDF 1.5 whose objects stand in a stream of `size` MB, as does the table of them."""
    data = bytearray(b"%PDF-1.5\n")
    objects = (b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Count 0/Kids[]>>")
    places = b"1 0 2 %d " % len(objects[0])
    at = len(data)
    body = stream(
        b"/Type/ObjStm/N 2/First %d" % len(places), packed(size, before=places + b"".join(objects))
    )
    data += b"3 0 obj\n%b\nendobj\n" % body
    entries = [(0, 0, 0), (2, 3, 0), (2, 3, 1), (1, at, 0), (1, len(data), 0)]
    rows = b"".join(bytes([kind]) + a.to_bytes(4, "big") + bytes([b]) for kind, a, b in entries)
    table_at = len(data)
    keys = b"/Type/XRef/Size 5/W[1 4 1]/Root 1 0 R"
    data += b"4 0 obj\n%b\nendobj\n" % stream(keys, packed(size, before=rows))
    return bytes(data) + b"startxref\n%d\n%%%%EOF" % table_at


def many_pages(count: int) -> bytes:
    """Return a PDF of `count` pages of a sentence each, which names its page."""
    kids = b" ".join(b"%d 0 R" % (4 + 2 * i) for i in range(count))
    page = (
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Contents %d 0 R"
        b"/Resources<</Font<</F1 3 0 R>>>>>>"
    )
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Count %d/Kids[%b]>>" % (count, kids),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    ]
    for i in range(count):
        words = b"BT /F1 10 Tf 50 700 Td (The charge of page %d accrues on each day.) Tj ET" % (
            i + 1
        )
        objects.append(page % (5 + 2 * i))
        objects.append(b"<</Length %d>>stream\n%b\nendstream" % (len(words), words))
    return pdf_file(*objects)


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
    "one row of 16,384 columns, 3,000 times": later(
        "a.xlsx",
        lambda: book(
            "<sheetData>" + f"<row>{'<c><v>1</v></c>' * 16_384}</row>" * 3_000 + "</sheetData>"
        ),
    ),
    "texts of a workbook that unpack to 300 MB": later(
        "a.xlsx",
        lambda: book(
            '<sheetData><row><c t="s"><v>0</v></c></row></sheetData>',
            ("xl/sharedStrings.xml", f"<sst {_SHEET}>{'<si><t>a</t></si>' * 18_000_000}</sst>"),
        ),
    ),
    "Word, 200 MB of XML": later(
        "a.docx",
        lambda: word(
            "".join(f"<w:p><w:r><w:t>{i} {PROSE}</w:t></w:r></w:p>" for i in range(1_600_000))
        ),
    ),
    "zip in zip in Word": later(
        "a.docx",
        lambda: word(
            "<w:p><w:r><w:t>a</w:t></w:r></w:p>",
            ("word/a.zip", package(("b.zip", package(("c", bytes(900 * _MB)))))),
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
    "text of 300 MB in one line": later("a.txt", lambda: PROSE * (300 * _MB // len(PROSE))),
    "JSON, a million names": later(
        "a.json", lambda: "{" + ",".join(f'"n{i}": {i}' for i in range(1_000_000)) + "}"
    ),
    "JSONL, a line of 100 MB": later("a.jsonl", lambda: f'{{"text": "{PROSE * 1_200_000}"}}'),
    "XML, an attribute of 60 MB": later("a.xml", lambda: f'<a b="{PROSE * 720_000}">text</a>'),
    "XML, a million attributes": later(
        "a.xml", lambda: "<a " + "".join(f"b{i}='1' " for i in range(1_000_000)) + "/>"
    ),
    "XML from another file": write(
        "a.xml", '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>'
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
    "PDF, a picture in the text that unpacks to 1 GB": later(
        "a.pdf",
        lambda: one_page(
            b"BI /W 32768 /H 32768 /CS /G /BPC 8 /F /Fl ID "
            + zlib.compress(bytes(1024 * _MB))
            + b" EI"
        ),
    ),
    "PDF, a page that unpacks to 1 GB in two steps": later(
        "a.pdf",
        lambda: one_page(
            zlib.compress(zlib.compress(b" " * (1024 * _MB)), 9),
            keys=b"/Filter[/FlateDecode/FlateDecode]",
        ),
    ),
    "PDF, a font and its table of letters of 1 GB each": later("a.pdf", lambda: large_font(1024)),
    "PDF, a stream of objects and its table of 1 GB each": later(
        "a.pdf", lambda: large_objects(1024)
    ),
    "PDF, one stream of 10 MB 1,000 times on a page": later(
        "a.pdf",
        lambda: one_page(zlib.compress(b" " * (10 * _MB)), keys=b"/Filter/FlateDecode").replace(
            b"/Contents 4 0 R", b"/Contents[" + b"4 0 R " * 1000 + b"]"
        ),
    ),
    "PDF, a form of 1,250 lines drawn 200,000 times": later(
        "a.pdf",
        lambda: one_page(
            b"/X Do " * 200_000,
            more=b"<</Type/XObject/Subtype/Form/BBox[0 0 9 9]/Length 10000>>stream\n%b\nendstream"
            % (b"0 0 m S " * 1250),
        ),
    ),
    "PDF, an image of 1 GB on a page with text": later(
        "a.pdf",
        lambda: one_page(
            b"BT /F1 10 Tf 50 700 Td (Text) Tj ET /X Do",
            more=large_image(zlib.compress(bytes(1024 * _MB))),
        ),
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
