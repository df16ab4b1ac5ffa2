"""The PDF reader on files written here, character by character: tables, columns, turned pages,
images, broken bytes."""

from __future__ import annotations

import random
import re
import subprocess
import sys
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from fieldpack_build.documents import pdf
from fieldpack_build.documents.pages import Content
from fieldpack_build.errors import DocumentError
from pdf_file import pdf_file

PROSE = (
    "The charge accrues on each valuation day and is paid to the firm at the end of every month."
)
_WIDTHS = {
    ",": 0.278,
    ".": 0.278,
    " ": 0.278,
    "(": 0.333,
    ")": 0.333,
}  # Helvetica, of the size; digits and "$" 0.556


class Text(NamedTuple):
    x: float
    y: float
    text: str
    size: float = 10
    font: str = "F1"  # F2 is bold


class Page(NamedTuple):
    texts: Sequence[Text] = ()
    extra: str = ""  # more of the page's content stream
    matrix: str = ""  # of each text, "%s %s" for its place
    keys: str = ""  # of the page's dictionary


def write_pdf(*pages: Page, info: str = "", catalog: str = "", more: Sequence[str] = ()) -> bytes:
    """`catalog`: more of the document's dictionary; `more`: objects whose numbers begin at 7 + 2 *
    the pages."""
    kids = " ".join(f"{6 + 2 * i} 0 R" for i in range(len(pages)))
    image = zlib.compress(bytes(64))
    objects = [
        f"<</Type/Catalog/Pages 2 0 R{catalog}>>".encode(),
        f"<</Type/Pages/Count {len(pages)}/Kids[{kids}]>>".encode(),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>",
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica-Bold/Encoding/WinAnsiEncoding>>",
        f"<<{info}>>".encode(),
    ]
    for i, page in enumerate(pages):
        resources = f"<</Font<</F1 3 0 R/F2 4 0 R>>/XObject<</Im {6 + 2 * len(pages)} 0 R>>>>"
        keys = f"/MediaBox[0 0 595 842]{page.keys}/Resources{resources}/Contents {7 + 2 * i} 0 R"
        objects.append(f"<</Type/Page/Parent 2 0 R{keys}>>".encode())
        content = "".join(_drawn(text, page.matrix) for text in page.texts) + page.extra
        stream = content.encode("cp1252")
        objects.append(b"<</Length %d>>stream\n%b\nendstream" % (len(stream), stream))
    size = "/Width 8/Height 8/BitsPerComponent 8/ColorSpace/DeviceGray/Filter/FlateDecode"
    objects.append(
        f"<</Type/XObject/Subtype/Image{size}/Length {len(image)}>>stream\n".encode()
        + image
        + b"\nendstream"
    )
    objects += [body.encode("latin-1") for body in more]
    return pdf_file(*objects, trailer=b"/Info 5 0 R")


def _drawn(text: Text, matrix: str) -> str:
    words = text.text.replace("\\", "\\\\").replace("(", "\\(").replace(")", "\\)")
    place = (matrix or "1 0 0 1 %s %s") % (text.x, text.y)
    return f"BT /{text.font} {text.size} Tf {place} Tm ({words}) Tj ET\n"


def right(x: float, y: float, text: str, size: float = 10) -> Text:
    """Text whose last digit ends at x: a bracket after it stands out to the right, as in
    statements."""
    width = sum(_WIDTHS.get(char, 0.556) for char in text.rstrip(")")) * size
    return Text(x - width, y, text, size)


def read(*pages: Page, info: str = "") -> Content:
    return pdf.read(write_pdf(*pages, info=info), "a.pdf", expendable=True)


def blocks(content: Content) -> list[tuple[str, tuple[str, ...], str]]:
    return [
        (block.kind, block.heading, page.text[block.start : block.end])
        for page in content.pages
        for block in page.blocks
    ]


STATEMENT = [
    Text(200, 760, "Consolidated Statement of Income", 10, "F2"),
    Text(50, 740, "(Millions, except per share amounts)", 8),
    *(Text(x, 740, year, 8, "F2") for x, year in ((365, "2022"), (455, "2021"), (545, "2020"))),
    Text(50, 720, "Net sales"),
    *(Text(x, 720, "$") for x in (330, 420, 510)),
    *(right(x, 720, figure) for x, figure in ((390, "34,229"), (480, "35,355"), (570, "32,184"))),
    Text(50, 706, "Operating expenses:"),
    Text(60, 692, "Cost of sales"),
    *(right(x, 692, figure) for x, figure in ((390, "19,232"), (480, "18,795"), (570, "16,605"))),
    Text(60, 678, "Gain on divestitures and other income"),
    Text(60, 666, "from businesses sold"),
    *(right(x, 666, figure) for x, figure in ((390, "(2,724)"), (480, "\u2014"), (570, "(389)"))),
    Text(50, 652, "Margin"),
    *(right(x, 652, figure) for x, figure in ((390, "19.1"), (480, "20.8"))),
    *(Text(x, 652, "%") for x in (396, 486)),
    Text(50, 620, PROSE),
    Text(50, 608, PROSE),
]
STATEMENT_ROWS = """\
(Millions, except per share amounts) | 2022 | 2021 | 2020
Net sales | $34,229 | $35,355 | $32,184
Operating expenses:
Cost of sales | 19,232 | 18,795 | 16,605
Gain on divestitures and other income from businesses sold | (2,724) | \u2014 | (389)
Margin | 19.1% | 20.8%"""


def test_statement() -> None:
    title = ("Consolidated Statement of Income",)
    assert blocks(read(Page(STATEMENT))) == [
        ("table", title, STATEMENT_ROWS),
        ("text", title, f"{PROSE}\n{PROSE}"),
    ]


def test_a_tables_title_holds_on_its_page_only() -> None:
    assert blocks(read(Page(STATEMENT), Page([Text(50, 700, PROSE)])))[-1] == ("text", (), PROSE)


@pytest.mark.parametrize(
    ("turn", "matrix"), [(90, "0 1 -1 0 %s %s"), (270, "0 -1 1 0 %s %s"), (180, "-1 0 0 -1 %s %s")]
)
def test_turned_pages(turn: int, matrix: str) -> None:
    """As landscape tables are: the text runs up the page, and the page is turned for reading."""
    places = {
        90: lambda x, y: (842 - y, x),
        270: lambda x, y: (y, 842 - x),
        180: lambda x, y: (595 - x, 842 - y),
    }
    texts = [
        text._replace(x=place[0], y=place[1])
        for text in STATEMENT
        for place in [places[turn](text.x, text.y)]
    ]
    assert blocks(read(Page(texts, "", matrix, f"/Rotate {turn}")))[0][2] == STATEMENT_ROWS


def test_heads_of_several_lines_and_over_several_columns() -> None:
    """Written cell by cell, each with all of its lines, as browsers do."""
    texts = [
        Text(50, 760, "Share of the funds", 10, "F2"),
        Text(210, 740, "First half"),
        Text(410, 740, "Second half"),
        Text(50, 716, "(thousands)"),
        Text(190, 728, "Shares"),
        Text(190, 716, "bought"),
        Text(270, 728, "Average"),
        Text(270, 716, "price"),
        Text(390, 728, "Shares"),
        Text(390, 716, "bought"),
        Text(470, 728, "Average"),
        Text(470, 716, "price"),
        Text(50, 700, "Bonds"),
        *(right(x, 700, f) for x, f in ((220, "12"), (300, "$3.10"), (420, "14"), (500, "$3.20"))),
        Text(50, 686, "Equity"),
        *(right(x, 686, f) for x, f in ((220, "7"), (300, "$9.75"), (420, "8"), (500, "$9.80"))),
    ]
    head = (
        "First half Shares bought | First half Average price | Second half Shares bought | Second "
        "half Average price"
    )
    rows = f"(thousands) | {head}\nBonds | 12 | $3.10 | 14 | $3.20\nEquity | 7 | $9.75 | 8 | $9.80"
    assert [text for kind, _, text in blocks(read(Page(texts))) if kind == "table"] == [rows]


def test_rows_of_dots() -> None:
    rows = [("Cash", "876"), ("Goodwill and other things", "5,366"), ("Total assets", "6,242")]
    texts = []
    for i, (label, figure) in enumerate(rows):
        dots = label + "." * (110 - 2 * len(label))
        texts += [
            Text(50, 700 - 14 * i, dots),
            right(500, 700 - 14 * i, figure),
            right(560, 700 - 14 * i, figure),
        ]
    assert blocks(read(Page(texts)))[0][2] == "\n".join(
        f"{label} | {figure} | {figure}" for label, figure in rows
    )


def test_another_head_begins_another_table() -> None:
    def table(y: float, years: tuple[str, str], label: str) -> list[Text]:
        places = (400, 500)
        return [
            *(right(x, y, year) for x, year in zip(places, years, strict=True)),
            *(Text(50, y - 14 * i, f"{label} {i}") for i in (1, 2)),
            *(right(x, y - 14 * i, f"{i},{x}") for i in (1, 2) for x in places),
        ]

    found = blocks(
        read(Page([*table(700, ("2022", "2021"), "Sales"), *table(650, ("2020", "2019"), "Costs")]))
    )
    assert [text for _, _, text in found] == [
        "| 2022 | 2021\nSales 1 | 1,400 | 1,500\nSales 2 | 2,400 | 2,500",
        "| 2020 | 2019\nCosts 1 | 1,400 | 1,500\nCosts 2 | 2,400 | 2,500",
    ]


PROSE_PAGES = {
    "figures in prose": [
        Text(50, 700 - 14 * i, f"Sales rose by {i}% in 202{i}, to $1,{i}00 million, from 1,000")
        for i in range(6)
    ],
    "a numbered list": [
        Text(x, 700 - 14 * i, text)
        for i in range(6)
        for x, text in ((50, f"{i}."), (80, PROSE[: 60 + i]))
    ],
    "names and places": [
        Text(x, 700 - 14 * i, text)
        for i in range(6)
        for x, text in ((50, "Research"), (250, "Plano, Texas"), (450, "Owned"))
    ],
    "labels of a chart": [Text(50 + 60 * i, 700 - 20 * i, str(10 * i)) for i in range(6)],
}


@pytest.mark.parametrize("texts", PROSE_PAGES.values(), ids=PROSE_PAGES)
def test_no_tables(texts: list[Text]) -> None:
    assert {kind for kind, _, _ in blocks(read(Page(texts)))} == {"text"}


LEFT = [f"Left column line {i} has words that go on" for i in range(8)]
RIGHT = [f"Right column line {i} has its own words too" for i in range(8)]


def test_columns_written_across_the_page() -> None:
    head = Text(
        50,
        740,
        "A line over both of the columns that is as wide as the page is, from left to right, all "
        "of it",
    )
    across = [
        Text(x, 700 - 12 * i, side[i], 9)
        for i in range(8)
        for x, side in ((50, LEFT), (320, RIGHT))
    ]
    text = read(Page([head, *across])).pages[0].text
    assert [line for line in text.split("\n") if line] == [head.text, *LEFT, *RIGHT]


def test_a_columns_line_that_begins_with_a_figure() -> None:
    sides = ([*LEFT[:4], "2019 too.", *LEFT[4:]], [*RIGHT, RIGHT[0]])
    across = [
        Text(x, 700 - 12 * i, side[i], 9)
        for i in range(9)
        for x, side in ((50, sides[0]), (320, sides[1]))
    ]
    assert [line for line in read(Page(across)).pages[0].text.split("\n") if line] == [
        *sides[0],
        *sides[1],
    ]


def test_columns_written_one_by_one() -> None:
    down = [
        Text(x, 700 - 12 * i, side[i], 9)
        for x, side in ((50, LEFT), (320, RIGHT))
        for i in range(8)
    ]
    assert [line for line in read(Page(down)).pages[0].text.split("\n") if line] == [*LEFT, *RIGHT]


FLOWS = [
    [
        "The fenders are let",
        "down. The crew",
        "ties the ropes and",
        "goes ashore at once",
        "when the gangway is",
        "safe.",
    ],
    [
        "picked up by the van",
        "at noon. All papers",
        "are signed before",
        "the lorry leaves for",
        "the depot in town",
        "again.",
    ],
    [
        "Lamps are lit at dusk",
        "and stay on until the",
        "keeper wakes and has",
        "tea in the small room",
        "below the",
        "dome.",
    ],
]


@pytest.mark.parametrize("shift", [0, 3, 6])
@pytest.mark.parametrize("columns", [2, 3])
def test_narrow_columns_drawn_row_by_row(columns: int, shift: float) -> None:
    """Also where one column's lines stand a little lower than the other's, or its lines end with a
    hyphen."""
    sides = FLOWS[:columns]
    across = [
        Text(50 + 120 * k, 700 - 12 * i - shift * (k % 2), side[i])
        for i in range(6)
        for k, side in enumerate(sides)
    ]
    text = read(Page(across)).pages[0].text
    assert [line for line in text.split("\n") if line] == [line for side in sides for line in side]


def test_a_hyphen_at_the_end_of_a_columns_line() -> None:
    left = [
        "The fenders are let",
        "down by the work-",
        "shop and the crew",
        "goes ashore at once",
        "when it is safe.",
    ]
    both = (left, FLOWS[1][:5])
    across = [
        Text(50 + 120 * k, 700 - 12 * i, side[i]) for i in range(5) for k, side in enumerate(both)
    ]
    text = read(Page([*across, Text(50, 500, "The workshop is here.")])).pages[0].text
    assert text.startswith(
        "The fenders are let\ndown by the workshop and the crew\ngoes ashore at once\nwhen it is "
        "safe.\n"
    )


def test_text_drawn_from_the_bottom_up() -> None:
    up = [
        Text(x, 640 + 12 * i, line)
        for x, side in ((50, LEFT), (320, RIGHT))
        for i, line in enumerate(reversed(side))
    ]
    assert [line for line in read(Page(up)).pages[0].text.split("\n") if line] == [*LEFT, *RIGHT]


NAMES = ((50, "Pump in hall"), (250, "Owned by the city"))


def test_a_table_of_words_drawn_row_by_row_is_not_read_by_columns() -> None:
    texts = [
        Text(x, 700 - 14 * i, f"{word} {i}")
        for i in range(6)
        for x, word in ((50, "Pump in hall"), (250, "Owned by the city"))
    ]
    assert (
        read(Page(texts))
        .pages[0]
        .text.startswith("Pump in hall 0 Owned by the city 0\nPump in hall 1")
    )


def test_hyphens_at_the_ends_of_lines() -> None:
    texts = [
        Text(50, 700, "The invest-"),
        Text(50, 688, "ment is in a long-"),
        Text(50, 676, "term fund for investment"),
    ]
    assert read(Page(texts)).pages[0].text == "The investment is in a long-term fund for investment"


def test_running_headers_stand_in_no_block() -> None:
    pages = [
        Page(
            [
                Text(50, 800, "Table of Contents"),
                *(Text(50, 700 - 14 * i, f"{PROSE} {number} {i}") for i in range(8)),
                Text(290, 30, f"Page {number}"),
            ]
        )
        for number in range(1, 6)
    ]
    content = read(*pages)
    assert all("Contents" not in text and "Page" not in text for _, _, text in blocks(content))
    assert all(
        page.text.startswith("Table of Contents\n") and page.text.endswith(f"Page {page.number}")
        for page in content.pages
    )


IMAGE = "q 595 0 0 842 0 0 cm /Im Do Q\n"


def test_pages_that_are_images_are_counted() -> None:
    content = read(
        Page([Text(50, 700, PROSE)]), Page([], IMAGE), Page([Text(290, 20, "3")], IMAGE), Page()
    )
    assert content.warnings == ("2 of 4 pages are images: set knowledge.ocr: true to read them",)
    assert [page.number for page in content.pages] == [1, 2, 3, 4]
    small = "q 100 0 0 100 0 0 cm /Im Do Q\n"
    assert read(Page([Text(50, 700, PROSE)]), Page([], small)).warnings == ()


def test_a_page_that_is_an_image_is_read_by_ocr() -> None:
    pytest.importorskip("rapidocr")
    drawn = pdf_as_image([Text(60, 700, "Annual fee 0.85 percent", 28)])
    assert "0.85" in pdf.read(drawn, "a.pdf", ocr=True).pages[0].text
    with pytest.raises(
        DocumentError, match=r"^a\.pdf: has no text \(image only\?\); set knowledge\.ocr: true"
    ):
        pdf.read(drawn, "a.pdf")


def pdf_as_image(texts: Sequence[Text]) -> bytes:
    """A page's picture as the only thing on a page, as a scanner makes it."""
    import pypdfium2

    grey = (
        pypdfium2.PdfDocument(write_pdf(Page(texts)))[0].render(scale=2, grayscale=True).to_numpy()
    )
    shape = f"/W {grey.shape[1]}/H {grey.shape[0]}/BPC 8/CS/G/F/AHx"
    return write_pdf(
        Page(
            [],
            f"q 595 0 0 842 0 0 cm BI {shape} ID\n{grey.tobytes().hex()}>\nEI Q\n",
            "",
            "/CropBox[0 660 595 760]",
        )
    )


@pytest.mark.parametrize(
    ("info", "date"),
    [
        ("/CreationDate(D:20230208130417-05'00')", "2023-02-08"),
        ("/CreationDate(yesterday)/ModDate(D:20240131)", "2024-01-31"),
        ("", None),
    ],
)
def test_dates(info: str, date: str | None) -> None:
    assert read(Page([Text(50, 700, PROSE)]), info=info).date == date


@pytest.mark.parametrize(
    ("stated", "first", "title"),
    [
        ("Annual Report 2024", "UNITED STATES", "Annual Report 2024"),
        ("0001018724-18-000005", "Fees of the Bond Fund", "Fees of the Bond Fund"),
        ("", "UNITED STATES", ""),
        ("", "FOR IMMEDIATE RELEASE", ""),
        ("Microsoft Word - x.doc", "Table of Contents", ""),
        ("", "FORM 10-K", ""),
        ("(anonymous)", "Fees of the Bond Fund", "Fees of the Bond Fund"),
        ("(unspecified)", "Fees of the Bond Fund", "Fees of the Bond Fund"),
        ("untitled", "Fees of the Bond Fund", "Fees of the Bond Fund"),
        ("Microsoft Word - fees.doc", "Fees of the Bond Fund", "Fees of the Bond Fund"),
    ],
)
def test_titles(stated: str, first: str, title: str) -> None:
    page = Page([Text(50, 760, first, 16), Text(50, 700, PROSE), Text(50, 688, PROSE)])
    assert read(page, info=f"/Title({stated})").title == title


def test_a_line_of_the_text_is_no_title() -> None:
    texts = [Text(50, 700 - 12 * i, f"{PROSE} {PROSE[:40]}", 8) for i in range(4)]
    assert read(Page(texts)).title == ""


def test_page_counts_that_lie() -> None:
    with pytest.raises(DocumentError, match=r"^a\.pdf: .*(no PDF|0 pages|damaged)"):
        read()
    many = write_pdf(Page([Text(50, 700, PROSE)])).replace(b"/Count 1/", b"/Count 2000000000/")
    assert len(pdf.read(many, "a.pdf").pages) == 1


def test_the_same_bytes_give_the_same_content() -> None:
    data = write_pdf(Page(STATEMENT), Page([Text(50, 700, PROSE)]))
    assert pdf.read(data, "a.pdf") == pdf.read(data, "a.pdf")


_READS = """
import sys
from pathlib import Path
from fieldpack_build.documents import pdf
from fieldpack_build.errors import DocumentError
for path in sorted(Path(sys.argv[1]).iterdir()):
    try:
        pdf.read(path.read_bytes(), path.name)
    except DocumentError as error:
        assert str(error).startswith(path.name + ": ") and "\\n" not in str(error), error
    print(path.name)
"""


def test_damaged_files_are_refused_and_never_crash(tmp_path: Path) -> None:
    chance = random.Random(3)
    whole = write_pdf(Page(STATEMENT), Page([], IMAGE), Page([Text(50, 700, PROSE)]))
    for i in range(300):
        data = bytearray(whole)
        if i % 3 == 0:
            del data[chance.randrange(len(data)) :]
        else:
            for _ in range(chance.choice((1, 10, 100))):
                data[chance.randrange(len(data))] = chance.randrange(256)
        (tmp_path / f"{i:03}.pdf").write_bytes(data)
    done = subprocess.run(
        [sys.executable, "-c", _READS, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-8:] + done.stderr
    assert len(done.stdout.split()) == 300


def table(*rows: tuple[str, ...], edges: tuple[float, ...] = (300, 400, 500)) -> Content:
    """Return a page of prose and a table whose figures end at `edges`."""
    texts = [Text(50, 760, PROSE)]
    for at, (label, *figures) in enumerate(rows):
        y = 700 - 14 * at
        texts.append(Text(50, y, label))
        texts += [right(x, y, one) for x, one in zip(edges, figures, strict=True)]
    return read(Page(texts))


@pytest.mark.parametrize("blank", [" ", "\xa0"])
def test_thousands_parted_by_blanks_are_one_figure(blank: str) -> None:
    content = table(
        ("Polozka", "2022", "2023", "2024"),
        ("Trzby", f"1{blank}234", f"12{blank}345,50", f"1{blank}234{blank}567"),
        ("Naklady", "-567", "89,10", "8"),
        ("Zisk", f"10{blank}000", f"(2{blank}500)", "75"),
    )
    assert blocks(content)[-1][2] == (
        "Polozka | 2022 | 2023 | 2024\nTrzby | 1 234 | 12 345,50 | 1 234 567\n"
        "Naklady | -567 | 89,10 | 8\nZisk | 10 000 | (2 500) | 75"
    )


def test_figures_that_stand_close_to_each_other_are_several() -> None:
    rows = [("Item", "A", "B", "C"), ("Sales", "123", "456", "789"), ("Costs", "5", "6", "7")]
    content = table(*rows, ("Rest", "8", "9", "10"), edges=(300, 321, 342))
    assert "Sales | 123 | 456 | 789\nCosts | 5 | 6 | 7" in blocks(content)[-1][2]


@pytest.mark.parametrize(
    "row",
    [
        ("1.234,50", "567,00", "-8,20"),
        ("1'234.50", "567.00", "-8.20"),
        ("567,00 €", "1 234,50 €", "8,20 €"),
        ("10-12", "7", "8"),
        ("12-", "7", "8,5-"),
    ],
)
def test_figures_as_other_countries_print_them(row: tuple[str, str, str]) -> None:
    rows = (("Rows", *row), ("Costs", "5", "6", "7"), ("Rest", "8", "9", "10"))
    text = blocks(table(("Item", "A", "B", "C"), *rows))[-1][2]
    shown = " | ".join(("Rows", *row))
    assert text == f"Item | A | B | C\n{shown}\nCosts | 5 | 6 | 7\nRest | 8 | 9 | 10"


def test_a_row_of_figures_is_no_head_of_the_table_below() -> None:
    """Two of its figures stand over one of the next row, where another table begins."""
    above = zip((276, 300, 376, 400), ("11", "12", "13", "14"), strict=True)
    texts = [
        Text(50, 760, PROSE),
        Text(50, 714, "Above"),
        *(right(x, 714, one) for x, one in above),
    ]
    for at, row in enumerate((("Sales", "1", "2", "3"), ("Costs", "5", "6", "7"))):
        figures = zip((300, 400, 500), row[1:], strict=True)
        texts.append(Text(50, 700 - 14 * at, row[0]))
        texts += [right(x, 700 - 14 * at, f"{one}00,000") for x, one in figures]
    content = read(Page(texts))
    assert [text for _, _, text in blocks(content)][-2:] == [
        "Above 11 12 13 14",
        "Sales | 100,000 | 200,000 | 300,000\nCosts | 500,000 | 600,000 | 700,000",
    ]


def test_two_words_over_one_column_stay_in_their_order() -> None:
    texts = [Text(50, 760, PROSE), Text(225, 714, "Net"), Text(270, 714, "sales")]
    texts += [Text(370, 714, "Costs")]
    for at, row in enumerate((("Fund A", "1", "2"), ("Fund B", "5", "6"), ("Fund C", "7", "8"))):
        figures = zip((300, 400), row[1:], strict=True)
        texts.append(Text(50, 700 - 14 * at, row[0]))
        texts += [right(x, 700 - 14 * at, f"{one}00,000,000,000") for x, one in figures]
    assert blocks(read(Page(texts)))[-1][2].startswith("| Net sales | Costs\nFund A | 100,000,")


def test_words_outside_of_the_page_are_named() -> None:
    texts = [Text(50, 760, PROSE), Text(50, 900, "Printer's note 93"), Text(50, 100, "Cut off 96")]
    page = Page(texts, keys="/CropBox[0 400 595 842]")
    content = read(page)
    assert content.pages[0].text == PROSE
    assert content.warnings == (
        "6 words are outside of the page and not read; knowledge.hidden: read reads it",
    )
    whole = pdf.read(write_pdf(page), "a.pdf", hidden=True)
    assert "Cut off 96" in whole.pages[0].text and not whole.warnings


def test_thousands_parted_by_blanks_in_type_of_one_width() -> None:
    lines = (
        "Item               2022        2023        2024",
        "Trzby             1 234   12 345,50   1 234 567",
        "Naklady            -567       89,10           8",
        "Zisk             10 000     (2 500)          75",
    )
    texts = [Text(50, 700 - 14 * at, line) for at, line in enumerate(lines)]
    data = write_pdf(Page([Text(50, 760, PROSE), *texts])).replace(b"/Helvetica/", b"/Courier/")
    shown = [" | ".join(re.split("  +", line)) for line in lines]
    assert blocks(pdf.read(data, "a.pdf", expendable=True))[-1][2] == "\n".join(shown)
