"""The date that a document's own text states: read where it can be one thing alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from docx import Document as Word

from fieldpack_build.documents import read_document
from fieldpack_build.documents.pages import Page
from fieldpack_build.documents.stated_dates import stated_date


def in_text(*pages: str) -> str | None:
    return stated_date([Page(None, text, ()) for text in pages])


@pytest.mark.parametrize(
    ("text", "date"),
    [
        ("Doses\n\nValid from 1 March 2026. Owner: Pharmacy.", "2026-03-01"),
        ("# Falls\n\nVersion 3, 10 October 2025. Owner: Nursing.", "2025-10-10"),
        ("Visiting\n\nUpdated 12 January 2026", "2026-01-12"),
        ("Last updated: March 3rd, 2026", "2026-03-03"),
        ("**Date:** 2026-02-03", "2026-02-03"),
        ("Policy 14, version 5, approved by the Committee on 3 February\n2026.", "2026-02-03"),
        ("Hygiene\nGültig ab 1. Januar 2026. Verantwortlich: B.", "2026-01-01"),
        ("Stand: 12. Mai 2026", "2026-05-12"),
        ("Stand 12.05.2026", "2026-05-12"),
        ("Fassung vom 3. Februar 2026", "2026-02-03"),
    ],
)
def test_a_date_that_is_stated(text: str, date: str) -> None:
    assert in_text(text) == date


@pytest.mark.parametrize(
    "text",
    [
        "Date: 01/02/2026",  # two dates
        "Valid from 1 March 2026 to 31 March 2027",
        "Valid until 3 May 2026",
        "Next review: 3 May 2027",
        "Updated 1 May 2026\nPublished 2 May 2026",
        "The old rule, valid from 3 May 1970, is void.",
        "As of 3 May 2026 the price is 4.",
        "Effective 31 February 2026",
        "Version 3.4.2026 of the program",
        "3 February 2026",
        "Date: 12.05.2026",  # of which country
    ],
)
def test_a_wrong_date_is_worse_than_none(text: str) -> None:
    assert in_text(text) is None


def test_only_a_document_s_start_and_the_end_of_its_pages_are_looked_at() -> None:
    line = "Updated 12 January 2026"
    words = ["A line with words."] * 30
    assert in_text("\n".join([*words, line, *words])) is None
    assert in_text("\n".join([*words, line])) == "2026-01-12"
    assert in_text("\n".join(words), "\n".join([*words, line])) == "2026-01-12"
    assert in_text() is None


def test_the_text_s_date_comes_before_that_of_the_file_and_after_a_head_s(tmp_path: Path) -> None:
    word = Word()
    word.add_paragraph("Valid from 1 March 2026. Owner: Pharmacy.")
    word.core_properties.modified = word.core_properties.created.replace(year=2024, month=5, day=6)
    word.save(str(tmp_path / "a.docx"))
    assert read_document(tmp_path / "a.docx", "a.docx").date == "2026-03-01"
    plain = Word()
    plain.add_paragraph("Owner: Pharmacy.")
    plain.core_properties.modified = plain.core_properties.created.replace(
        year=2024, month=5, day=6
    )
    plain.save(str(tmp_path / "b.docx"))
    assert read_document(tmp_path / "b.docx", "b.docx").date == "2024-05-06"
    text = "Updated 12 January 2026\n\nVisitors come at 14:00.\n"
    (tmp_path / "c.md").write_text(f"---\ndate: 2025-12-24\n---\n# Visits\n\n{text}")
    assert read_document(tmp_path / "c.md", "c.md").date == "2025-12-24"
    (tmp_path / "d.txt").write_text(text)
    assert read_document(tmp_path / "d.txt", "d.txt").date == "2026-01-12"
    (tmp_path / "e.csv").write_text("what,when\nUpdated 12 January 2026,4\n")
    assert read_document(tmp_path / "e.csv", "e.csv").date is None
