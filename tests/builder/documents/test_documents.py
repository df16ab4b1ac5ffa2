"""Each reader on small files made here: what is text, what is a heading, what is a table, what is
refused and how."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import pytest

from broken import pdf
from fieldpack_build.documents import (
    Block,
    Document,
    Page,
    Skipped,
    find_documents,
    read_document,
    read_library,
)
from fieldpack_build.documents.quick_look import why_unreadable
from fieldpack_build.errors import DocumentError

PROSE = "The charge accrues on each valuation day and is paid to the firm monthly."


def read(folder: Path, name: str, data: bytes | str) -> Document:
    path = folder / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return read_document(path, name)


def refusal(folder: Path, name: str, data: bytes | str) -> str:
    with pytest.raises(DocumentError) as caught:
        read(folder, name, data)
    message = str(caught.value)
    assert message.startswith(f"{name}: ") and "\n" not in message
    return message.removeprefix(f"{name}: ")


def blocks(document: Document) -> list[tuple[str, tuple[str, ...], str]]:
    return [
        (block.kind, block.heading, page.text[block.start : block.end])
        for page in document.pages
        for block in page.blocks
    ]


# Markdown


def test_markdown(tmp_path: Path) -> None:
    text = """---
title: "Fees, in front"
---
# Fees

Two *kinds*.
Second line.

## Table of `AMC`

| Fund | A |
|---|---|
| CGEF | 0.75% |

## Nothing here

### List
- one
- two

<!-- not for readers -->

---
"""
    document = read(tmp_path, "fees.md", text)
    assert document.title == "Fees, in front"
    assert document.sha256 == hashlib.sha256(text.encode()).hexdigest()
    shown = text.split("---\n", 2)[2].replace("<!-- not for readers -->", "")
    assert document.pages[0].text == shown
    assert document.warnings == ("not read: 3 words of comments",)
    assert blocks(document) == [
        ("text", ("Fees",), "Two *kinds*.\nSecond line."),
        ("table", ("Fees", "Table of AMC"), "| Fund | A |\n|---|---|\n| CGEF | 0.75% |"),
        ("text", ("Fees", "Nothing here", "List"), "- one\n- two"),
    ]


def test_markdown_title_is_the_first_h1_else_the_name(tmp_path: Path) -> None:
    assert read(tmp_path, "a.md", "text\n\n# **Bold** [link](x)\n\nmore").title == "Bold link"
    assert read(tmp_path, "fund_guide.md", "text").title == "fund guide"


def test_markdown_rules_at_the_top_are_no_front_matter(tmp_path: Path) -> None:
    assert blocks(read(tmp_path, "a.md", "---\nA paragraph.\n\n---\nB"))[0][2].startswith(
        "A paragraph."
    )


# Plain text and encodings


def test_plain(tmp_path: Path) -> None:
    document = read(tmp_path, "note.txt", "A note\n\nOne.\r\nTwo.\r\n  \r\n\r\nThree.\n")
    assert document.title == "A note"
    assert document.pages == (
        Page(
            None,
            "A note\n\nOne.\nTwo.\n  \n\nThree.\n",
            (Block("text", 0, 6, ()), Block("text", 8, 17, ()), Block("text", 22, 28, ())),
        ),
    )


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("name", ["a.txt", "a.md", "a.html"])
def test_encodings(tmp_path: Path, encoding: str, name: str) -> None:
    assert blocks(read(tmp_path, name, "Gebühr: 5 €".encode(encoding)))[0][2] == "Gebühr: 5 €"


def test_html_declares_its_encoding(tmp_path: Path) -> None:
    page = '<meta charset="windows-1251"><p>Комиссия</p>'
    assert blocks(read(tmp_path, "a.html", page.encode("cp1251")))[0][2] == "Комиссия"
    assert blocks(read(tmp_path, "b.html", page.encode()))[0][2] == "Комиссия"
    unknown = '<meta charset="rot13"><p>caf\xe9</p>'
    assert blocks(read(tmp_path, "c.html", unknown.encode("cp1252")))[0][2] == "café"


def test_text_is_clean(tmp_path: Path) -> None:
    assert read(tmp_path, "a.txt", b"a\0b\x0cc\x1b\xef\xbf\xbf\rd").pages[0].text == "ab\nc\nd"


# HTML


def test_html(tmp_path: Path) -> None:
    page = """<html><head><title>Guide | Site</title></head><body><header><p>Site</p></header><nav>Menu</nav>
    <main><header><h1>The <b>G</b>uide</h1></header><p>One<br>two
    <em>th</em>ree.</p>loose text<script>x()</script><!-- no -->
    <h2>Lists</h2><ol><li><p>first</p><ul><li>inner <a>link</a></li></ul></li><li>second</li></ol>
    <h2>Table</h2><table><caption>Rates</caption>
    <tr><th>Fund</th><th colspan=2>Class</th></tr><tr><td rowspan=2>CGEF</td><td>A</td><td>0.75%</td></tr>
    <tr><td>I</td><td>0.55%</td></tr></table>
    <h2>Terms</h2><dl><dt>Box</dt><dd>Units held.</dd><dt>Bid</dt><dt>Offer</dt><dd>Prices.</dd></dl>
    <pre>a
      b</pre></main><aside>Ad</aside><footer>Foot</footer></body></html>"""
    document = read(tmp_path, "guide.html", page)
    top = "The Guide"
    assert document.title == top
    assert blocks(document) == [
        ("text", (top,), "One\ntwo three."),
        ("text", (top,), "loose text"),
        ("text", (top, "Lists"), "1. first\n  - inner link\n2. second"),
        ("text", (top, "Table"), "Rates"),
        ("table", (top, "Table"), "Fund | Class | Class\nCGEF | A | 0.75%\nCGEF | I | 0.55%"),
        ("text", (top, "Terms"), "Box\nUnits held."),
        ("text", (top, "Terms"), "Bid\nOffer\nPrices."),
        ("text", (top, "Terms"), "a\n      b"),
    ]
    assert document.pages[0].text.startswith("The Guide\n\nOne\n")


def test_html_of_many_articles_and_layout_tables(tmp_path: Path) -> None:
    page = "<article>A</article><article>B</article><table><tr><td><h2>H</h2>C</td><td>D</td></tr></table>"
    assert blocks(read(tmp_path, "a.html", page)) == [
        ("text", (), "A"),
        ("text", (), "B"),
        ("text", ("H",), "C"),
        ("text", ("H",), "D"),
    ]


def test_html_nested_without_end(tmp_path: Path) -> None:
    assert blocks(read(tmp_path, "a.html", "<div>" * 200 + "deep"))[0][2] == "deep"
    assert (
        refusal(tmp_path, "b.html", "<p>top</p>" + "<div>" * 5000)
        == "its elements are nested too deeply"
    )


def test_html_without_content(tmp_path: Path) -> None:
    assert refusal(tmp_path, "a.html", "<nav>only a menu</nav>").startswith(
        "has no text (not read: "
    )


# PDF


def test_pdf(tmp_path: Path) -> None:
    first = [
        ("Fee Schedule", 18, "F1"),
        (PROSE, 11, "F1"),
        (PROSE, 11, "F1"),
        ("", 0, ""),
        ("Next.", 11, "F1"),
    ]
    second = [
        ("2. Annual", 14, "F1"),
        ("charges", 14, "F1"),
        (PROSE, 11, "F1"),
        ("Scope", 11, "F2"),
        (PROSE, 11, "F1"),
    ]
    document = read(
        tmp_path, "fees.pdf", pdf(first, second, [(PROSE, 11, "F1")], title="fees-2025")
    )
    top = "Fee Schedule"
    assert document.title == top
    assert [page.number for page in document.pages] == [1, 2, 3]
    assert blocks(document) == [
        ("text", (top,), f"{PROSE}\n{PROSE}"),
        ("text", (top,), "Next."),
        ("text", (top, "2. Annual charges"), PROSE),
        ("text", (top, "2. Annual charges", "Scope"), PROSE),
        ("text", (top, "2. Annual charges", "Scope"), PROSE),
    ]
    assert document.pages[1].text == f"2. Annual\ncharges\n\n{PROSE}\n\nScope\n\n{PROSE}"


@pytest.mark.parametrize(
    "bold", ["Total 2024 1,204 1,377", "a clause going on", "A sentence.", "Fund      A class"]
)
def test_pdf_bold_lines_that_are_no_headings(tmp_path: Path, bold: str) -> None:
    document = read(
        tmp_path, "a.pdf", pdf([(PROSE, 11, "F1"), (bold, 11, "F2"), (PROSE, 11, "F1")])
    )
    assert {heading for _, heading, _ in blocks(document)} == {()}


def test_pdf_running_headers_are_no_headings(tmp_path: Path) -> None:
    pages = [[("Annual Report", 14, "F2"), (PROSE, 11, "F1")]] * 5
    assert {heading for _, heading, _ in blocks(read(tmp_path, "a.pdf", pdf(*pages)))} == {()}


def test_pdf_metadata_title(tmp_path: Path) -> None:
    page = [("First line", 11, "F1")]
    assert (
        read(tmp_path, "a.pdf", pdf(page, title="Annual Report 2024")).title == "Annual Report 2024"
    )
    assert read(tmp_path, "b.pdf", pdf(page, title="Microsoft Word - x")).title == "First line"


def test_pdf_refusals(tmp_path: Path) -> None:
    whole = pdf([("text", 11, "F1")])
    key = "28BF4E5E4E758A4164004E56FFFA01082E2E00B6D0683E802F0CA9FE6453697A"
    lock = f"/Encrypt<</Filter/Standard/V 1/R 2/P -4/O<{key}>/U<{key}>>>/ID[<00><00>]"
    assert refusal(tmp_path, "a.pdf", pdf([("text", 11, "F1")], trailer=lock)).startswith(
        "is encrypted"
    )
    assert refusal(tmp_path, "b.pdf", pdf([])).startswith("has no text (image only?)")
    assert refusal(tmp_path, "c.pdf", whole[:60]).startswith("is no PDF, or a damaged one")
    assert refusal(tmp_path, "d.pdf", b"hello").startswith("is no PDF, or a damaged one")
    # What a look at the file alone finds, for `build check`; that a page has no text is not among it.
    looked = {
        name: why_unreadable(tmp_path / name, name) or "" for name in ("a.pdf", "c.pdf", "d.pdf")
    }
    assert looked["a.pdf"] == "a.pdf: is encrypted; save it without a password"
    assert looked["c.pdf"].startswith("c.pdf: is no PDF, or a damaged one")
    assert looked["d.pdf"].startswith("d.pdf: is no PDF, or a damaged one")
    assert why_unreadable(tmp_path / "b.pdf", "b.pdf") is None
    assert refusal(tmp_path, "e.pdf", b"") == "is empty"


# Word


def test_docx(tmp_path: Path) -> None:
    import docx

    word = docx.Document()
    word.add_heading("Manual", 0)
    word.add_heading("Purpose", 1)
    word.add_paragraph("Why\tthis.")
    word.add_paragraph("one", style="List Bullet")
    word.add_paragraph("two", style="List Bullet")
    table = word.add_table(2, 2)
    for cell, text in zip(table._cells, ["Fund", "A", "CGEF", "0.75%"], strict=True):
        cell.text = text
    word.add_heading("Detail", 2)
    word.add_paragraph("End.")
    assert blocks(read(tmp_path, "a.docx", saved(word))) == [
        ("text", ("Manual", "Purpose"), "Why\tthis."),
        ("text", ("Manual", "Purpose"), "- one\n- two"),
        ("table", ("Manual", "Purpose"), "Fund | A\nCGEF | 0.75%"),
        ("text", ("Manual", "Purpose", "Detail"), "End."),
    ]
    assert read(tmp_path, "a.docx", saved(word)).title == "Manual"


def test_docx_reads_content_controls_and_insertions_but_no_deletions(tmp_path: Path) -> None:
    import docx
    from docx.oxml import parse_xml

    space = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
    word = docx.Document()
    word.element.body.insert(
        0,
        parse_xml(
            f"<w:sdt {space}><w:sdtContent><w:p><w:r><w:t>kept "
            "</w:t></w:r><w:ins><w:r><w:t>new</w:t></w:r></w:ins>"
            "<w:del><w:r><w:delText>old</w:delText></w:r></w:del></w:p></w:sdtContent></w:sdt>"
        ),
    )
    assert blocks(read(tmp_path, "a.docx", saved(word))) == [("text", (), "kept new")]


def test_docx_refusals(tmp_path: Path) -> None:
    import docx

    assert refusal(tmp_path, "a.docx", b"no zip").startswith("is no Word file")
    assert refusal(tmp_path, "b.docx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1").startswith(
        "is encrypted, or a .doc"
    )
    assert refusal(tmp_path, "c.docx", saved(docx.Document())[:5000]).startswith("is no Word file")
    assert refusal(tmp_path, "d.docx", saved(docx.Document())) == "has no text"
    looked = [why_unreadable(tmp_path / f"{name}.docx", "x.docx") for name in "abcd"]
    assert looked == [
        "x.docx: is no .docx file, or a damaged one",
        "x.docx: is encrypted, or of Office 97 to 2003; save it anew without a password",
        "x.docx: is no .docx file, or a damaged one",
        None,
    ]


def saved(word: object) -> bytes:
    buffer = BytesIO()
    word.save(buffer)  # type: ignore[attr-defined]
    return buffer.getvalue()


# The library


def test_find_documents(tmp_path: Path) -> None:
    library = tmp_path / "library"
    for name in ("b.md", "a/z.TXT", "a/y.md", ".hidden.md", ".git/c.md", "a/picture.png"):
        (library / name).parent.mkdir(parents=True, exist_ok=True)
        (library / name).write_text("text")
    (tmp_path / "outside.md").write_text("text")
    (library / "loop").symlink_to(library)
    (library / "self.md").symlink_to("self.md")
    (library / "out.md").symlink_to(tmp_path / "outside.md")
    (library / "link.md").symlink_to("b.md")

    def names(*include: str) -> list[str]:
        return [path.relative_to(library).as_posix() for path in find_documents(library, include)]

    assert names("**/*") == ["a/y.md", "a/z.TXT", "b.md", "link.md"]
    assert names("*.md") == ["b.md", "link.md"]
    assert names("a/**", "b.*") == ["a/y.md", "a/z.TXT", "b.md"]


def test_read_library(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("text")
    (tmp_path / "b.pdf").write_bytes(b"")
    (tmp_path / "c.txt").write_text("text")
    found = list(read_library(tmp_path, on_error="warn"))
    assert [entry.path for entry in found] == ["a.md", "b.pdf", "c.txt"]
    assert found[1] == Skipped("b.pdf", "b.pdf: is empty")
    with pytest.raises(DocumentError, match=r"^b\.pdf: is empty$"):
        list(read_library(tmp_path, on_error="fail"))


def test_a_library_without_documents(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"x")
    with pytest.raises(DocumentError, match=r"no documents; looked for \.csv, .*\.xlsx"):
        list(read_library(tmp_path, on_error="warn"))
    with pytest.raises(DocumentError, match="no such folder"):
        list(read_library(tmp_path / "gone", on_error="warn"))


def test_import_loads_no_library() -> None:
    code = (
        "import sys, fieldpack_build.documents, fieldpack_build.chunking\n"
        "print([name for name in ('pypdfium2', 'docx', 'pptx', 'openpyxl', 'lxml', "
        "'markdown_it', 'PIL', 'rapidocr',"
        " 'charset_normalizer') if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
