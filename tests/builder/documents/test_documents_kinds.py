"""Values that readers once changed or lost without a word, in formats of every kind: each is read as
its program shows it, or named under "read in part"."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from test_documents import read
from test_documents_formats import open_document, packed
from test_documents_word import word

from fieldpack_build.documents import Document


def text_of(document: Document) -> str:
    return "\n".join(page.text for page in document.pages)


# Office


def workbook(fill: Callable[[Any], None]) -> bytes:
    """Return a workbook of one sheet, which `fill` fills in."""
    import openpyxl

    book = openpyxl.Workbook()
    fill(book.active)
    buffer = BytesIO()
    book.save(buffer)
    return buffer.getvalue()


def test_values_that_their_format_hides_are_named(tmp_path: Path) -> None:
    def fill(sheet: Any) -> None:
        for row in (("Name", "Key"), ("A", 77), ("B", 0), ("C", "word")):
            sheet.append(row)
        for cell, form in (("B2", ";;;"), ("B3", "0;-0;"), ("B4", ";;;")):
            sheet[cell].number_format = form

    data = workbook(fill)
    document = read(tmp_path, "a.xlsx", data)
    assert "77" not in text_of(document) and "word" not in text_of(document)
    assert document.warnings == (
        "not read: 2 hidden values (Sheet); knowledge.hidden: read reads it",
    )


def test_characters_that_xml_has_not_are_those_of_the_cell(tmp_path: Path) -> None:
    def fill(sheet: Any) -> None:
        for row in (("Code", "Left"), ("A_x0042_1", 4), ("B_x005F_x0042_", 5)):
            sheet.append(row)

    text = text_of(read(tmp_path, "a.xlsx", workbook(fill)))
    assert "AB1 | 4" in text and "B_x0042_ | 5" in text


def test_shapes_of_a_slide_that_are_hidden_are_named(tmp_path: Path) -> None:
    import pptx

    show = pptx.Presentation()
    slide = show.slides.add_slide(show.slide_layouts[6])
    group = slide.shapes.add_group_shape()
    for at, shapes in enumerate((slide.shapes, slide.shapes, group.shapes)):
        box = shapes.add_textbox(0, 0, 9, 9)
        box.text_frame.text = f"Gate {at}."
    slide.shapes[1]._element.nvSpPr.cNvPr.set("hidden", "1")
    group._element.nvGrpSpPr.cNvPr.set("hidden", "1")
    buffer = BytesIO()
    show.save(buffer)
    document = read(tmp_path, "a.pptx", buffer.getvalue())
    shown = [at for at in range(3) if f"Gate {at}." in text_of(document)]
    assert len(shown) == 1
    assert document.warnings == ("not read: 2 hidden shapes; knowledge.hidden: read reads it",)


def test_readings_and_chosen_entries_of_word(tmp_path: Path) -> None:
    choice = "".join(f'<w:listEntry w:val="{name}"/>' for name in ("red", "green"))
    field = "<w:r><w:fldChar w:fldCharType='%s'>%s</w:fldChar></w:r>"
    ruby = (
        "<w:r><w:ruby><w:rt><w:r><w:t>とうきょう</w:t></w:r></w:rt>"
        "<w:rubyBase><w:r><w:t>東京</w:t></w:r></w:rubyBase></w:ruby></w:r>"
    )
    lists = (
        f'<w:ffData><w:ddList><w:result w:val="1"/>{choice}</w:ddList></w:ffData>',
        f'<w:ffData><w:ddList><w:default w:val="0"/>{choice}</w:ddList></w:ffData>',
    )
    fields = "".join(field % ("begin", one) + field % ("end", "") for one in lists)
    text = text_of(read(tmp_path, "a.docx", word(tmp_path, f"<w:p>{ruby}{fields}</w:p>")))
    assert text == "東京(とうきょう)greenred"


def test_a_field_within_the_code_of_a_field_shows_nothing(tmp_path: Path) -> None:
    def sign(kind: str) -> str:
        return f'<w:r><w:fldChar w:fldCharType="{kind}"/></w:r>'

    def run(name: str, text: str) -> str:
        return f"<w:r><w:{name}>{text}</w:{name}></w:r>"

    inner = sign("begin") + run("instrText", "MERGEFIELD Sum") + sign("separate") + run("t", "7")
    outer = sign("begin") + run("instrText", "IF ") + inner + sign("end")
    outer += run("instrText", "&gt; 5") + sign("separate") + run("t", "Pay 100") + sign("end")
    unclosed = sign("begin") + run("instrText", "XE")
    paragraphs = (run("t", "Now: ") + outer + run("t", "."), unclosed, run("t", "Next."))
    body = [f"<w:p>{paragraph}</w:p>" for paragraph in paragraphs]
    assert text_of(read(tmp_path, "a.docx", word(tmp_path, *body))) == "Now: Pay 100.\n\nNext."


# OpenDocument

_GONE = (
    '<style:style style:name="gone"><style:text-properties '
    'style:text-line-through-style="solid"/></style:style>'
)


def test_a_struck_paragraph_or_cell_of_opendocument_is_left_out(tmp_path: Path) -> None:
    body = '<text:p text:style-name="gone">Old 45.</text:p><text:p>New 46.</text:p>'
    document = read(tmp_path, "a.odt", open_document("text", body, _GONE))
    assert text_of(document) == "New 46."
    assert document.warnings == ("not read: 2 words of struck-out text",)
    rows = "".join(
        f"<table:table-row><table:table-cell><text:p>{name}</text:p></table:table-cell>"
        f"<table:table-cell{style}><text:p>{value}</text:p></table:table-cell></table:table-row>"
        for name, value, style in (
            ("Name", "Price", ""),
            ("A", "45", ' table:style-name="gone"'),
            ("B", "46", ""),
        )
    )
    sheet = f'<table:table table:name="S">{rows}</table:table>'
    document = read(tmp_path, "a.ods", open_document("spreadsheet", sheet, _GONE))
    assert "45" not in text_of(document) and "B | 46" in text_of(document)
    assert document.warnings == ("not read: 1 word of struck-out text",)


def test_lists_of_opendocument_go_on_where_they_say_so(tmp_path: Path) -> None:
    styles = (
        '<text:list-style style:name="L"><text:list-level-style-number text:level="1" '
        'style:num-format="1" style:num-suffix="."/></text:list-style>'
    )
    attributes = ('xml:id="one"', 'text:continue-numbering="true"', "", 'text:continue-list="one"')
    body = "".join(
        f'<text:list text:style-name="L" {how}><text:list-item><text:p>item {at}</text:p>'
        "</text:list-item></text:list><text:p>Between.</text:p>"
        for at, how in enumerate(attributes)
    )
    text = text_of(read(tmp_path, "a.odt", open_document("text", body, styles)))
    assert [line for line in text.split("\n") if "item" in line] == [
        "1. item 0",
        "2. item 1",
        "1. item 2",
        "3. item 3",
    ]


def test_cells_of_opendocument_over_rows_without_words_and_beside_shapes(tmp_path: Path) -> None:
    cell = "<table:table-cell{}><text:p>{}</text:p></table:table-cell>".format
    row = "<table:table-row>{}{}</table:table-row>".format
    shape = "<draw:custom-shape><text:p>Mind the gap.</text:p></draw:custom-shape>"
    chart = "<draw:frame><draw:object/></draw:frame>"
    sheet = f'<table:table table:name="S"><table:shapes>{shape}{chart}</table:shapes>' + "".join(
        (
            row(cell("", "Place"), cell("", "Left")),
            row(cell(' table:number-rows-spanned="2"', "Hall 3"), cell("", "4")),
            row("<table:covered-table-cell/>", '<table:table-cell office:value="5"/>'),
            "</table:table>",
        )
    )
    document = read(tmp_path, "a.ods", open_document("spreadsheet", sheet))
    assert "Hall 3 | 4\nHall 3 | 5" in text_of(document)
    assert "Mind the gap." in text_of(document)
    assert document.warnings == ("not read: 1 embedded object",)


def test_shapes_and_indexes_of_an_opendocument_text_are_read(tmp_path: Path) -> None:
    body = (
        "<text:p>The gate<draw:custom-shape><text:p>Shape 62</text:p></draw:custom-shape> closes.</text:p>"
        "<text:illustration-index><text:index-body><text:p>Figure 3</text:p></text:index-body>"
        "</text:illustration-index>"
    )
    text = text_of(read(tmp_path, "a.odt", open_document("text", body)))
    assert text == "The gate closes.\n\nShape 62\n\nFigure 3"


# Books, pages, mails


def test_notes_of_a_book_are_read_and_unlisted_chapters_named(tmp_path: Path) -> None:
    chapters = {
        "a": "<p>The valve<a href='#n'>1</a> opens.</p><aside id='n'>At 10 bar.</aside>",
        "b": "<p>Nobody lists this.</p>",
    }
    items = "".join(
        f'<item id="{name}" href="{name}.xhtml" media-type="application/xhtml+xml"/>'
        for name in chapters
    )
    book = (
        '<package xmlns="http://www.idpf.org/2007/opf"><manifest>'
        f'{items}</manifest><spine><itemref idref="a"/></spine></package>'
    )
    container = (
        '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
        '<rootfile full-path="b.opf"/></rootfiles></container>'
    )
    pages = {
        f"{name}.xhtml": f"<html><body>{body}</body></html>" for name, body in chapters.items()
    }
    data = packed(**{"META-INF__container_xml": container, "b.opf": book, **pages})
    document = read(tmp_path, "a.epub", data)
    assert "At 10 bar." in text_of(document)
    assert document.warnings == ("not read: 1 unlisted chapter (b.xhtml)",)


@pytest.mark.parametrize(
    ("page", "shown"),
    [
        ("<p><ruby>東京<rp>(</rp><rt>とう</rt><rp>)</rp></ruby></p>", "東京(とう)"),
        ("<p>1<progress value=70>70%</progress><meter>60%</meter></p>", "1 70% 60%"),
        ("<p>No<select><option selected>4<option selected>5</select>7</p>", "No 4 5 7"),
        ("<p>A<textarea>12</textarea>3</p>", "A 12 3"),
        ('<ol style="list-style-type: upper-alpha" start=3><li>x<li>y</ol>', "C. x\nD. y"),
        ("<style>.r {list-style: lower-roman}</style><ol class=r><li>x</ol>", "i. x"),
        ("<p>5<dialog open>6</dialog>7</p>", "5\n\n6\n\n7"),
        ("<p>a</p><aside role=doc-footnote>Note 8</aside>", "a\n\nNote 8"),
        ("<p>a</p><div style='mso-hide:all'>Preview</div>", "a"),
    ],
)
def test_html_as_a_browser_shows_it(tmp_path: Path, page: str, shown: str) -> None:
    assert text_of(read(tmp_path, "a.html", f"<body>{page}</body>")) == shown


def test_lines_of_a_mail_that_go_on_are_one(tmp_path: Path) -> None:
    head = "Subject: s\nContent-Type: text/plain; format=flowed%s\n\n"
    body = "The price is 1 \n234 euro.\n> The gate \n> closes \nNo quote.\n-- \nEva\n"
    text = text_of(read(tmp_path, "a.eml", head % "" + body))
    assert "The price is 1 234 euro.\n> The gate closes \nNo quote.\n-- \nEva" in text
    text = text_of(read(tmp_path, "b.eml", head % "; delsp=yes" + "A pay \nment is due.\n"))
    assert "A payment is due." in text


# Records and text


def test_names_that_stand_twice_in_json_keep_both_values(tmp_path: Path) -> None:
    text = text_of(read(tmp_path, "a.json", '{"limit": 5, "limit": 7.0, "unit": "bar"}'))
    assert text == "limit: 5, 7.0\nunit: bar"


def test_a_whole_day_of_a_calendar_ends_on_its_day(tmp_path: Path) -> None:
    """RFC 5545: the end is not part of the event."""
    days = "DTSTART;VALUE=DATE:20240430\nDTEND;VALUE=DATE:20240501\n"
    event = f"BEGIN:VCALENDAR\nBEGIN:VEVENT\nSUMMARY:Holiday\n{days}END:VEVENT\n"
    text = text_of(read(tmp_path, "a.ics", event))
    assert "Start: 2024-04-30\nEnd: 2024-04-30" in text


def test_what_terminals_make_of_text_is_gone(tmp_path: Path) -> None:
    manual = "N\bNA\bAM\bME\bE _\bx = 5\x1b[1;31m bar\x1b[0m\n"
    assert text_of(read(tmp_path, "a.txt", manual)).strip() == "NAME x = 5 bar"


@pytest.mark.parametrize(
    ("xml", "shown"),
    [
        ("<a><p>At most 10<sup>3</sup> of H<sub>2</sub>O.</p></a>", "At most 10³ of H2O."),
        ("<a>Pay <b>5</b><c>6</c> or <b>bo</b>ld 7.</a>", "Pay 5 6 or bold 7."),
        ('<!DOCTYPE a [<!ENTITY co "Kiln Ltd">]><a>Of &co; 5.</a>', "Of Kiln Ltd 5."),
    ],
)
def test_xml_with_marks_and_entities(tmp_path: Path, xml: str, shown: str) -> None:
    assert text_of(read(tmp_path, "a.xml", xml)) == shown


def test_entities_of_other_files_are_named_and_not_loaded(tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_text("secret 45")
    entity = f'<!DOCTYPE a [<!ENTITY b SYSTEM "file://{tmp_path}/b.txt">]>'
    document = read(tmp_path, "a.xml", f"{entity}<a><p>See &b; here.</p></a>")
    assert "45" not in text_of(document)
    assert document.warnings == ("not read: 1 external reference (b)",)


def test_boxes_and_texts_in_unicode_of_rtf(tmp_path: Path) -> None:
    field = r"{\field{\*\fldinst FORMCHECKBOX {\*\formfield\fftype1%s}}{\fldrslt }}"
    shape = r"{\shp{\*\shpinst{\sp{\sn pos}{\sv 9}}{\shptxt Mind the gap.\par}}}"
    boxes = zip(
        (r"\ffres1", r"\ffres0", r"\ffres25\ffdefres1"), ("Paid", "Sent", "Seen"), strict=True
    )
    form = " ".join(f"{field % state} {name}" for state, name in boxes)
    twice = r"{\upr{Cena}{\*\ud{Ce\u328?a}}} 7\par}"
    document = read(tmp_path, "a.rtf", rf"{{\rtf1\ansi {shape}Gate 5.\par {form}\par {twice}")
    assert text_of(document) == "Gate 5.\n\nMind the gap.\n\n☒ Paid ☐ Sent ☒ Seen\n\nCeňa 7"
