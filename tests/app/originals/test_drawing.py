"""Pages are drawn by a real child, which a hostile PDF can only end."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import pytest

from broken import pdf
from fieldpack.child import python, safe_environment
from fieldpack_app.originals.draw_page import WIDTH, png
from fieldpack_app.originals.drawing import CannotDraw, DrawnPage, PageDrawer, is_installed

FEE = "The A class costs 0.85% a year."
PAGES = (
    [("Fees", 20, "F2"), ("", 0, ""), (FEE, 11, "F1"), ("The I class costs 0.40%.", 11, "F1")],
    [("Another page", 11, "F1")],
)


def drawn(
    path: Path, page: int = 1, *, drawer: PageDrawer | None = None, **options: Any
) -> DrawnPage:
    async def run() -> DrawnPage:
        with path.open("rb") as file:
            return await (drawer or PageDrawer()).draw(file, path.name, page, **options)

    return asyncio.run(run())


def pixels(picture: bytes) -> tuple[int, int, list[bytes]]:
    """Width, height and rows of a grey PNG as this package writes it."""
    assert picture[:8] == b"\x89PNG\r\n\x1a\n" and picture[25] == 0
    width, height = (int.from_bytes(picture[at : at + 4], "big") for at in (16, 20))
    length = int.from_bytes(picture[33:37], "big")
    data = zlib.decompress(picture[41 : 41 + length])
    return width, height, [data[at + 1 : at + 1 + width] for at in range(0, len(data), width + 1)]


@pytest.fixture
def fees(tmp_path: Path) -> Path:
    path = tmp_path / "fees.pdf"
    path.write_bytes(pdf(*PAGES))
    return path


def test_the_ink_of_a_quote_is_in_its_box(fees: Path) -> None:
    page = drawn(fees, quote=FEE, passage=FEE)
    width, height, rows = pixels(page.png)
    assert (width, height) == (page.width, page.height) and width == WIDTH
    assert height == pytest.approx(WIDTH * 842 / 595, abs=1)
    [(left, top, right, bottom)] = page.boxes
    box = [
        row[int(left * width) : int(right * width)]
        for row in rows[int(top * height) : int(bottom * height)]
    ]
    assert min(map(min, box)) < 100, "letters"
    beside = rows[int(top * height) : int(bottom * height)]
    assert all(set(row[int(right * width) + 3 :]) == {255} for row in beside)
    assert all(set(row[: int(left * width) - 3]) == {255} for row in beside)


def test_a_turned_page_is_marked_where_it_is_drawn(tmp_path: Path) -> None:
    path = tmp_path / "turned.pdf"
    upright = pdf([("", 0, ""), (FEE, 11, "F1")])
    path.write_bytes(
        upright.replace(b"/MediaBox[0 0 595 842]", b"/Rotate 90/MediaBox[0 0 595 842]")
    )
    page = drawn(path, quote=FEE)
    [(left, top, right, bottom)] = page.boxes
    assert page.width > page.height and bottom - top > 3 * (right - left), "the line runs down"
    width, height, rows = pixels(page.png)
    inked = [
        (x / width, y / height) for y, row in enumerate(rows) for x in range(width) if row[x] < 100
    ]
    assert inked and all(
        left - 0.01 < x < right + 0.01 and top - 0.01 < y < bottom + 0.01 for x, y in inked
    )


def test_a_picture_is_drawn_once_and_each_quote_looked_for(fees: Path) -> None:
    drawer = PageDrawer()
    first = drawn(fees, drawer=drawer, quote=FEE)
    second = drawn(fees, drawer=drawer, quote="The I class costs 0.40%.")
    assert second.png is first.png and second.boxes != first.boxes
    kept = drawer.kept("fees.pdf", 1)
    assert kept and kept.png is first.png
    assert drawer.kept("fees.pdf", 2) is None
    assert drawn(fees, 2, drawer=drawer, quote=FEE).boxes == []


@pytest.mark.parametrize(
    ("data", "page", "why"),
    [
        (b"MZ no PDF", 1, "cannot open this PDF"),
        (b"", 1, "cannot open this PDF"),
        (pdf(*PAGES), 3, "has no such page"),
        (pdf(*PAGES), 0, "has no such page"),
    ],
)
def test_what_cannot_be_drawn_is_said(tmp_path: Path, data: bytes, page: int, why: str) -> None:
    path = tmp_path / "x.pdf"
    path.write_bytes(data)
    with pytest.raises(CannotDraw, match=why):
        drawn(path, page)


def test_a_bomb_ends_its_own_process_alone(tmp_path: Path) -> None:
    """An image of 40,000 x 40,000 pixels and a page a kilometre wide: each is drawn without what is
    too much, or refused in a sentence."""
    image = zlib.compress(bytes(1 << 20))
    body = (
        b"<</Type/XObject/Subtype/Image/Width 40000/Height 40000/BitsPerComponent 8/ColorSpace"
        b"/DeviceRGB/Filter/FlateDecode/Length " + str(len(image)).encode() + b">>stream\n"
    )
    plain = pdf([(FEE, 11, "F1")])
    bomb = plain.replace(b"/Font<</F1 3 0 R", b"/XObject<</I 90 0 R>>/Font<</F1 3 0 R")
    bomb = bomb.replace(b"BT /F1", b"q 500 0 0 500 0 0 cm /I Do Q BT /F1", 1)
    bomb += b"\n90 0 obj\n" + body + image + b"\nendstream\nendobj\n"
    wide = plain.replace(b"[0 0 595 842]", b"[0 0 2834645 2834645]")
    for number, data in enumerate((bomb, wide)):
        path = tmp_path / f"{number}.pdf"
        path.write_bytes(data)
        try:
            page = drawn(path, quote=FEE)
        except CannotDraw as error:
            assert str(error)
        else:
            assert page.width * page.height < 6_100_000


CONFINED = """
import os, socket, subprocess, sys
import pypdfium2
from fieldpack_app.originals.draw_page import confine
confine()
for name, act in {
    "file": lambda: open("/etc/hostname"),
    "socket": lambda: socket.socket(),
    "program": lambda: subprocess.run(["/bin/true"]),
    "memory": lambda: bytearray(2 << 30),
}.items():
    try:
        act()
        print(name)
    except (OSError, MemoryError):
        pass
"""


def test_the_child_can_open_nothing_start_nothing_and_take_little() -> None:
    done = subprocess.run(
        python("-c", CONFINED), env=safe_environment(), capture_output=True, text=True, timeout=300
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_without_the_package_its_name_is_said(fees: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_installed()
    monkeypatch.delitem(sys.modules, "pypdfium2", raising=False)
    monkeypatch.setattr(sys, "path", [one for one in sys.path if "site-packages" not in one])
    assert not is_installed()
    with pytest.raises(CannotDraw, match=r'pypdfium2 is not installed.*"fieldpack\[pages\]"'):
        drawn(fees)


def test_pictures_of_three_colours() -> None:
    picture = png([bytes((255, 0, 0, 0, 0, 255))], 2, grey=False)
    assert picture[24:26] == bytes((8, 2))
    length = int.from_bytes(picture[33:37], "big")
    assert zlib.decompress(picture[41 : 41 + length]) == bytes((0, 255, 0, 0, 0, 0, 255))
