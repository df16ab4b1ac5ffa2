"""OpenDocument, RTF, EPUB, notebooks, JSON and XML: made here as the formats define them."""

from __future__ import annotations

import json
import zipfile
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_documents import blocks, read, refusal

from fieldpack_build.documents import read_document, readers
from fieldpack_build.errors import DocumentError

_SPACES = " ".join(
    f'xmlns:{short}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"'
    for short, name in {
        "office": "office",
        "text": "text",
        "table": "table",
        "style": "style",
        "draw": "drawing",
        "presentation": "presentation",
    }.items()
)


def packed(**parts: str) -> bytes:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as package:
        for name, text in parts.items():
            package.writestr(name.replace("__", "/").replace("_xml", ".xml"), text)
    return buffer.getvalue()


def open_document(kind: str, body: str, styles: str = "") -> bytes:
    content = (
        "<office:document-content "
        f"{_SPACES}><office:automatic-styles>{styles}</office:automatic-styles>"
        f"<office:body><office:{kind}>{body}</office:{kind}></office:body></office:document-content>"
    )
    return packed(content_xml=content)


_ODT_STYLES = """<style:style style:name="up"><style:text-properties style:text-position="super 58%"/></style:style>
<style:style style:name="gone"><style:text-properties style:text-line-through-style="solid"/></style:style>
<style:style style:name="hid"><style:text-properties text:display="none"/></style:style>
<text:list-style style:name="L">
<text:list-level-style-number text:level="1" style:num-format="1" style:num-suffix="."/>
<text:list-level-style-number text:level="2" style:num-format="a" style:num-suffix=")"/></text:list-style>
<text:outline-style><text:outline-level-style text:level="1" style:num-prefix="§ " style:num-format="1"/>
</text:outline-style>"""


def test_odt(tmp_path: Path) -> None:
    body = """<text:tracked-changes><text:changed-region><text:deletion><text:p>gone for ever</text:p></text:deletion>
    </text:changed-region></text:tracked-changes><text:h text:outline-level="1">Deposit</text:h>
    <text:p>There are 482<text:span text:style-name="up">1</text:span><text:s text:c="2"/>items<text:note>
    <text:note-citation>1</text:note-citation><text:note-body><text:p>In May.</text:p></text:note-body></text:note>,
    <text:span text:style-name="gone">old</text:span><text:span text:style-name="hid">secret margin</text:span>new.</text:p>
    <text:list text:style-name="L"><text:list-item><text:p>one</text:p><text:list><text:list-item><text:p>in</text:p>
    </text:list-item></text:list></text:list-item><text:list-item><text:p>two</text:p></text:list-item></text:list>
    <table:table><table:table-row><table:table-cell table:number-rows-spanned="2"><text:p>Bridge</text:p></table:table-cell>
    <table:table-cell><text:p>Ada</text:p></table:table-cell></table:table-row><table:table-row><table:covered-table-cell/>
    <table:table-cell><text:p>Ben</text:p></table:table-cell></table:table-row></table:table>
    <text:p>A<draw:frame><draw:image/></draw:frame><office:annotation><text:p>Is it?</text:p></office:annotation>.</text:p>"""
    (tmp_path / "a.odt").write_bytes(open_document("text", body, _ODT_STYLES))
    document = read_document(tmp_path / "a.odt", "a.odt")
    top = ("§ 1 Deposit",)
    squeezed = [
        (kind, heading, " ".join(text.split(" "))) for kind, heading, text in blocks(document)
    ]
    assert [entry[1] for entry in squeezed] == [top] * 5
    texts = [
        " ".join(text.split()) if kind == "text" and "482" in text else text
        for kind, _, text in squeezed
    ]
    assert texts == [
        "There are 482¹ items¹, new.",
        "¹ In May.",
        "1. one\n  a) in\n2. two",
        "Bridge | Ada\nBridge | Ben",
        "A.",
    ]
    read_it = "; knowledge.hidden: read reads it"
    assert set(document.warnings) == {
        "not read: 3 words of tracked deletions",
        "not read: 1 word of struck-out text",
        "not read: 1 picture",
        f"not read: 2 words of hidden text{read_it}",
        f"not read: 1 comment{read_it}",
    }
    opened = read_document(tmp_path / "a.odt", "a.odt", hidden=True)
    assert "secret margin" in opened.pages[0].text and "Comment: Is it?" in opened.pages[0].text


def test_ods(tmp_path: Path) -> None:
    def row(*cells: str, more: str = "") -> str:
        inner = "".join(
            f"<table:table-cell><text:p>{cell}</text:p></table:table-cell>" for cell in cells
        )
        return f"<table:table-row {more}>{inner}</table:table-row>"

    hidden = (
        '<style:style style:name="h"><style:table-properties table:display="false"/></style:style>'
    )
    collapsed = 'table:visibility="collapse"'
    empty = "<table:table-cell table:number-columns-repeated='16384'/>"
    sheet = (
        "<table:table table:name='Stock'><table:table-column/><table:table-column "
        f"{collapsed}/><table:table-column/>"
        f"{row('Item', 'Cost', 'Count')}{row('Rivets', '1', '400')}{row('Ghost', '9', '5', more=collapsed)}"
        "<table:table-row "
        f"table:number-rows-repeated='1048000'>{empty}</table:table-row></table:table>"
        f"<table:table table:name='Old' table:style-name='h'>{row('a', 'b')}</table:table>"
    )
    document = read(tmp_path, "a.ods", open_document("spreadsheet", sheet, hidden))
    assert blocks(document) == [("table", ("Stock",), "Item | Count\nRivets | 400")]
    read_it = "; knowledge.hidden: read reads it"
    assert document.warnings == (
        f"not read: 1 hidden column (Stock){read_it}",
        f"not read: 1 hidden row (Stock){read_it}",
        f"not read: 1 hidden sheet (Old){read_it}",
    )


def test_odp(tmp_path: Path) -> None:
    def slide(title: str, text: str, more: str = "") -> str:
        frame = "<draw:frame presentation:class='{}'><draw:text-box><text:p>{}</text:p></draw:text-box></draw:frame>"
        return f"<draw:page {more}>{frame.format('outline', text)}{frame.format('title', title)}</draw:page>"

    hidden = (
        '<style:style style:name="h"><style:drawing-page-properties '
        'presentation:visibility="hidden"/></style:style>'
    )
    data = open_document(
        "presentation",
        slide("Launch", "In October.") + slide("Secret", "x", "draw:style-name='h'"),
        hidden,
    )
    document = read(tmp_path, "a.odp", data)
    assert document.title == "Launch" and blocks(document) == [("text", ("Launch",), "In October.")]
    assert document.warnings == ("not read: 1 hidden slide (2); knowledge.hidden: read reads it",)


_ELEMENTS = [
    "<text:note/>",
    "<text:ruby/>",
    "<draw:frame/>",
    "<office:annotation/>",
    "<text:s text:c='x'/>",
    "<text:span>a</text:span>",
    (
        "<table:table><table:table-row><table:table-cell "
        "table:number-rows-spanned='9'/></table:table-row></table:table>"
    ),
    "<text:list><text:list-item/></text:list>",
    "<text:h text:outline-level='77'>h</text:h>",
    "<text:p>p</text:p>",
    "<draw:page presentation:class='title'/>",
    "<text:tracked-changes/>",
]


@given(
    st.lists(st.sampled_from(_ELEMENTS), max_size=6),
    st.sampled_from(["text", "spreadsheet", "presentation", "drawing"]),
)
def test_any_open_document_is_read_or_refused(elements: list[str], kind: str) -> None:
    inner = "".join(elements)
    readers.read(
        open_document(kind, f"{inner}<text:p>{inner}</text:p><table:table>{inner}</table:table>"),
        "a.odt",
    )


def test_open_document_refusals(tmp_path: Path) -> None:
    assert refusal(tmp_path, "a.odt", b"no zip").startswith("is no OpenDocument file")
    assert refusal(tmp_path, "b.odt", packed(content_xml="<a")).startswith(
        "is a damaged OpenDocument file"
    )
    locked = packed(META_INF__manifest_xml="", content_xml="x")
    with zipfile.ZipFile(BytesIO(locked)) as package:
        assert package.namelist()[0] == "META_INF/manifest.xml"
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as package:
        package.writestr("META-INF/manifest.xml", "<manifest:encryption-data/>")
    assert (
        refusal(tmp_path, "c.odt", buffer.getvalue()) == "is encrypted; save it without a password"
    )


# RTF

_RTF = r"""{\rtf1\ansi\ansicpg1252\deff0{\fonttbl{\f0 Arial;}{\f1\fcharset204 Arial Cyr;}}
{\stylesheet{\s0 Normal;}{\s1 heading 1;}}{\info{\title Rules of the house}{\creatim\yr2024\mo1\dy31}}
{\header Policy HR-12, valid from May\par}
\pard\s1 Items\par\pard There are 482{\super 1} items{\super\chftn}{\footnote{\super\chftn} In May.}, {\v hidden margin}
{\strike old }{\deleted gone }new 5 \'80 and \u8364? and {\f1 \'ce\'ef}.\par
{\listtext 1.\tab}first\par{\listtext 2.\tab}second\par
\trowd\clvmgf\cellx100\cellx200\pard\intbl Bridge\cell Ada\cell\row
\trowd\clvmrg\cellx100\cellx200\pard\intbl \cell Ben\cell\row
\pard End.{\pict 0102}{\*\annotation why}\par}"""


def test_rtf(tmp_path: Path) -> None:
    document = read(tmp_path, "a.rtf", _RTF)
    assert (document.title, document.date) == ("Rules of the house", "2024-01-31")
    assert blocks(document) == [
        ("text", ("Items",), "There are 482¹ items¹, new 5 € and € and Оп."),
        ("text", ("Items",), "¹ In May."),
        ("text", ("Items",), "1. first\n2. second"),
        ("table", ("Items",), "Bridge | Ada\nBridge | Ben"),
        ("text", ("Items",), "End."),
        ("text", ("Page header",), "Policy HR-12, valid from May"),
    ]
    read_it = "; knowledge.hidden: read reads it"
    assert document.warnings == (
        f"not read: 2 words of hidden text{read_it}",
        "not read: 1 word of struck-out text",
        "not read: 1 word of tracked deletions",
        "not read: 1 picture",
        f"not read: 1 comment{read_it}",
    )
    assert refusal(tmp_path, "b.rtf", "hello").startswith("is no RTF")
    halves = r"{\rtf1 {\pntext 7.\tab}Smile \u-10179?\u-8704?!\par}"
    assert blocks(read(tmp_path, "c.rtf", halves))[0][2] == "7. Smile 😀!"


@given(
    st.text(st.sampled_from(list("\\{}abu1'*; \n")) | st.characters(codec="latin-1"), max_size=60)
)
@settings(max_examples=300)
def test_any_rtf_is_read_or_refused(text: str) -> None:
    try:
        readers.read(b"{\\rtf1 " + text.encode("latin-1"), "a.rtf")
    except DocumentError as error:
        assert str(error).startswith("a.rtf: ")


# Books, notebooks, data


def book(chapter: str, encryption: str = "") -> bytes:
    opf = """<package xmlns="http://www.idpf.org/2007/opf"><metadata xmlns:dc="http://purl.org/dc/elements/1.1/">
    <dc:title>The kiln</dc:title><dc:date>2024-01-31</dc:date></metadata><manifest>
    <item id="b" href="two.xhtml" media-type="application/xhtml+xml"/><item id="a" href="one.xhtml"
    media-type="application/xhtml+xml"/><item id="p" href="p.png" media-type="image/png"/></manifest>
    <spine><itemref idref="a"/><itemref idref="b"/><itemref idref="a"/><itemref idref="gone"/></spine></package>"""
    parts = {
        "META-INF/container.xml": (
            '<container><rootfiles><rootfile full-path="in/book.opf"/></rootfiles></container>'
        ),
        "in/book.opf": opf,
        "in/one.xhtml": chapter,
        "in/two.xhtml": "<h1>Two</h1><p>Cool it.</p>",
    }
    if encryption:
        parts["META-INF/encryption.xml"] = f'<e><EncryptionMethod Algorithm="{encryption}"/></e>'
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as package:
        for name, text in parts.items():
            package.writestr(name, text)
    return buffer.getvalue()


def test_epub(tmp_path: Path) -> None:
    document = read(
        tmp_path,
        "a.epub",
        book("<h1>One</h1><p>Fire it to 4<sup>1</sup> degrees.</p><p><del>old</del></p>"),
    )
    assert (document.title, document.date) == ("The kiln", "2024-01-31")
    assert [page.number for page in document.pages] == [1, 2]
    assert blocks(document) == [
        ("text", ("One",), "Fire it to 4¹ degrees."),
        ("text", ("Two",), "Cool it."),
    ]
    assert document.warnings == (
        "one.xhtml: not read: 1 word of struck-out text",
        "1 chapter that the book names is not in it",
        "not read: 1 picture",
    )
    assert "protected" in refusal(
        tmp_path, "b.epub", book("x", "http://www.w3.org/2001/04/xmlenc#aes128-cbc")
    )
    assert refusal(tmp_path, "c.epub", b"no zip").startswith("is no EPUB book")


def test_notebook(tmp_path: Path) -> None:
    cells = [
        {"cell_type": "markdown", "source": ["# Kiln\n", "\n", "Fire it."]},
        {
            "cell_type": "code",
            "source": "print(7)",
            "outputs": [
                {"output_type": "stream", "text": ["7\n"]},
                {"data": {"image/png": "aaaa", "text/plain": "<Figure>"}},
            ],
        },
    ]
    notebook = {"cells": cells, "metadata": {"kernelspec": {"language": "python"}}, "nbformat": 4}
    document = read(tmp_path, "a.ipynb", json.dumps(notebook))
    assert document.title == "Kiln"
    assert [text for _, _, text in blocks(document)] == [
        "Fire it.",
        "```python\nprint(7)\n```",
        "```\n7\n```",
    ]
    assert document.warnings == ("not read: 1 picture",)
    assert refusal(tmp_path, "b.ipynb", "[]").startswith("is no Jupyter notebook")


def test_json(tmp_path: Path) -> None:
    value = {
        "title": "Stock",
        "depot": "Graz",
        "parts": [{"title": "Wiper", "left": 14}, {"name": "Bulb", "left": 33}],
    }
    assert blocks(read(tmp_path, "a.json", json.dumps(value))) == [
        ("text", ("Stock",), "depot: Graz"),
        ("text", ("parts", "Wiper"), "left: 14"),
        ("text", ("parts",), "name: Bulb\nleft: 33"),
    ]
    assert blocks(read(tmp_path, "b.json", '[{"a": 1}, {"a": 2}]')) == [
        ("text", (), "a: 1"),
        ("text", (), "a: 2"),
    ]
    assert refusal(tmp_path, "c.json", "{").startswith("is no JSON")


def test_xml(tmp_path: Path) -> None:
    page = """<manual><title>Kiln</title><section id="s1"><title>Firing</title>
    <para>Fire the <b>kiln</b> to 1,060 degrees.</para><limit unit="hours">9</limit>
    <part><code>BX-1</code><left>14</left></part></section></manual>"""
    document = read(tmp_path, "a.xml", page)
    assert document.title == "Kiln"
    texts = [text for _, _, text in blocks(document)]
    assert "Fire the kiln to 1,060 degrees." in texts and "limit: 9\nlimit.unit: hours" in texts
    assert "code: BX-1\nleft: 14" in texts
    assert refusal(tmp_path, "b.xml", "<a>").startswith("is no XML")
    tenfold = "".join(
        f'<!ENTITY {after} "{f"&{before};" * 10}">'
        for before, after in zip("bcdefghi", "cdefghij", strict=True)
    )
    bomb = f'<!DOCTYPE a [<!ENTITY b "bbbbbbbbbb">{tenfold}]><a>&j;</a>'
    assert "amplification" in refusal(tmp_path, "c.xml", bomb)


@pytest.mark.parametrize(
    "name", ["a.odt", "a.epub", "a.rtf", "a.ipynb", "a.json", "a.xml", "a.ics", "a.mbox"]
)
def test_noise_of_every_new_format_is_refused(tmp_path: Path, name: str) -> None:
    refusal(tmp_path, name, bytes(range(256)) * 8)


def test_figures_of_json_stay_as_they_are_written(tmp_path: Path) -> None:
    value = '{"title": 12, "min": 4.10, "max": 1e3, "part": 12345678901234567890123, "tolerance": [0.100, -0.10]}'
    lines = "title: 12\nmin: 4.10\nmax: 1e3\npart: 12345678901234567890123\ntolerance: 0.100, -0.10"
    for name in ("a.json", "a.jsonl"):
        assert blocks(read(tmp_path, name, value)) == [("text", (), lines)]


def test_xml_beyond_the_limits_of_its_parser(tmp_path: Path) -> None:
    deep = "<a>" * 300 + "x" + "</a>" * 300
    assert "nested too deeply" in refusal(tmp_path, "a.xml", deep)
    assert "more than 10 MB" in refusal(tmp_path, "b.xml", f"<a>{'word ' * 2_200_000}</a>")
