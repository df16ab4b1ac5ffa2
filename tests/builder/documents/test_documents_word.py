"""Word: numbers as Word shows them, merged cells, notes, equations, and what is left out and
counted."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from docx.oxml import parse_xml
from docx.oxml.ns import nsdecls
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree
from test_documents import blocks, read, saved

from broken import with_part
from fieldpack_build.documents import Document, read_document
from fieldpack_build.documents.office.docx_numbering import (
    FORMATS,
    Numbering,
    letters,
    ordinal,
    roman,
)
from fieldpack_build.documents.office.omml import written

W = nsdecls("w")
_MATH = 'xmlns:m="http://schemas.openxmlformats.org/officeDocument/2006/math"'


def levels(*shapes: tuple[str, str, str]) -> str:
    """(format, text, what else the level says) of each level."""
    return "".join(
        f'<w:lvl w:ilvl="{place}"><w:start w:val="1"/><w:numFmt w:val="{kind}"/>{more}<w:lvlText '
        f'w:val="{text}"/></w:lvl>'
        for place, (kind, text, more) in enumerate(shapes)
    )


def numbering(*lists: str, numbers: str = "") -> str:
    abstract = "".join(
        f'<w:abstractNum w:abstractNumId="{n}">{shape}</w:abstractNum>'
        for n, shape in enumerate(lists)
    )
    plain = "".join(
        f'<w:num w:numId="{n + 1}"><w:abstractNumId w:val="{n}"/></w:num>'
        for n in range(len(lists))
    )
    return f"<w:numbering {W}>{abstract}{plain}{numbers}</w:numbering>"


def paragraph(text: str, *, style: str = "", number: int | None = None, level: int = 0) -> str:
    shape = f'<w:pStyle w:val="{style}"/>' if style else ""
    if number is not None:
        shape += f'<w:numPr><w:ilvl w:val="{level}"/><w:numId w:val="{number}"/></w:numPr>'
    return f"<w:p><w:pPr>{shape}</w:pPr><w:r><w:t>{text}</w:t></w:r></w:p>"


def word(folder: Path, *body: str, numbers: str = "", parts: dict[str, str] | None = None) -> bytes:
    """A document of these elements; `parts`: name of a part -> its XML, related by its name."""
    import docx

    document = docx.Document()
    for element in body:
        top = (
            element.replace(">", f" {nsdecls('w', 'm')}>", 1)
            if "xmlns:w=" not in element.split(">", 1)[0]
            else element
        )
        document.element.body.insert(len(document.element.body) - 1, parse_xml(top))
    data = saved(document)
    if numbers:
        data = with_part(data, "word/numbering.xml", numbers.encode())
    for name, xml in (parts or {}).items():
        data = _with_related_part(data, name, xml)
    return data


def _with_related_part(data: bytes, name: str, xml: str) -> bytes:
    import zipfile
    from io import BytesIO

    with zipfile.ZipFile(BytesIO(data)) as package:
        types = package.read("[Content_Types].xml").decode()
        related = package.read("word/_rels/document.xml.rels").decode()
    kind = name.rstrip("0123456789")
    space = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    media = f"application/vnd.openxmlformats-officedocument.wordprocessingml.{kind}+xml"
    types = types.replace(
        "</Types>", f'<Override PartName="/word/{name}.xml" ContentType="{media}"/></Types>'
    )
    entry = (
        f'<Relationship Id="r{name}" Type="{space}/{kind}" Target="{name}.xml"/></Relationships>'
    )
    data = with_part(data, "[Content_Types].xml", types.encode())
    data = with_part(
        data, "word/_rels/document.xml.rels", related.replace("</Relationships>", entry).encode()
    )
    return with_part(data, f"word/{name}.xml", xml.encode())


def texts(document: Document) -> list[str]:
    return [text for _, _, text in blocks(document)]


# Numbers


def test_a_contract_with_paragraphs_clauses_and_letters(tmp_path: Path) -> None:
    shape = levels(
        ("decimal", "§ %1", '<w:suff w:val="space"/>'),
        ("decimal", "%1.%2", ""),
        ("lowerLetter", "(%3)", ""),
    )
    body = [
        paragraph("Deposit", style="Heading2", number=1),
        paragraph("Three rents.", number=1, level=1),
        paragraph("Returned late.", number=1, level=1),
        paragraph("Pets", style="Heading2", number=1),
        paragraph("Cats.", number=1, level=1),
        paragraph("Dogs with consent:", number=1, level=1),
        paragraph("of the landlord,", number=1, level=2),
        paragraph("of the neighbours.", number=1, level=2),
    ]
    assert blocks(read(tmp_path, "a.docx", word(tmp_path, *body, numbers=numbering(shape)))) == [
        ("text", ("§ 1 Deposit",), "1.1 Three rents.\n1.2 Returned late."),
        (
            "text",
            ("§ 2 Pets",),
            "2.1 Cats.\n2.2 Dogs with consent:\n  (a) of the landlord,\n  (b) of the neighbours.",
        ),
    ]


def count(xml: str, *paragraphs: tuple[int, int], styles: str = "") -> list[str]:
    """The labels of paragraphs (list, level) one after the other."""
    counter = Numbering(
        etree.fromstring(xml), etree.fromstring(f"<w:styles {W}>{styles}</w:styles>")
    )
    found = []
    for number, level in paragraphs:
        label = counter.label(
            etree.fromstring(
                paragraph("x", number=number, level=level).replace("<w:p>", f"<w:p {W}>")
            ),
            "",
        )
        found.append(label.text if label else "")
    return found


@pytest.mark.parametrize(
    ("kind", "shown"),
    [
        ("decimal", "1 2 3"),
        ("decimalZero", "01 02 03"),
        ("upperRoman", "I II III"),
        ("lowerLetter", "a b c"),
        ("ordinal", "1st 2nd 3rd"),
        ("russianLower", "а б в"),
        ("chineseCounting", "一 二 三"),
        ("unheardOf", "1 2 3"),
        ("decimalEnclosedCircle", "① ② ③"),
        ("none", "  "),
    ],
)
def test_formats(kind: str, shown: str) -> None:
    assert count(numbering(levels((kind, "%1", ""))), (1, 0), (1, 0), (1, 0)) == shown.split(" ")


def test_lists_of_one_shape_go_on_and_an_override_starts_anew() -> None:
    shape = levels(("decimal", "%1.", ""), ("decimal", "%1.%2", ""))
    override = '<w:lvlOverride w:ilvl="0"><w:startOverride w:val="1"/></w:lvlOverride>'
    numbers = ((8, ""), (9, override))
    anew = "".join(
        f'<w:num w:numId="{n}"><w:abstractNumId w:val="0"/>{more}</w:num>' for n, more in numbers
    )
    xml = numbering(shape, numbers=anew)
    assert count(xml, (1, 0), (8, 0), (1, 1), (9, 0), (9, 0), (9, 1)) == [
        "1.",
        "2.",
        "2.1",
        "1.",
        "2.",
        "2.1",
    ]


def test_levels_restart_below_a_higher_one_unless_told_otherwise() -> None:
    through = levels(("decimal", "%1.", ""), ("decimal", "%2)", '<w:lvlRestart w:val="0"/>'))
    assert count(numbering(through), (1, 0), (1, 1), (1, 0), (1, 1)) == ["1.", "1)", "2.", "2)"]
    usual = levels(("decimal", "%1.", ""), ("decimal", "%2)", ""))
    assert count(numbering(usual), (1, 1), (1, 0), (1, 1)) == [
        "1)",
        "2.",
        "1)",
    ]  # the first stood in a clause 1


def test_legal_numbers_and_a_list_that_is_not_there() -> None:
    shape = levels(
        ("upperRoman", "%1.", ""), ("decimal", "%1.%2", "<w:isLgl/>"), ("bullet", "o", "")
    )
    assert count(numbering(shape), (1, 0), (1, 1), (1, 2), (7, 0), (0, 0)) == [
        "I.",
        "1.1",
        "-",
        "",
        "",
    ]


def test_numbering_by_style(tmp_path: Path) -> None:
    import docx

    document = docx.Document()
    for style, text in (
        ("List Number", "one"),
        ("List Number", "two"),
        ("List Bullet", "dot"),
        ("List Paragraph", "plain"),
    ):
        document.add_paragraph(text, style=style)
    assert texts(read(tmp_path, "a.docx", saved(document))) == ["1. one\n2. two\n- dot", "plain"]


def test_a_level_that_belongs_to_a_style() -> None:
    shape = levels(
        ("decimal", "%1.", '<w:pStyle w:val="Top"/>'),
        ("decimal", "%1.%2", '<w:pStyle w:val="Sub"/>'),
    )
    style = (
        '<w:style w:styleId="{0}"><w:pPr><w:numPr><w:numId w:val="1"/></w:numPr></w:pPr></w:style>'
    )
    styles = etree.fromstring(
        f"<w:styles {W}>{style.format('Top')}{style.format('Sub')}"
        '<w:style w:styleId="Own"><w:basedOn w:val="Top"/></w:style></w:styles>'
    )
    counter = Numbering(etree.fromstring(numbering(shape)), styles)
    bare = etree.fromstring(f"<w:p {W}/>")
    found = [counter.label(bare, name) for name in ("Top", "Sub", "Sub", "Own", "Sub", "None")]
    assert [label.text if label else None for label in found] == [
        "1.",
        "1.1",
        "1.2",
        "2.",
        "2.1",
        None,
    ]


def test_numbers_in_the_cells_of_a_table(tmp_path: Path) -> None:
    cells = "".join(
        f"<w:tr><w:tc>{paragraph('', number=1)}</w:tc><w:tc>{paragraph(text)}</w:tc></w:tr>"
        for text in ("a", "b")
    )
    cells = cells.replace("<w:r><w:t></w:t></w:r>", '<w:r><w:t xml:space="preserve"> </w:t></w:r>')
    data = word(
        tmp_path, f"<w:tbl>{cells}</w:tbl>", numbers=numbering(levels(("decimal", "%1.", "")))
    )
    assert texts(read(tmp_path, "a.docx", data)) == ["1. | a\n2. | b"]


@given(st.integers(1, 4000))
def test_roman_numerals_can_be_read_back(value: int) -> None:
    worth = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100, "D": 500, "M": 1000}
    figures = [worth[letter] for letter in roman(value)]
    assert value == sum(
        -one if one < after else one for one, after in zip(figures, [*figures[1:], 0], strict=True)
    )
    assert not re.search(r"(.)\1{3}", roman(value % 4000 or 1))


@given(st.integers(1, 500))
def test_letters_and_ordinals(value: int) -> None:
    shown = letters(value)
    assert (
        len(set(shown)) == 1
        and (len(shown) - 1) * 26 + "ABCDEFGHIJKLMNOPQRSTUVWXYZ".index(shown[0]) + 1 == value
    )
    assert ordinal(value)[:-2] == str(value)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=30))
def test_a_clause_is_counted_below_its_parents(places: Sequence[int]) -> None:
    """Against a count by hand: each number is one more than its last sibling's since the last
    higher clause."""
    shape = levels(
        *(("decimal", ".".join(f"%{n + 1}" for n in range(place + 1)), "") for place in range(4))
    )
    now = [0] * 4
    expected = []
    for place in places:
        now = [
            now[n] or 1 if n < place else now[n] + (n == place) if n <= place else 0
            for n in range(4)
        ]
        expected.append(".".join(map(str, now[: place + 1])))
    assert count(numbering(shape), *((1, place) for place in places)) == expected


@given(st.sampled_from(sorted(FORMATS)), st.integers(-5, 100_000))
def test_no_format_fails(kind: str, value: int) -> None:
    counter = Numbering(None, etree.fromstring(f"<w:styles {W}/>"))
    assert counter._formatted(value, kind)


# Tables


def test_merged_cells(tmp_path: Path) -> None:
    import docx

    document = docx.Document()
    table = document.add_table(4, 5)
    rows = [
        ["Ward", "2023", "", "2024", ""],
        ["", "Beds", "Nurses", "Beds", "Nurses"],
        ["Burns", "6", "14", "8", "17"],
        ["", "7", "15", "9", "18"],
    ]
    for row, line in enumerate(rows):
        for column, text in enumerate(line):
            table.cell(row, column).text = text
    for start, end in (((0, 0), (1, 0)), ((0, 1), (0, 2)), ((0, 3), (0, 4)), ((2, 0), (3, 0))):
        table.cell(*start).merge(table.cell(*end))
    assert texts(read(tmp_path, "a.docx", saved(document))) == [
        (
            "Ward | 2023 Beds | 2023 Nurses | 2024 Beds | 2024 Nurses\nBurns | 6 | 14 | 8 | 17\nBurns "
            "| 7 | 15 | 9 | 18"
        )
    ]


# Notes, comments, margins


def run(text: str, shape: str = "") -> str:
    return f'<w:r><w:rPr>{shape}</w:rPr><w:t xml:space="preserve">{text}</w:t></w:r>'


def note(kind: str, text: str) -> str:
    mark = (
        f"<w:{kind} w:id='-1'><w:p/></w:{kind}><w:{kind} "
        f"w:id='2'><w:p><w:r><w:{kind}Ref/></w:r>{run(text)}</w:p></w:{kind}>"
    )
    return f"<w:{kind}s {W}>{mark}</w:{kind}s>"


def test_notes_stand_below_their_paragraph(tmp_path: Path) -> None:
    body = (
        f"<w:p>{run('High water comes late')}<w:r><w:rPr><w:vertAlign w:val='superscript'/></w:rPr>"
        f"<w:footnoteReference w:id='2'/></w:r>{run(' by 40')}<w:r><w:endnoteReference "
        "w:id='2'/></w:r></w:p>"
    )
    parts = {
        "footnotes": note("footnote", " In storms 95."),
        "endnotes": note("endnote", "Measured in 2022."),
    }
    document = read(tmp_path, "a.docx", word(tmp_path, body, paragraph("Next."), parts=parts))
    assert texts(document) == [
        "High water comes late¹ by 40ⁱ",
        "¹ In storms 95.",
        "ⁱ Measured in 2022.",
        "Next.",
    ]


def test_comments_are_named_and_read_when_they_are_asked_for(tmp_path: Path) -> None:
    body = f"<w:p>{run('Agreed.')}<w:r><w:commentReference w:id='0'/></w:r></w:p>"
    comments = (
        f"<w:comments {W}><w:comment w:id='0' "
        f"w:author='Ann'><w:p>{run('Is it?')}</w:p></w:comment></w:comments>"
    )
    (tmp_path / "a.docx").write_bytes(word(tmp_path, body, parts={"comments": comments}))
    closed = read_document(tmp_path / "a.docx", "a.docx")
    assert texts(closed) == ["Agreed."] and closed.warnings == (
        "not read: 1 comment; knowledge.hidden: read reads it",
    )
    opened = read_document(tmp_path / "a.docx", "a.docx", hidden=True)
    assert texts(opened) == ["Agreed.", "Comment by Ann: Is it?"] and opened.warnings == ()


def test_headers_and_footers_are_read_once(tmp_path: Path) -> None:
    import docx

    document = docx.Document()
    document.add_paragraph("Text.")
    for _ in range(2):
        section = document.add_section()
        section.header.is_linked_to_previous = section.footer.is_linked_to_previous = False
        section.header.paragraphs[0].text = "Policy HR-12, valid from May"
        page = section.footer.paragraphs[0]
        page.add_run("Page ")
        page._p.append(
            parse_xml(f'<w:fldSimple {W} w:instr=" PAGE "><w:r><w:t>3</w:t></w:r></w:fldSimple>')
        )
    assert blocks(read(tmp_path, "a.docx", saved(document))) == [
        ("text", (), "Text."),
        ("text", ("Page header",), "Policy HR-12, valid from May"),
    ]


# What a run says


def test_hidden_struck_and_deleted_text(tmp_path: Path) -> None:
    off = '<w:strike w:val="0"/>'
    body = (
        f"<w:p>{run('Salt. ')}{run('Margin is thirty. ', '<w:vanish/>')}{run('old 70 ', '<w:strike/>')}"
        f"{run('twice', '<w:dstrike/>')}{run('new 80', off)}"
        "<w:del><w:r><w:delText>gone words</w:delText></w:r></w:del></w:p>"
    )
    (tmp_path / "a.docx").write_bytes(word(tmp_path, body))
    document = read_document(tmp_path / "a.docx", "a.docx")
    assert texts(document) == ["Salt. new 80"]
    assert document.warnings == (
        "not read: 3 words of hidden text; knowledge.hidden: read reads it",
        "not read: 3 words of struck-out text",
        "not read: 2 words of tracked deletions",
    )
    assert texts(read_document(tmp_path / "a.docx", "a.docx", hidden=True)) == [
        "Salt. Margin is thirty. new 80"
    ]


def test_symbols_boxes_and_text_boxes(tmp_path: Path) -> None:
    box = (
        "<w:r><w:fldChar w:fldCharType='begin'><w:ffData><w:checkBox><w:default "
        "w:val='0'/><w:checked/></w:checkBox>"
        "</w:ffData></w:fldChar></w:r>"
    )
    sign = "<w:r><w:sym w:font='Wingdings' w:char='F0FC'/></w:r>"
    frame = (
        f"<w:r><w:pict><w:txbxContent><w:p>{run('In a box.')}</w:p></w:txbxContent></w:pict></w:r>"
    )
    body = f"<w:p>{box}{run(' ticked ')}{sign}{frame}{run(' end')}</w:p>"
    assert texts(read(tmp_path, "a.docx", word(tmp_path, body))) == ["☒ ticked ✓ end", "In a box."]


@pytest.mark.parametrize(
    ("xml", "expected"),
    [
        (
            "<m:r><m:t>E=m</m:t></m:r><m:sSup><m:e><m:r><m:t>c</m:t></m:r></m:e><m:sup><m:r><m:t>2</m:t></m:r></m:sup></m:sSup>",
            "E=mc²",
        ),
        (
            "<m:f><m:fPr/><m:num><m:r><m:t>a+b</m:t></m:r></m:num><m:den><m:r><m:t>2</m:t></m:r></m:den></m:f>",
            "(a+b)/2",
        ),
        (
            "<m:rad><m:deg><m:r><m:t>3</m:t></m:r></m:deg><m:e><m:r><m:t>x</m:t></m:r></m:e></m:rad>",
            "³√(x)",
        ),
        (
            (
                "<m:nary><m:naryPr><m:chr "
                "m:val='∑'/></m:naryPr><m:sub><m:r><m:t>i=1</m:t></m:r></m:sub><m:sup><m:r>"
                "<m:t>n</m:t></m:r></m:sup><m:e><m:sSub><m:e><m:r><m:t>x</m:t></m:r></m:e><m:sub><m:r><m:t>i</m:t></m:r></m:sub></m:sSub></m:e></m:nary>"
            ),
            "∑[from i=1 to n] x_i",
        ),
        (
            (
                "<m:d><m:dPr><m:begChr m:val='['/><m:endChr "
                "m:val=''/></m:dPr><m:e><m:r><m:t>x</m:t></m:r></m:e></m:d>"
            ),
            "[x",
        ),
        (
            "<m:m><m:mr><m:e><m:r><m:t>1</m:t></m:r></m:e><m:e><m:r><m:t>2</m:t></m:r></m:e></m:mr></m:m>",
            "[1, 2]",
        ),
    ],
)
def test_equations(xml: str, expected: str) -> None:
    assert written(etree.fromstring(f"<m:oMath {_MATH}>{xml}</m:oMath>")) == expected


def test_an_equation_stands_in_its_sentence(tmp_path: Path) -> None:
    body: Any = (
        f"<w:p>{run('Energy is ')}<m:oMath><m:r><m:t>m</m:t></m:r><m:sSup><m:e><m:r><m:t>c</m:t></m:r></m:e>"
        f"<m:sup><m:r><m:t>2</m:t></m:r></m:sup></m:sSup></m:oMath>{run('.')}</w:p>"
    )
    assert texts(read(tmp_path, "a.docx", word(tmp_path, body))) == ["Energy is mc²."]


@pytest.mark.parametrize("name", ["a.docm", "a.dotx"])
def test_documents_with_macros_and_templates(tmp_path: Path, name: str) -> None:
    import zipfile
    from io import BytesIO

    usual = b"vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"
    template = usual.replace(b"document.main", b"template.main")
    other = {"a.docm": b"vnd.ms-word.document.macroEnabled.main+xml", "a.dotx": template}
    data = word(tmp_path, paragraph("The notice period is six weeks."))
    with zipfile.ZipFile(BytesIO(data)) as package:
        types = package.read("[Content_Types].xml")
    assert usual in types
    data = with_part(data, "[Content_Types].xml", types.replace(usual, other[name]))
    assert texts(read(tmp_path, name, data)) == ["The notice period is six weeks."]


def test_text_raised_by_hand(tmp_path: Path) -> None:
    small = '<w:position w:val="{0}"/><w:sz w:val="14"/>'
    body = f"<w:p>{run('482')}{run('1', small.format(8))}{run(' lamps, 10')}{run('2', small.format(-6))}"
    body += f"{run(' and 7', small.format(2))}</w:p>"
    document = read(tmp_path, "a.docx", word(tmp_path, body))
    assert texts(document) == ["482¹ lamps, 10₂ and 7"]


def test_hints_that_nobody_filled_in_and_embedded_documents(tmp_path: Path) -> None:
    hint = f"<w:sdt><w:sdtPr><w:showingPlcHdr/></w:sdtPr><w:sdtContent>{run('Click here.')}</w:sdtContent></w:sdt>"
    filled = f"<w:sdt><w:sdtPr/><w:sdtContent>{run('Berth 28')}</w:sdtContent></w:sdt>"
    body = (f"<w:p>{run('Berth: ')}{hint}{filled}</w:p>", "<w:altChunk></w:altChunk>")
    document = read(tmp_path, "a.docx", word(tmp_path, *body))
    assert texts(document) == ["Berth: Berth 28"]
    assert document.warnings == ("not read: 1 embedded document",)


def test_a_note_that_is_referred_to_again_is_said_once(tmp_path: Path) -> None:
    mark = "<w:r><w:footnoteReference w:id='2'/></w:r>"
    body = f"<w:p>{run('High')}{mark}{run(' and late')}{mark}</w:p>"
    inside = note("footnote", " In storms.").replace(
        "<w:footnoteRef/>", "<w:footnoteReference w:id='2'/>"
    )
    data = word(tmp_path, body, parts={"footnotes": inside})
    assert texts(read(tmp_path, "a.docx", data)) == ["High¹ and late¹", "¹ ¹ In storms."]
