"""The page of a source PDF beside its answer, in a real browser: the quote lit where it stands."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import fakes
from broken import pdf
from browsing import Said, Visit, chromium, scripted, visit
from serving import Served, served, wait_for

FEE = "What does the A class of the Global Equity Fund cost a year?"
FILTER = "When is the filter changed?"
QUOTE = "The A class costs 0.85% a year."
SCRIPT = {FEE: Said(f"{QUOTE} [1]"), FILTER: Said("Change it after 400 hours of use [1].")}
PAGE = [
    ("Global Equity Fund", 18, "F2"),
    *[("", 0, "")] * 20,
    (QUOTE, 12, "F1"),
    ("The I class costs 0.40%.", 12, "F1"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as opened:
        yield opened


def bundle_with(sealed: Path, folder: Path, data: bytes) -> Path:
    copy = Path(shutil.copytree(sealed, folder / "tiny-1.0.0"))
    fakes.add_original(copy, "fees.pdf", data)
    return copy


@pytest.fixture(scope="module")
def server(
    browser: Any, sealed: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("lit")
    bundle = bundle_with(sealed, folder, pdf(PAGE))
    with served([bundle], folder / "state", opener=scripted(SCRIPT)) as running:
        yield running


def share_of(reader: Visit, selector: str) -> tuple[float, float, float, float]:
    """The first such element's left, top, width and height as shares of the page's picture."""
    measure = """(selector) => {
        const [own, page] = [selector, '.sheet'].map(
            (one) => document.querySelector(one).getBoundingClientRect());
        return [(own.left - page.left) / page.width, (own.top - page.top) / page.height,
                own.width / page.width, own.height / page.height];
    }"""
    left, top, width, height = reader.page.evaluate(measure, selector)
    return left, top, width, height


@pytest.mark.parametrize(
    ("width", "height", "locale"), [(1280, 800, "en-GB"), (390, 800, "en-GB"), (1280, 800, "ar")]
)
def test_the_quote_is_lit_on_its_page(
    browser: Any, server: Served, width: int, height: int, locale: str
) -> None:
    viewport = {"width": width, "height": height}
    with visit(browser, server, viewport=viewport, locale=locale) as reader:
        page = reader.page
        page.locator("#question").fill(FEE)
        page.keyboard.press("Enter")
        page.locator(".turn:last-child[aria-busy=false] .cite").click()
        page.locator("#passage .lit").wait_for()
        wait_for(lambda: page.locator(".sheet img").evaluate("node => node.naturalWidth") == 1240)
        left, top, wide, high = share_of(reader, ".lit")
        # Where the PDF has it: 50 points from the left, 486 of 842 from the bottom, 12 high.
        assert left == pytest.approx(50 / 595, abs=0.01)
        assert top < 1 - 490 / 842 < top + high < 1 - 478 / 842
        assert wide == pytest.approx(160 / 595, abs=0.05)
        seen = page.locator(".paper").bounding_box()
        lit = page.locator(".lit").bounding_box()
        assert seen and lit and seen["y"] <= lit["y"] < seen["y"] + seen["height"], "in sight"
        assert not page.evaluate("document.scrollingElement.scrollWidth > innerWidth")


def test_page_and_text_the_readers_choice_is_kept(browser: Any, server: Served) -> None:
    with visit(browser, server) as reader:
        page, panel = reader.page, reader.page.locator("#passage")
        reader.ask(FEE)
        page.locator(".cite").click()
        panel.get_by_role("img", name="The original page: fees.pdf, page 1").wait_for()
        assert not panel.locator("mark").is_visible()
        panel.get_by_role("button", name="Enlarge").click()
        assert panel.locator(".sheet.large").count() == 1
        panel.get_by_role("button", name="Text", exact=True).click()
        assert panel.locator("mark").inner_text() == QUOTE
        assert not panel.locator(".paper").is_visible()
        panel.get_by_role("button", name="Next passage").click()
        panel.get_by_text("Passage 2 of 3").wait_for()
        page.keyboard.press("Escape")
        page.locator(".cite").click()
        panel.locator("mark").wait_for()
        panel.get_by_role("button", name="Page", exact=True).click()
        panel.locator(".lit").wait_for()
        page.set_viewport_size({"width": 1760, "height": 900})
        panel.locator("mark").wait_for()
        assert panel.locator(".lit").is_visible(), "both, where there is room"
        assert not panel.locator(".tabs").is_visible()


def test_another_format_shows_its_text_alone(browser: Any, server: Served) -> None:
    with visit(browser, server) as reader:
        reader.ask(FILTER)
        reader.page.locator(".cite").click()
        reader.page.locator("#passage mark").wait_for()
        assert reader.page.locator(".tabs, .original").count() == 0


def test_without_the_package_the_page_says_so(browser: Any, server: Served) -> None:
    with visit(browser, server) as reader:
        reader.page.route(
            "**/api/about",
            lambda route: route.fulfill(json={**route.fetch().json(), "lacks": "pypdfium2"}),
        )
        reader.page.reload()
        reader.page.locator("#welcome h2").wait_for()
        reader.ask(FEE)
        reader.page.locator(".cite").click()
        reader.page.locator("#passage mark").wait_for()
        said = reader.page.locator("#passage .original").inner_text()
        assert "lacks pypdfium2" in said and 'pip install "fieldpack[pages]"' in said


def test_a_damaged_pdf_leaves_the_text(browser: Any, sealed: Path, tmp_path: Path) -> None:
    bundle = bundle_with(sealed, tmp_path, b"%PDF-1.7 and nothing more")
    with (
        served([bundle], tmp_path / "state", opener=scripted(SCRIPT)) as running,
        visit(browser, running) as reader,
    ):
        reader.ask(FEE)
        with reader.page.expect_console_message(lambda said: "422" in said.text):
            reader.page.locator(".cite").click()
        reader.page.get_by_text("The page cannot be shown: pdfium cannot open this PDF").wait_for()
        assert reader.page.locator("#passage mark").inner_text() == QUOTE
        assert reader.page.locator(".tabs").count() == 0
        reader.problems[:] = [one for one in reader.problems if "422" not in one]


def test_a_picture_that_does_not_come_leaves_the_text(browser: Any, server: Served) -> None:
    with visit(browser, server) as reader:
        page = reader.page
        page.route("**/picture?*", lambda route: route.abort("internetdisconnected"))
        reader.ask(FEE)
        page.locator(".cite").click()
        page.get_by_text("The page cannot be shown: The expert’s server").wait_for()
        assert page.locator("#passage mark").inner_text() == QUOTE
        assert page.locator(".sheet, .tabs").count() == 0
