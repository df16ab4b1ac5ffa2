"""Hyphens at the ends of lines: gone where the word goes on, kept where it is a compound."""

from __future__ import annotations

import pytest
from test_pdf import Page, Text, read, right

from fieldpack_build.documents.pdf.hyphens import Hyphens
from fieldpack_build.documents.pdf.text import HYPHEN

ENGLISH = "The pumps of the hall are in the care of the crew, and it is for the crew to keep them."


def resolved(*texts: str) -> list[str]:
    marked = [text.replace("~", HYPHEN) for text in texts]
    hyphens = Hyphens(marked)
    return [hyphens.resolve(text) for text in marked]


@pytest.mark.parametrize(
    ("broken", "whole"),
    [
        ("main~tenance", "maintenance"),
        ("work~shop", "workshop"),
        ("gear~boxes", "gearboxes"),
        ("price~determining", "price-determining"),
        ("long~term", "long-term"),
        ("state-of-the~art", "state-of-the-art"),
        ("BX~4471-Q", "BX-4471-Q"),
        ("GAAP~based", "GAAP-based"),
        ("Anglo~Saxon", "Anglo-Saxon"),
        ("555~0199", "555-0199"),
    ],
)
def test_without_another_mention(broken: str, whole: str) -> None:
    assert resolved(f"{ENGLISH} A {broken} here.")[0] == f"{ENGLISH} A {whole} here."


def test_the_documents_own_words_come_first() -> None:
    assert resolved("a data~base", "Each data-base has a name.")[0] == "a data-base"
    assert resolved("die Sicher~heit", "Sicherheit geht vor.")[0] == "die Sicherheit"
    assert resolved(f"{ENGLISH} The turbo~encabulator", "a turboencabulator")[0].endswith(
        "turboencabulator"
    )


def test_words_that_two_others_make_are_known() -> None:
    """Before, "data-set" and "file-name": both parts are words, and the list had no "dataset"."""
    text = "A data~set, a file~name, check~sums of the work~space and a long~term plan."
    assert resolved(f"{ENGLISH} {text}")[0].endswith(
        "A dataset, a filename, checksums of the workspace and a long-term plan."
    )


def test_another_form_of_the_word_in_the_document_is_evidence() -> None:
    assert resolved(f"{ENGLISH} on~boarded", "onboarding takes a day")[0].endswith("onboarded")
    assert resolved(f"{ENGLISH} a sub~ledger", "two sub-ledgers")[0].endswith("sub-ledger")
    german = "die E-Mail-Adresse und der U~Bahnhof an der Lager~halle"
    assert resolved(german, "Lagerhallen und U-Bahnhöfe")[0] == (
        "die E-Mail-Adresse und der U-Bahnhof an der Lagerhalle"
    )


def test_other_languages_join() -> None:
    german = (
        "Die Versicherungs~bedingungen gelten; Ein- und Aus~gänge werden gezählt. Die Bedingungen "
        "sind neu."
    )
    assert resolved(german)[0] == german.replace("~", "")
    ukrainian = "Обслу~говування насоса триває годину."
    assert resolved(ukrainian)[0] == ukrainian.replace("~", "")


def test_a_hyphen_for_the_rest_of_a_word_stays() -> None:
    assert resolved("die Vor~und Nachteile")[0] == "die Vor- und Nachteile"


def test_a_document_that_never_breaks_words_keeps_unknown_hyphens() -> None:
    evidence = (
        "the stock~based plan, the cloud~based plan, the year~end plan, a stock-based, "
        "cloud-based, year-end plan"
    )
    assert resolved(f"{ENGLISH} {evidence}", "an omni~channel plan")[1] == "an omni-channel plan"
    assert resolved(f"{ENGLISH}", "an omni~channel plan")[1] == "an omnichannel plan"


def test_cells_of_tables() -> None:
    """The label in two lines, beside its figures."""
    texts = [
        Text(50, 726, "Pumps"),
        right(300, 726, "12"),
        right(400, 726, "14"),
        Text(50, 712, "Yearly main-"),
        Text(50, 700, "tenance"),
        right(300, 700, "3"),
        right(400, 700, "4"),
        Text(50, 686, "Valves"),
        right(300, 686, "5"),
        right(400, 686, "6"),
        Text(50, 640, ENGLISH),
        Text(50, 628, "All maintenance is in the care of the crew."),
    ]
    assert "Yearly maintenance | 3 | 4" in read(Page(texts)).pages[0].text


def test_the_title_has_its_hyphens_resolved() -> None:
    texts = [
        Text(50, 760, "Rules for the main-", 16),
        Text(50, 740, "tenance of pumps", 16),
        Text(50, 700, ENGLISH),
    ]
    assert read(Page(texts)).title == "Rules for the maintenance of pumps"
