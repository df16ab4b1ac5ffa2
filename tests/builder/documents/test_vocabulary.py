"""What readers know of a language and a kind of document: chosen by name, and switched off."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest
from test_pdf import PROSE, STATEMENT, STATEMENT_ROWS, Page, Text, blocks, right, write_pdf

from fieldpack.language import LANGUAGES
from fieldpack_build.documents import pdf, read_document
from fieldpack_build.documents.titles import says_something
from fieldpack_build.documents.vocabulary import (
    AUTO,
    DEFAULT,
    NONE,
    read_vocabulary,
    vocabulary_names,
)
from fieldpack_build.recipe.schema import Knowledge

# A table whose title is as the text and whose unit is as long as prose: only words tell what they
# are.
FILING = [
    Text(200, 776, "Consolidated Balance Sheets"),
    Text(
        50, 758, "Unaudited, except per share amounts and the number of shares authorised here", 6
    ),
    *(Text(x, 740, year, 8) for x, year in ((365, "2022"), (455, "2021"))),
    *(
        text
        for row, label in enumerate(("Cash", "Goodwill", "Debt"))
        for text in (
            Text(50, 720 - 14 * row, label),
            right(390, 720 - 14 * row, f"{row + 1},229"),
            right(480, 720 - 14 * row, f"{row + 2},355"),
        )
    ),
    *(Text(50, y, PROSE) for y in (640, 628)),
]
GERMAN = [
    Text(200, 776, "Konzernbilanz"),
    Text(
        50, 758, "Mio. Euro, ungeprüft, soweit nichts anderes angegeben, gerundet auf Werte hier", 6
    ),
    *FILING[2:],
]


def tables(texts: list[Text], vocabulary: str) -> list[tuple[tuple[str, ...], str]]:
    """(heading path, first row) of each table that is read."""
    content = pdf.read(write_pdf(Page(texts)), "a.pdf", vocabulary=vocabulary)
    return [
        (heading, text.partition("\n")[0])
        for kind, heading, text in blocks(content)
        if kind == "table"
    ]


@pytest.mark.parametrize(
    ("texts", "vocabulary", "title", "head"),
    [
        (FILING, "en-us-filings", ("Consolidated Balance Sheets",), f"{FILING[1].text} | 2022"),
        (FILING, "en", (), "| 2022"),
        (FILING, NONE, (), "| 2022"),
        (GERMAN, "de", ("Konzernbilanz",), f"{GERMAN[1].text} | 2022"),
        (GERMAN, "en-us-filings", (), "| 2022"),
    ],
)
def test_a_tables_title_and_unit_are_known_by_the_words_of_its_language(
    texts: list[Text], vocabulary: str, title: tuple[str, ...], head: str
) -> None:
    assert tables(texts, vocabulary) == [(title, f"{head} | 2021")]


def test_without_a_vocabulary_tables_are_still_read_by_their_columns() -> None:
    content = pdf.read(write_pdf(Page(STATEMENT)), "a.pdf", vocabulary=NONE)
    read = [text for kind, _, text in blocks(content) if kind == "table"]
    assert [row for text in read for row in text.split("\n")][-5:] == STATEMENT_ROWS.split("\n")[1:]


def test_a_line_that_stands_on_thousands_of_documents_is_a_title_where_it_is_not_known() -> None:
    data = write_pdf(Page([Text(50, 760, "Earnings release", 20), Text(50, 700, "Sales rose.")]))
    titles = {
        name: pdf.read(data, "a.pdf", vocabulary=name).title for name in ("en-us-filings", "en")
    }
    assert titles == {"en-us-filings": "", "en": "Earnings release"}


def test_a_stated_title_is_judged_by_the_vocabulary(tmp_path: Path) -> None:
    path = tmp_path / "letter_of_may.html"
    path.write_text("<title>Annual report</title><p>Sales rose.</p>")
    titles = [read_document(path, path.name, vocabulary=name).title for name in (DEFAULT, "de")]
    assert titles == ["letter of may", "Annual report"]
    path.write_text("<title>Geschäftsbericht</title><p>Umsatz.</p>")
    titles = [read_document(path, path.name, vocabulary=name).title for name in (DEFAULT, "de")]
    assert titles == ["Geschäftsbericht", "letter of may"]
    assert not says_something("Slide 1", read_vocabulary(NONE))  # programs leave it everywhere


def test_the_recipe_names_the_sections_of_the_file() -> None:
    field = Knowledge.model_fields["vocabulary"]
    assert set(get_args(field.annotation)) == {*vocabulary_names(), AUTO}
    assert field.default == AUTO


def test_the_recipe_names_the_languages_that_are_indexed() -> None:
    field = Knowledge.model_fields["language"]
    assert set(get_args(field.annotation)) == {*LANGUAGES, "en", "auto"}
    assert field.default == "auto"


def test_every_vocabulary_is_read_and_an_unknown_one_is_an_error() -> None:
    assert all(read_vocabulary(name).unfinished for name in vocabulary_names())
    with pytest.raises(KeyError):
        read_vocabulary("fr")


def test_a_vocabulary_without_words_matches_nothing() -> None:
    nothing = read_vocabulary(NONE)
    words = ("", "unaudited", "for the year", "balance sheet", "exhibit 99", "annual report")
    patterns: list[re.Pattern[str]] = [
        nothing.table_unit,
        nothing.head,
        nothing.statement,
        nothing.generic_line,
        nothing.empty_title,
    ]
    assert not [word for word in words for pattern in patterns if pattern.search(word)]


@pytest.mark.parametrize(
    "head",
    [
        "(in millions)",
        "Year Ended December 31, 2022",
        "for the fiscal years",
        "as of the twelve months ended June 30",
        "percent of sales",
    ],
)
def test_heads_of_a_filing(head: str) -> None:
    assert read_vocabulary("en-us-filings").head.fullmatch(head)
    assert not read_vocabulary("de").head.fullmatch(head)
