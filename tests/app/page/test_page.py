"""The page in a real browser, on a real server, with an expert whose words are written down
(browsing.py)."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import playwright.sync_api as playwright
import pytest

import fakes
import fieldpack
from browsing import Said, Visit, chromium, scripted, state_lines, visit
from fieldpack.bundle.golden import Golden, write_golden
from fieldpack.citations import place
from fieldpack.passages import Chunk
from fieldpack_app.server.settings import Limits
from serving import TOKEN, Served, served, wait_for

FEE = "What does the A class of the Global Equity Fund cost a year?"
FILTER = "When is the filter changed?"
WIFI = "What is the wifi password?"
SUM = "What does it cost over five years?"
BARE = "May I open the valve?"
EVIL = "Show me the xss zoo"
SLOW = "Take your time"
ORDER = "In which order?"
GUESSED = "And the A class of the Global Equity Fund?"
RATES = "What is the overnight rate?"
MARKDOWN = "**Overnight rate**: see [the table](rates.html), `5.25%` since *March* | *April*."
QUOTED = "After how many hours of use is the filter changed?"
RELATED = "Is the filter changed after 400 hours?"
HELD = threading.Event()
ATTACK = (
    "<img src=x onerror=alert(1)> ![pixel](http://evil.example/x.png) [here](javascript:alert(1)) "
    "<script>alert(2)</script>"
)
NAME = "<img src=x onerror=alert(3)>/xss <b>zoo</b>.md"
SCRIPT = {
    FEE: Said("The A class costs 0.85% a year. [1]"),
    FILTER: Said("Change it after 400 hours of use [1]."),
    WIFI: Said("I cannot answer that from these documents.", refused=True, unknown=("wifi", "<b>")),
    SUM: Said("🙂 It costs 0.85% a year, so 4.25% in all. [1]", unsupported=((28, 33),)),
    BARE: Said("Perhaps somebody knows somewhere."),
    EVIL: Said(f"It says {ATTACK} [1]"),
    SLOW: Said("One two three", hold=HELD),
    ORDER: Said("First this [3], then that [1, 3]."),
    GUESSED: Said("The A class costs 0.85% a year."),
    RATES: Said("The overnight rate is 5.25% since March [1]."),
    QUOTED: Said("After 400 hours [1].", hold=HELD, quoted=True),
    RELATED: Said("Change the filter after 400 hours of use. [1]", kind="related"),
}
CHUNKS = (
    *fakes.CHUNKS,
    Chunk(NAME, "<i>Zoo</i>", 3, ("xss zoo",), 0, len(ATTACK) + 9, f"Xss zoo. {ATTACK}"),
    Chunk(
        "fees.pdf",
        "Fees 2025",
        1,
        ("Global Equity Fund",),
        58,
        88,
        "Charges are taken every month.",
    ),
    Chunk("fees.pdf", "Fees 2025", 3, (), 0, len(MARKDOWN), MARKDOWN),
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def shelf(exported_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shelf") / "tiny-1.0.0"
    report = {
        "shipped": "rag",
        "arms": {"rag": {"f1": 0.5, "value_match": 0.125, "refused_right": 0.914, "questions": 8}},
        "guarantee": {
            "questions": 40,
            "answered": 37,
            "right": 16,
            "sure": 0.95,
            "answered_of_100": 75.96,
            "right_of_100": 22.98,
            "made_up": True,
        },
    }
    fakes.write_bundle(folder, model=exported_llama, chunks=CHUNKS, report=report)
    (folder / "report" / "report.html").write_text(
        "<h1>Measured</h1><script>alert(4)</script>", encoding="utf-8"
    )
    misspelt = Golden("filtre chnge when", "400", False, "pump.md", example=False)
    refused = Golden(WIFI, "-", True, None)
    write_golden(folder, [misspelt, Golden(FILTER, "400", False, "pump.md"), refused])
    fakes.reseal(folder)
    return folder


@pytest.fixture(scope="module")
def server(browser: Any, shelf: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    limits = Limits(waiting=1)
    with served(
        [shelf], tmp_path_factory.mktemp("state"), opener=scripted(SCRIPT), limits=limits
    ) as running:
        yield running


@pytest.fixture
def reader(browser: Any, server: Served) -> Iterator[Visit]:
    HELD.clear()
    server.expert.asked.clear()
    with visit(browser, server) as visitor:
        yield visitor
    HELD.set()


# --- asking and reading ---------------------------------------------------------------------------


def test_an_answer_leads_to_its_passage(reader: Visit) -> None:
    page = reader.page
    assert page.locator("#welcome > *").all_inner_texts()[:2] == ["tiny 1.0.0", "A toy for tests"]
    documents, size = page.locator(".facts li").all_inner_texts()
    assert documents == "4 documents" and re.fullmatch(r"[1-9]\d{2} kB", size)
    reader.ask(FEE)
    assert page.locator(".answer").inner_text() == "The A class costs 0.85% a year. 1"
    assert page.locator(".source-place").first.inner_text() == "fees.pdf, page 1"
    assert page.locator(".source-trail").first.inner_text() == "Global Equity Fund"
    took = page.get_by_role("tooltip", include_hidden=True)
    assert not took.is_visible()
    page.get_by_role("button", name="How long it took").focus()
    assert took.inner_text() == "first word 0.42s · whole answer 1.3s · read 880 tokens, 412 kept"
    page.get_by_role("button", name="Open passage 1: fees.pdf, page 1").click()
    panel = page.get_by_role("complementary", name="fees.pdf, page 1")
    assert panel.locator("mark").inner_text() == "The A class costs 0.85% a year."
    assert panel.locator(".own").inner_text().strip() == "The I class costs 0.40%."
    assert panel.locator(".around").last.inner_text() == "Charges are taken every month."
    assert panel.locator(".trail").inner_text() == "Fees 2025 › Global Equity Fund"
    assert reader.focused() == "fees.pdf, page 1"
    page.keyboard.press("Escape")
    panel.wait_for(state="hidden")
    assert reader.focused() == "Open passage 1: fees.pdf, page 1"


def test_a_quote_stands_before_the_answer_and_above_it(reader: Visit) -> None:
    """While the model still reads, the passage's words are there, and their mark opens the passage."""
    page = reader.page
    page.locator("textarea").fill(QUOTED)
    page.keyboard.press("Enter")
    quote = page.locator(".quote")
    quote.wait_for()
    assert quote.inner_text().startswith("“Change the filter after 400 hours of use.”")
    assert "400 hours [1]" not in page.locator(".answer").inner_text()
    HELD.set()
    page.locator(".foot").wait_for()
    assert (
        page.locator(".quote").count() == 1
        and page.locator(".answer").inner_text() == "After 400 hours 1."
    )
    page.locator(".quote .cite").click()
    page.locator("#passage").get_by_text("Change the filter").first.wait_for()


def test_words_that_only_bear_on_a_question_are_said_to_be_such(reader: Visit) -> None:
    reader.ask(RELATED)
    assert "own words" in reader.page.locator(".notice.warn").inner_text()
    assert reader.page.locator(".quote").count() == 0


def test_from_one_passage_to_the_next(reader: Visit) -> None:
    reader.ask(FEE)
    reader.page.locator(".cite").click()
    panel = reader.page.locator("#passage")
    panel.get_by_role("button", name="Next passage").click()
    assert panel.locator(".count").inner_text() == "Passage 2 of 3"
    panel.get_by_role("button", name="Previous passage").click()
    panel.get_by_role("button", name="Close").click()
    assert reader.page.locator("[data-open]").count() == 0


def test_what_was_read_and_not_cited_can_be_read_too(reader: Visit) -> None:
    reader.ask(FEE)
    reader.page.get_by_text("2 more passages were read").click()
    reader.page.locator(".others .source").first.click()
    panel = reader.page.locator("#passage")
    assert panel.locator(".count").inner_text() == "Passage 2 of 3"
    assert panel.locator("mark").count() == 0
    panel.get_by_text("Read for this answer, but not cited.").wait_for()


def test_a_refusal_looks_like_one(reader: Visit) -> None:
    reader.ask(WIFI)
    refusal = reader.page.locator(".refusal")
    assert refusal.locator("p").all_inner_texts()[:2] == [
        "The documents do not answer this",
        SCRIPT[WIFI].text,
    ]
    assert reader.page.locator(".answer").count() == 0
    notice = "No document contains “wifi”, “<b>”."
    assert reader.page.locator(".notice").all_inner_texts() == [notice]
    reader.page.locator(".source").first.click()
    reader.page.locator("#passage .own").first.wait_for()


def test_a_figure_of_no_passage_is_marked(reader: Visit) -> None:
    reader.ask(SUM)
    assert reader.page.locator(".unsupported").all_inner_texts() == ["4.25%"]
    assert reader.page.locator(".notice").all_inner_texts() == [
        "The underlined figure stands in none of the passages read. Do not rely on it."
    ]


def test_an_answer_without_a_source_says_so(reader: Visit) -> None:
    reader.ask(BARE)
    assert reader.page.locator(".notice").all_inner_texts() == [
        "This answer names no source. Check it against the passages below before you use it."
    ]
    assert reader.page.locator(".source").count() == 3


def test_sources_are_numbered_as_they_are_cited(reader: Visit) -> None:
    reader.context.grant_permissions(["clipboard-read", "clipboard-write"])
    reader.ask(ORDER)
    page = reader.page
    places = [place(one.document, one.page) for one in reader.server.expert.search(ORDER, 3)]
    assert page.locator(".answer").inner_text() == "First this 1, then that 21."
    shown = page.locator(".source-place").all_inner_texts()
    assert [text.replace("\n", "") for text in shown[:2]] == [places[2], places[0]]
    assert page.locator(".source-number").all_inner_texts()[:2] == ["1", "2"]
    page.get_by_role("button", name=f"Open passage 1: {places[2]}").first.click()
    panel = page.locator("#passage")
    assert (panel.locator(".count").inner_text(), panel.locator("h2").inner_text()) == (
        "Passage 1 of 3",
        places[2],
    )
    panel.get_by_role("button", name="Next passage").click()
    assert (panel.locator(".count").inner_text(), panel.locator("h2").inner_text()) == (
        "Passage 2 of 3",
        places[0],
    )
    reader.stop_clock()  # it says "Copied" for two seconds
    page.get_by_role("button", name="Copy with sources").click()
    page.get_by_role("button", name="Copied").wait_for()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert "First this [1], then that [2, 1]." in copied
    assert copied.index(f"[1] {places[2]}: ") < copied.index(f"[2] {places[0]}: ")


def test_a_passage_that_was_guessed_is_called_related(reader: Visit) -> None:
    reader.ask(GUESSED)
    page = reader.page
    assert page.locator(".turn .list-heading").first.inner_text() == "Related"
    page.locator(".notice", has_text="This answer names no source.").wait_for()
    page.locator(".source").first.click()
    page.locator("#passage mark").wait_for()
    note = page.locator("#passage .passage-foot .note").inner_text()
    assert note.startswith("The answer names no source. Marked: the sentence nearest to it.")


def test_a_quote_is_shown_without_markdown(reader: Visit) -> None:
    reader.ask(RATES)
    quote = reader.page.locator(".source-quote").first.inner_text()
    assert quote == "“Overnight rate: see the table, 5.25% since March · April.”"


@pytest.mark.parametrize(
    ("markdown", "text"),
    [
        ("## Fees | 2025", "Fees · 2025"),
        ("| a | b |\n|---|---|\n| 1 | 2 |", "a · b\n1 · 2"),
        ("- [x] one\n* two", "• one\n• two"),
        ("- **one**", "one"),
        ("snake_case and 2 * 3 * 4 stay", "snake_case and 2 * 3 * 4 stay"),
        (r"5 \* 3 \# 1", "5 * 3 # 1"),
        ("![logo](a.png) __so__ _it_ is", "logo so it is"),
        ("__init__.py", "__init__.py"),
    ],
)
def test_markdown_as_a_reader_would_write_it(reader: Visit, markdown: str, text: str) -> None:
    plain = "async (markdown) => (await import('/static/js/parse.js')).plainText(markdown)"
    assert reader.page.evaluate(plain, markdown) == text


def test_what_documents_and_models_say_stays_text(reader: Visit) -> None:
    reader.ask(EVIL)
    page = reader.page
    assert page.locator(".answer").inner_text() == f"It says {ATTACK} 1"
    page.locator(".cite").click()
    page.locator("#passage .page p").first.wait_for()
    assert ATTACK in page.locator("#passage .page").inner_text()
    assert page.locator("#passage-title").inner_text() == f"{NAME}, page 3"
    assert page.locator(".room").locator("img, script, a, iframe, b, i").count() == 0


def test_the_answer_is_copied_with_its_sources(reader: Visit) -> None:
    reader.context.grant_permissions(["clipboard-read", "clipboard-write"])
    reader.ask(FEE)
    reader.stop_clock()  # it says "Copied" for two seconds
    reader.page.get_by_role("button", name="Copy with sources").click()
    reader.page.get_by_role("button", name="Copied").wait_for()
    assert reader.page.evaluate("navigator.clipboard.readText()") == (
        f"{FEE}\n\nThe A class costs 0.85% a year. [1]\n\nSources\n[1] fees.pdf, page 1: “The A "
        "class costs 0.85% a year.”"
    )


# --- while it answers -----------------------------------------------------------------------------


def test_the_answer_is_seen_as_it_comes_and_can_be_stopped(reader: Visit) -> None:
    stopped = reader.server.expert.stopped
    reader.ask(SLOW, wait=False)
    page = reader.page
    page.get_by_text("One two ", exact=False).wait_for()
    assert page.locator(".turn").get_attribute("aria-busy") == "true"
    assert page.locator(".found .source").count() == 3
    assert page.locator("#status").inner_text() == ""  # said when it is over, not word by word
    page.keyboard.press("Escape")
    page.locator(".notice", has_text="Stopped. This answer is not complete.").wait_for()
    assert page.locator(".answer").inner_text().strip() == "One two"
    wait_for(lambda: reader.server.expert.stopped == stopped + 1)
    HELD.set()
    page.get_by_role("button", name="Ask again", exact=True).click()
    page.locator(".turn:last-child .foot").wait_for()
    assert page.locator(".turn").count() == 1
    wait_for(lambda: page.locator("#status").inner_text().startswith("Answer: One two three"))


def test_a_place_in_the_queue_and_a_full_one(reader: Visit, browser: Any) -> None:
    reader.ask(SLOW, wait=False)
    reader.page.get_by_text("One two ", exact=False).wait_for()
    with visit(browser, reader.server) as second, visit(browser, reader.server) as third:
        second.ask(FEE, wait=False)
        second.page.get_by_text("1 question comes before yours").wait_for()
        third.stop_clock()  # it asks again three times, a second apart
        third.ask(FILTER, wait=False)
        third.page.get_by_text(
            "The expert is busy with other questions. Asking again in"
        ).wait_for()
        with third.page.expect_response("**/api/ask") as refused:
            third.page.get_by_role("button", name="Ask now").click()
        assert refused.value.status == 429
        HELD.set()
        second.page.locator(".turn:last-child .foot").wait_for()
        third.page.clock.resume()
        third.page.locator(".turn:last-child .foot").wait_for()
        assert third.page.locator(".answer").inner_text() == "Change it after 400 hours of use 1."


def test_the_button_that_asks_at_once_stays_while_the_seconds_are_counted(reader: Visit) -> None:
    """A new one each second was gone before a slow hand was there, and lost the focus of the
    keyboard."""
    page, error = reader.page, {"code": "queue_full", "message": "full"}
    full = {"status": 429, "headers": {"Retry-After": "30"}, "json": {"error": error}}
    page.route("**/api/ask", lambda route: route.fulfill(**full))
    reader.stop_clock()
    reader.ask(FEE, wait=False)
    page.get_by_text("Asking again in 30 seconds").wait_for()
    page.get_by_role("button", name="Ask now").focus()
    page.clock.run_for(2000)
    page.get_by_text("Asking again in 28 seconds").wait_for()
    assert reader.focused() == "Ask now"
    with page.expect_request("**/api/ask"):
        page.keyboard.press("Enter")


def test_models_open_while_the_first_question_is_typed(reader: Visit) -> None:
    page, application = reader.page, reader.server.application
    with page.expect_request("**/api/load") as sent:
        page.get_by_label("Your question").press("W")
    assert sent.value.response().status == 202
    wait_for(lambda: reader.server.expert.loads == 1)
    wait_for(lambda: not application.loaded.loading and application.service.queue.idle)
    reader.stop_clock()
    before = len(reader.server.expert.ahead)
    page.get_by_label("Your question").press_sequentially("hat is it?")
    page.clock.run_for(1000)
    wait_for(lambda: "What is it?" in reader.server.expert.ahead)
    after = [text for text in reader.server.expert.ahead[before:] if text != "W"]
    assert after == ["What is it?"], "not at every key"


def test_a_question_that_is_too_long_is_not_sent(reader: Visit) -> None:
    page = reader.page
    page.get_by_label("Your question").fill("x" * 503)
    assert page.locator("#hint").inner_text().startswith("3 characters too many")
    page.keyboard.press("Enter")
    assert page.get_by_role("button", name="Send").is_disabled()
    assert page.locator(".turn").count() == 0


def test_without_its_key_the_page_says_where_it_is(reader: Visit) -> None:
    reader.context.clear_cookies()
    reader.ask(FEE, wait=False)
    banner = reader.page.get_by_role("alert")
    banner.get_by_text("This page has no key").wait_for()
    assert "fieldpack serve" in banner.inner_text()


def test_a_server_that_is_away_and_back(reader: Visit) -> None:
    reader.context.set_offline(True)
    reader.ask(FEE)
    page = reader.page
    page.locator(
        ".notice", has_text="The connection broke before the answer was complete."
    ).wait_for()
    page.get_by_role("alert").get_by_text("The expert’s server does not answer.").wait_for()
    reader.context.set_offline(False)
    page.locator("#banner").wait_for(state="hidden")
    page.get_by_role("button", name="Ask again", exact=True).click()
    page.locator(".turn:last-child .foot").wait_for()
    assert page.locator(".turn").count() == 1


def test_a_slow_server_is_not_looked_for_twice_at_once(reader: Visit) -> None:
    """Each look that it answered began the page anew."""
    page, held = reader.page, []
    page.route("**/health", lambda route: held.append(route))
    page.route("**/api/ask", lambda route: route.abort("internetdisconnected"))
    reader.stop_clock()
    reader.ask(FEE)
    page.get_by_role("alert").get_by_text("The expert’s server does not answer.").wait_for()
    with page.expect_request("**/health"):
        page.clock.run_for(4000)
    page.clock.run_for(20_000)
    page.evaluate("async () => (await fetch('/api/bundles')).text()")
    assert len(held) == 1
    held[0].continue_()
    page.locator("#banner").wait_for(state="hidden")


def test_an_answer_goes_on_when_the_page_sees_that_the_server_is_back(reader: Visit) -> None:
    """Asked again before the page has looked for the server: its look does not stop the answer."""
    stopped = reader.server.expert.stopped
    page = reader.page
    reader.context.set_offline(True)
    reader.ask(SLOW)
    page.get_by_role("alert").get_by_text("The expert’s server does not answer.").wait_for()
    with page.expect_response("**/api/about"):  # the last that is read of a server that is back
        reader.context.set_offline(False)
        page.get_by_role("button", name="Ask again", exact=True).click()
        page.get_by_text("One two ", exact=False).wait_for()
        page.locator("#banner").wait_for(state="hidden")
    page.evaluate("async () => (await fetch('/api/bundles')).text()")  # the page has acted on it
    HELD.set()
    page.locator(".turn:last-child .foot").wait_for()
    assert page.locator(".answer").inner_text() == "One two three"
    assert reader.server.expert.stopped == stopped


# --- conversations --------------------------------------------------------------------------------


def test_a_follow_up_says_what_it_goes_on_from(reader: Visit) -> None:
    reader.ask(FEE)
    reader.ask(WIFI)
    reader.ask(FILTER)
    first, second, third = reader.server.expert.asked
    assert first.get("previous") is None
    assert (
        second["previous"].question == third["previous"].question == FEE
    )  # a refusal is nothing to go on from
    assert len(second["previous"].passages) == 3
    reader.page.get_by_role("button", name="New conversation").click()
    reader.ask(FILTER)
    assert reader.server.expert.asked[-1].get("previous") is None


def test_a_new_subject_can_be_asked_by_itself(reader: Visit) -> None:
    reader.ask(FEE)
    reader.ask(FILTER)
    assert reader.page.locator(".before .note").all_inner_texts() == [f"Read as: {FEE} {FILTER}"]
    reader.page.get_by_role("button", name="Ask it by itself").click()
    reader.page.locator(".turn:last-child .foot").wait_for()
    assert reader.page.locator(".turn").count() == 2
    assert reader.page.locator(".before").count() == 0
    assert reader.server.expert.asked[-1].get("previous") is None


def test_conversations_outlive_a_reload_and_can_be_deleted(reader: Visit) -> None:
    page = reader.page
    reader.ask(FEE)
    page.reload()
    assert page.locator(".answer").inner_text() == "The A class costs 0.85% a year. 1"
    page.get_by_role("button", name="New conversation").click()
    reader.ask(FILTER)
    titles = page.locator(".conversation-title")
    assert titles.all_inner_texts() == [FILTER, FEE]
    titles.last.click()
    assert FEE in page.locator(".question").inner_text()
    page.get_by_role("button", name=f"Delete “{FEE}”").click()
    assert titles.all_inner_texts() == [FILTER]
    page.get_by_role("button", name="Delete all").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete", exact=True).click()
    titles.first.wait_for(state="detached")
    page.reload()
    page.locator("#welcome h2").wait_for()
    assert page.locator(".turn").count() == 0


def test_a_running_answer_of_a_conversation_that_is_left_stays_with_it(reader: Visit) -> None:
    page = reader.page
    reader.ask(SLOW, wait=False)
    page.get_by_text("One two ", exact=False).wait_for()
    page.get_by_role("button", name="New conversation").click()
    reader.ask(FEE)
    assert page.locator(".turn").count() == 1
    wait_for(lambda: kept(reader) == [(FEE, "done"), (SLOW, "stopped")])


def test_a_question_can_be_asked_in_the_moment_another_conversation_is_left(
    reader: Visit,
) -> None:
    """The answer that is stopped has not ended then."""
    page = reader.page
    reader.ask(SLOW, wait=False)
    page.get_by_text("One two ", exact=False).wait_for()
    page.evaluate(
        """(question) => {
            document.getElementById('new-button').click();
            document.getElementById('question').value = question;
            document.getElementById('question').dispatchEvent(new Event('input'));
            document.getElementById('ask').requestSubmit();
        }""",
        FEE,
    )
    page.locator(".turn:last-child .foot").wait_for()
    assert page.locator(".turn").count() == 1
    wait_for(lambda: kept(reader) == [(FEE, "done"), (SLOW, "stopped")])


def kept(reader: Visit) -> list[tuple[str, str]]:
    """Question and state of each conversation's first turn, the latest conversation first."""
    read = "async () => (await import('/static/js/history.js')).conversations('tiny-1.0.0')"
    return [
        (one["turns"][0]["question"], one["turns"][0]["state"])
        for one in reader.page.evaluate(read)
    ]


def second_window(reader: Visit) -> Visit:
    window = Visit(reader.server, reader.context, reader.context.new_page(), reader.problems)
    window.page.goto(reader.server.url)
    window.page.locator(".turn .foot").first.wait_for()
    return window


def test_two_windows_on_one_conversation_lose_nothing(reader: Visit) -> None:
    reader.ask(FEE)
    second = second_window(reader)
    second.ask(FILTER)
    reader.page.locator(".question", has_text=FILTER).wait_for()
    reader.ask(SLOW, wait=False)
    reader.page.get_by_text("One two ", exact=False).wait_for()
    with second.page.expect_response("**/api/feedback"):
        second.page.get_by_role("button", name="Helpful", exact=True).first.click()
    reader.page.locator("[data-rating=up][aria-pressed=true]").wait_for()
    HELD.set()
    second.page.locator(".question", has_text=SLOW).wait_for()
    for window in (reader, second):
        window.page.reload()
        window.page.locator(".turn .foot").nth(2).wait_for()
        assert window.page.locator(".question [dir]").all_inner_texts() == [FEE, FILTER, SLOW]
        assert window.page.locator("[data-rating=up][aria-pressed=true]").count() == 1
    second.page.get_by_role("button", name="New conversation").click()
    reader.page.get_by_role("button", name=f"Delete “{FEE}”").click()
    wait_for(lambda: kept(second) == [])  # another process has its own copy of the storage


def test_no_conversation_is_dropped_and_a_full_store_says_so(reader: Visit) -> None:
    page = reader.page
    fill = """async (passage) => {
        const history = await import('/static/js/history.js');
        for (let i = 0; i < 120; i += 1) {
            const one = history.newConversation();
            const turn = { ...history.newTurn(`Question ${i}`, false), state: 'done', at: i };
            if (!history.saveTurn('tiny-1.0.0', one, turn)) throw new Error('no room');
        }
        let size = 1 << 20;
        for (let i = 0; size > 100; i += 1) {
            try { localStorage.setItem(`other:${i}`, 'x'.repeat(size)); } catch { size >>= 1; }
        }
    }"""
    page.evaluate(fill)
    reader.ask(FEE)
    page.get_by_role("alert").get_by_text(
        "This browser has no room for more conversations"
    ).wait_for()
    assert page.locator(".answer").inner_text() == "The A class costs 0.85% a year. 1"
    assert len(kept(reader)) == 120, "all that was kept before is there still"
    page.evaluate(
        "for (const key of Object.keys(localStorage)) if (key.startsWith('other:')) "
        "localStorage.removeItem(key)"
    )
    with page.expect_response("**/api/feedback"):
        page.get_by_role("button", name="Helpful", exact=True).click()
    wait_for(lambda: kept(reader)[0] == (FEE, "done"))


def test_a_window_that_dies_while_it_asks_loses_no_answer(reader: Visit) -> None:
    reader.ask(FEE)
    reader.ask(SLOW, wait=False)
    reader.page.get_by_text("One two ", exact=False).wait_for()
    with contextlib.suppress(playwright.Error):  # that is how it dies
        reader.page.goto("chrome://crash")
    second = second_window(reader)
    assert second.page.locator(".question [dir]").all_inner_texts() == [FEE, SLOW]
    assert second.page.locator(".answer").first.inner_text() == "The A class costs 0.85% a year. 1"
    second.page.get_by_text("Stopped before the answer began.").wait_for()
    HELD.set()
    second.page.get_by_role("button", name="Ask again", exact=True).click()
    second.page.locator(".answer", has_text="One two three").wait_for()


def test_what_an_earlier_version_kept_is_taken_over(reader: Visit) -> None:
    turns = [
        {"question": f"Old {n}", "state": "done", "text": "yes", "passages": [], "citations": []}
        for n in range(3)
    ]
    old = [{"id": "5-1", "at": 5, "turns": turns}, {"id": "4-1", "at": 4, "turns": turns[1:]}]
    reader.page.evaluate(
        "(old) => localStorage.setItem('fieldpack:conversations:tiny-1.0.0', JSON.stringify(old))",
        old,
    )
    reader.page.reload()
    reader.page.locator("#welcome h2").wait_for()
    assert kept(reader) == [("Old 0", "done"), ("Old 1", "done")]
    assert (
        reader.page.evaluate("localStorage.getItem('fieldpack:conversations:tiny-1.0.0')") is None
    )


def ratings(reader: Visit) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in state_lines(reader.server.state).splitlines()]
    return [line for line in lines if line["kind"] == "rating"]


def test_a_rating_reaches_the_state_folder(reader: Visit) -> None:
    reader.ask(FEE)
    with reader.page.expect_response("**/api/feedback"):
        reader.page.get_by_role("button", name="Not helpful").click()
    alone = ratings(reader)[-1]  # a thumb counts without a word
    assert (alone["question"], alone["rating"], alone["note"]) == (FEE, "down", "")
    reader.page.get_by_label("What was wrong? (optional)").fill("An old price")
    with reader.page.expect_response("**/api/feedback"):
        reader.page.keyboard.press("Enter")
    reader.page.get_by_text("Thank you.").first.wait_for()
    rating = ratings(reader)[-1]
    assert (rating["question"], rating["rating"], rating["note"]) == (FEE, "down", "An old price")
    assert len(rating["passages"]) == 3
    assert rating["cited"] in rating["passages"]
    assert rating["answer_id"] == alone["answer_id"] != ""
    reader.page.reload()
    assert (
        reader.page.get_by_role("button", name="Not helpful").get_attribute("aria-pressed")
        == "true"
    )
    with reader.page.expect_response("**/api/feedback"):
        reader.page.get_by_role("button", name="Helpful", exact=True).click()
    wait_for(
        lambda: (
            reader.page.get_by_role("button", name="Not helpful").get_attribute("aria-pressed")
            == "false"
        )
    )
    assert (
        ratings(reader)[-1]["rating"] == "up"
        and ratings(reader)[-1]["answer_id"] == alone["answer_id"]
    )


def test_another_expert_has_conversations_of_its_own(
    browser: Any, shelf: Path, sealed: Path, tmp_path: Path
) -> None:
    other = Path(shutil.copytree(sealed, tmp_path / "other"))
    manifest = (other / "manifest.json").read_text(encoding="utf-8")
    (other / "manifest.json").write_text(
        manifest.replace('"version": "1.0.0"', '"version": "2.0.0"'), encoding="utf-8"
    )
    with (
        served([shelf, other], tmp_path / "state", opener=scripted(SCRIPT)) as running,
        visit(browser, running) as reader,
    ):
        page = reader.page
        reader.ask(FEE)
        page.get_by_role("button", name="tiny 1.0.0").click()
        page.get_by_role("button", name="Use tiny 2.0.0").click()
        page.get_by_role("button", name="tiny 2.0.0", exact=True).wait_for()
        page.locator("#welcome h2").wait_for()
        assert page.locator(".turn").count() == 0
        assert running.application.loaded.current.id == "tiny-2.0.0"


def test_about_and_the_report_in_its_cage(reader: Visit) -> None:
    page = reader.page
    page.get_by_role("button", name="About this expert").click()
    dialog = page.get_by_role("dialog")
    facts = dict(
        zip(
            dialog.locator("dt").all_inner_texts(),
            dialog.locator("dd").all_inner_texts(),
            strict=True,
        )
    )
    assert facts["Holds"] == "4 documents, 9 passages"
    assert (
        facts["Right value"] == "13%" and facts["Words shared with the right answer (F1)"] == "0.50"
    )
    assert f"fieldpack {fieldpack.__version__}" in facts["Runs on"]
    assert dialog.locator(".guarantee").inner_text() == (
        "Of 100 questions like the test’s at least 75 are answered, and of 100 answers at least 22 "
        "are right, with 95% certainty (questions asked: 40, answered: 37, right answers: 16)."
    )
    assert "questions made up from their sentences, which is weaker" in dialog.inner_text()
    with reader.context.expect_page() as opened:
        dialog.get_by_role("link", name="Open the full report").click()
    opened.value.get_by_role("heading", name="Measured").wait_for()
    assert opened.value.evaluate("origin") == "null"
    opened.value.close()
    page.keyboard.press("Escape")
    wait_for(lambda: reader.focused() == "About this expert")


def test_the_start_page_says_how_many_are_refused(reader: Visit) -> None:
    said = "Of 100 questions that the documents do not answer, about 91 were refused in the test"
    last = reader.page.locator(".how li").last
    assert last.inner_text().strip().startswith(said)
    reader.page.route(
        "**/api/about",
        lambda route: route.fulfill(json={**route.fetch().json(), "measured": {}}),
    )
    reader.page.reload()
    unknown = "It can also answer what the documents do not say: read the quote."
    reader.page.locator(".how li", has_text=unknown).wait_for()


def test_an_example_is_asked_with_a_click(reader: Visit) -> None:
    assert reader.page.locator(".examples button").all_inner_texts() == [FILTER]
    reader.page.get_by_role("button", name=FILTER).click()
    reader.page.locator(".foot").wait_for()
    assert reader.page.locator(".answer").inner_text() == "Change it after 400 hours of use 1."


def test_the_library_is_searched_and_paged_through_without_a_question(reader: Visit) -> None:
    page = reader.page
    names = page.locator(".document-name")
    names.first.wait_for()
    assert names.all_inner_texts() == sorted([NAME, "fees.pdf", "pump.md", "rules.txt"])
    page.get_by_role("button", name="fees.pdf").click()
    panel = page.locator("#passage")
    panel.locator(".own").first.wait_for()
    assert panel.locator(".count").inner_text() == "Passage 1 of 4"
    assert "The A class costs 0.85% a year." in panel.locator(".page").inner_text()
    assert panel.locator(".passage-foot .note").inner_text() == "Grey: the text around the passage."
    panel.get_by_role("button", name="Next passage").click()
    assert panel.locator(".count").inner_text() == "Passage 2 of 4"
    page.keyboard.press("Escape")
    assert reader.focused().startswith("fees.pdf")
    page.get_by_label("Search the documents").fill("valve QX-7781")
    page.keyboard.press("Enter")
    page.locator(".library .source").first.click()
    panel.locator(".own").first.wait_for()
    assert "QX-7781" in panel.locator(".own").first.inner_text()
    assert reader.server.expert.asked == [] and page.locator(".turn").count() == 0
    page.keyboard.press("Escape")
    page.get_by_label("Search the documents").fill("")
    names.first.wait_for()


# --- everybody ------------------------------------------------------------------------------------


def test_all_of_it_with_keys_alone(reader: Visit) -> None:
    keys = reader.page.keyboard
    assert reader.focused() == "Your question"
    keys.type("Two lines")
    keys.press("Shift+Enter")
    assert reader.page.get_by_label("Your question").input_value() == "Two lines\n"
    keys.press("Control+A")
    keys.type(FEE)
    keys.press("Enter")
    reader.page.locator(".foot").wait_for()
    assert reader.focused() == "Your question"
    walked = []
    while not walked or walked[-1] != "Open passage 1: fees.pdf, page 1":
        keys.press("Shift+Tab")
        walked.append(reader.focused())
        assert len(walked) < 20, walked
    keys.press("Enter")
    reader.page.locator("#passage mark").wait_for()
    keys.press("Escape")
    keys.press("/")
    assert reader.focused() == "Your question"


def test_everything_that_can_be_pressed_has_a_name(reader: Visit) -> None:
    reader.ask(FEE)
    reader.page.locator(".cite").click()
    reader.page.get_by_role("button", name="Conversations").click()
    nameless = reader.page.evaluate(
        "() => [...document.querySelectorAll('button, a, input, select, textarea')]"
        ".filter(one => !(one.ariaLabel || one.textContent.trim() || one.labels?.length)).map(one "
        "=> one.outerHTML)"
    )
    assert nameless == []


@pytest.mark.parametrize(
    ("locale", "direction", "documents"),
    [
        ("pl-PL", "ltr", "4 dokumenty"),
        ("uk-UA", "ltr", "4 документи"),
        ("sk-SK", "ltr", "4 dokumenty"),
        ("ar", "rtl", "4 وثائق"),
        ("xx", "ltr", "4 documents"),
    ],
)
def test_the_page_speaks_the_browsers_language(
    browser: Any, server: Served, locale: str, direction: str, documents: str
) -> None:
    with visit(browser, server, locale=locale) as reader:
        root = reader.page.locator("html")
        assert (root.get_attribute("lang"), root.get_attribute("dir")) == (
            locale[:2].replace("xx", "en"),
            direction,
        )
        facts = reader.page.locator(".facts").inner_text()
        assert documents in facts or documents.replace("4", "٤") in facts
        assert reader.page.locator("[data-t]:visible", has_text="undefined").count() == 0


def test_every_language_fits_a_phone(browser: Any, server: Served) -> None:
    """No text is wider than its place, but titles that are cut off with dots on purpose."""
    wider = """() => [...document.querySelectorAll("body *")].filter((node) => {
        const style = getComputedStyle(node);
        return node.offsetParent && node.clientWidth && node.scrollWidth > node.clientWidth + 1
            && style.display !== "inline" && style.textOverflow !== "ellipsis"
            && !node.matches(".unseen, .cite");
    }).map((node) => `${node.tagName} ${node.className}: ${node.textContent.trim().slice(0, 60)}`)"""
    placeholder = """(box) => {
        const pen = document.createElement("canvas").getContext("2d");
        pen.font = getComputedStyle(box).font;
        return pen.measureText(box.placeholder).width - box.clientWidth;
    }"""
    choose = "(list, name) => { list.value = name; list.dispatchEvent(new Event('change')); }"
    with visit(browser, server, viewport={"width": 390, "height": 844}) as reader:
        page = reader.page
        languages = page.locator("#language option").evaluate_all(
            "(options) => options.map((option) => option.value)"
        )
        assert len(languages) == 11
        for asked in (False, True):
            if asked:
                for question in (SUM, WIFI):
                    page.locator("#question").fill(question)
                    page.keyboard.press("Enter")
                    page.locator(".turn:last-child[aria-busy=false]").wait_for()
            for language in languages:
                page.locator("#language").evaluate(choose, language)
                page.locator(f"html[lang={language}]").wait_for()
                assert page.evaluate("document.scrollingElement.scrollWidth") == 390, language
                assert page.evaluate(wider) == [], language
                assert page.locator("#question").evaluate(placeholder) <= 0, language


def test_of_two_languages_the_one_chosen_last_stays(browser: Any, server: Served) -> None:
    """The words of the first come after those of the second, as they may from a busy server."""
    with visit(browser, server) as reader:
        page, held = reader.page, []
        page.route("**/locales/fr.json", lambda route: held.append(route))
        page.get_by_role("button", name="Conversations").click()
        page.get_by_label("Language").select_option("fr")
        page.get_by_label("Language").select_option("de")
        page.get_by_role("button", name="Neues Gespräch").wait_for()
        with page.expect_response("**/locales/fr.json"):
            held[0].continue_()
        page.wait_for_timeout(100)
        assert page.locator("html").get_attribute("lang") == "de"
        assert page.get_by_label("Sprache").input_value() == "de"


def test_a_language_whose_words_do_not_come_leaves_the_one_before(
    browser: Any, server: Served
) -> None:
    with visit(browser, server) as reader:
        page = reader.page
        for path in ("locales/fr.json", "health"):  # nor does it answer again before we have looked
            page.route(f"**/{path}", lambda route: route.abort("internetdisconnected"))
        page.get_by_role("button", name="Conversations").click()
        page.get_by_label("Language").select_option("fr")
        page.locator("#banner").get_by_text("does not answer", exact=False).wait_for()
        assert page.get_by_label("Language").input_value() == "en"


def test_a_quote_has_the_language_s_own_marks(browser: Any, server: Served) -> None:
    with visit(browser, server, locale="uk-UA") as reader:
        reader.page.locator("#question").fill(FEE)
        reader.page.keyboard.press("Enter")
        reader.page.locator(".turn:last-child[aria-busy=false]").wait_for()
        quote = reader.page.locator(".source-quote").first.inner_text()
        assert re.fullmatch("«[^«»“”]+»", quote)


def test_the_language_may_change_while_an_answer_comes(reader: Visit) -> None:
    page = reader.page
    reader.ask(SLOW, wait=False)
    page.get_by_text("One two ", exact=False).wait_for()
    page.get_by_role("button", name="Conversations").click()
    page.get_by_label("Language").select_option("de")
    page.get_by_role("button", name="Neues Gespräch").wait_for()
    assert page.locator(".answer").inner_text().strip() == "One two"
    HELD.set()
    page.get_by_role("button", name="Mit Quellen kopieren").wait_for()
    assert page.locator(".answer").inner_text() == "One two three"


@pytest.mark.parametrize(
    ("name", "width", "dark"),
    [("light", 1280, False), ("dark", 1280, True), ("narrow", 320, False)],
)
def test_it_fits_the_screen(
    browser: Any, server: Served, tmp_path: Path, name: str, width: int, dark: bool
) -> None:
    scheme = "dark" if dark else "light"
    with visit(
        browser, server, viewport={"width": width, "height": 640}, color_scheme=scheme
    ) as reader:
        reader.ask(EVIL)
        reader.page.locator(".cite").click()
        reader.page.locator("#passage mark, #passage .own").first.wait_for()
        wider = "() => document.scrollingElement.scrollWidth > innerWidth"
        assert not reader.page.evaluate(wider)
        ground = reader.page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, ground[4:-1].split(","))) < 384) is dark
        picture = reader.page.screenshot(path=tmp_path / f"{name}.png")
        assert picture.startswith(b"\x89PNG")


@pytest.mark.parametrize(("width", "height"), [(1280, 640), (390, 800)])
def test_a_long_conversation_scrolls_within_the_page(
    browser: Any, server: Served, width: int, height: int
) -> None:
    HELD.set()
    with visit(browser, server, viewport={"width": width, "height": height}) as reader:
        page = reader.page
        bar, box = page.locator(".bar"), page.locator(".ask")
        before = bar.bounding_box(), box.bounding_box()
        assert before[0] and before[0]["y"] == 0
        for question in (FEE, WIFI, SUM, FILTER, BARE):
            reader.ask(question)
        for move in (
            "scrollTo(0, 1e6)",
            "document.getElementById('scroll').scrollTo(0, 0)",
            "document.getElementById('scroll').scrollTo(0, 1e6)",
        ):
            page.evaluate(move)
            page.mouse.move(width / 2, height / 2)
            page.mouse.wheel(0, 5000)
            assert (bar.bounding_box(), box.bounding_box()) == before
        assert page.evaluate("document.scrollingElement.scrollHeight") == height
        assert page.evaluate("document.getElementById('scroll').scrollHeight") > height
        assert page.locator(".offline").is_visible(), "it is said on a phone too"


def test_each_text_has_its_own_direction(browser: Any, server: Served) -> None:
    with visit(browser, server, locale="ar") as reader:
        reader.page.locator("#question").fill(FEE)
        reader.page.keyboard.press("Enter")
        reader.page.locator(".turn:last-child[aria-busy=false]").wait_for()
        direction = "node => getComputedStyle(node).direction"
        assert reader.page.locator(".question [dir]").evaluate(direction) == "ltr"
        assert reader.page.locator(".answer").evaluate(direction) == "ltr"
        assert reader.page.locator(".turn").evaluate(direction) == "rtl"
        left = """(node) => {
            const range = document.createRange();
            range.selectNodeContents(node);
            return range.getBoundingClientRect().left - node.getBoundingClientRect().left;
        }"""
        assert reader.page.locator(".question [dir]").evaluate(left) < 2


def test_a_printed_page_says_who_answered_and_when(reader: Visit, tmp_path: Path) -> None:
    reader.ask(FEE)
    reader.page.emulate_media(media="print")
    reader.page.evaluate("dispatchEvent(new Event('beforeprint'))")
    year = reader.page.evaluate("String(new Date().getFullYear())")
    printed = reader.page.locator("#printed").inner_text()
    assert printed.startswith("tiny 1.0.0, printed ") and year in printed
    assert (
        not reader.page.locator(".ask").is_visible()
        and not reader.page.locator(".bar").is_visible()
    )
    assert reader.page.locator(".source-quote").first.is_visible()
    assert reader.page.pdf().startswith(b"%PDF")


def test_the_key_is_in_no_address(reader: Visit) -> None:
    assert TOKEN not in reader.page.url
    assert TOKEN not in json.dumps(reader.page.evaluate("({...localStorage})"))
