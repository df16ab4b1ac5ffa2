"""Which language a document is in, and what follows from it."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_pdf import Page, Text, write_pdf
from test_vocabulary import GERMAN

from fieldpack_build.documents import pdf, read_document
from fieldpack_build.documents.language import detect_language
from fieldpack_build.documents.vocabulary import AUTO, DEFAULT, NONE, vocabulary_for

LIBRARIES = Path(__file__).parents[3] / "benchmarks" / "languages"
ENGLISH = (
    "The pumps are inspected once a month, and the results of it go to the head of the shift. "
)
OTHERS = {
    "fr": "Les pompes sont contrôlées tous les mois et les résultats sont remis au chef d'équipe.",
    "pl": "Pompy są sprawdzane co miesiąc, a wyniki przekazuje się kierownikowi zmiany.",
    "cs": "Čerpadla se kontrolují každý měsíc a výsledky se předávají vedoucímu směny.",
    "ja": "ポンプは毎月点検し、結果を班長に報告する。",
    "ko": "펌프는 매월 점검하고 결과를 반장에게 보고한다.",
    "th": "ตรวจสอบปั๊มทุกเดือนและรายงานผลต่อหัวหน้ากะ",
    "zh": "水泵每月检查一次，结果报告给班长 (HACCP, 12 bar)。",
}


@pytest.mark.parametrize(
    "path",
    sorted(LIBRARIES.glob("*/documents/*.md")),
    ids=lambda path: f"{path.parts[-3]}-{path.stem}",
)
def test_each_document_of_the_small_libraries_is_in_its_language(path: Path) -> None:
    document = read_document(path, path.name)
    assert document.language == path.parts[-3].partition("-")[0]  # "de-compounds" is German too


@pytest.mark.parametrize(("language", "text"), OTHERS.items())
def test_a_sentence_or_two_are_enough(language: str, text: str) -> None:
    assert detect_language([text, text]) == language


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1001;2,50\n1002;8,90",
        ENGLISH,
        20 * ENGLISH,
        "Pompat kontrollohen çdo muaj dhe rezultatet i jepen drejtuesit të turnit.",  # Albanian
        "QX-7781 A4 230V\nQX-7782 A5 400V",
    ],
)
def test_english_and_what_cannot_be_told_is_left_plain(text: str) -> None:
    assert detect_language([text]) == ""


def test_a_long_document_is_judged_by_all_of_it() -> None:
    assert detect_language([ENGLISH, 1_000 * f"{OTHERS['pl']} "]) == "pl"


@pytest.mark.parametrize(
    ("name", "language", "expected"),
    [
        (AUTO, "", DEFAULT),
        (AUTO, "de", "de"),
        (AUTO, "uk", "uk"),
        (AUTO, "fr", NONE),
        ("en", "de", "en"),
    ],
)
def test_a_vocabulary_is_chosen_by_the_language(name: str, language: str, expected: str) -> None:
    assert vocabulary_for(name, language) == expected


def test_a_recipe_s_language_is_taken_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text(20 * ENGLISH)
    assert read_document(path, "a.txt", language="sk").language == "sk"
    assert read_document(path, "a.txt").language == ""


def test_a_german_pdf_is_read_with_german_words() -> None:
    """ "Mio. Euro, ungeprüft" is said of the whole table, and is no row of it."""
    prose = (
        "Die Werte gelten für das ganze Jahr und sind von der Leitung noch nicht geprüft worden."
    )
    data = write_pdf(Page([*GERMAN[:-2], *(Text(50, y, prose) for y in (640, 628, 616, 604))]))
    by_itself, named, without = (
        pdf.read(data, "a.pdf", vocabulary=name) for name in (AUTO, "de", NONE)
    )
    assert by_itself.pages == named.pages != without.pages
