"""PDF pages that take too much: forms that draw themselves or each other, twice and more, and what
unpacks to gigabytes. Such a page costs a bounded time and memory, and is named; forms within forms
that end are read, and so is a page that shows a large image."""

from __future__ import annotations

import subprocess
import sys
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from fieldpack_build.documents import pdf
from fieldpack_build.errors import DocumentError
from fieldpack_build.process_limits import CAN_BOUND_MEMORY
from pdf_file import pdf_file

SENTENCE = "The crane stands at gate five of the harbour."
_END = "print it to a new PDF"
_COSTLY = "takes more than 512 MB of memory or 20 s to draw"
pytestmark = pytest.mark.skipif(
    not CAN_BOUND_MEMORY, reason="Linux alone says what memory a process has"
)


def write_pdf(pages: Sequence[str], forms: Mapping[str, str], *, packed: bool = False) -> bytes:
    """Return a PDF of pages' and forms' content; all of them know all forms by their names.

    `packed`: the forms' content is compressed.
    """
    first = 4 + 2 * len(pages)  # the number of the first form
    names = "".join(f"/{name} {first + at} 0 R" for at, name in enumerate(forms))
    resources = f"/Resources<</Font<</F 3 0 R>>/XObject<<{names}>>>>"
    kids = " ".join(f"{4 + 2 * at} 0 R" for at in range(len(pages)))
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        f"<</Type/Pages/Count {len(pages)}/Kids[{kids}]>>".encode(),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    ]
    for at, content in enumerate(pages):
        keys = f"/Parent 2 0 R/MediaBox[0 0 595 842]/Contents {5 + 2 * at} 0 R{resources}"
        objects.append(f"<</Type/Page{keys}>>".encode())
        objects.append(f"<</Length {len(content)}>>stream\n{content}\nendstream".encode())
    for content in forms.values():
        stream = zlib.compress(content.encode()) if packed else content.encode()
        keys = f"/BBox[0 0 595 842]{resources}{'/Filter/FlateDecode' if packed else ''}"
        head = f"<</Type/XObject/Subtype/Form{keys}/Length {len(stream)}>>stream\n"
        objects.append(head.encode() + stream + b"\nendstream")
    return pdf_file(*objects)


def text(words: str, y: int = 700) -> str:
    return f"BT /F 11 Tf 50 {y} Td ({words}) Tj ET "


def test_a_page_whose_form_draws_itself_is_named_and_the_others_are_read() -> None:
    pages = [text(SENTENCE), text("Lost") + "/A Do", text("The gate closes at eleven.")]
    content = pdf.read(write_pdf(pages, {"A": "/A Do /A Do"}), "a.pdf")
    assert [page.text for page in content.pages if page.blocks] == [
        SENTENCE,
        "The gate closes at eleven.",
    ]
    (warning,) = content.warnings
    assert warning.startswith(f"1 of 3 pages {_COSTLY} and is left out")
    assert "(page 2)" in warning and warning.endswith(_END)


@pytest.mark.parametrize("packed", [False, True])
def test_forms_that_draw_each_other_do_not_run_on(packed: bool) -> None:
    forms = {"A": "/B Do /B Do /B Do", "B": text("Inner") + "/A Do /A Do"}
    with pytest.raises(DocumentError, match=f"^a.pdf: {_COSTLY}; {_END}$"):
        pdf.read(write_pdf([text(SENTENCE) + "/A Do"], forms, packed=packed), "a.pdf")


def test_forms_that_multiply_without_a_circle_do_not_run_on() -> None:
    forms = {f"A{i}": f"/A{i + 1} Do " * 10 for i in range(20)} | {"A20": text("Inner")}
    with pytest.raises(DocumentError, match=_END):
        pdf.read(write_pdf(["/A0 Do"], forms), "a.pdf")


def test_a_document_with_many_such_pages_is_given_up() -> None:
    data = write_pdf(["/A Do"] * 5, {"A": "/A Do /A Do"})
    with pytest.raises(DocumentError, match="more than 3 of its pages take more than 512 MB"):
        pdf.read(data, "a.pdf")


def test_a_process_under_limits_of_its_own_tells_such_a_page_too(tmp_path: Path) -> None:
    file = tmp_path / "a.pdf"
    file.write_bytes(write_pdf([text(SENTENCE), "/A Do"], {"A": "/A Do /A Do"}))
    program = (
        "import resource, sys; from pathlib import Path; from fieldpack_build.documents import pdf\n"
        "resource.setrlimit(resource.RLIMIT_CPU, (600, 600))\n"
        "print(pdf.read(Path(sys.argv[1]).read_bytes(), 'a.pdf').warnings)"
    )
    command = [sys.executable, "-c", program, str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "(page 2)" in done.stdout


def test_forms_within_forms_that_end_are_read() -> None:
    forms = {
        "Letter": "/Head Do /Body Do /Rule Do /Rule Do",
        "Head": text("Harbour of Bergen", 780),
        "Body": text(SENTENCE),
        "Rule": "50 600 m 300 600 l S ",
    }
    content = pdf.read(write_pdf(["/Letter Do " * 2, "/Rule Do " * 500], forms), "a.pdf")
    assert "Harbour of Bergen" in content.pages[0].text
    assert SENTENCE in content.pages[0].text
    assert not content.warnings


def packed(size: int, *, before: bytes = b"") -> bytes:
    """Return what unpacks to `before` and then `size` blanks, packed once."""
    packing = zlib.compressobj(1)
    block = b" " * (1 << 20)
    return (
        packing.compress(before)
        + b"".join(packing.compress(block) for _ in range(size >> 20))
        + packing.flush()
    )


def one_page(content: bytes, keys: bytes = b"", *more: bytes) -> bytes:
    """Return a PDF of a page of text before one of `content`; `more`: objects from 8 on."""
    resources = b"/Resources<</Font<</F 3 0 R>>/XObject<</X 8 0 R>>>>"
    return pdf_file(
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Count 2/Kids[4 0 R 6 0 R]/MediaBox[0 0 595 842]%b>>" % resources,
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
        b"<</Type/Page/Parent 2 0 R/Contents 5 0 R>>",
        b"<</Length %d>>stream\n%b\nendstream" % (len(text(SENTENCE)), text(SENTENCE).encode()),
        b"<</Type/Page/Parent 2 0 R/Contents 7 0 R>>",
        b"<</Length %d%b>>stream\n%b\nendstream" % (len(content), keys, content),
        *(more or (b"<<>>",)),
    )


GIGABYTE = 1 << 30
FLATE = b"/Filter/FlateDecode"
TWICE = b"/Filter[/FlateDecode/FlateDecode]"


@pytest.fixture(scope="module")
def once() -> bytes:
    """Return a gigabyte, packed to a few megabytes."""
    return packed(GIGABYTE)


@pytest.fixture(scope="module")
def bomb(once: bytes) -> bytes:
    """Return the same, packed once more to a few kilobytes."""
    return zlib.compress(once, 9)


def test_a_page_whose_content_unpacks_to_a_gigabyte_is_named(bomb: bytes) -> None:
    content = pdf.read(one_page(bomb, TWICE), "a.pdf")
    assert [page.text for page in content.pages] == [SENTENCE, ""]
    (warning,) = content.warnings
    assert warning == f"1 of 2 pages {_COSTLY} and is left out (page 2): {_END}"


def test_so_is_one_whose_forms_or_pictures_in_its_text_do(bomb: bytes, once: bytes) -> None:
    form = b"<</Type/XObject/Subtype/Form/BBox[0 0 9 9]%b/Length %d>>stream\n%b\nendstream"
    drawn = one_page(b"/X Do", b"", form % (TWICE, len(bomb), bomb))
    inline = b"BI /W 32768 /H 32768 /CS /G /BPC 8 /F [/Fl] ID " + once + b" EI"
    for data in (drawn, one_page(inline)):
        (warning,) = pdf.read(data, "a.pdf").warnings
        assert "(page 2)" in warning


def test_a_large_picture_on_a_page_costs_nothing_and_its_text_is_read(bomb: bytes) -> None:
    keys = b"/Type/XObject/Subtype/Image/Width 32768/Height 32768/ColorSpace/DeviceGray"
    picture = b"<<%b/BitsPerComponent 8%b/Length %d>>stream\n%b\nendstream"
    more = picture % (keys, TWICE, len(bomb), bomb)
    words = text("The gate closes at eleven.").encode()
    content = pdf.read(one_page(words + b"/X Do", b"", more), "a.pdf")
    assert content.pages[1].text == "The gate closes at eleven." and not content.warnings


def test_a_document_whose_table_of_objects_unpacks_to_a_gigabyte_is_refused() -> None:
    head = bytearray(b"%PDF-1.5\n")
    offsets = []
    for number, body in enumerate(
        (b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Count 0/Kids[]>>"), start=1
    ):
        offsets.append(len(head))
        head += b"%d 0 obj\n%b\nendobj\n" % (number, body)
    entries = [(0, 0), *((1, offset) for offset in offsets), (1, len(head))]
    rows = b"".join(bytes([kind]) + offset.to_bytes(4) + b"\0" for kind, offset in entries)
    table = packed(GIGABYTE, before=rows)
    keys = b"/Type/XRef/Size 4/W[1 4 1]/Root 1 0 R%b/Length %d" % (FLATE, len(table))
    data = bytes(head) + b"3 0 obj\n<<%b>>stream\n%b\nendstream\nendobj\n" % (keys, table)
    with pytest.raises(DocumentError, match=r"^a\.pdf: takes more than 512 MB .* to open"):
        pdf.read(data + b"startxref\n%d\n%%%%EOF" % len(head), "a.pdf")
