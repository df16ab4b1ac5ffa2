"""PDF pages that draw without end: forms that draw themselves or each other, twice and more. Such a
page costs a bounded time and memory, and is named; forms within forms that end are read."""

from __future__ import annotations

import subprocess
import sys
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from fieldpack_build.documents import pdf
from fieldpack_build.errors import DocumentError
from pdf_file import pdf_file

SENTENCE = "The crane stands at gate five of the harbour."
_END = "print it to a new PDF"


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
    assert warning.startswith("1 of 3 pages draws the same over and over without end")
    assert "(page 2)" in warning and warning.endswith(_END)


@pytest.mark.parametrize("packed", [False, True])
def test_forms_that_draw_each_other_do_not_run_on(packed: bool) -> None:
    forms = {"A": "/B Do /B Do /B Do", "B": text("Inner") + "/A Do /A Do"}
    with pytest.raises(DocumentError, match=f"^a.pdf: draws the same .*{_END}$"):
        pdf.read(write_pdf([text(SENTENCE) + "/A Do"], forms, packed=packed), "a.pdf")


def test_forms_that_multiply_without_a_circle_do_not_run_on() -> None:
    forms = {f"A{i}": f"/A{i + 1} Do " * 10 for i in range(20)} | {"A20": text("Inner")}
    with pytest.raises(DocumentError, match=_END):
        pdf.read(write_pdf(["/A0 Do"], forms), "a.pdf")


def test_a_document_with_many_such_pages_is_given_up() -> None:
    data = write_pdf(["/A Do"] * 5, {"A": "/A Do /A Do"})
    with pytest.raises(DocumentError, match="more than 3 of its pages draw the same"):
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
