"""The pictures of the page in the README: `python docs/screenshots.py dist/finance-1.0.0` serves
that bundle, asks it real questions in Debian's chromium and writes
docs/page-{light,dark,narrow}.png. Takes the time of a few answers. The bundle is one with its source
PDFs: `build recipe recipes/finance.yaml --set bundle.originals=true`."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

DOCS = Path(__file__).parent
PATIENCE = 300_000  # milliseconds; of a busy machine
COLOURS = 256  # text and flat colours: a fifth of the size, and nothing to be seen of it
LEAVE = "A portfolio manager resigns. How long is the garden leave?"
FEE = "What does the A class of the Global Equity Fund cost a year under the 2025 schedule?"
BREAK = "Can a manager in operations write off a break of GBP 2,000, or who does it?"


@contextmanager
def served(bundle: Path) -> Iterator[str]:
    """The page's address with its key."""
    with tempfile.TemporaryDirectory() as state:
        command = [
            sys.executable,
            "-m",
            "fieldpack_app.cli",
            "serve",
            str(bundle),
            "--port",
            "0",
            "--state",
            state,
        ]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout
            try:
                yield re.findall(r"http://\S+", server.stdout.readline())[0]
            finally:
                server.terminate()


def ask(page: Page, question: str) -> None:
    page.locator("#question").fill(question)
    page.keyboard.press("Enter")
    page.locator(".turn:last-child[aria-busy=false]").wait_for()


def picture(
    browser: Browser, address: str, name: str, questions: list[str], *, opens: bool, **settings: Any
) -> None:
    context = browser.new_context(
        **{"viewport": {"width": 1440, "height": 860}, "locale": "en-GB", **settings}
    )
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    page.goto(address)
    page.locator("#welcome h2").wait_for()
    for question in questions:
        page.locator("#new-button").click()
        ask(page, question)
    if len(questions) > 1:
        page.locator("#history-button").click()
    if opens:
        page.locator(".turn:last-child .cite").first.click()
        page.locator("#passage .around").first.wait_for(state="attached")
        if page.locator("#passage .original").count():
            page.locator("#passage .lit").first.wait_for()
            page.locator(".sheet img").evaluate("node => node.decode()")
    page.mouse.move(1, 1)
    shot = Image.open(BytesIO(page.screenshot())).convert("RGB")
    shot.quantize(COLOURS, dither=Image.Dither.NONE).save(DOCS / f"page-{name}.png", optimize=True)
    context.close()


def main(bundle: Path) -> None:
    with served(bundle) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--headless"]
        )
        picture(browser, address, "light", [LEAVE, FEE], opens=True)
        picture(browser, address, "dark", [BREAK], opens=True, color_scheme="dark")
        narrow = {"width": 390, "height": 800}
        picture(browser, address, "narrow", [FEE], opens=True, viewport=narrow)
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
