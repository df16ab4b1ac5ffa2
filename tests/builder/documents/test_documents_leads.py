"""What a page says it is, carried by each of its chunks."""

from __future__ import annotations

from fieldpack_build.chunking import chunk_document
from fieldpack_build.chunking.page_titles import page_leads
from fieldpack_build.documents.pages import Document, HeadingPath, Page, PageBuilder


def page(number: int | None, *texts: str) -> Page:
    builder = PageBuilder(HeadingPath())
    for text in texts:
        builder.text(text)
    return builder.page(number)


PROSE = (
    "The company sells valves to ships and to factories, and has done so since it was founded in "
    "the port. " * 6
)


def test_leads_are_short_first_lines_below_running_headers() -> None:
    kinds = ["Balance Sheet", "Statement of Income", "Cash Flows", "Equity", "Notes"]
    pages = [
        page(n, "Table of Contents\nACME INC 10-K", f"Consolidated {kind}\n(in millions)", PROSE)
        for n, kind in enumerate(kinds, 1)
    ]
    assert page_leads(pages) == [f"Consolidated {kind}" for kind in kinds]


def test_prose_figures_and_unnumbered_pages_give_no_lead() -> None:
    assert page_leads([page(1, PROSE)]) == [""]
    assert page_leads([page(1, "goes on from the page before\nTitle")]) == [""]
    assert page_leads([page(1, "12,345 | 2022 | 2021 abc")]) == [""]
    assert page_leads([page(None, "Title", PROSE)]) == [""]
    assert page_leads([]) == []


def test_every_chunk_of_a_page_carries_its_lead() -> None:
    document = Document("a.pdf", "A", "0", (page(1, "Statement of Income", PROSE, PROSE),))
    chunks = chunk_document(document, count_tokens=lambda text: len(text.split()), max_tokens=60)
    assert len(chunks) > 2
    assert {chunk.heading for chunk in chunks} == {("Statement of Income",)}


def test_gaps_join_chunks_into_the_page() -> None:
    text = page(1, "One two three four five.", "Six seven eight nine ten.", "Eleven twelve.")
    document = Document("a.pdf", "A", "0", (text,))
    chunks = chunk_document(
        document, count_tokens=lambda text: 3 * len(text.split()), max_tokens=24
    )
    assert len(chunks) == 3
    assert chunks[0].text + "".join(c.gap + c.text for c in chunks[1:]) == text.text


def test_token_starts_cut_where_counting_does() -> None:
    def starts(text: str) -> list[int]:
        return [
            i
            for i, char in enumerate(text)
            if not char.isspace() and (i == 0 or text[i - 1].isspace())
        ]

    document = Document(
        "a.pdf", "A", "0", (page(1, PROSE, "A | B\n1 | 2\n3 | 4", PROSE), page(2, PROSE))
    )
    cut = {"count_tokens": lambda text: len(text.split()), "max_tokens": 40}
    assert chunk_document(document, **cut, token_starts=starts) == chunk_document(document, **cut)  # type: ignore[arg-type]
