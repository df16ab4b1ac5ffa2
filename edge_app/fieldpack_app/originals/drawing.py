"""Has pages of a bundle's source PDFs drawn by a child process, and keeps the last pictures. Knows
nothing of what is in a PDF."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import sys
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO

from fieldpack.child import last_line, python, safe_environment
from fieldpack.errors import FieldpackError

from .draw_page import CANNOT_OPEN, CPU_SECONDS, NO_SUCH_PAGE, DrawReply

EXTRA = "pages"  # of the distribution: fieldpack[pages]
PACKAGE = "pypdfium2"
# The CPU limit ends a child that works without end. This one is for a child that waits, and long: on
# a machine with thirty other processes a page that takes 0.6 s took more than 30.
_SECONDS = 6.0 * CPU_SECONDS
_MOST_BYTES = 32 << 20  # of what a child says: 6 million pixels of three colours are 18 MB raw
_AT_ONCE = 2  # children
_MOST_WAITING = 16
_KEPT = 12  # pictures, of 0.1 to 0.4 MB; one that is flat nowhere has up to 18


class CannotDraw(FieldpackError):
    """A page of an original cannot be shown; the sentence says why."""


class TooManyDrawings(CannotDraw):
    """More pages are asked for at once than are worth waiting for."""


@dataclass(frozen=True, slots=True)
class DrawnPage:
    """A page as a picture of `width` x `height` pixels. `boxes`: where the quote stands, as shares
    of them: left, top, right, bottom."""

    width: int
    height: int
    boxes: Sequence[Sequence[float]]
    png: bytes


def is_installed() -> bool:
    """Return whether the package that draws is there."""
    return importlib.util.find_spec(PACKAGE) is not None


class PageDrawer:
    """Draws pages, at most two at once. To be used from one event loop."""

    def __init__(self) -> None:
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._pending = 0
        self._kept: OrderedDict[tuple[str, int], DrawnPage] = OrderedDict()

    def kept(self, sha256: str, page: int) -> DrawnPage | None:
        """Return a page that was drawn lately, with the boxes of what was looked for last."""
        return self._kept.get((sha256, page))

    async def draw(
        self, file: BinaryIO, sha256: str, page: int, *, quote: str = "", passage: str = ""
    ) -> DrawnPage:
        """Return a page with the places of a quote on it. `file`: the PDF, opened; `sha256`: of its
        bytes, by which pictures are kept; `page` counts from 1; `passage`: the stored text around
        the quote.

        Raises CannotDraw, TooManyDrawings."""
        if sys.platform == "win32":  # which has no such limits for a process
            raise CannotDraw("pages of PDFs are drawn on Linux and macOS alone")
        if not is_installed():
            raise CannotDraw(
                f"{PACKAGE} is not installed here, which draws pages of PDFs: "
                f'pip install "fieldpack[{EXTRA}]"'
            )
        if self._pending >= _MOST_WAITING:
            raise TooManyDrawings("too many pages are being drawn; try again in a second")
        kept = self._kept.get((sha256, page))
        question = {
            "file": file.fileno(),
            "page": page,
            "quote": quote,
            "passage": passage,
            "draw": kept is None,
        }
        self._pending += 1
        try:
            async with self._slots:
                reply, picture = await _ask_child(question)
        finally:
            self._pending -= 1
        if reply["problem"]:
            raise CannotDraw(_PROBLEMS.get(reply["problem"], _PROBLEMS[CANNOT_OPEN]))
        drawn = DrawnPage(
            reply["width"], reply["height"], reply["boxes"], kept.png if kept else picture
        )
        self._kept[sha256, page] = drawn
        self._kept.move_to_end((sha256, page))
        while len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return drawn


_PROBLEMS = {
    CANNOT_OPEN: "pdfium cannot open this PDF here; the passage's text is what the bundle holds",
    NO_SUCH_PAGE: "the PDF has no such page; build the bundle again",
}


async def _ask_child(question: dict[str, object]) -> tuple[DrawReply, bytes]:
    """Return what the child says. Raises CannotDraw where it dies, takes too long or says no
    sense."""
    number = question["file"]
    assert isinstance(number, int)
    child = await asyncio.create_subprocess_exec(
        *python("-m", "fieldpack_app.originals.draw_page"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=safe_environment(),
        pass_fds=(number,),
    )
    assert child.stdin and child.stdout and child.stderr
    try:
        async with asyncio.timeout(_SECONDS):
            child.stdin.write(json.dumps(question).encode() + b"\n")
            said, words = await asyncio.gather(_read(child.stdout), _read(child.stderr))
            code = await child.wait()
    except TimeoutError:
        raise CannotDraw(f"this page was not drawn within {_SECONDS:g} s") from None
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    if code:
        reason = last_line(words.decode(errors="replace"), otherwise=f"exit code {code}")
        raise CannotDraw(
            f"this page cannot be drawn here: the process that drew it died ({reason})"
        )
    head, _, picture = said.partition(b"\n")
    try:
        reply: DrawReply = json.loads(head)
        complete = len(picture) == reply["picture"]
    except (ValueError, KeyError, TypeError):
        complete = False
    if not complete:
        raise CannotDraw("this page cannot be drawn here: what drew it said something else")
    return reply, picture


async def _read(stream: asyncio.StreamReader) -> bytes:
    """Return all of a stream. Raises CannotDraw where that is more than a page can be."""
    data = bytearray()
    while piece := await stream.read(1 << 16):
        data += piece
        if len(data) > _MOST_BYTES:
            raise CannotDraw("this page cannot be drawn here: what drew it says no end")
    return bytes(data)
