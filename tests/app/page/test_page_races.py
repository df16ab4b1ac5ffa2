"""What may change while the page waits for its server: another click, another window, another expert,
a server that is away. Requests are held or refused where a slow line would delay or lose them."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import fakes
from browsing import Said, Visit, chromium, scripted, state_lines, visit
from fieldpack_app.server.settings import Limits
from serving import Served, served, wait_for

FEE = "What does the A class of the Global Equity Fund cost a year?"
FILTER = "When is the filter changed?"
SLOW = "Take your time"
LONG = "Tell me all about the valve"
HELD = threading.Event()
SCRIPT = {
    FEE: Said("The A class costs 0.85% a year. [1]"),
    FILTER: Said("Change it after 400 hours of use [1]."),
    SLOW: Said("One two [1] three", hold=HELD),
    LONG: Said("Only a trained operator", goes_on=" may open valve QX-7781 [1]."),
}
AWAY = "The expert’s server does not answer."


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def shelf(exported_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("races") / "tiny-1.0.0"
    return fakes.write_bundle(folder, model=exported_llama)


@pytest.fixture(scope="module")
def other(shelf: Path) -> Path:
    """The same bundle under another version."""
    folder = Path(shutil.copytree(shelf, shelf.parent / "tiny-2.0.0"))
    manifest = (folder / "manifest.json").read_text(encoding="utf-8")
    newer = manifest.replace('"version": "1.0.0"', '"version": "2.0.0"')
    (folder / "manifest.json").write_text(newer, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def server(browser: Any, shelf: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    state = tmp_path_factory.mktemp("state")
    # No heartbeat: where a test wants silence there is silence.
    limits = Limits(heartbeat_seconds=3600)
    with served([shelf], state, opener=scripted(SCRIPT), limits=limits) as running:
        yield running


@pytest.fixture
def reader(browser: Any, server: Served) -> Iterator[Visit]:
    HELD.clear()
    server.expert.asked.clear()
    with visit(browser, server) as visitor:
        yield visitor
    HELD.set()


@pytest.fixture
def two(browser: Any, shelf: Path, other: Path, tmp_path: Path) -> Iterator[Visit]:
    """A reader of a server that offers two experts."""
    HELD.clear()
    with (
        served([shelf, other], tmp_path / "state", opener=scripted(SCRIPT)) as running,
        visit(browser, running) as visitor,
    ):
        try:
            yield visitor
        finally:
            HELD.set()
        wanted(visitor, "409 (Conflict)")  # what the page is told when another expert is open


def wanted(reader: Visit, message: str) -> None:
    """Take what a test brought about itself out of what went wrong."""
    reader.problems[:] = [one for one in reader.problems if message not in one]


def hold(page: Any, address: str) -> list[Any]:
    """The requests to an address, which wait from now on until each is let go."""
    held: list[Any] = []
    page.route(address, lambda route: held.append(route))
    return held


def window(reader: Visit) -> Any:
    """Another window of the same browser."""
    page = reader.context.new_page()
    page.goto(reader.server.url)
    page.locator("#question").wait_for()
    return page


def settled(page: Any) -> None:
    """Until the page has acted on what it was answered: one more request has gone there and back."""
    page.evaluate("async () => { await (await fetch('/health')).text(); }")


def begin_slow(page: Any) -> None:
    page.get_by_label("Your question").fill(SLOW)
    page.keyboard.press("Enter")
    page.get_by_text("One two ", exact=False).wait_for()


def is_over(page: Any) -> None:
    page.locator(".turn:last-child[aria-busy=false]").wait_for()


def switch(server: Served, name: str) -> None:
    """As another device does."""
    with server.client("another device") as client:
        chosen = client.post("/api/bundles/current", json={"id": name})
        assert chosen.json()["current"] == name


# --- two windows, and conversations that are left -------------------------------------------------


def test_the_running_turn_need_not_be_the_last_one(reader: Visit) -> None:
    """Another window's answer, asked later, is whole earlier: no answer is drawn in its place."""
    page = reader.page
    reader.ask(FEE)
    begin_slow(page)
    put = """async ([bundle, question]) => {
        const history = await import('/static/js/history.js');
        const [{ id }] = history.conversations(bundle);
        const turn = { ...history.newTurn(question, false), state: 'done', text: 'From elsewhere' };
        history.saveTurn(bundle, { id }, turn);
    }"""
    second = window(reader)
    second.evaluate(put, ["tiny-1.0.0", FILTER])
    page.get_by_text("From elsewhere").wait_for()
    HELD.set()
    page.locator(".turn[aria-busy=true]").wait_for(state="detached")
    answers = page.locator(".answer").all_inner_texts()
    assert [text.split()[0] for text in answers] == ["The", "One", "From"]
    assert answers[1] == "One two 1 three"


def test_a_click_on_the_conversation_that_is_open_leaves_its_answer_alone(reader: Visit) -> None:
    page = reader.page
    begin_slow(page)
    page.get_by_role("button", name="Conversations").click()
    page.locator(".conversation").click()
    HELD.set()
    is_over(page)
    assert page.locator(".answer").inner_text() == "One two 1 three"


def test_a_conversation_that_was_left_is_not_asking_for_ever(reader: Visit) -> None:
    page = reader.page
    page.get_by_role("button", name="Conversations").click()
    begin_slow(page)
    page.get_by_role("button", name="New conversation").click()
    page.locator(".conversation").click()
    page.locator(".notice", has_text="Stopped").wait_for()
    assert page.locator("[aria-busy=true]").count() == 0


def test_another_window_s_rating_leaves_an_edit_in_its_place(reader: Visit) -> None:
    page = reader.page
    reader.ask(FEE)
    second = window(reader)
    second.locator(".foot").wait_for()
    page.get_by_role("button", name="Edit and ask again").click()
    second.get_by_role("button", name="Helpful", exact=True).click()
    page.locator("[data-rating=up][aria-pressed=true]").wait_for()
    page.get_by_label("Your question").fill(FILTER)
    page.keyboard.press("Enter")
    page.locator(".answer", has_text="400 hours").wait_for()
    assert page.locator(".question [dir]").all_inner_texts() == [FILTER]


def test_a_note_that_is_being_written_outlives_another_question(reader: Visit) -> None:
    page = reader.page
    reader.ask(FEE)
    page.get_by_role("button", name="Not helpful").click()
    note = page.get_by_label("What was wrong? (optional)")
    note.fill("An old price")
    reader.ask(FILTER)
    assert note.input_value() == "An old price"


# --- ratings --------------------------------------------------------------------------------------


def test_a_rating_that_comes_late_stays_with_its_conversation(reader: Visit) -> None:
    page = reader.page
    reader.ask(FEE)
    held = hold(page, "**/api/feedback")
    page.get_by_role("button", name="Helpful", exact=True).click()
    page.get_by_role("button", name="New conversation").click()
    reader.ask(FILTER)
    with page.expect_response("**/api/feedback"):
        held[0].continue_()
    settled(page)
    kept = page.evaluate(
        "async () => (await import('/static/js/history.js')).conversations('tiny-1.0.0')"
    )
    assert [[(turn["question"], turn.get("rating")) for turn in one["turns"]] for one in kept] == [
        [(FILTER, None)],
        [(FEE, "up")],
    ]


def test_the_thumb_that_was_pressed_last_counts(reader: Visit) -> None:
    page = reader.page
    reader.ask(FEE)
    held = hold(page, "**/api/feedback")
    up = page.get_by_role("button", name="Helpful", exact=True)
    up.dblclick()
    assert up.get_attribute("aria-pressed") == "true", "seen at once"
    page.get_by_role("button", name="Not helpful").click()
    settled(page)
    assert len(held) == 1, "one after the other, and a double click once"
    held[0].continue_()
    wait_for_held(page, held, 2)
    held[1].continue_()
    page.get_by_label("What was wrong? (optional)").wait_for()
    assert up.get_attribute("aria-pressed") == "false"
    lines = [json.loads(line) for line in state_lines(reader.server.state).splitlines()]
    assert [line["rating"] for line in lines if line["kind"] == "rating"][-2:] == ["up", "down"]


def wait_for_held(page: Any, held: list[Any], count: int) -> None:
    """Playwright hands requests over while the page is spoken to."""

    def have() -> bool:
        settled(page)
        return len(held) >= count

    wait_for(have)


def test_a_rating_does_not_take_the_focus_out_of_the_next_question(reader: Visit) -> None:
    page = reader.page
    reader.ask(FEE)
    held = hold(page, "**/api/feedback")
    page.get_by_role("button", name="Helpful", exact=True).click()
    page.get_by_label("Your question").press_sequentially("And")
    held[0].continue_()
    page.get_by_label("What was good? (optional)").wait_for()
    page.keyboard.type(" then")
    assert page.get_by_label("Your question").input_value() == "And then"


# --- another expert -------------------------------------------------------------------------------


def test_a_question_is_not_answered_by_another_expert_than_the_page_shows(two: Visit) -> None:
    page, server = two.page, two.server
    two.ask(FEE)
    switch(server, "tiny-2.0.0")
    server.expert.asked.clear()
    two.ask(FILTER, wait=False)
    page.locator("#banner").get_by_text("This page shows tiny 2.0.0 now").wait_for()
    assert server.expert.asked == []
    assert page.locator("#switch-name").inner_text() == "tiny 2.0.0"
    assert page.get_by_label("Your question").input_value() == FILTER, "to be asked again"
    page.get_by_label("Your question").press("Enter")
    page.locator(".answer", has_text="400 hours").wait_for()
    assert server.expert.asked[-1].get("previous") is None


def test_a_passage_is_not_read_out_of_another_library(two: Visit) -> None:
    page = two.page
    two.ask(FEE)
    switch(two.server, "tiny-2.0.0")
    with page.expect_response("**/api/passages/*") as read:
        page.locator(".source").first.click()
    assert read.value.status == 409
    page.locator("#banner").get_by_text("This page shows tiny 2.0.0 now").wait_for()
    assert not page.locator("#passage").is_visible()


def test_a_rating_is_not_written_down_for_another_expert(two: Visit) -> None:
    page = two.page
    two.ask(FEE)
    switch(two.server, "tiny-2.0.0")
    page.get_by_role("button", name="Helpful", exact=True).click()
    page.locator("#banner").get_by_text("This page shows tiny 2.0.0 now").wait_for()
    assert not (two.server.state / "feedback.jsonl").exists()


def test_a_server_that_comes_back_with_another_expert_says_so(two: Visit) -> None:
    page = two.page
    two.ask(FEE)
    two.context.set_offline(True)
    two.ask(FILTER)
    page.locator("#banner").get_by_text(AWAY).wait_for()
    switch(two.server, "tiny-2.0.0")
    two.context.set_offline(False)
    page.locator("#banner").get_by_text("This page shows tiny 2.0.0 now").wait_for()
    assert page.locator(".turn").count() == 0


def test_the_expert_and_its_conversations_change_together(two: Visit) -> None:
    """What the page knows of the other expert comes in two answers; the second one fails."""
    page = two.page
    two.ask(FEE)
    switch(two.server, "tiny-2.0.0")
    page.route("**/api/about", lambda route: route.fulfill(status=500, json={}))
    with page.expect_response("**/api/about"):
        page.evaluate("window.dispatchEvent(new Event('focus'))")
    settled(page)
    page.unroute("**/api/about")
    page.evaluate("window.dispatchEvent(new Event('focus'))")
    page.locator("#banner").get_by_text("This page shows tiny 2.0.0 now").wait_for()
    assert page.locator(".turn").count() == 0
    wanted(two, "500")


def test_one_switch_after_the_other(two: Visit) -> None:
    page = two.page
    held = hold(page, "**/api/bundles/current")
    page.get_by_role("button", name="tiny 1.0.0").click()
    use = page.get_by_role("button", name="Use tiny 2.0.0")
    use.click()
    assert use.is_disabled()
    page.get_by_role("dialog").get_by_role("button", name="Close").click()
    page.get_by_role("button", name="About this expert").click()
    held[0].continue_()
    page.locator("#switch-name", has_text="tiny 2.0.0").wait_for()
    settled(page)
    assert page.get_by_role("dialog").is_visible(), "what was opened since stays open"
    assert not page.locator("#banner").is_visible(), "the reader knows"


def test_a_switch_that_fails_is_said_also_where_the_choice_was_closed(two: Visit) -> None:
    page = two.page
    held = hold(page, "**/api/bundles/current")
    page.get_by_role("button", name="tiny 1.0.0").click()
    page.get_by_role("button", name="Use tiny 2.0.0").click()
    page.keyboard.press("Escape")
    refused = {"error": {"code": "bundle_damaged", "message": "tiny-2.0.0: copy it again"}}
    held[0].fulfill(status=409, json=refused)
    page.locator("#banner").get_by_text("tiny-2.0.0: copy it again").wait_for()


def test_delete_all_deletes_what_was_asked_about(two: Visit) -> None:
    page = two.page
    two.ask(FEE)
    switch(two.server, "tiny-2.0.0")
    page.evaluate("window.dispatchEvent(new Event('focus'))")
    page.locator("#switch-name", has_text="tiny 2.0.0").wait_for()
    two.ask(FILTER)
    page.get_by_role("button", name="Conversations").click()
    page.get_by_role("button", name="Delete all").click()
    switch(two.server, "tiny-1.0.0")
    page.evaluate("window.dispatchEvent(new Event('focus'))")
    page.locator("#switch-name", has_text="tiny 1.0.0").wait_for()
    page.get_by_role("dialog").get_by_role("button", name="Delete", exact=True).click()
    left = "async (id) => (await import('/static/js/history.js')).conversations(id).length"
    assert page.evaluate(left, "tiny-1.0.0") == 1
    assert page.evaluate(left, "tiny-2.0.0") == 0


def test_on_a_phone_two_experts_can_be_told_apart(two: Visit) -> None:
    page = two.page
    page.set_viewport_size({"width": 390, "height": 800})
    name = page.locator("#switch-name")
    assert name.inner_text() == "tiny 1.0.0"
    assert name.evaluate("node => node.scrollWidth <= node.clientWidth"), "not cut"
    assert not page.locator(".offline").is_visible()
    name.click()
    text = page.locator(".expert-text").last.bounding_box()
    button = page.get_by_role("button", name="Use tiny 2.0.0").bounding_box()
    assert text and button and text["y"] + text["height"] <= button["y"], "one below the other"
    hold(page, "**/api/bundles/current")
    page.get_by_role("button", name="Use tiny 2.0.0").click()
    page.get_by_role("dialog").get_by_text("Opening tiny 2.0.0.").wait_for()


# --- a server that is away ------------------------------------------------------------------------


def test_a_server_that_is_back_leaves_a_conversation_that_found_no_room(
    browser: Any, server: Served
) -> None:
    full = """() => {
        Storage.prototype.setItem = () => { throw new DOMException('', 'QuotaExceededError'); };
    }"""
    with visit(browser, server) as reader:
        page = reader.page
        page.evaluate(full)
        reader.ask(FEE)
        reader.context.set_offline(True)
        page.locator(".source").first.click()
        page.locator("#banner").get_by_text(AWAY).wait_for()
        panel = page.locator("#passage")
        note = panel.get_by_text("The text around this passage could not be read: " + AWAY)
        note.wait_for()
        page.get_by_role("button", name="Helpful", exact=True).click()
        page.locator(".rating").get_by_text(AWAY).wait_for()
        with page.expect_response("**/api/about"):
            reader.context.set_offline(False)
        page.locator("#banner").wait_for(state="hidden")
        for said in (note, page.get_by_text(AWAY)):
            said.wait_for(state="detached")  # it is not away any more
        assert page.locator(".answer").inner_text() == "The A class costs 0.85% a year. 1"
        assert panel.is_visible()


def test_a_damaged_bundle_s_server_is_there(reader: Visit) -> None:
    page = reader.page
    page.route("**/health", lambda route: route.fulfill(status=503, json={"status": "damaged"}))
    reader.context.set_offline(True)
    reader.ask(FEE)
    page.locator("#banner").get_by_text(AWAY).wait_for()
    reader.context.set_offline(False)
    page.locator("#banner").wait_for(state="hidden")
    wanted(reader, "503")


def test_the_server_is_looked_for_once_at_a_time(reader: Visit) -> None:
    page = reader.page
    page.clock.install()
    held = hold(page, "**/health")
    page.route("**/api/ask", lambda route: route.abort("connectionrefused"))
    reader.ask(FEE)
    page.locator("#banner").get_by_text(AWAY).wait_for()
    for _ in range(4):
        page.clock.run_for(3000)
    page.evaluate("async () => { await (await fetch('/api/bundles')).text(); }")
    assert len(held) == 1
    held[0].continue_()
    page.locator("#banner").wait_for(state="hidden")
    wanted(reader, "REFUSED")


def test_an_answer_whose_server_lost_its_power_does_not_wait_for_ever(reader: Visit) -> None:
    """Nothing closes the connection and nothing comes: the server's heartbeat is off here."""
    page = reader.page
    page.clock.install()
    begin_slow(page)
    page.clock.run_for(61_000)
    settled(page)
    assert page.locator(".turn").get_attribute("aria-busy") == "true", "it is there: wait on"
    page.route("**/health", lambda route: route.abort("addressunreachable"))
    page.clock.run_for(61_000)
    page.locator(".notice", has_text="The connection broke").wait_for()
    wanted(reader, "UNREACHABLE")


@pytest.mark.parametrize(
    ("status", "body"), [(200, '[{"docu'), (502, "<h1>Bad Gateway</h1>")], ids=["half", "a proxy's"]
)
def test_what_is_no_answer_of_the_server_s_is_none(reader: Visit, status: int, body: str) -> None:
    page = reader.page
    page.route("**/api/documents", lambda route: route.fulfill(status=status, body=body))
    page.reload()
    page.locator(".library").get_by_text(AWAY).wait_for()
    page.unroute("**/api/documents")
    page.locator(".document").first.wait_for()  # the page looked for the server, and it was there
    wanted(reader, "502")


def test_words_that_do_not_come_at_first_are_asked_for_again(reader: Visit) -> None:
    page, tries = reader.page, []

    def refuse_once(route: Any) -> None:
        tries.append(route)
        if len(tries) == 1:
            route.abort("internetdisconnected")
        else:
            route.continue_()

    page.route("**/locales/en.json", refuse_once)
    page.reload()
    page.get_by_role("button", name="New conversation").wait_for()
    assert len(tries) == 2


def test_a_key_that_another_window_brought_is_noticed(reader: Visit) -> None:
    page = reader.page
    cookies = reader.context.cookies()
    reader.context.clear_cookies()
    reader.ask(FEE)
    page.locator("#banner").get_by_text("This page has no key").wait_for()
    said = page.locator(".notice").inner_text()
    assert "This page has no key" in said and "Bearer" not in said
    reader.context.add_cookies(cookies)
    page.evaluate("window.dispatchEvent(new Event('focus'))")
    page.locator("#banner").wait_for(state="hidden")


# --- clicks ---------------------------------------------------------------------------------------


def test_a_double_click_deletes_one_conversation(reader: Visit) -> None:
    page = reader.page
    for question in (FEE, FILTER):
        reader.ask(question)
        page.get_by_role("button", name="New conversation").click()
    page.get_by_role("button", name="Conversations").click()
    page.get_by_role("button", name=f"Delete “{FILTER}”").dblclick()
    assert page.locator(".conversation-title").all_inner_texts() == [FEE]


def test_a_double_click_sends_and_does_not_stop(reader: Visit) -> None:
    page = reader.page
    page.get_by_label("Your question").fill(SLOW)
    page.get_by_role("button", name="Send").dblclick()
    page.get_by_text("One two ", exact=False).wait_for()
    assert page.locator(".turn").get_attribute("aria-busy") == "true"


def test_ask_now_can_be_pressed_while_it_counts(reader: Visit) -> None:
    page, busy = reader.page, {"error": {"code": "queue_full", "message": "later"}}
    page.clock.install()
    page.route(
        "**/api/ask",
        lambda route: route.fulfill(status=429, headers={"Retry-After": "9"}, json=busy),
    )
    reader.ask(FEE, wait=False)
    page.get_by_text("Asking again in 9 seconds").wait_for()
    page.get_by_role("button", name="Ask now").focus()
    page.clock.run_for(1000)
    page.get_by_text("Asking again in 8 seconds").wait_for()
    assert reader.focused() == "Ask now"
    page.unroute("**/api/ask")
    page.keyboard.press("Enter")
    is_over(page)
    assert page.locator(".answer").inner_text() == "The A class costs 0.85% a year. 1"


def test_a_copy_that_the_browser_refuses_is_made_the_older_way_or_said(reader: Visit) -> None:
    page = reader.page
    reader.ask(FEE)
    page.evaluate(
        """() => {
            const refuse = async () => { throw new DOMException('', 'NotAllowedError'); };
            navigator.clipboard.writeText = refuse;
        }"""
    )
    page.get_by_role("button", name="Copy with sources").click()
    page.get_by_role("button", name="Copied").wait_for()
    page.get_by_role("button", name="Copy with sources").wait_for()
    page.evaluate("() => { document.execCommand = () => false; }")
    page.get_by_role("button", name="Copy with sources").click()
    page.get_by_role("button", name="Could not be copied").wait_for()


def test_what_was_typed_stays_in_the_box(reader: Visit) -> None:
    page = reader.page
    box = page.get_by_label("Your question")
    begin_slow(page)
    page.keyboard.press("Escape")
    page.locator(".notice", has_text="Stopped").wait_for()
    box.fill("My next question")
    HELD.set()
    page.get_by_role("button", name="Ask again", exact=True).click()
    is_over(page)
    assert box.input_value() == "My next question"
    page.get_by_role("button", name="Edit and ask again").click()
    assert box.input_value() == SLOW
    page.keyboard.press("Escape")
    assert box.input_value() == "My next question"
    page.get_by_role("button", name="Edit and ask again").click()
    reader.ask(FEE)
    assert box.input_value() == "My next question"


def test_two_panels_that_cover_the_talk_are_closed_one_by_one(browser: Any, server: Served) -> None:
    with visit(browser, server, viewport={"width": 1400, "height": 800}) as reader:
        page = reader.page
        reader.ask(FEE)
        page.locator(".source").first.click()
        page.get_by_role("button", name="Conversations").click()
        page.set_viewport_size({"width": 600, "height": 800})
        page.locator("#passage.covering").wait_for()
        page.locator("#passage").get_by_role("button", name="Close").click()
        page.locator("#history").get_by_role("button", name="Close").click()
        reader.ask(FILTER)
        assert page.locator(".turn").count() == 2


# --- the library and passages ---------------------------------------------------------------------


def test_the_document_that_was_pressed_last_opens(reader: Visit) -> None:
    page = reader.page
    page.locator(".document-name").nth(1).wait_for()
    names = page.locator(".document-name").all_inner_texts()
    held = hold(page, "**/api/passages?document=*")
    page.locator(".document").first.click()
    page.locator(".document").nth(1).click()
    wait_for_held(page, held, 2)
    held[1].continue_()
    page.locator("#passage-title", has_text=names[1]).wait_for()
    held[0].continue_()
    page.locator(".document[aria-busy]").wait_for(state="detached")
    assert names[1] in page.locator("#passage-title").inner_text()


def test_a_document_that_comes_after_a_question_stays_shut(reader: Visit) -> None:
    page = reader.page
    held = hold(page, "**/api/passages?document=*")
    page.locator(".document").first.click()
    reader.ask(FEE)
    held[0].continue_()
    page.locator(".document[aria-busy]").wait_for(state="detached")
    assert not page.locator("#passage").is_visible()


def test_a_list_that_fails_late_leaves_what_was_searched(reader: Visit) -> None:
    page = reader.page
    held = hold(page, "**/api/documents")
    page.reload()
    page.get_by_label("Search the documents").fill("filter")
    page.get_by_role("button", name="Search", exact=True).click()
    page.locator(".library .source").first.wait_for()
    held[0].fulfill(status=429, json={"error": {"code": "queue_full", "message": "too many"}})
    settled(page)
    assert page.locator(".library .source").count() > 0
    assert page.get_by_text("too many").count() == 0


def test_a_document_that_cannot_be_opened_leaves_the_list(reader: Visit) -> None:
    page = reader.page
    page.locator(".document").first.wait_for()
    page.route("**/api/passages?document=*", lambda route: route.abort("internetdisconnected"))
    page.locator(".document").first.click()
    page.locator(".library").get_by_text(AWAY).wait_for()
    assert page.locator(".document").count() > 0


def test_a_passage_that_is_open_learns_that_it_is_cited(reader: Visit) -> None:
    page = reader.page
    begin_slow(page)
    page.locator(".found .source").first.click()
    panel = page.locator("#passage")
    panel.get_by_text("Grey: the text around the passage.", exact=True).wait_for()
    HELD.set()
    is_over(page)
    panel.get_by_text("Marked: what the answer rests on.", exact=False).wait_for()
    panel.locator("mark").first.wait_for()
    assert page.locator(".turn [data-open]").count() == 1
    panel.get_by_role("button", name="Close").click()
    assert page.evaluate("document.activeElement.dataset.passage") == "1"


def test_an_answer_that_broke_while_it_went_on_can_be_gone_on_with(reader: Visit) -> None:
    page = reader.page
    reader.ask(LONG)
    reader.context.set_offline(True)
    page.get_by_role("button", name="Continue").click()
    page.locator(".notice", has_text="The connection broke").wait_for()
    assert page.locator(".answer").inner_text() == "Only a trained operator"
    reader.context.set_offline(False)
    page.get_by_role("button", name="Continue").click()
    page.locator(".answer", has_text="QX-7781").wait_for()
    is_over(page)
    assert reader.server.expert.asked[-1]["begun"] == "Only a trained operator"


def test_the_menu_shows_the_language_that_came(reader: Visit) -> None:
    page = reader.page
    held = hold(page, "**/locales/de.json")
    page.route("**/locales/fr.json", lambda route: route.fulfill(status=404, json={}))
    page.get_by_role("button", name="Conversations").click()
    menu = page.locator("#language")
    failed = hold(page, "**/locales/fr.json")
    menu.select_option("fr")
    menu.select_option("de")
    failed[0].fulfill(status=404, json={})
    page.locator("#banner").wait_for()
    wait_for_held(page, held, 1)
    held[0].continue_()
    page.get_by_role("button", name="Neues Gespräch").wait_for()
    assert menu.input_value() == "de"
    wanted(reader, "404")


def test_a_file_that_went_away_is_said(reader: Visit, tmp_path: Path) -> None:
    page, path = reader.page, tmp_path / "x.json"
    path.write_text("{}")
    page.evaluate(
        """() => {
            File.prototype.text = async () => { throw new DOMException('', 'NotReadableError'); };
        }"""
    )
    page.locator("#history-file").set_input_files(path)
    page.locator("#banner").get_by_text("This file holds no conversations").wait_for()
