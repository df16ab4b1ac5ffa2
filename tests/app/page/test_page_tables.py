"""A table beside the answer: its column heads stay with its cells, on a desk and on a phone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import fakes
from browsing import Said, Visit, chromium, scripted, visit
from fieldpack.passages import COLUMNS, Chunk
from serving import Served, served, wait_for

ASKED = "Meropenem or piperacillin/tazobactam: which dose of meropenem, piperacillin, tazobactam?"
ASKED_LATER = "What is the dose of trimethoprimsulfamethoxazole?"
HEADS = "Drug | Route | Standard dose | eGFR 30-50 mL/min | eGFR below 30 mL/min"
QUOTED = "Meropenem | IV | 1 g every 8 hours | 1 g every 12 hours | 500 mg every 12 hours"
QUOTED_LATER = (
    "Trimethoprimsulfamethoxazole | PO | 600 mg every 12 hours | 600 mg a day"
    " | 300 mg every 12 hours"
)
ROWS = "".join(
    f"\nPiperacillin/tazobactam {n} | IV | {n}.5 g every 6 hours | {n} g every 8 hours | none"
    for n in range(1, 31)
)
TABLE = f"{HEADS}{ROWS}\n{QUOTED}"
LATER = f"{QUOTED_LATER}\nAmoxicillin | PO | 500 mg every 8 hours | 500 mg every 8 hours | none"
HEADING = ("Antibiotic dosing", "Standard doses")
CHUNKS = (
    Chunk("doses.docx", "Antibiotic dosing", None, HEADING, 0, len(TABLE), TABLE),
    # A table that goes on from the page before: only its heading has the heads.
    Chunk("later.pdf", "Antibiotic dosing", 2, (*HEADING, COLUMNS + HEADS), 0, len(LATER), LATER),
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def server(
    browser: Any, exported_llama: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("tables") / "tiny-1.0.0"
    fakes.write_bundle(folder, model=exported_llama, chunks=CHUNKS)
    script = {
        ASKED: Said(f"{QUOTED} [1]"),
        ASKED_LATER: Said(f"{QUOTED_LATER} [1]"),
    }
    with served([folder], tmp_path_factory.mktemp("state"), opener=scripted(script)) as running:
        yield running


@pytest.fixture
def reader(browser: Any, server: Served) -> Iterator[Visit]:
    with visit(browser, server) as visitor:
        yield visitor


def open_source(reader: Visit, question: str, width: int) -> Any:
    """The quoted row, in the source of the answer that is opened on a screen of `width`."""
    reader.page.set_viewport_size({"width": width, "height": 844})
    reader.ask(question)
    reader.page.locator(".cite").last.click()
    row = reader.page.locator("#view-text tr.quoted")
    row.wait_for()
    return row


def is_inside(inner: dict[str, float] | None, outer: dict[str, float] | None) -> bool:
    """False, too, where one is not on the page: it may just be drawn anew."""
    return bool(inner and outer) and all(
        outer[at] <= inner[at]
        and inner[at] + inner[size] <= outer[at] + outer[size] + 1  # a border's rounding
        for at, size in (("x", "width"), ("y", "height"))
    )


def test_a_wide_table_keeps_its_heads_in_view(reader: Visit) -> None:
    row = open_source(reader, ASKED, 1900)
    heads = reader.page.locator("#view-text th")
    assert heads.all_inner_texts() == HEADS.split(" | ")
    text = reader.page.locator("#view-text")
    wait_for(lambda: text.evaluate("node => node.scrollTop") > 0)
    for cells in (heads, row.locator("td")):
        wait_for(
            lambda cells=cells: all(
                is_inside(cells.nth(place).bounding_box(), text.bounding_box())
                for place in range(5)
            )
        )
    assert row.locator("td").last.inner_text() == "500 mg every 12 hours"


@pytest.mark.parametrize("width", [390, 1280])
def test_what_does_not_fit_is_shown_as_lines_of_head_and_cell(reader: Visit, width: int) -> None:
    row = open_source(reader, ASKED_LATER, width)
    frame, cells = reader.page.locator("#view-text"), row.locator("td")
    shown = [" ".join(text.split()) for text in cells.all_inner_texts()]
    assert shown == [
        f"{head}: {cell}"
        for head, cell in zip(HEADS.split(" | "), QUOTED_LATER.split(" | "), strict=True)
    ]
    wait_for(
        lambda: all(
            is_inside(cells.nth(place).bounding_box(), frame.bounding_box()) for place in range(5)
        )
    )


def test_a_table_is_laid_out_anew_where_there_is_more_room(reader: Visit) -> None:
    open_source(reader, ASKED, 390)
    heads = reader.page.locator("#view-text th").first
    heads.wait_for(state="hidden")
    reader.page.set_viewport_size({"width": 1900, "height": 844})
    heads.wait_for()


def test_the_breadcrumb_names_no_columns(reader: Visit) -> None:
    open_source(reader, ASKED_LATER, 1280)
    assert reader.page.locator(".trail").inner_text() == "Antibiotic dosing › Standard doses"
