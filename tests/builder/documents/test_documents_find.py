"""What a survey of a folder finds, and what it passes over and why. Encodings of what is found."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from test_documents import blocks, read, refusal

from fieldpack_build.documents import find_documents, survey
from fieldpack_build.documents.encoding import decode


def test_survey(tmp_path: Path) -> None:
    library = tmp_path / "library"
    for name in (
        "b.md",
        "a/z.TXT",
        ".hidden.md",
        ".git/c.md",
        "a/one.png",
        "two.png",
        "Makefile",
        "old.doc",
        "big.txt",
    ):
        (library / name).parent.mkdir(parents=True, exist_ok=True)
        (library / name).write_text("text")
    (library / "big.txt").write_bytes(b"a" * ((1 << 20) + 1))
    (tmp_path / "outside").mkdir()
    (library / "inner").symlink_to("a", target_is_directory=True)
    (library / "out").symlink_to(tmp_path / "outside", target_is_directory=True)
    (library / "a/up").symlink_to(library, target_is_directory=True)
    (library / "link.md").symlink_to("b.md")
    found = survey(library, max_file_mb=1)
    assert [path.relative_to(library).as_posix() for path in found.paths] == [
        "a/z.TXT",
        "b.md",
        "link.md",
    ]
    assert found.other_formats == {"(none)": 1, ".png": 2}
    assert [entry.reason for entry in found.skipped] == [
        "a/up: is a link to a folder around it, a loop",
        "big.txt: has 1 MB, over the 1 of knowledge.max_file_mb",
        "inner: is a link to a folder that is read as itself",
        "old.doc: no reader for .doc; save it as .docx",
        "out: is a link out of the folder of documents; put the file itself there",
    ]


def test_survey_of_what_is_included_only(tmp_path: Path) -> None:
    for name in ("a/b.md", "a/b.doc", "c.md", "c.doc", "d.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("text")
    found = survey(tmp_path, ["a/**"])
    assert [path.name for path in found.paths] == ["b.md"]
    assert [entry.path for entry in found.skipped] == ["a/b.doc"]
    assert survey(tmp_path, []).paths == [] and survey(tmp_path / "gone").paths == []


def test_images_are_documents_when_they_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"x")
    assert find_documents(tmp_path) == []
    assert find_documents(tmp_path, ocr=True) == [tmp_path / "a.png"]


def test_a_tree_deeper_than_pythons_stack(tmp_path: Path) -> None:
    here = os.getcwd()  # noqa: PTH109
    try:
        os.chdir(tmp_path)
        for _ in range(1200):
            os.mkdir("d")  # noqa: PTH102
            os.chdir("d")
        Path("a.md").write_text("text")
        os.chdir(tmp_path)
        assert len(survey(Path("d")).paths) == 1
    finally:
        os.chdir(here)
        subprocess.run(
            ["rm", "-rf", tmp_path / "d"], check=True
        )  # pytest's own cleaning recurses, and fails


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_survey_names_what_may_not_be_read(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("text")
    (tmp_path / "a.md").chmod(0)
    (tmp_path / "closed").mkdir(mode=0)
    reasons = [entry.reason for entry in survey(tmp_path).skipped]
    assert reasons == [
        "a.md: cannot be read: Permission denied",
        "closed: the folder cannot be opened: Permission denied",
    ]


def test_a_name_that_is_not_utf8(tmp_path: Path) -> None:
    with open(os.fsencode(tmp_path) + b"/caf\xe9.md", "w") as file:  # noqa: PTH123
        file.write("text")
    assert [entry.reason for entry in survey(tmp_path).skipped] == [
        "caf\\udce9.md: its name is not UTF-8; rename it"
    ]


RUSSIAN = "Комиссия за управление начисляется ежедневно и выплачивается ежемесячно."
POLISH = (
    "Opłata za zarządzanie jest naliczana każdego dnia. Żądanie należy złożyć na piśmie, a spółka "
    "odpowie."
)


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Gebühr: 5 €, „siehe oben“", "cp1252"),
        ("Gebühr: 5 EUR", "latin-1"),
        ("Gebühr: 5 €", "utf-16-le"),
        ("Gebühr: 5 €", "utf-16-be"),
        ("Gebühr: 5 €", "utf-32-le"),
        (RUSSIAN, "cp1251"),
        (RUSSIAN, "koi8-r"),
        (POLISH, "cp1250"),
        ("管理报酬每日计提，每月支付。公司保留更改费用金额的权利。", "gb18030"),
        (
            "管理報酬は毎日計算され、毎月支払われます。当社は手数料の額を変更する権利を留保します。",
            "cp932",
        ),
    ],
)
def test_encodings_that_nobody_states(text: str, encoding: str) -> None:
    assert decode(text.encode(encoding)) == text


def test_one_broken_byte_does_not_make_utf8_another_encoding() -> None:
    assert (
        decode(("Gebühr für Käufer, jährlich " * 4).encode() + b"\xff")
        == "Gebühr für Käufer, jährlich " * 4 + "\ufffd"
    )


def test_a_few_lost_nuls_are_no_reason(tmp_path: Path) -> None:
    assert blocks(read(tmp_path, "a.csv", b"a,b\n1,\x002\n"))[0][2] == "a | b\n1 | 2"
    assert "is no text" in refusal(tmp_path, "b.md", bytes(range(256)) * 8)


@pytest.mark.parametrize(
    ("text", "encoding", "named"),
    [
        ("Le prix est de 12 € par mètre, œuvre comprise.\n", "iso8859_15", "iso8859_15"),
        ("Die Gebühr für Käufer beträgt 5 Gulden, größer als früher.\n", "cp437", "cp437"),
        ("Die Gebühr für Käufer beträgt 5 Gulden, größer als früher.\n", "mac_roman", "mac_roman"),
        ("Die Gebühr: 5 €, „siehe oben“, ½ Liter für 20 °C.\n", "cp1252", "cp1252"),
    ],
)
def test_western_encodings_are_told_apart_and_the_guess_is_named(
    tmp_path: Path, text: str, encoding: str, named: str
) -> None:
    for name in ("a.txt", "a.md", "a.csv", "a.html"):
        document = read(tmp_path, name, text.encode(encoding))
        assert document.pages[0].text.strip().replace(" | ", ", ") == text.strip(), name
        assert document.warnings[0] == (
            f"its encoding is not stated and was guessed: {named}; where letters are wrong, save "
            "it as UTF-8"
        )
    assert read(tmp_path, "b.txt", text).warnings == ()


def test_lock_files_of_office_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "~$report.docx").write_bytes(b"\x03Ann")
    (tmp_path / "a.md").write_text("text")
    found = survey(tmp_path)
    assert (
        [path.name for path in found.paths] == ["a.md"]
        and not found.skipped
        and not found.other_formats
    )


@pytest.mark.parametrize("name", ["a.md", "a.txt", "a.jsonl"])
def test_files_in_base64_are_left_out(tmp_path: Path, name: str) -> None:
    blob = "iVBORw0KGgo" * 40_000
    text = f"See ![picture](data:image/png;base64,{blob}==) and {blob} here."
    document = read(tmp_path, name, f'{{"text": "{text}"}}' if name.endswith("l") else text)
    assert blocks(document)[0][2] == "See ![picture]() and  here."
    assert document.warnings == ("not read: 2 embedded files in base64",)
    lines = "\n".join(["QUJDRA" * 12] * 20)
    assert len(read(tmp_path, "b.txt", f"Before.\n{lines}\nAfter.").pages[0].text) < 40
