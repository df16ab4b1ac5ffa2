"""What a reader does with the page from day to day: edits a question, goes on with an answer, reloads,
keeps conversations in a file, chooses folders, tells two bundles apart, enters the key."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import fakes
from browsing import Said, Visit, chromium, scripted, visit
from fieldpack.passages import Chunk, DocumentRecord
from fieldpack.retrieval.embedder import Embedder
from fieldpack_build.index.writer import IndexWriter
from serving import TOKEN, Served, served, wait_for

FEE = "What does the A class of the Global Equity Fund cost a year?"
FILTER = "When is the filter changed?"
LONG = "Tell me all about the valve"
SLOW = "Take your time"
LIST = "Which steps are there?"
HELD = threading.Event()
STEPS = (
    "## Steps\n\n- Close the **main valve**, see [the plan](plan.html).\n- Open it again:\n"
    "  - slowly\n  - and by hand\n\n1. Sign the `log`.\n2. Go home."
)
SCRIPT = {
    FEE: Said("The A class costs 0.85% a year. [1]"),
    FILTER: Said("Change it after 400 hours of use [1]."),
    LONG: Said("Only a trained operator", goes_on=" may open valve QX-7781 [1]."),
    SLOW: Said("One two three", hold=HELD),
    LIST: Said("Close the main valve and open it again [1]."),
}
CHUNKS = (*fakes.CHUNKS, Chunk("steps.md", "Steps", None, ("Steps",), 0, len(STEPS), STEPS))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def shelf(exported_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("everyday") / "tiny-1.0.0"
    return fakes.write_bundle(folder, model=exported_llama, chunks=CHUNKS)


@pytest.fixture(scope="module")
def server(browser: Any, shelf: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    state = tmp_path_factory.mktemp("state")
    with served([shelf], state, opener=scripted(SCRIPT)) as running:
        yield running


@pytest.fixture
def reader(browser: Any, server: Served) -> Iterator[Visit]:
    HELD.clear()
    server.expert.asked.clear()
    with visit(browser, server) as visitor:
        yield visitor
    HELD.set()


def questions(reader: Visit) -> list[str]:
    texts: list[str] = reader.page.locator(".question > [dir]").all_inner_texts()
    return texts


def test_the_last_question_is_edited_and_asked_in_its_place(reader: Visit) -> None:
    page = reader.page
    reader.ask(FEE)
    page.get_by_role("button", name="Edit and ask again").click()
    box = page.get_by_label("Your question")
    assert box.input_value() == FEE
    page.get_by_text("Asked in place of the last question").wait_for()
    page.keyboard.press("Escape")
    assert box.input_value() == "" and not page.locator("#scope").is_visible()
    page.get_by_role("button", name="Edit and ask again").click()
    reader.ask(FILTER)
    assert questions(reader) == [FILTER]
    assert reader.server.expert.asked[-1].get("previous") is None
    reader.ask(FEE)
    page.get_by_role("button", name="Edit and ask again").first.click()
    assert not page.locator("#scope").is_visible()
    reader.ask(LIST)
    assert questions(reader) == [FILTER, FEE, LIST], "an older one stays, and is asked anew"


def test_an_answer_that_was_cut_is_gone_on_with(reader: Visit) -> None:
    page = reader.page
    reader.ask(FEE)
    reader.ask(LONG)
    assert page.locator(".turn:last-child .answer").inner_text() == "Only a trained operator"
    page.locator(".cut", has_text="The answer ends here because it reached").wait_for()
    page.get_by_role("button", name="Continue").click()
    page.locator(".answer", has_text="QX-7781").wait_for()
    page.locator(".turn:last-child[aria-busy=false]").wait_for()
    whole = "Only a trained operator may open valve QX-7781 1."
    assert page.locator(".turn:last-child .answer").inner_text() == whole
    assert page.locator(".cut").count() == 0 and page.locator(".turn").count() == 2
    asked = reader.server.expert.asked[-1]
    assert (asked["begun"], asked["previous"].question) == ("Only a trained operator", FEE)
    page.reload()
    assert page.locator(".turn:last-child .answer").inner_text() == whole


def test_a_reload_asks_again_and_keeps_what_was_typed(reader: Visit) -> None:
    page = reader.page
    reader.ask(FEE)
    reader.ask(SLOW, wait=False)
    page.get_by_text("One two ", exact=False).wait_for()
    page.get_by_label("Your question").press_sequentially("And then")
    page.reload()
    page.get_by_text("One two ", exact=False).wait_for()
    assert page.locator(".turn:last-child").get_attribute("aria-busy") == "true"
    assert page.get_by_label("Your question").input_value() == "And then"
    HELD.set()
    page.locator(".turn:last-child[aria-busy=false]").wait_for()
    assert questions(reader) == [FEE, SLOW]
    assert page.locator(".turn:last-child .answer").inner_text() == "One two three"
    asked = len(reader.server.expert.asked)
    page.reload()
    page.locator(".turn:last-child .foot").wait_for()
    assert len(reader.server.expert.asked) == asked, "what is answered is not asked again"


def test_conversations_go_to_a_file_and_come_back(
    reader: Visit, browser: Any, tmp_path: Path
) -> None:
    page = reader.page
    reader.ask(FEE)
    page.get_by_role("button", name="New conversation").click()
    reader.ask(FILTER)
    page.get_by_role("button", name="Conversations").click()
    with page.expect_download() as saved:
        page.get_by_role("button", name="Export").click()
    assert saved.value.suggested_filename.startswith("tiny-1.0.0-20")
    path = tmp_path / "saved.json"
    saved.value.save_as(path)
    data = json.loads(path.read_text(encoding="utf-8"))
    assert (data["kind"], data["bundle"]) == ("fieldpack-conversations", "tiny-1.0.0")
    with visit(browser, reader.server) as other:
        other.page.get_by_role("button", name="Conversations").click()
        assert not other.page.locator("#history-export").is_visible(), "nothing to export yet"
        other.page.locator("#history-file").set_input_files(path)
        other.page.get_by_text("2 answers were added.").wait_for()
        titles = other.page.locator(".conversation-title")
        assert titles.all_inner_texts() == [FILTER, FEE]
        titles.last.click()
        other.page.locator(".cite").click()
        other.page.locator("#passage mark").wait_for()
        other.page.locator("#history-file").set_input_files(path)
        other.page.get_by_text("0 answers were added.").wait_for()
        assert titles.count() == 2, "the same ones are not taken twice"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("no JSON", "This file holds no conversations of this page."),
        ("[1, 2]", "This file holds no conversations of this page."),
        (
            {"kind": "fieldpack-conversations", "version": 1, "bundle": "x-2", "conversations": []},
            "These conversations are with x-2. Choose that expert first.",
        ),
    ],
)
def test_a_file_of_something_else_adds_nothing(
    reader: Visit, tmp_path: Path, content: Any, said: str
) -> None:
    path = tmp_path / "x.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    reader.page.locator("#history-file").set_input_files(path)
    reader.page.get_by_role("alert").get_by_text(said).wait_for()
    assert reader.page.locator(".conversation").count() == 0


def test_what_a_foreign_file_says_stays_text(reader: Visit, tmp_path: Path) -> None:
    evil = "<img src=x onerror=alert(1)>"
    passage = {"chunk_id": 0, "document": evil, "text": evil, "title": {"a": 1}, "heading": "none"}
    turn = {
        "id": "1-1",
        "at": 5,
        "question": evil,
        "state": "done",
        "text": f"{evil} [1]",
        "passages": [passage],
        "citations": [{"passage": 1, "quote": evil}, {"passage": 9}, 7],
        "unsupported": [[0, 10**9], "x"],
        "timings": {"first_token_ms": "soon"},
    }
    broken = [{**turn, "id": "../../x"}, {**turn, "id": "2-2", "passages": [{}]}, None, 3]
    data = {
        "kind": "fieldpack-conversations",
        "version": 1,
        "bundle": "tiny-1.0.0",
        "conversations": [{"id": "7-7", "turns": [turn, *broken]}, {"id": "8-8", "turns": broken}],
    }
    path = tmp_path / "x.json"
    path.write_text(json.dumps(data))
    page = reader.page
    page.locator("#history-file").set_input_files(path)
    page.get_by_text("1 answer was added.").wait_for()
    page.get_by_role("button", name="Conversations").click()
    page.locator(".conversation").click()
    assert page.locator(".answer").inner_text() == f"{evil} 1"
    assert page.locator(".room").locator("img, script").count() == 0


def test_folders_that_are_pressed_are_all_that_is_searched_and_asked(
    browser: Any, exported_llama: Path, tmp_path: Path
) -> None:
    texts = {
        "fees/a.md": "The A class costs 0.85% a year.",
        "manuals/b.md": "Change the filter after 400 hours of use.",
        "manuals/old/c.md": "The valve QX-7781 is opened by hand.",
    }
    chunks = [Chunk(name, name, None, (), 0, len(text), text) for name, text in texts.items()]
    bundle = fakes.write_bundle(tmp_path / "tiny-1.0.0", model=exported_llama, chunks=chunks)
    with (
        served([bundle], tmp_path / "state", opener=scripted(SCRIPT)) as running,
        visit(browser, running) as reader,
    ):
        page = reader.page
        names = page.locator(".document-name")
        wait_for(lambda: names.count() == 3)
        page.get_by_role("button", name="manuals", exact=True).click()
        wait_for(lambda: names.count() == 2)
        assert names.all_inner_texts() == ["manuals/b.md", "manuals/old/c.md"]
        page.get_by_label("Search the documents").fill("A class costs 0.85% a year")
        page.keyboard.press("Enter")
        page.locator(".library .source").first.wait_for()
        places = page.locator(".library .source-place").all_inner_texts()
        assert places and all("manuals" in place for place in places)
        page.get_by_text("Only in: manuals").wait_for()
        reader.ask(FILTER)
        assert running.expert.asked[-1]["where"].folders == ("manuals",)
        assert page.locator(".turn .note").first.inner_text() == "Only in: manuals"
        page.locator("#scope").get_by_role("button", name="Remove").click()
        reader.ask(FEE)
        assert running.expert.asked[-1]["where"] is None


def with_date(folder: Path, date: str) -> Path:
    """The same bundle with one dated document."""
    shutil.rmtree(folder / "knowledge")
    embedder = Embedder.open(folder / "embedder")
    writer = IndexWriter(folder / "knowledge", dim=fakes.DIM, dtype="f16")
    for name, day in (("old.md", "2024-01-31"), ("new.md", date)):
        chunk = Chunk(name, name, None, (), 0, 4, "Text")
        vectors = embedder.embed_passages([chunk.in_context])
        writer.add(DocumentRecord(name, name, name, 1, day), [chunk], vectors)
    writer.finish()
    fakes.reseal(folder)
    return folder


def test_two_bundles_are_told_apart_by_version_and_date(
    browser: Any, sealed: Path, tmp_path: Path
) -> None:
    first, second = (Path(shutil.copytree(sealed, tmp_path / name)) for name in ("one", "two"))
    with_date(first, "2025-03-31")
    with_date(second, "2026-03-31")
    manifest = (second / "manifest.json").read_text(encoding="utf-8")
    newer = manifest.replace('"version": "1.0.0"', '"version": "1.1.0"')
    (second / "manifest.json").write_text(newer, encoding="utf-8")
    with (
        served([first, second], tmp_path / "state", opener=scripted(SCRIPT)) as running,
        visit(browser, running) as reader,
    ):
        reader.page.get_by_role("button", name="tiny 1.0.0").click()
        cards = reader.page.locator(".expert-text")
        assert [card.split("\n")[0] for card in cards.all_inner_texts()] == [
            "tiny 1.0.0",
            "tiny 1.1.0",
        ]
        notes = [" ".join(text.split()) for text in cards.locator(".note").all_inner_texts()]
        assert "2 documents · dated 31 Jan 2024 to 31 Mar 2025" in notes[0]
        assert "2 documents · dated 31 Jan 2024 to 31 Mar 2026" in notes[1]


@pytest.mark.parametrize(
    ("locale", "title", "label", "button"),
    [
        ("en-GB", "This page needs its key", "Key, or the whole address", "Open"),
        ("ar", "تحتاج هذه الصفحة إلى مفتاحها", "المفتاح أو العنوان كاملاً", "فتح"),
    ],
)
def test_a_browser_without_the_key_gets_a_box_for_it(
    browser: Any, server: Served, locale: str, title: str, label: str, button: str
) -> None:
    with visit(browser, server, locale=locale, viewport={"width": 390, "height": 800}) as reader:
        page = reader.page
        reader.context.clear_cookies()
        page.goto(server.url)
        assert page.get_by_role("heading").inner_text() == title
        radius = page.get_by_role("button").evaluate("node => getComputedStyle(node).borderRadius")
        assert radius != "0px", "its style is let through"
        assert page.locator("html").get_attribute("dir") == ("rtl" if locale == "ar" else "ltr")
        page.get_by_label(label).fill("not the key")
        page.get_by_role("button", name=button).click()
        page.get_by_role("alert").wait_for()
        page.get_by_label(label).fill(f"  {server.url}/?token={TOKEN}")
        page.get_by_role("button", name=button).click()
        page.locator("#welcome h2").wait_for()
        assert TOKEN not in page.url


def test_lists_and_emphasis_stand_as_a_reader_knows_them(reader: Visit) -> None:
    reader.ask(LIST)
    page = reader.page
    page.get_by_role("button", name="steps.md").first.click()
    panel = page.locator("#passage")
    panel.locator(".page-list").first.wait_for()
    items = [" ".join(text.split()) for text in panel.locator(".page-list li").all_inner_texts()]
    assert items == [
        "• Close the main valve, see the plan.",
        "• Open it again:",
        "• slowly",
        "• and by hand",
        "1. Sign the log.",
        "2. Go home.",
    ]
    assert panel.locator(".page-heading").inner_text() == "Steps"
    assert panel.locator("mark").count() >= 1
