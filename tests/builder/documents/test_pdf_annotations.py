"""Filled forms, ticks, text written over a page, comments and attachments of PDFs."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from test_pdf import PROSE, Page, Text, blocks, write_pdf

from fieldpack_build.documents import pdf
from fieldpack_build.documents.pages import Content

_FIRST = 9  # number of the first object after those of one page


def widget(kind: str, x: float, y: float, keys: str, width: float = 200) -> str:
    return f"<</Type/Annot/Subtype/Widget/FT/{kind}/Rect[{x} {y} {x + width} {y + 16}]/F 4{keys}>>"


def tick(x: float, y: float, state: str, name: str = "t") -> str:
    look = "/AP<</N<</Yes<</Length 0>>/Off<</Length 0>>>>>>"
    return widget("Btn", x, y, f"/T({name})/V/{state}/AS/{state}{look}", 16)


def read_form(texts: Sequence[Text], *fields: str, catalog: str = "") -> Content:
    numbers = " ".join(f"{_FIRST + i} 0 R" for i in range(len(fields)))
    form = f"/AcroForm<</Fields[{numbers}]>>{catalog}"
    data = write_pdf(Page(texts, keys=f"/Annots[{numbers}]"), catalog=form, more=fields)
    return pdf.read(data, "a.pdf", expendable=True)


def read_notes(*notes: str) -> Content:
    texts = [Text(50, 700, PROSE), Text(50, 688, PROSE)]
    data = write_pdf(Page(texts, keys=f"/Annots[{''.join(notes)}]"))
    return pdf.read(data, "a.pdf", expendable=True)


def note(kind: str, words: str, keys: str = "") -> str:
    return f"<</Type/Annot/Subtype/{kind}/Rect[50 640 300 660]/Contents({words}){keys}>>"


def test_values_stand_beside_their_labels() -> None:
    texts = [
        Text(50, 700 - 30 * i, label)
        for i, label in enumerate(("Name of the vessel", "Length over all", "Payment"))
    ]
    content = read_form(
        texts,
        widget("Tx", 200, 696, "/T(f0)/V(Heron Two)"),
        widget("Tx", 200, 666, "/T(f1)/V(9.80 m)"),
        widget("Ch", 200, 636, "/T(f2)/Ff 131072/Opt[(Cash)(Direct debit)]/V(Direct debit)"),
    )
    assert content.pages[0].text.split("\n\n") == [
        "Name of the vessel Heron Two\nLength over all 9.80 m\nPayment Direct debit"
    ]
    assert content.warnings == ()


def test_two_fields_on_a_line_and_a_label_above() -> None:
    texts = [Text(50, 700, "First name"), Text(300, 700, "Last name"), Text(50, 650, "Address")]
    content = read_form(
        texts,
        widget("Tx", 120, 696, "/T(a)/V(Ada)", 100),
        widget("Tx", 370, 696, "/T(b)/V(Holm)", 100),
        widget("Tx", 50, 628, "/T(c)/V(Quay 5)"),
    )
    assert (
        content.pages[0].text.replace("\n\n", "\n")
        == "First name Ada Last name Holm\nAddress Quay 5"
    )


def test_ticks_stand_beside_their_labels() -> None:
    texts = [
        Text(50, 700, "Shore power"),
        Text(50, 670, "Storage"),
        Text(75, 640, "By card"),
        Text(155, 640, "In cash"),
    ]
    content = read_form(
        texts,
        tick(200, 696, "Yes"),
        tick(200, 666, "Off"),
        tick(55, 636, "Off"),
        tick(135, 636, "Yes"),
    )
    text = content.pages[0].text.replace("\n\n", "\n")
    assert text == "Shore power [x]\nStorage [ ]\n[ ] By card [x] In cash"


def test_a_value_without_a_label_has_the_fields_name() -> None:
    content = read_form([Text(50, 300, PROSE)], widget("Tx", 50, 700, "/T(f7)/TU(Berth)/V(28)"))
    assert content.pages[0].text.startswith("Berth: 28\n")


def test_a_form_without_other_text() -> None:
    assert read_form([], widget("Tx", 50, 700, "/T(Berth)/V(28)")).pages[0].text == "Berth: 28"


def test_hidden_fields_are_counted() -> None:
    hidden = widget("Tx", 200, 696, "/T(f0)/V(secret)").replace("/F 4", "/F 2")
    content = read_form([Text(50, 700, "Name")], hidden)
    assert "secret" not in content.pages[0].text
    assert content.warnings == ("1 hidden form field is not read; knowledge.hidden: read reads it",)


def test_text_written_over_a_page_is_read() -> None:
    content = read_notes(note("FreeText", "CORRECTED: week 16"))
    assert blocks(content) == [
        ("text", (), f"{PROSE}\n{PROSE}"),
        ("text", (), "CORRECTED: week 16"),
    ]
    assert content.warnings == ()


def test_comments_and_stamps_are_counted() -> None:
    content = read_notes(
        note("Text", "is that so?"), note("Highlight", "check"), note("Stamp", ""), note("Link", "")
    )
    assert content.warnings == (
        "2 comment annotations are not read; knowledge.hidden: read reads it",
        "1 stamp annotation is not read",
    )
    assert "is that so" not in content.pages[0].text


def test_words_struck_out_by_an_annotation() -> None:
    strike = "/QuadPoints[48 710 458 710 48 697 458 697]"
    content = read_notes(note("StrikeOut", "", strike))
    assert content.pages[0].text == PROSE
    assert content.warnings == ("1 struck passage is left out",)


@pytest.mark.parametrize("where", ["document", "page"])
def test_attachments_are_named(where: str) -> None:
    files = [
        "<</Type/EmbeddedFile/Length 2>>stream\nhi\nendstream",
        "<</Type/Filespec/F(rates.csv)/UF(rates.csv)/EF<</F 9 0 R>>>>",
    ]
    names = "/Names<</EmbeddedFiles<</Names[(rates.csv)10 0 R]>>>>"
    keys = (
        "/Annots[<</Type/Annot/Subtype/FileAttachment/Rect[50 640 70 660]/FS 10 0 "
        "R/Contents(rates.csv)>>]"
    )
    page = Page([Text(50, 700, PROSE)], keys=keys if where == "page" else "")
    content = pdf.read(
        write_pdf(page, catalog=names if where == "document" else "", more=files), "a.pdf"
    )
    assert content.warnings == (
        "1 attachment is not read (save attachments as files of their own): rates.csv",
    )


def test_comments_and_hidden_fields_are_read_when_they_are_asked_for() -> None:
    texts, comment = [Text(50, 700, PROSE)], note("Text", "Is that so?")
    data = write_pdf(Page(texts, keys=f"/Annots[{comment}]"))
    assert "Is that so" not in pdf.read(data, "a.pdf").pages[0].text
    content = pdf.read(data, "a.pdf", hidden=True)
    assert "Comment: Is that so?" in content.pages[0].text and content.warnings == ()
