"""PDF tables with borders: cells of several lines, cells merged over rows and columns; lines
through text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

import pytest
from test_pdf import PROSE, Page, Text, blocks, read, right

XS, YS = (50, 150, 300, 450), (700, 680, 640, 600)
Stroke = tuple[float, float, float, float]


def stroked(lines: Iterable[Stroke]) -> str:
    """As reportlab and LaTeX draw borders."""
    return "".join(f"{a} {b} m {c} {d} l S\n" for a, b, c, d in lines)


def filled(lines: Iterable[Stroke]) -> str:
    """As browsers and Word do: a thin area."""
    return "".join(
        f"{a - 0.25} {b - 0.25} {c - a + 0.5} {d - b + 0.5} re f\n" for a, b, c, d in lines
    )


def boxed(lines: Iterable[Stroke]) -> str:
    """In a form of its own scale, drawn as one path."""
    return (
        "q 2 0 0 2 0 0 cm "
        + " ".join(f"{a / 2} {b / 2} m {c / 2} {d / 2} l" for a, b, c, d in lines)
        + " S Q\n"
    )


def grid(
    xs: Sequence[float], ys: Sequence[float], *, without: Sequence[Stroke] = ()
) -> list[Stroke]:
    """The sides of all cells, each drawn for itself, but those of `without`."""
    across = [(a, y, b, y) for y in ys for a, b in pairwise(xs)]
    upright = [(x, b, x, a) for x in xs for a, b in pairwise(ys)]
    return [line for line in [*across, *upright] if line not in without]


def cell(x: float, y: float, *lines: str) -> list[Text]:
    return [Text(x + 4, y - 12 - 11 * i, line) for i, line in enumerate(lines)]


FAULTS = [
    *cell(50, 700, "Fault"),
    *cell(150, 700, "Cause"),
    *cell(300, 700, "Remedy"),
    *cell(50, 680, "Compressor does", "not start"),
    *cell(150, 680, "Switch has tripped, or", "the supply is", "below 380 volt"),
    *cell(300, 680, "Reset the switch. Call", "the electrician"),
    *cell(50, 640, "Oil foams"),
    *cell(150, 640, "Water in the sump"),
    *cell(300, 640, "Drain, and refill with", "grade VG 46"),
]
FAULT_ROWS = """\
Fault | Cause | Remedy
Compressor does not start | Switch has tripped, or the supply is below 380 volt | Reset the switch. Call the electrician
Oil foams | Water in the sump | Drain, and refill with grade VG 46"""


@pytest.mark.parametrize("draw", [stroked, filled, boxed])
@pytest.mark.parametrize("order", ["cell by cell", "row by row", "bottom up"])
def test_cells_of_several_lines(draw: Callable[[Iterable[Stroke]], str], order: str) -> None:
    texts = list(FAULTS)
    if order != "cell by cell":
        texts.sort(key=lambda text: (-text.y, text.x))
    if order == "bottom up":
        texts.reverse()
    assert blocks(read(Page(texts, draw(grid(XS, YS))))) == [("table", (), FAULT_ROWS)]


@pytest.mark.parametrize("turn", [90, 180, 270])
def test_borders_on_turned_pages(turn: int) -> None:
    place = {
        90: lambda x, y: (842 - y, x),
        270: lambda x, y: (y, 842 - x),
        180: lambda x, y: (595 - x, 842 - y),
    }[turn]
    matrix = {90: "0 1 -1 0 %s %s", 270: "0 -1 1 0 %s %s", 180: "-1 0 0 -1 %s %s"}[turn]
    texts = [Text(*place(text.x, text.y), text.text, text.size) for text in FAULTS]
    lines = [(*place(a, b), *place(c, d)) for a, b, c, d in grid(XS, YS)]
    assert blocks(read(Page(texts, stroked(lines), matrix, f"/Rotate {turn}"))) == [
        ("table", (), FAULT_ROWS)
    ]


DEPOTS, VANS = ("Alderby", "Birkham", "Carnfell", "Dunmore"), ("12", "7", "9", "4")


ROWS_APART = [
    text._replace(y=text.y - 6 * (text.y < 640))
    for text in FAULTS  # one line fits between two rows
]


def test_cells_of_several_lines_without_borders() -> None:
    after = Text(50, 500, PROSE)
    assert blocks(read(Page([*ROWS_APART, after]))) == [
        ("table", (), FAULT_ROWS),
        ("text", (), PROSE),
    ]


def test_a_list_with_markers_is_no_table() -> None:
    texts = [
        text
        for i, marker in enumerate("abc")
        for text in (
            Text(50, 700 - 40 * i, f"({marker})"),
            Text(80, 700 - 40 * i, "A fund is a"),
            Text(80, 688 - 40 * i, "pool of money."),
        )
    ]
    assert {kind for kind, _, _ in blocks(read(Page(texts)))} == {"text"}


def test_columns_of_prose_without_borders_are_no_table() -> None:
    words = (
        "The pumps are old,and will be replaced,,In spring the hall,is painted again,,Work ends in "
        "May,at last"
    )
    column = words.split(",")
    texts = [
        Text(x, 700 - 12 * i, line) for x in (50, 250) for i, line in enumerate(column) if line
    ]
    assert {kind for kind, _, _ in blocks(read(Page(texts)))} == {"text"}


def test_a_label_over_several_rows_stands_on_each() -> None:
    ys = (700, 680, 660, 640, 620, 600)
    merged = [(50, 660, 150, 660), (50, 640, 150, 640)]
    texts = [
        *cell(50, 700, "Region"),
        *cell(150, 700, "Depot"),
        *cell(300, 700, "Vans"),
        *cell(50, 660, "North"),
        *cell(50, 620, "South"),
        *(text for y, name in zip(ys[1:-1], DEPOTS, strict=True) for text in cell(150, y, name)),
        *(text for y, vans in zip(ys[1:-1], VANS, strict=True) for text in cell(300, y, vans)),
    ]
    table = (
        "Region | Depot | Vans\nNorth | Alderby | 12\nNorth | Birkham | 7\nNorth | Carnfell | "
        "9\nSouth | Dunmore | 4"
    )
    assert blocks(read(Page(texts, stroked(grid(XS, ys, without=merged))))) == [
        ("table", (), table)
    ]


def test_a_label_in_the_middle_of_its_rows_without_borders() -> None:
    ys = (686, 672, 658, 644, 630)
    texts = [Text(50, 700, "Region"), Text(150, 700, "Depot"), right(340, 700, "Vans")]
    for i, (y, depot, vans) in enumerate(
        zip(ys, (*DEPOTS, "Eastleigh"), (*VANS, "15"), strict=True)
    ):
        texts += [Text(50, y, "North")] if i == 1 else [Text(50, 637, "South")] if i == 3 else []
        texts += [Text(150, y, depot), right(340, y, vans)]
    table = (
        "Region | Depot | Vans\nNorth | Alderby | 12\nNorth | Birkham | 7\nNorth | Carnfell | "
        "9\nSouth | Dunmore | 4"
    )
    assert blocks(read(Page(texts))) == [("table", (), f"{table}\nSouth | Eastleigh | 15")]


def test_a_label_at_the_top_of_its_rows_stays_there() -> None:
    texts = []
    for y, region, depot, vans in (
        (686, "North", "Alderby", "12"),
        (672, "", "Birkham", "7"),
        (658, "South", "Carnfell", "9"),
    ):
        texts += [Text(50, y, region)] if region else []
        texts += [Text(150, y, depot), right(340, y, vans)]
    assert (
        blocks(read(Page(texts)))[0][2]
        == "North | Alderby | 12\n| Birkham | 7\nSouth | Carnfell | 9"
    )


def test_heads_over_several_columns() -> None:
    xs, ys = (50, 130, 200, 270, 340, 410), (700, 680, 660, 640, 620)
    merged = [(50, 680, 130, 680), (200, 680, 200, 700), (340, 680, 340, 700), (200, 620, 200, 640)]
    texts = [
        *cell(50, 680, "Room"),
        *cell(165, 700, "Summer"),
        *cell(305, 700, "Winter"),
        *(
            text
            for i, head in enumerate(("Min", "Max", "Min", "Max"))
            for text in cell(130 + 70 * i, 680, head)
        ),
        *cell(50, 660, "Archive"),
        *(text for i in range(4) for text in cell(130 + 70 * i, 660, f"1{i}")),
        *cell(50, 640, "Hall"),
        *cell(130, 640, "closed"),
        *cell(270, 640, "19"),
        *cell(340, 640, "22"),
    ]
    table = (
        "Room | Summer Min | Summer Max | Winter Min | Winter Max\nArchive | 10 | 11 | 12 | "
        "13\nHall | closed |  | 19 | 22"
    )
    assert blocks(read(Page(texts, stroked(grid(xs, ys, without=merged))))) == [
        ("table", (), table)
    ]


def test_a_title_in_the_first_row_stands_above_the_table() -> None:
    ys = (720, *YS)
    merged = [(150, 700, 150, 720), (300, 700, 300, 720)]
    texts = [*cell(50, 720, "Faults of pumps"), *FAULTS]
    found = blocks(read(Page(texts, stroked(grid(XS, ys, without=merged)))))
    assert [text for _, _, text in found] == ["Faults of pumps", FAULT_ROWS]


def test_prose_beside_a_table() -> None:
    """Drawn line by line across both: the prose is whole, and before or after the table."""
    prose = [
        Text(470, 668 - 11 * i, words)
        for i, words in enumerate(("Keep the", "hall dry", "and warm."))
    ]
    texts = sorted([*FAULTS, *prose], key=lambda text: (-text.y, text.x))
    found = blocks(read(Page(texts, stroked(grid(XS, YS)))))
    assert ("table", (), FAULT_ROWS) in found
    assert (
        "\n".join(text for kind, _, text in found if kind == "text").split()
        == "Keep the hall dry and warm.".split()
    )


def test_headings_between_tables_are_headings() -> None:
    texts = [
        Text(50, 720, "Faults of pumps", 16),
        *FAULTS,
        Text(50, 560, "Faults of valves", 16),
        Text(50, 540, PROSE),
    ]
    found = blocks(read(Page(texts, stroked(grid(XS, YS)))))
    assert [(kind, heading) for kind, heading, _ in found] == [
        ("table", ("Faults of pumps",)),
        ("text", ("Faults of valves",)),
    ]


def test_headings_of_a_page_of_tables() -> None:
    """Nothing but headings stands outside of the tables: they are larger than what is inside."""
    below = [text._replace(y=text.y - 150) for text in FAULTS]
    texts = [
        Text(50, 720, "Faults of pumps", 16),
        *FAULTS,
        Text(50, 570, "Faults of valves", 16),
        *below,
    ]
    lines = [*grid(XS, YS), *grid(XS, [y - 150 for y in YS])]
    found = blocks(read(Page(texts, stroked(lines))))
    assert found == [
        ("table", ("Faults of pumps",), FAULT_ROWS),
        ("table", ("Faults of valves",), FAULT_ROWS),
    ]


def test_borders_around_several_rows_of_figures_are_no_cells() -> None:
    """Lines under the head and between columns alone: the rows are told by their figures."""
    texts = [Text(54, 686, "Depot"), right(290, 686, "2023"), right(440, 686, "2024")]
    for i in range(3):
        texts += [
            Text(54, 666 - 14 * i, f"Depot {i}"),
            right(290, 666 - 14 * i, f"1{i}"),
            right(440, 666 - 14 * i, f"2{i}"),
        ]
    found = blocks(read(Page(texts, stroked(grid((50, 150, 300, 450), (700, 680, 620))))))
    assert found == [
        (
            "table",
            (),
            "Depot | 2023 | 2024\nDepot 0 | 10 | 20\nDepot 1 | 11 | 21\nDepot 2 | 12 | 22",
        )
    ]


def test_a_border_that_ends_at_a_figures_bracket() -> None:
    """As in statements whose figures and closing brackets have cells of their own: the row loses
    nothing."""
    rows = (("Granted", "83", "41.51"), ("Vested", "(85)", "30.98"), ("Forfeited", "(20)", "35.93"))
    texts, lines = [], []
    for y, (label, shares, price) in zip((700, 686, 672), rows, strict=True):
        bracket = [Text(299.9, y, ")")] if shares[-1] == ")" else []
        texts += [
            Text(50, y, label),
            right(300, y, shares.rstrip(")")),
            *bracket,
            right(400, y, price),
        ]
        lines.append((300, y - 3, 300, y + 9))
    table = "\n".join(" | ".join(row) for row in rows)
    assert blocks(read(Page(texts, filled(lines)))) == [("table", (), table)]


def test_the_lines_of_a_chart_are_no_table() -> None:
    """Text lies over them."""
    lines = grid((50, 150, 250, 350), (700, 650, 600, 550))
    texts = [
        Text(60, 705 - 25 * i, "Visitors to the lighthouse by month and year") for i in range(5)
    ]
    assert {kind for kind, _, _ in blocks(read(Page(texts, stroked(lines))))} == {"text"}


def test_struck_text_is_left_out_and_named() -> None:
    texts = [
        Text(50, 700, "The fare is"),
        Text(102, 700, "70 crowns"),
        Text(150, 700, "80 crowns."),
        Text(50, 600, PROSE),
    ]
    content = read(Page(texts, stroked([(102, 702.6, 145, 702.6)])))
    assert content.pages[0].text.split() == f"The fare is 80 crowns. {PROSE}".split()
    assert content.warnings == ("1 struck passage is left out",)


@pytest.mark.parametrize(
    "line",
    [(102, 698.5, 145, 698.5), (20, 702.6, 300, 702.6), (102, 712, 145, 712)],
    ids=["underlined", "border", "above"],
)
def test_lines_that_strike_nothing(line: Stroke) -> None:
    texts = [
        Text(50, 700, "The fare is"),
        Text(102, 700, "70 crowns"),
        Text(150, 700, "today."),
        Text(50, 600, PROSE),
    ]
    content = read(Page(texts, stroked([line])))
    assert content.pages[0].text.startswith("The fare is 70 crowns today.")
    assert content.warnings == ()


PARTS = [
    *cell(50, 700, "Code"),
    *cell(150, 700, "Description"),
    *cell(350, 700, "Price"),
    *cell(50, 680, "A-1"),
    *cell(150, 680, "Seal ring, nitrile, for pumps", "of the second series"),
    *cell(350, 680, "4.20"),
    *cell(50, 650, "A-2"),
    *cell(150, 650, "Gasket"),
    *cell(350, 650, "1.10"),
]
PART_ROWS = """\
Code | Description | Price
A-1 | Seal ring, nitrile, for pumps of the second series | 4.20
A-2 | Gasket | 1.10"""


@pytest.mark.parametrize("ys", [(682, 652, 632), (702, 682, 652, 632)])
@pytest.mark.parametrize("pieces", [1, 3])
def test_rows_parted_by_lines_across_alone(ys: Sequence[float], pieces: int) -> None:
    """With and without a line above the head, drawn as one or cell by cell."""
    edges = [50, 450] if pieces == 1 else [50, 150, 350, 450]
    lines = [(a, y, b, y) for y in ys for a, b in pairwise(edges)]
    after = Text(50, 600, PROSE)
    assert blocks(read(Page([*PARTS, after], stroked(lines)))) == [
        ("table", (), PART_ROWS),
        ("text", (), PROSE),
    ]


def test_lines_across_around_several_rows_of_figures_part_no_rows() -> None:
    texts = [
        text
        for i, (name, left, other) in enumerate(
            (("Rivets", "1400", "1520"), ("Hinges", "32", "18"), ("Lamps", "64", "71"))
        )
        for text in (
            Text(50, 690 - 12 * i, name),
            right(300, 690 - 12 * i, left),
            right(400, 690 - 12 * i, other),
        )
    ]
    lines = [(50, y, 450, y) for y in (702, 660, 655)]
    assert blocks(read(Page(texts, stroked(lines)))) == [
        ("table", (), "Rivets | 1400 | 1520\nHinges | 32 | 18\nLamps | 64 | 71")
    ]
