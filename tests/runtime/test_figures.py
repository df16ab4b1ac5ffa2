"""What counts as a figure, by the place where it stands, and what it is worth."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldpack.figures import (
    COMMA,
    POINT,
    find_figures,
    find_grouped_figures,
    is_figure_cell,
    is_figure_word,
    is_only_figures,
    is_printed_figure,
    is_printed_year,
    megabytes,
    paired_marks,
    possible_marks,
)


@pytest.mark.parametrize("word", ["$1,250", "(2.5%)", "-7", "12]", "+3.0x", "1990.5"])
def test_words_that_are_figures(word: str) -> None:
    assert is_figure_word(word)


@pytest.mark.parametrize("word", ["2022", "(1999),", "10-K", "Q3", "", "—", "3M"])
def test_words_that_are_none(word: str) -> None:
    assert not is_figure_word(word)


@pytest.mark.parametrize(
    "cell", ["- 12.5 %", "3 bn", "1'250.00", "1 250,50", "(42)", "€ 7", "2.4x"]
)
def test_cells_that_are_figures(cell: str) -> None:
    assert is_figure_cell(cell)


@pytest.mark.parametrize("cell", ["", "—", "Sales", "2 of 3 firms", "5 persons", "Q3 2024 plan"])
def test_cells_that_are_none(cell: str) -> None:
    assert not is_figure_cell(cell)


@pytest.mark.parametrize(
    "text",
    [
        *("(2,724)", "—", "NM", "482¹", "5.2%(a)", "US$5", "$ —", ".5", "25 bps", "12^ab", "N/A"),
        *(
            "1 234 567",
            "(2 500)",
            "1 234,50 €",
            "1.234,50",
            "1.234.567",
            "1'234.50",
            "10-12",
            "8,5-",
        ),
    ],
)
def test_printed_figures(text: str) -> None:
    assert is_printed_figure(text)


@pytest.mark.parametrize(
    "text", ["", "Note 4", "1,2,3 and 4", "9" * 25, "p. 5", "2 years", "1 23", "2022-23", "12 3456"]
)
def test_printed_words(text: str) -> None:
    assert not is_printed_figure(text)


def test_years_and_runs_of_figures_as_printed() -> None:
    assert all(map(is_printed_year, ("2022", "FY 2022", "2023E", "2021(a)")))
    assert not any(map(is_printed_year, ("1822", "22", "2022-23")))
    assert list(find_grouped_figures("5 1 234 (12 345,50) 1 2345")) == [(2, 7), (8, 18)]
    assert is_only_figures("1,250 (12) $5 — 3.5%")
    assert not is_only_figures("1,250 sold")


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("1,250.50 or 1250.5 or 1’250.50", ["1250.5"] * 3),
        ("1 250,50", ["1", "250.5"]),  # a plain blank parts two figures, one of no width does not
        ("1\u00a0250,50", ["1250.5"]),
        ("1.250.000,00 euros", ["1250000"]),
        ("0.50 and 00.5", ["0.5", "0.5"]),
        ("0.125% and 0,125 %", ["0.125", "0.125"]),  # no thousands begin with 0
        ("1250,125 and 1250.125", ["1250.125", "1250.125"]),  # nor with four digits
        ("1,250 and 1.250", ["1250", "1250"]),  # as long as nothing tells the decimal mark
        ("2021,2022,2023", ["2021", "2022", "2023"]),
        ("31.12.2024, version 1.2.3", ["31.12.2024", "1.2.3"]),
        ("31\u00a012\u00a02024", ["31", "12", "2024"]),
        (".5 mm, at -.25 or 7.5", ["0.5", "0.25", "7.5"]),
        ("1'250.000 and 1\u202f250,000", ["1250", "1250"]),
        ("Form 10-K of 2022, page 7.", ["10", "2022", "7"]),
        ("no figure", []),
    ],
)
def test_figures_in_text(text: str, values: list[str]) -> None:
    assert [figure.value for figure in find_figures(text)] == values


WAYS = {  # how languages group thousands, and their decimal marks
    "English": (",", POINT),
    "German": (".", COMMA),
    "French": (" ", COMMA),
    "French, no-break": ("\u00a0", COMMA),
    "French, narrow no-break": ("\u202f", COMMA),
    "Swiss": ("'", POINT),
    "Swiss, typeset": ("’", POINT),
    "plain, point": ("", POINT),
    "plain, comma": ("", COMMA),
}


def written(number: int, cents: str, way: str) -> str:
    """A number as one writes it in that way; `cents`: its decimals, "" for none."""
    group, mark = WAYS[way]
    return f"{number:,}".replace(",", group) + (mark + cents if cents else "")


@given(
    st.integers(0, 10**10), st.from_regex(r"[0-9]{0,4}", fullmatch=True), st.sampled_from([*WAYS])
)
def test_a_figure_is_worth_the_same_in_every_way_of_writing_it(
    number: int, cents: str, way: str
) -> None:
    _, mark = WAYS[way]
    text = written(number, cents, way)
    [figure] = find_figures(f"It is {text} now", mark, spaced=mark == COMMA)
    value = f"{number}.{cents}".rstrip("0").rstrip(".") if cents else str(number)
    assert figure.value == value and figure.decimals == len(cents)
    assert figure.mark in (None, mark)  # what it shows is never the wrong one


@pytest.mark.parametrize(
    ("text", "beside", "language", "marks"),
    [
        ("It costs 1.250.", [], None, [POINT, COMMA]),
        ("It costs 1.250.", [], COMMA, [COMMA]),
        ("It costs 1.250 at 2,5%.", [], None, [COMMA]),
        ("It costs 1.250.", ["2,5%"], None, [COMMA]),
        ("It costs 1.250 at 2.5%.", [], COMMA, [POINT, COMMA]),  # Swiss perhaps, or section 2.5
        ("It costs 1.250, see 2.5", ["2,5%"], COMMA, [COMMA]),
        ("It costs 1.250.000", [], None, [COMMA]),
        ("It costs 0.125", [], None, [POINT]),
        ("Figures 1,2 and 2.5%", [], None, [POINT, COMMA]),
    ],
)
def test_what_tells_a_decimal_mark(
    text: str, beside: list[str], language: str | None, marks: list[str]
) -> None:
    assert sorted(possible_marks(text, beside=beside, expected=language)) == sorted(marks)


def test_two_texts_are_read_alike_where_nothing_tells() -> None:
    assert paired_marks("1.250", "1,250") == [(POINT, POINT), (COMMA, COMMA)]
    assert paired_marks("1.250", "1,25") == [(COMMA, COMMA)]
    assert paired_marks("1.250", "1,250", expected=POINT) == [(POINT, POINT)]
    assert paired_marks("1.250,5", "1,250.5") == [(COMMA, POINT)]


def test_a_size_is_written_in_megabytes_and_from_a_thousand_on_in_gigabytes() -> None:
    assert [megabytes(size) for size in (0, 1_234_567, 999_900_000, 1_000_000_000)] == [
        "0.0 MB",
        "1.2 MB",
        "999.9 MB",
        "1.0 GB",
    ]


def test_a_figure_knows_where_it_stands() -> None:
    text = "Fees of 1,250 francs"
    [figure] = find_figures(text)
    assert text[figure.start : figure.end] == "1,250"
