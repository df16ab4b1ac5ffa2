"""A browser on the page, as people have it; an expert whose words are written down, behind a real
server, so that what the page must show is known. Retrieval, citations and page texts are the
runtime's own."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

import fieldpack
from fieldpack import Answer, Done, PassagesFound, QuoteFound, TextPiece
from fieldpack.answers import Timings
from fieldpack.citations import cite
from fieldpack.retrieval.quoting import QuoteSettings, pick
from fieldpack_app.server.loaded_bundle import Opener
from serving import TOKEN, Served, open_toy

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
EXPECTED = ("401 (Unauthorized)", "429 (Too Many Requests)", "ERR_INTERNET_DISCONNECTED")


@dataclass
class Said:
    """What the scripted expert answers to a question; `hold` keeps it before its last word until it
    is set. `quoted`: a quote stands above the answer; `kind`: as Answer's. `goes_on`: the answer is
    cut, and this follows when it is gone on with. `unknown`: words that no document has."""

    text: str
    refused: bool = False
    unsupported: tuple[tuple[int, int], ...] = ()
    hold: threading.Event | None = None
    quoted: bool = False
    kind: str = "written"
    goes_on: str = ""
    unknown: tuple[str, ...] = ()


@dataclass
class Scripted:
    """An expert's interface around a real expert, whose model is not asked. Remembers what it was
    called with."""

    expert: fieldpack.Expert
    script: Mapping[str, Said]
    asked: list[dict[str, Any]] = field(default_factory=list)
    loads: int = 0
    ahead: list[str] = field(default_factory=list)
    stopped: int = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.expert, name)

    def load(self) -> None:
        self.loads += 1

    def read_ahead(self, question: str, **options: Any) -> None:
        self.ahead.append(question)

    def stream(
        self, question: str, *, cancel: threading.Event, **options: Any
    ) -> Iterator[fieldpack.Event]:
        self.asked.append({"question": question, **options})
        said = self.script[question]
        passages = tuple(self.expert.search(question, 3))
        yield PassagesFound(passages)
        quote = None
        if said.quoted:
            retriever = self.expert._knowledge()
            quote = pick(
                question,
                passages,
                retriever.embedder,
                QuoteSettings(),
                margin=0.0,
                rarity=retriever.rarity,
            )
            assert quote
            yield QuoteFound(quote)
        begun = options.get("begun", "")
        said_now = said.goes_on if begun else said.text
        words = [] if said.refused else said_now.split(" ")
        for number, word in enumerate(words, 1):
            if said.hold and number == len(words) and not self._held(said.hold, cancel):
                return
            yield TextPiece(word + " " * (number < len(words)))
        text, citations = (said.text, ()) if said.refused else cite(begun + said_now, passages)
        before = options.get("previous")
        asked = f"{before.question} {question}" if before else question
        timings = Timings(3, 420, 1260, len(words), 30, 880, cached_tokens=412)
        rest: dict[str, Any] = {
            "read_as": asked,
            "unsupported": said.unsupported,
            "unknown_words": said.unknown,
            "kind": said.kind,
            "quote": quote,
            "cut": bool(said.goes_on) and not begun,
        }
        yield Done(Answer(question, text, said.refused, citations, passages, timings, **rest))

    def _held(self, hold: threading.Event, cancel: threading.Event) -> bool:
        while not hold.wait(0.02):
            if cancel.is_set():
                self.stopped += 1
                return False
        return True


def scripted(script: Mapping[str, Said]) -> Opener:
    return lambda path: cast(fieldpack.Expert, Scripted(open_toy(path), script))


@contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's own; skips the test where there is none."""
    if CHROMIUM is None:
        pytest.skip(
            "no chromium here: the page was not tried in a browser (apt-get install chromium)"
        )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--headless"], timeout=300_000
        )
        yield browser
        browser.close()


@dataclass
class Visit:
    """One reader's browser: `page`, and what it did that no page of ours may do."""

    server: Served
    context: BrowserContext
    page: Page
    problems: list[str] = field(default_factory=list)

    def ask(self, question: str, *, wait: bool = True) -> None:
        self.page.get_by_label("Your question").fill(question)
        self.page.keyboard.press("Enter")
        if wait:
            self.page.locator(".turn:last-child[aria-busy=false]").wait_for()

    def stop_clock(self) -> None:
        """Stop the page's timers: what is shown for two seconds stays, however late a test looks.
        `page.clock` moves them on."""
        self.page.clock.install()
        self.page.clock.pause_at(datetime.now() + timedelta(days=1))

    def focused(self) -> str:
        """The accessible name of what has the focus, or its text."""
        return cast(
            str,
            self.page.evaluate(
                "() => document.activeElement.getAttribute('aria-label') || "
                "document.activeElement.labels?.[0]?.textContent"
                " || document.activeElement.textContent"
            ),
        )


@contextmanager
def visit(browser: Browser, server: Served, **settings: Any) -> Iterator[Visit]:
    """Opens the page with its key. In the end nothing may have gone wrong unseen, and nothing have
    gone elsewhere."""
    context = browser.new_context(
        **{"viewport": {"width": 1280, "height": 800}, "locale": "en-GB", **settings}
    )
    context.set_default_timeout(60_000)
    visitor = Visit(server, context, context.new_page())
    page = visitor.page
    page.on("pageerror", lambda error: visitor.problems.append(f"error: {error}"))
    page.on(
        "console",
        lambda said: (
            visitor.problems.append(f"{said.type}: {said.text}") if _is_bad(said) else None
        ),
    )
    context.on(
        "request",
        lambda sent: None if sent.url.startswith(server.url) else visitor.problems.append(sent.url),
    )
    page.on("dialog", lambda dialog: visitor.problems.append(f"dialog: {dialog.message}"))
    try:
        page.goto(f"{server.url}/?token={TOKEN}")
        page.locator("#welcome h2").wait_for()
        yield visitor
        assert visitor.problems == []
    finally:
        context.close()


def _is_bad(said: Any) -> bool:
    return said.type in ("error", "warning") and not any(known in said.text for known in EXPECTED)


def state_lines(folder: Path) -> str:
    return (folder / "feedback.jsonl").read_text(encoding="utf-8")
