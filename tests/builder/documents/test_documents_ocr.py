"""Scanned letters, drawn here: what OCR makes of them, in what order, and what happens without it."""

from __future__ import annotations

import os
import subprocess
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from test_documents import blocks, read, refusal

from fieldpack_build.documents import read_document

LINES = [
    ["Notice of termination"],
    ["The lease ends on 30 September 2024."],
    ["Heating", "1,204.50"],
    ["Water", "310.00"],
]


def letter(rows: list[list[str]]) -> Any:
    from PIL import Image, ImageDraw, ImageFont

    image = Image.new("RGB", (900, 60 * len(rows) + 60), "white")
    draw = ImageDraw.Draw(image)
    for i, row in enumerate(rows):
        for j, text in enumerate(row):
            draw.text(
                (40 + 420 * j, 30 + 60 * i), text, fill="black", font=ImageFont.load_default(30)
            )
    return image


def saved_as(kind: str, *images: Any) -> bytes:
    buffer = BytesIO()
    images[0].save(
        buffer, kind, **({"save_all": True, "append_images": images[1:]} if len(images) > 1 else {})
    )
    return buffer.getvalue()


def seen(folder: Path, name: str, data: bytes) -> Any:
    (folder / name).write_bytes(data)
    return read_document(folder / name, name, ocr=True)


def test_a_scanned_letter(tmp_path: Path) -> None:
    pytest.importorskip("rapidocr")
    document = seen(tmp_path, "the_letter.png", saved_as("PNG", letter(LINES)))
    assert document.title == "the letter"
    assert document.pages[0].text == "\n".join("  ".join(row) for row in LINES)


def test_each_frame_of_a_tiff_is_a_page(tmp_path: Path) -> None:
    pytest.importorskip("rapidocr")
    pages = [letter([["First page"]]), letter([["Second page"]])]
    document = seen(tmp_path, "a.tif", saved_as("TIFF", *pages))
    assert [(page.number, page.text) for page in document.pages] == [
        (1, "First page"),
        (2, "Second page"),
    ]


def test_images_without_ocr_and_broken_ones(tmp_path: Path) -> None:
    picture = saved_as("PNG", letter([["text"]]))
    assert refusal(tmp_path, "a.png", picture) == "is an image: set knowledge.ocr: true to read it"
    for name, data in {"b.png": b"no image", "c.png": picture[:400]}.items():
        with pytest.raises(Exception, match=r"is no image|is a damaged image"):
            seen(tmp_path, name, data)


def test_without_the_extra_it_says_what_to_install(tmp_path: Path) -> None:
    """In a process of its own that finds no rapidocr."""
    (tmp_path / "a.png").write_bytes(saved_as("PNG", letter([["text"]])))
    code = (
        "import sys; sys.modules['rapidocr'] = None\n"
        "from pathlib import Path\n"
        "from fieldpack_build.documents import read_document\n"
        "from fieldpack_build.errors import MachineError\n"
        "try:\n    read_document(Path('a.png'), 'a.png', ocr=True)\n"
        "except MachineError as error:\n    print(error)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert run.stdout.strip() == 'knowledge.ocr: no OCR library here; pip install "fieldpack[ocr]"'


def test_ocr_asks_no_network(tmp_path: Path) -> None:
    """Any look-up or connection ends the process; the telemetry of onnxruntime is off before it is
    imported."""
    pytest.importorskip("rapidocr")
    (tmp_path / "a.png").write_bytes(saved_as("PNG", letter([["Quiet"]])))
    code = (
        "import sys, os\n"
        "def watch(event, args):\n"
        "    if event in ('socket.connect', 'socket.getaddrinfo', 'urllib.Request'): os._exit(9)\n"
        "sys.addaudithook(watch)\n"
        "from pathlib import Path\n"
        "from fieldpack_build.documents import read_document\n"
        "print(read_document(Path('a.png'), 'a.png', ocr=True).pages[0].text)\n"
        "print(os.environ['ORT_DISABLE_TELEMETRY'], 'torch' in sys.modules)"
    )
    environment = {
        key: value for key, value in os.environ.items() if key != "ORT_DISABLE_TELEMETRY"
    }
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, env=environment
    )
    assert (run.returncode, run.stdout.split()) == (0, ["Quiet", "1", "False"])


def test_an_attached_scan_is_read(tmp_path: Path) -> None:
    pytest.importorskip("rapidocr")
    from email.message import EmailMessage

    message = EmailMessage()
    message["From"] = "ann@example.org"
    message.set_content("See the scan.")
    message.add_attachment(
        saved_as("PNG", letter([["Paid in full"]])), "image", "png", filename="scan.png"
    )
    document = seen(tmp_path, "a.eml", message.as_bytes())
    assert blocks(document)[-1] == ("text", ("Attachment: scan.png",), "Paid in full")
    assert read(tmp_path, "a.eml", message.as_bytes()).warnings == (
        "not read: 1 attached picture (scan.png)",
    )
