"""Figures are compared as what they count: separators, scales, per cent, signs, rounding."""

from __future__ import annotations

import pytest

from fieldpack_build.evaluation.numbers import quantities, same_quantities


@pytest.mark.parametrize(
    ("said", "answer", "scale", "expected"),
    [
        ("It is 2,053.5 million.", "2053.5", "million", True),
        ("2053.5", "2053.5", "million", True),  # as the table prints it
        ("$2.0535 billion", "2053.5", "million", True),
        ("$2.05 billion", "2053.5", "million", True),  # rounded to the digits it shows
        ("$2.1 billion", "2053.5", "million", False),  # more than one per cent off
        ("2,053,500,000", "2053.5", "million", True),
        ("2053.5 thousand", "2053.5", "million", False),
        ("1100 million", "$1.1 billion", None, True),
        ("1.1", "$1.1 billion", None, True),
        ("-5.2%", "-5.2", "percent", True),
        ("(5.2)%", "-5.2", "percent", True),
        ("It decreased by 5.2%.", "-5.2", "percent", True),
        ("5.2", "-5.2", "percent", False),
        ("0.13%", "0.13", "percent", True),
        ("13%", "0.13", "percent", False),
        ("0", "0.13", "percent", False),
        ("38.9831%", "38.98", "percent", True),
        ("12%", "12", None, False),
        ("68,463", "68462.5", "thousand", True),
        ("227 and 173", "227, 173", "thousand", True),
        ("173", "227, 173", "thousand", False),
        ("22 and 22", "22, 173", None, False),
        ("It was 2023.", "2024", None, False),
        ("four reports", "4", None, True),
        ("4 reports", "four", None, True),
        ("5 m of rope", "5", None, True),  # metres, not millions
        ("EUR 5m", "5", "million", True),
        ("10.75%", "0.75%", None, False),
        ("charity", "charity", None, None),
        ("nothing", "one of them", None, None),
        ("The A class.", "0.85%", None, False),
        ("Es sind 0,9 Prozent", "0,5 Prozent", None, False),
        ("Es sind 0,5 Prozent.", "0,5 %", None, True),
        ("Es sind 1.250 Euro.", "1250", None, True),
        ("Es sind 1.250 Euro.", "1,25", None, False),
        ("Es sind 1.250 Euro.", "1,250", None, False),  # whichever way both are read
        ("Es sind 2,5 Millionen.", "2500000", None, True),
        ("2,5 Mrd. Euro", "2,5 Mio. Euro", None, False),
        ("Il y en a 12 250,5 en tout.", "12250,5", None, True),
        ("Il y en a 12 250,5 en tout.", "250,5", None, False),
        ("Es kostet CHF 1'250.50.", "1250.5", None, True),
        ("0.125%", "125%", None, False),
        ("Am 12.05.2024.", "12.05.2024", None, True),
        ("Am 13.05.2024.", "12.05.2024", None, False),
    ],
)
def test_same_quantities(said: str, answer: str, scale: str | None, expected: bool | None) -> None:
    assert same_quantities(said, answer, scale) is expected


@pytest.mark.parametrize(("mark", "right", "wrong"), [(".", "1250", "1.25"), (",", "1.25", "1250")])
def test_the_language_tells_how_a_figure_is_read(mark: str, right: str, wrong: str) -> None:
    assert same_quantities("1,250", right.replace(".", mark), decimal_mark=mark)
    assert not same_quantities("1,250", wrong.replace(".", mark), decimal_mark=mark)


def test_figures_glued_to_words_are_none() -> None:
    assert [
        q.value for q in quantities("Form 10-K of Q3, FY2022, version 7.1, item 1A and (3)")
    ] == [10, 7.1, -3]
