"""Superscripts and subscripts in PDFs: apart from the figure they stand at, in one sentence, as
slices of the page."""

from __future__ import annotations

import pytest
from test_pdf import PROSE, Page, Text, blocks, read, right

_DIGIT = 0.556  # of the size; Helvetica


def marked(
    x: float,
    y: float,
    base: str,
    script: str,
    rise: float,
    *,
    size: float = 10,
    small: float = 0.65,
) -> list[Text]:
    """`base` in digits, with `script` set right after it."""
    return [
        Text(x, y, base, size),
        Text(x + _DIGIT * size * len(base), y + rise * size, script, small * size),
    ]


@pytest.mark.parametrize("size", [7, 10, 24])
@pytest.mark.parametrize(
    ("base", "script", "written"),
    [
        ("482", "1", "482¹"),
        ("2", "31", "2³¹"),
        ("10", "-19", "10⁻¹⁹"),
        ("3275", "1,2", "3275¹,²"),
        ("482", "(2)", "482⁽²⁾"),
        ("482", "a", "482^a"),
        ("482", "(ab)", "482^(ab)"),
        ("21", "st", "21st"),
        ("482", "*", "482*"),
    ],
)
def test_superscripts(base: str, script: str, written: str, size: float) -> None:
    after = Text(50 + 8 * size, 700, "beacons were lit.", size)
    page = read(Page([*marked(50, 700, base, script, 0.33, size=size), after])).pages[0]
    assert page.text == f"{written} beacons were lit."


def test_a_sentence_with_marks_stays_one_sentence() -> None:
    texts = [
        Text(50, 700, "In service were"),
        *marked(125, 700, "482", "1", 0.4),
        Text(148, 700, "beacons at"),
        *marked(200, 700, "3275", "2", 0.4),
        Text(229, 700, "crowns; the"),
        Text(50, 688, "CO"),
        Text(65, 686.5, "2", 6.5),
        Text(72, 688, "stayed below"),
        *marked(140, 688, "10", "3", 0.4),
        Text(157, 688, "ppm."),
    ]
    content = read(Page(texts))
    assert (
        content.pages[0].text
        == "In service were 482¹ beacons at 3275² crowns; the\nCO2 stayed below 10³ ppm."
    )
    assert blocks(content) == [("text", (), content.pages[0].text)]


def test_a_script_amid_a_word() -> None:
    texts = [Text(50, 700, "3 m"), Text(66.7, 704, "2", 6.5), Text(70.3, 700, "/s")]
    assert read(Page(texts)).pages[0].text == "3 m²/s"


def test_a_lowered_figure_after_a_figure() -> None:
    assert (
        read(Page([*marked(50, 700, "1101", "2", -0.15), Text(90, 700, "is 13.")])).pages[0].text
        == "1101₂ is 13."
    )


def test_a_mark_in_front_of_its_note() -> None:
    assert (
        read(Page([Text(50, 703, "2", 5), Text(53, 700, "Restated.", 8)])).pages[0].text
        == "²Restated."
    )


@pytest.mark.parametrize("turn", [90, 180, 270])
def test_superscripts_on_turned_pages(turn: int) -> None:
    matrix = {90: "0 1 -1 0 %s %s", 270: "0 -1 1 0 %s %s", 180: "-1 0 0 -1 %s %s"}[turn]
    place = {
        90: lambda x, y: (842 - y, x),
        270: lambda x, y: (y, 842 - x),
        180: lambda x, y: (595 - x, 842 - y),
    }[turn]
    texts = [*marked(50, 700, "482", "1", 0.4), Text(73, 700, "beacons")]
    turned = [Text(*place(text.x, text.y), text.text, text.size) for text in texts]
    assert read(Page(turned, "", matrix, f"/Rotate {turn}")).pages[0].text == "482¹ beacons"


def test_figures_with_marks_in_a_table() -> None:
    texts = []
    rows = (("Lamps", "64", "71"), ("Bells", "12", "15"), ("Gas used, m", "1200", "1150"))
    for y, (label, one, other) in zip((700, 686, 672), rows, strict=True):
        unit = [Text(106.7, y + 4, "3", 6.5)] if label.endswith(" m") else []
        texts += [
            Text(50, y, label),
            *unit,
            right(300, y, one),
            Text(300, y + 4, "1", 6.5),
            right(400, y, other),
        ]
    table = "Lamps | 64¹ | 71\nBells | 12¹ | 15\nGas used, m³ | 1200¹ | 1150"
    assert blocks(read(Page(texts))) == [("table", (), table)]


@pytest.mark.parametrize(
    "texts",
    [
        [Text(50, 700, "T", 24), Text(65, 711, "he first letter of a chapter.", 10)],
        [
            Text(50, 700, "A", 10),
            Text(56.7, 700, "BBOT", 8),
            Text(90, 700, "in small capitals", 10),
        ],
        [Text(50, 700, "2022"), Text(50, 712, "2021", 6)],
    ],
    ids=["initial", "small capitals", "a line of small type above"],
)
def test_no_scripts(texts: list[Text]) -> None:
    text = read(Page([*texts, Text(50, 600, PROSE)])).pages[0].text
    assert not set("⁰¹²³⁴⁵⁶⁷⁸⁹₀₁₂₃₄₅₆₇₈₉^") & set(text)


def test_a_mark_before_a_comma_and_another_figure() -> None:
    """The comma stands in no figure, though figures stand on both of its sides."""
    texts = [*marked(50, 700, "482", "1", 0.4), Text(71, 700, ", 512 and 2.")]
    assert read(Page(texts)).pages[0].text == "482¹, 512 and 2."


def test_characters_drawn_one_by_one_with_their_own_clip_are_a_word() -> None:
    """Browsers print what stands in a field so, and pdfium sees a line end behind each character."""
    clip = "".join(
        f"q {50 + 5.56 * i} 695 5.56 14 re W n BT /F1 10 Tf {50 + 5.56 * i} 700 Td ({char}) Tj ET Q\n"
        for i, char in enumerate("4417029")
    )
    assert read(Page([], clip)).pages[0].text == "4417029"
