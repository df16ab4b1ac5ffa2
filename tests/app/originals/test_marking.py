"""Stored text is found on a page whose characters are spelt, broken and ordered otherwise."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from fieldpack_app.originals.marking import Box, PageLetters, letters_of, mark

WIDE, HIGH = 6, 12  # of a character on these pages, which begin at 0, 0


def typed(*lines: str | Sequence[tuple[int, str]]) -> PageLetters:
    """A page of type of one width; a line may be pieces with their columns, in the order of the
    PDF. A line's number is its place on the page."""
    places: list[tuple[str, int, int]] = []
    for row, line in enumerate(lines):
        for column, text in [(0, line)] if isinstance(line, str) else line:
            places += [(one, column + at, row) for at, one in enumerate(text)]
            places.append(("\n", 0, 0))

    def box(number: int) -> Box:
        _, column, row = places[number]
        return column * WIDE, row * HIGH, (column + 1) * WIDE, (row + 1) * HIGH

    return PageLetters([one for one, _, _ in places], box)


def at(row: int, start: int, end: int) -> Box:
    return start * WIDE, row * HIGH, end * WIDE, (row + 1) * HIGH


def test_a_sentence_over_two_lines_has_a_box_on_each() -> None:
    page = typed("It is so. The valve is", "opened once a year. Done.")
    assert mark(page, "The valve is opened once a year.", "") == [at(0, 10, 22), at(1, 0, 19)]


@pytest.mark.parametrize(
    ("written", "stored"),
    [
        ("the re-\nnewal of it", "the renewal of it"),
        ("the re\ufffenewal of it", "the renewal of it"),
        ("ﬁne ofﬁcers", "fine officers"),
        ("Cafe\u0301 Zürich", "CAFÉ  ZÜRICH"),
        ("a  wide\u00a0gap", "a wide gap"),
        ("Fees", "## Fees"),
    ],
)
def test_spelling_and_white_space_do_not_matter(written: str, stored: str) -> None:
    page = typed("Before.", *written.split("\n"), "After.")
    boxes = mark(page, stored, "")
    assert len(boxes) == len(written.split("\n"))
    assert boxes[0][1] == HIGH and boxes[-1][3] == HIGH * (1 + len(boxes))


def test_of_two_places_with_the_same_words_it_is_the_passages_own() -> None:
    page = typed("Fund A. The fee is due.", "Monthly.", "Fund B. The fee is due.", "Yearly.")
    quote = "The fee is due."
    assert mark(page, quote, "Fund B. The fee is due.\nYearly.") == [at(2, 8, 23)]
    assert mark(page, quote, "Fund A. The fee is due.\nMonthly.") == [at(0, 8, 23)]


def test_a_row_of_a_table_whose_columns_come_one_after_another() -> None:
    """The PDF writes the first column, then the second: a row's cells are apart in its text."""
    page = typed(
        [(0, "Equity Fund")], [(0, "Bond Fund")], [(20, "0.75%")], [(20, "0.40%")], [(0, "2024")]
    )
    rows = {0: 0, 1: 1, 2: 0, 3: 1, 4: 4}
    inner = page.box

    def box(number: int) -> Box:
        left, top, right, _ = inner(number)
        row = rows[int(top) // HIGH]
        return left, row * HIGH, right, (row + 1) * HIGH

    page = PageLetters(page.characters, box)
    assert mark(page, "Bond Fund | 0.40%", "") == [at(1, 0, 9), at(1, 20, 25)]


def test_a_short_figure_is_marked_on_its_line_and_as_a_whole_alone() -> None:
    lines = ["Opening hours 9", "Rooms with a view 9", "Rooms with a view 19"]
    page = typed(*lines)
    assert mark(page, "Rooms with a view | 9", "") == [at(1, 0, 19)]
    columns = typed([(0, "Rooms and halls"), (30, "19"), (40, "9")], "Beds 9")
    assert mark(columns, "Rooms and halls | 9", "") == [at(0, 0, 15), at(0, 40, 41)]


def test_another_line_in_between_stays_unmarked() -> None:
    page = typed("The committee meets on", "Page 3 of 9", "the first Monday of a quarter.")
    quote = "The committee meets on the first Monday of a quarter."
    marked = mark(page, quote, "")
    assert at(0, 0, 22) in marked and at(2, 0, 30) in marked
    assert not any(top == HIGH for _, top, _, _ in marked)


def test_what_is_not_on_the_page_is_not_marked() -> None:
    page = typed("The committee meets on Mondays.")
    assert mark(page, "Nobody may enter the vault after six.", "") == []
    assert mark(page, "", "") == mark(page, "| --- |", "") == []
    assert mark(typed(), "The committee", "") == []


def test_arabic_letters_of_any_form_are_the_same() -> None:
    assert letters_of("ﻢﻜﺣ") == letters_of("مكح") != ""
