"""Excel and PowerPoint files made here with their own libraries, and what Office files say of
themselves."""

from __future__ import annotations

import zipfile
from datetime import datetime, time, timedelta
from io import BytesIO
from pathlib import Path

import pytest
from test_documents import blocks, read, refusal

from broken import PROSE, saved, slides, with_part, word, workbook
from fieldpack_build.documents import read_document
from fieldpack_build.documents.office.number_format import shown

# Excel


def test_xlsx(tmp_path: Path) -> None:
    import openpyxl

    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "Budget"
    for cell, value, form in [
        ("A1", "Operating budget", ""),
        ("A2", "in thousands", ""),
        ("B3", "2023", ""),
        ("D3", "2024", ""),
        ("A4", "Region", ""),
        ("B4", "Plan", ""),
        ("C4", "Actual", ""),
        ("D4", "Plan", ""),
        ("E4", "Actual", ""),
        ("A5", "North", ""),
        ("B5", 1200.5, "#,##0.00"),
        ("C5", -100, "#,##0_);(#,##0)"),
        ("D5", 0.125, "0.0%"),
        ("A7", "Total", ""),
        ("B7", 1200.5, "#,##0.00"),
        ("A9", "Staff", ""),
        ("A10", "Name", ""),
        ("B10", "Since", ""),
        ("C10", "Office", ""),
        ("A11", "Ann", ""),
        ("B11", datetime(2024, 1, 31), "dd/mm/yyyy"),
        ("C11", "Graz", ""),
        ("A12", "Bob", ""),
        ("B12", datetime(2023, 5, 1), "mmm-yy"),
    ]:
        sheet[cell] = value
        if form:
            sheet[cell].number_format = form
    for merged in ("A1:E1", "B3:C3", "D3:E3", "C11:C12"):
        sheet.merge_cells(merged)
    book.create_sheet("Nothing")
    document = read(tmp_path, "budget_2024.xlsx", saved(book))
    assert document.title == "budget 2024"
    assert [page.number for page in document.pages] == [1, 2]
    assert blocks(document) == [
        ("text", ("Budget", "Operating budget"), "in thousands"),
        (
            "table",
            ("Budget", "Operating budget"),
            "\n".join(
                [
                    "Region | 2023 Plan | 2023 Actual | 2024 Plan | 2024 Actual",
                    "North | 1,200.50 | (100) | 12.5% |",
                    "Total | 1,200.50 |  |  |",
                ]
            ),
        ),
        (
            "table",
            ("Budget", "Staff"),
            "Name | Since | Office\nAnn | 2024-01-31 | Graz\nBob | May 2023 | Graz",
        ),
    ]


def test_xlsx_says_what_it_leaves_away(tmp_path: Path) -> None:
    import openpyxl

    book = openpyxl.Workbook()
    book.active.append(["a", "b"])
    book.active.append([1, "=A2*2"])
    book.create_sheet("Lists").sheet_state = "hidden"
    document = read(tmp_path, "a.xlsx", saved(book))
    assert document.warnings == (
        "1 formulas have no result in the file: open it in Excel and save it",
        "not read: 1 hidden sheet (Lists); knowledge.hidden: read reads it",
    )


def _stock() -> bytes:
    import openpyxl
    from openpyxl.comments import Comment

    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "Stock"
    for row in (
        ["", "2023", "", "2024", ""],
        ["Item", "Plan", "Cost", "Plan", "Cost"],
        ["Rivets", 400, 1, 410, 2],
        ["Secret item", 5, 9, 6, 10],
        ["Hinges", 32, 7, 33, 8],
    ):
        sheet.append(row)
    sheet.merge_cells("B1:C1")
    sheet.merge_cells("D1:E1")
    sheet["B3"].comment = Comment("Recount is due in May", "Ed")
    sheet.row_dimensions[4].hidden = True
    sheet.column_dimensions["C"].hidden = True
    sheet.column_dimensions["Z"].hidden = True  # nothing stands in it
    book.create_sheet("Old").sheet_state = "veryHidden"
    book["Old"].append(["Ghost", 999])
    return saved(book)


def test_xlsx_leaves_out_what_is_hidden(tmp_path: Path) -> None:
    document = read(tmp_path, "a.xlsx", _stock())
    assert [text for _, _, text in blocks(document)] == [
        "Item | 2023 Plan | 2024 Plan | 2024 Cost\nRivets | 400 | 410 | 2\nHinges | 32 | 33 | 8"
    ]
    read_it = "knowledge.hidden: read reads it"
    assert document.warnings == (
        f"not read: 1 hidden row (Stock); {read_it}",
        f"not read: 1 hidden column (Stock); {read_it}",
        f"not read: 1 comment (Stock); {read_it}",
        f"not read: 1 hidden sheet (Old); {read_it}",
    )


def test_xlsx_reads_what_is_hidden_when_it_is_asked_to(tmp_path: Path) -> None:
    (tmp_path / "a.xlsx").write_bytes(_stock())
    document = read_document(tmp_path / "a.xlsx", "a.xlsx", hidden=True)
    rows = [
        "Item | 2023 Plan | 2023 Cost | 2024 Plan | 2024 Cost",
        "Rivets | 400 | 1 | 410 | 2",
        "Secret item | 5 | 9 | 6 | 10",
        "Hinges | 32 | 7 | 33 | 8",
    ]
    assert [text for _, _, text in blocks(document)] == [
        "\n".join(rows),
        "Comment on B3: Recount is due in May",
        "Ghost | 999",
    ]
    assert document.warnings == ()


def test_xlsx_superscripts_and_struck_cells(tmp_path: Path) -> None:
    import xlsxwriter  # it stores texts once, as Excel does

    buffer = BytesIO()
    with xlsxwriter.Workbook(buffer) as book:
        up, gone = book.add_format({"font_script": 1}), book.add_format({"font_strikeout": True})
        sheet = book.add_worksheet("Stock")
        sheet.write_row(0, 0, ["Item", "Count"])
        sheet.write_rich_string(1, 0, "Rivets", up, "1", " steel ", gone, "old name ")
        sheet.write_rich_string(1, 1, "482", up, "2", " boxes")
        sheet.write(2, 0, "Hinges")
        sheet.write(2, 1, 400, gone)
        sheet.write(2, 2, 32)
    document = read(tmp_path, "a.xlsx", buffer.getvalue())
    assert blocks(document)[0][2] == "Item | Count |\nRivets¹ steel | 482² boxes |\nHinges |  | 32"
    assert document.warnings == ("not read: 3 words of struck-out text (Stock)",)


def test_xlsx_tables_side_by_side_are_two(tmp_path: Path) -> None:
    rows = [
        ["Plan of spring"],
        [],
        ["Vehicle", "Driver", "Km", "", "", "Part", "Left"],
        ["Truck 1", "Olga", 120, "", "", "Wiper", 14],
        ["Truck 2", "Pavel", 95, "", "", "Bulb", 33],
    ]
    assert blocks(read(tmp_path, "a.xlsx", workbook(rows, "Depot"))) == [
        (
            "table",
            ("Depot", "Plan of spring"),
            "Vehicle | Driver | Km\nTruck 1 | Olga | 120\nTruck 2 | Pavel | 95",
        ),
        ("table", ("Depot",), "Part | Left\nWiper | 14\nBulb | 33"),
    ]


def test_xlsx_columns_apart_of_one_table_stay_together(tmp_path: Path) -> None:
    rows = [
        ["Region", "Head", "", "2023", "2024"],
        ["North", "Ann", "", 5, 6],
        ["South", "Bob", "", 7, 8],
    ]
    assert blocks(read(tmp_path, "a.xlsx", workbook(rows)))[0][2] == (
        "Region | Head | 2023 | 2024\nNorth | Ann | 5 | 6\nSouth | Bob | 7 | 8"
    )


def test_xlsx_in_the_names_of_strict_open_xml(tmp_path: Path) -> None:
    buffer = BytesIO()
    with (
        zipfile.ZipFile(BytesIO(workbook([["a", "b"], ["c", "d"]]))) as source,
        zipfile.ZipFile(buffer, "w") as copy,
    ):
        for name in source.namelist():
            part = source.read(name)
            for kind in ("spreadsheetml", "officeDocument"):
                usual = f"http://schemas.openxmlformats.org/{kind}/2006/"
                part = part.replace(usual.encode(), f"http://purl.oclc.org/ooxml/{kind}/".encode())
            copy.writestr(name, part)
    assert blocks(read(tmp_path, "a.xlsx", buffer.getvalue()))[0][2] == "a | b\nc | d"


def test_xlsx_with_a_row_of_a_number_that_no_sheet_has(tmp_path: Path) -> None:
    with zipfile.ZipFile(BytesIO(workbook([["a"], ["b"]]))) as package:
        part = package.read("xl/worksheets/sheet1.xml").replace(b'r="2"', b'r="2000000"')
    data = with_part(workbook([["a"], ["b"]]), "xl/worksheets/sheet1.xml", part)
    assert "more than 1,048,576 rows" in refusal(tmp_path, "a.xlsx", data)


def test_xlsx_that_shows_one_long_text_everywhere(tmp_path: Path) -> None:
    """Half a megabyte of XML that would fill 5 GB."""
    import xlsxwriter  # it stores a text once, as Excel does

    buffer = BytesIO()
    with xlsxwriter.Workbook(buffer) as book:
        sheet = book.add_worksheet()
        for row in range(10_000):
            sheet.write(row, 0, "the text")
    with zipfile.ZipFile(BytesIO(buffer.getvalue())) as package:
        part = package.read("xl/sharedStrings.xml").replace(
            b"<t>the text</t>", b"<t>%s</t>" % (b"a" * 500_000)
        )
    data = with_part(buffer.getvalue(), "xl/sharedStrings.xml", part)
    assert "shows more than 100,000,000 cells and characters" in refusal(tmp_path, "a.xlsx", data)


@pytest.mark.parametrize(
    ("value", "form", "expected"),
    [
        (0.125, "0.0%", "12.5%"),
        (1234.5, "#,##0.00", "1,234.50"),
        (-1234.5, "#,##0.00_);(#,##0.00)", "(1,234.50)"),
        (1234567, '"$"#,##0,,"M"', "$1M"),
        (5, "[$€-407] #,##0.00", "€ 5.00"),
        (0, '#,##0;-#,##0;"-"', "-"),
        (0, '_(* #,##0_);_(* \\(#,##0\\);_(* "-"??_);_(@_)', "-"),
        (1.255, "0.00", "1.26"),
        (123, "00000", "00123"),
        (1, "0.##", "1"),
        (3.0, "General", "3"),
        (1234567890123456, "General", "1234567890123456"),
        (0.1 + 0.2, "General", "0.3"),
        (1234, "0.00E+00", "1234"),
        (-1.5, "$#,##0.00;[Red]-$#,##0.00", "-$1.50"),
        (-3, "0;;", ""),
        (-5, "0;[Red]0", "-5"),  # the colour is not in the text
        (-5, '0" up";0" down"', "5 down"),
        (7.25, "[>=100]0;0.0", "7.3"),
        (-7.25, "[>=100]0;0.0", "-7.3"),
        (2500, '[>=1000000]0.0,,"M";[>=1000]0.0,"k";0', "2.5k"),
        (25, '[>=1000000]0.0,,"M";[>=1000]0.0,"k";0', "25"),
        (5551234567, "(###) ###-####", "(555) 123-4567"),
        (1234567.8, "#'##0.00", "1234'567.80"),
        (12345, "0\\.000", "12.345"),
        (5, "0" * 300, "5"),
        (float("inf"), "0", "inf"),
        (True, "General", "TRUE"),
        ("#N/A", "General", ""),
        (None, "General", ""),
        (time(9, 30), "h:mm", "09:30"),
        (timedelta(hours=30, minutes=5), "[h]:mm", "30:05:00"),
        (datetime(2024, 1, 31, 14, 5), "", "2024-01-31 14:05"),
    ],
)
def test_numbers_as_excel_shows_them(value: float, form: str, expected: str) -> None:
    assert shown(value, form) == expected


# PowerPoint


def test_pptx(tmp_path: Path) -> None:
    import pptx
    from pptx.chart.data import CategoryChartData
    from pptx.enum.chart import XL_CHART_TYPE

    show = pptx.Presentation()
    first = show.slides.add_slide(show.slide_layouts[1])
    first.shapes.title.text = "Quarterly review"
    frame = first.placeholders[1].text_frame
    frame.text = "Revenue is up"
    below = frame.add_paragraph()
    below.text, below.level = "Europe 12%", 1
    first.notes_slide.notes_text_frame.text = "Mention Graz."
    second = show.slides.add_slide(show.slide_layouts[5])
    second.shapes.title.text = "Figures"
    table = second.shapes.add_table(3, 2, 0, 0, 100, 100).table
    for place, text in {
        (0, 0): "Region",
        (0, 1): "Year",
        (1, 0): "North",
        (1, 1): "2023",
        (2, 1): "2024",
    }.items():
        table.cell(*place).text = text
    table.cell(1, 0).merge(table.cell(2, 0))
    data = CategoryChartData()
    data.categories = ["Q1", "Q2"]
    data.add_series("Sales", (1.5, 2))
    second.shapes.add_chart(XL_CHART_TYPE.PIE, 0, 0, 9, 9, data)
    group = second.shapes.add_group_shape()
    group.shapes.add_textbox(0, 0, 9, 9).text_frame.text = "In a group"
    third = show.slides.add_slide(show.slide_layouts[5])
    third.shapes.title.text = "Thank you"
    show.core_properties.title = "PowerPoint Presentation"
    document = read(tmp_path, "a.pptx", saved(show))
    assert document.title == "Quarterly review"
    assert [page.number for page in document.pages] == [1, 2, 3]
    assert blocks(document) == [
        ("text", ("Quarterly review",), "Revenue is up\n- Europe 12%"),
        ("text", ("Quarterly review", "Speaker notes"), "Mention Graz."),
        ("table", ("Figures",), "Region | Year\nNorth | 2023\nNorth | 2024"),
        ("table", ("Figures",), "| Sales\nQ1 | 1.5\nQ2 | 2"),
        ("text", ("Figures",), "In a group"),
        ("text", (), "Thank you"),
    ]


def test_pptx_superscripts_numbers_and_what_it_leaves_out(tmp_path: Path) -> None:
    import pptx
    from lxml import etree

    show = pptx.Presentation()
    first = show.slides.add_slide(show.slide_layouts[1])
    first.shapes.title.text = "Stock"
    frame = first.placeholders[1].text_frame
    paragraph = frame.paragraphs[0]
    for text, shape in (
        ("There are 482", {}),
        ("1", {"baseline": "30000"}),
        (" items", {}),
        ("old", {"strike": "sngStrike"}),
    ):
        run = paragraph.add_run()
        run.text = text
        for name, value in shape.items():
            run._r.get_or_add_rPr().set(name, value)
    for text in ("first", "second"):
        item = frame.add_paragraph()
        item.text = text
        etree.SubElement(
            item._p.get_or_add_pPr(),
            "{http://schemas.openxmlformats.org/drawingml/2006/main}buAutoNum",
            type="alphaLcParenR",
            startAt="3",
        )
    hidden = show.slides.add_slide(show.slide_layouts[1])
    hidden.shapes.title.text = "Secret"
    hidden._element.set("show", "0")
    document = read(tmp_path, "a.pptx", saved(show))
    assert [text for _, _, text in blocks(document)] == [
        "There are 482¹ items\nc) first\nd) second"
    ]
    assert document.warnings == (
        "not read: 1 word of struck-out text",
        "not read: 1 hidden slide (2); knowledge.hidden: read reads it",
    )
    opened = read_document(tmp_path / "a.pptx", "a.pptx", hidden=True)
    assert [page.number for page in opened.pages] == [1, 2] and "Secret" in opened.pages[1].text


# All three


@pytest.mark.parametrize("name", ["a.docx", "a.xlsx", "a.pptx"])
def test_properties(tmp_path: Path, name: str) -> None:
    made = {
        "a.docx": word(PROSE),
        "a.xlsx": workbook([["a", "b"], ["c", "d"]]),
        "a.pptx": slides(PROSE),
    }[name]
    properties = (
        "<cp:coreProperties "
        'xmlns:cp="http://schemas.openxmlformats.org/package/2006/metadata/core-properties" '
        'xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:dcterms="http://purl.org/dc/terms/">'
        "<dc:title>Fees of 2024</dc:title><cp:keywords>fees; funds, fees</cp:keywords>"
        "<dcterms:created>2020-01-01T00:00:00Z</dcterms:created><dcterms:modified>2024-02-29T09:00:00Z</dcterms:modified>"
        "</cp:coreProperties>"
    )
    document = read(tmp_path, name, with_part(made, "docProps/core.xml", properties.encode()))
    assert (document.title, document.date, document.tags) == (
        "Fees of 2024",
        "2024-02-29",
        ("fees", "funds"),
    )
    undated = read(tmp_path, name, with_part(made, "docProps/core.xml", b"<coreProperties/>"))
    assert undated.date is None  # and not today's, which the libraries would put in its place


@pytest.mark.parametrize("name", ["a.docx", "a.pptx"])
def test_the_date_of_a_librarys_template_is_none(tmp_path: Path, name: str) -> None:
    assert read(tmp_path, name, {"a.docx": word(PROSE), "a.pptx": slides(PROSE)}[name]).date is None


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le"])
def test_entities_are_refused_in_any_encoding(tmp_path: Path, encoding: str) -> None:
    part = '<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'.encode(encoding)
    data = with_part(workbook([["a"]]), "xl/sharedStrings.xml", part)
    assert refusal(tmp_path, "a.xlsx", data).startswith("xl/sharedStrings.xml defines XML entities")


def test_xlsx_text_boxes_are_read_and_errors_counted(tmp_path: Path) -> None:
    import xlsxwriter

    buffer = BytesIO()
    with xlsxwriter.Workbook(buffer) as book:
        sheet = book.add_worksheet("Plan")
        sheet.write_row(0, 0, ["Item", "Left"])
        sheet.write_row(1, 0, ["Wiper", 14])
        sheet.write(2, 0, "Bulb")
        sheet.write_formula(2, 1, "=1/0", None, "#DIV/0!")
        sheet.insert_textbox(5, 1, "Order before noon.\nElse tomorrow.")
    document = read(tmp_path, "a.xlsx", buffer.getvalue())
    assert [text for _, _, text in blocks(document)] == [
        "Item | Left\nWiper | 14\nBulb |",
        "Order before noon.\nElse tomorrow.",
    ]
    assert document.warnings == ("not read: 1 error value (Plan)",)
