"""Superscripts and subscripts stand apart from what they are behind: in the marks themselves, in
HTML and in Word."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_documents import blocks, read, saved

from fieldpack_build.documents.raised import lower, raise_, settle


@pytest.mark.parametrize(
    ("before", "raised", "expected"),
    [
        ("482", "1", "482¹"),
        ("2", "31", "2³¹"),
        ("4", "99", "4⁹⁹"),
        ("x", "n+1", "xⁿ⁺¹"),
        ("1,200", "(1)", "1,200⁽¹⁾"),
        ("482", "1,2", "482^(1,2)"),
        ("482", "a", "482^a"),
        ("words", "*", "words*"),
        ("482", "[1]", "482[1]"),
        ("5", "th", "5th"),
        ("21", "st", "21st"),
        ("Fieldpack", "TM", "Fieldpack™"),
        ("", "1", "¹"),
        ("10", "−3", "10⁻³"),
    ],
)
def test_superscripts(before: str, raised: str, expected: str) -> None:
    assert settle(before + raise_(raised)) == expected


def test_subscripts_are_plain_but_behind_a_figure() -> None:
    assert settle(f"H{lower('2')}O") == "H2O"
    assert settle(f"10{lower('2')}") == "10₂"
    assert settle(f"x{lower('1')}{raise_('2')}") == "x1²"


def test_one_superscript_in_two_runs_is_one() -> None:
    assert settle("482" + raise_("1") + raise_("2")) == "482¹²"
    assert settle("2" + raise_("2" + raise_("3"))) == "2^2³"


@given(
    st.text("0123456789", min_size=1, max_size=6),
    st.text("0123456789abc,()-", min_size=1, max_size=4),
    st.text(max_size=8),
)
def test_a_raised_mark_never_joins_a_figure(figure: str, mark: str, after: str) -> None:
    """Whatever is raised, the figure before it still stands as a figure of its own, and no mark of
    ours is left."""
    after = re.sub("[\x0e-\x11]", "", after)
    text = settle(f"{figure}{raise_(mark)} {after}")
    plain = "".join(
        " " if unicodedata.category(char) in ("No", "Lm", "Sm") or char == "^" else char
        for char in text
    )
    if mark[0].isalnum() or mark[0] in "(-":
        assert re.match(rf"{figure}(?!\d)", plain)
    assert not re.search("[\x0e-\x11]", text) and text.endswith(after)


def test_html(tmp_path: Path) -> None:
    page = """<p>Price 4<sup>99</sup> of 482<sup><a href="#1">1</a></sup> items, 2<sup>31</sup> rows on the
    5<sup>th</sup>, H<sub>2</sub>O, base 10<sub>2</sub>,
    15<span style="vertical-align: super">3</span>.</p><table><tr><th>Item<sup>2</sup></th><th>Sum</th></tr>
    <tr><td>Lamp</td><td>1,200<sup>3</sup></td></tr></table><ul><li>mc<sup>2</sup></li></ul>"""
    assert blocks(read(tmp_path, "a.html", page)) == [
        ("text", (), "Price 4⁹⁹ of 482¹ items, 2³¹ rows on the 5th, H2O, base 10₂, 15³."),
        ("table", (), "Item² | Sum\nLamp | 1,200³"),
        ("text", (), "- mc²"),
    ]


def test_html_formulas(tmp_path: Path) -> None:
    page = """<p>So <math><mi>E</mi><mo>=</mo><mi>m</mi><msup><mi>c</mi><mn>2</mn></msup></math> and
    <math><mfrac><mrow><mi>a</mi><mo>+</mo><mi>b</mi></mrow><mn>2</mn></mfrac><annotation>\\frac{a+b}{2}</annotation></math>
    and <math><msqrt><mi>x</mi></msqrt><msub><mi>y</mi><mn>1</mn></msub></math></p>"""
    assert blocks(read(tmp_path, "a.html", page))[0][2] == "So E=mc² and (a+b)/2 and √(x)y_1"


def test_word(tmp_path: Path) -> None:
    import docx

    word = docx.Document()
    paragraph = word.add_paragraph("There are 482")
    paragraph.add_run("1").font.superscript = True
    paragraph.add_run(" items, 2")
    for digit in "31":
        paragraph.add_run(digit).font.superscript = True
    paragraph.add_run(" rows, H")
    paragraph.add_run("2").font.subscript = True
    paragraph.add_run("O.")
    assert (
        blocks(read(tmp_path, "a.docx", saved(word)))[0][2]
        == "There are 482¹ items, 2³¹ rows, H2O."
    )
