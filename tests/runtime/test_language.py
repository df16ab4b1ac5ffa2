"""Words by language: the index and a question agree, forms of a word meet, English stays."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fieldpack
from fieldpack.index.document_names import named_scores
from fieldpack.index.query_terms import QUESTION_WORDS, content_words, search_terms
from fieldpack.index.reader import KnowledgeIndex
from fieldpack.index.schema import TABLES
from fieldpack.language import (
    LANGUAGES,
    PLAIN,
    analyzer,
    decimal_mark,
    question_words,
    spoken_question_words,
)
from fieldpack.passages import Chunk, DocumentRecord
from fieldpack_build.index.writer import IndexWriter

DIM = 4
ALPHABETS = st.one_of(
    st.characters(min_codepoint=0x20, max_codepoint=0x24F),
    st.characters(min_codepoint=0x370, max_codepoint=0x52F),
    st.sampled_from("ที่นี่ทดสอบกำลังไฟ๑๒"),
    st.sampled_from("铅封坏了怎么办第2仓库ガイドがんこ。々가나다"),
    st.sampled_from("'’ʼ-./_ \u00ad\u200b¹²½ﬁＡ１\u0301\ud800"),
    # SQLite takes some code points that are no characters for letters
    st.characters(exclude_categories=("Cs", "Co", "Cn")),
)


def matching_rows(texts: list[str], term: str) -> list[int]:
    with closing(sqlite3.connect(":memory:")) as database:
        database.executescript(TABLES)
        rows = [(i, "", text) for i, text in enumerate(texts)]
        database.executemany("INSERT INTO words(rowid, context, text) VALUES (?, ?, ?)", rows)
        query = "SELECT rowid FROM words WHERE words MATCH ? ORDER BY rowid"
        return [row[0] for row in database.execute(query, (f'"{term}"',))]


def has_tokens(text: str) -> bool:
    """Whether SQLite's tokenizer sees anything in a text: newer letters are no letters to it."""
    with closing(sqlite3.connect(":memory:")) as database:
        database.executescript(TABLES)
        database.execute("INSERT INTO words(rowid, context, text) VALUES (1, '', ?)", (text,))
        database.execute("CREATE VIRTUAL TABLE terms USING fts5vocab(words, 'row')")
        return database.execute("SELECT 1 FROM terms LIMIT 1").fetchone() is not None


@settings(deadline=None)
@given(st.sampled_from(LANGUAGES), st.text(ALPHABETS, max_size=60))
def test_every_term_of_a_text_is_found_in_that_text(language: str, text: str) -> None:
    text = text.lower().replace("\0", " ")
    text = text.encode("utf-8", "ignore").decode()  # SQLite stores no lone surrogate
    indexed = analyzer(language).text(text)
    for term in analyzer(language).terms(text):
        assert term
        assert '"' not in term
        if has_tokens(term):
            assert matching_rows([indexed], term) == [0], (term, indexed)


@settings(deadline=None)
@given(st.sampled_from(["", *LANGUAGES]), st.text(ALPHABETS, max_size=200))
def test_nothing_that_is_asked_or_indexed_raises(language: str, text: str) -> None:
    assert analyzer(language).text(text) == analyzer(language).text(text)
    for term in search_terms(text, {language, "de", PLAIN}):
        assert term
        assert '"' not in term


@settings(deadline=None)
@given(st.text(ALPHABETS, max_size=200))
def test_english_is_indexed_and_asked_for_as_it_was(text: str) -> None:
    assert analyzer(PLAIN).text(text) == text
    assert search_terms(text, [PLAIN]) == search_terms(text, []) == content_words(text)


def test_english_question_words_are_those_it_always_had() -> None:
    assert (
        frozenset(
            "a an and any are as at be been but by can could do does did for from had has have how i if "
            "in into is it its many may me much must my of on or our shall should so that the their them "
            "there these they this to was we were what when where which who whom whose why will with "
            "would you your".split()
        )
        == QUESTION_WORDS
    )


FORMS = {
    "sk": [
        "skúmavka skúmavky skúmaviek skúmavkách skumavku",
        "zamestnanec zamestnanci zamestnancov",
        "očkovať očkujú očkovanie očkovaná",
        "kardiologické kardiológ kardiológa",
        "pacient pacientov pacientka",
        "žena žien",
        "údržba udrzbu",
    ],
    "uk": [
        "шлюпка шлюпок шлюпкам шлюпці",
        "пліт плоти плотів",
        "вологий вологість вологою",
        "лікувати лікує лікування",
        "перевіряти перевірка перевірити",
        "ґанок ганок",
        "п'ять п’ять пʼять",
    ],
    "de": [
        "Prüfung Pruefung Prüfungen pruefungen PRÜFUNG",
        "Straße Strasse Straßen",
        "Öl Oel",
        "Gehäuse Gehaeuses",
    ],
    "da": ["gård gaard gården", "øl oel"],
    "no": ["båt baat båten"],
    "cs": ["kontrola kontroly kontrolou"],
    "pl": ["kontrola kontroli kontrolę"],
    "ru": ["насос насоса насосы"],
    "fr": ["contrôle contrôles"],
    "tr": ["IŞIK ışık", "İzin izin"],
}


@pytest.mark.parametrize(
    ("language", "forms"), [(code, line) for code, lines in FORMS.items() for line in lines]
)
def test_forms_of_a_word_meet(language: str, forms: str) -> None:
    words = analyzer(language)
    texts = [words.text(f"x {form} y") for form in forms.split()]
    if "'" in forms or "’" in forms:
        forms = forms.split()[0]
    for form in forms.split():
        (term,) = words.terms(form)
        assert matching_rows(texts, term) == list(range(len(texts))), form


@pytest.mark.parametrize(
    ("language", "text", "question", "others"),
    [
        ("zh", "铅封破损的要拍照并通知采购部。", "采购部电话是什么", "驾驶员"),
        ("ja", "フォークリフトの充電は東側で行う。", "ﾌｫｰｸﾘﾌﾄはどこ", "倉庫"),
        ("ko", "지게차는 매일 점검합니다.", "지게차를 언제 점검", "창고"),
        ("th", "ตรวจสอบเครื่องดับเพลิงทุกเดือน", "เครื่องดับเพลิงอยู่ที่ไหน", "ลานจอดรถ"),
    ],
)
def test_scripts_without_blanks_are_found_by_words_inside_a_sentence(
    language: str, text: str, question: str, others: str
) -> None:
    words = analyzer(language)
    asked = words.terms(question, question_words(language))
    rows = [words.text(others), words.text(text)]
    found = [term for term in asked if matching_rows(rows, term) == [1]]
    assert len(found) >= 2
    assert not any(0 in matching_rows(rows, term) for term in asked)


def test_marks_of_footnotes_and_codes_are_no_part_of_words() -> None:
    text = analyzer("de").text("Betrag 482¹ für TESTER-100, 12-stündige Prüfung, §5, m²")
    assert text.split()[:2] == ["betrag", "482"]
    assert "tester 100" in text
    assert "12 stund" in text


def test_only_words_of_the_language_that_is_spoken_are_left_out() -> None:
    assert "die" in search_terms("which die is worn", ["", "de"])
    assert "die" not in search_terms("wo liegt die Zange", ["", "de"])
    assert not {"как", "коли"} & set(search_terms("коли буде обід", ["uk", "ru"]))
    assert spoken_question_words("HACCP", ["en", "de"]) >= {"the", "wann"}


def library(folder: Path, texts: dict[str, tuple[str, str]]) -> KnowledgeIndex:
    writer = IndexWriter(folder, dim=DIM)
    for path, (language, text) in texts.items():
        vector = np.eye(1, DIM, dtype=np.float32)
        record = DocumentRecord(path, path, path, 1, language=language)
        writer.add(record, [Chunk(path, path, 1, (), 0, len(text), text)], vector)
    writer.finish()
    return KnowledgeIndex(folder)


MIXED = {
    "en.md": ("", "The pumps are inspected monthly; see form TESTER-100."),
    "de.md": ("de", "Die Überprüfung der Kühlmittelpumpe übernimmt der Schichtführer. TESTER-200"),
    "sk.md": ("sk", "Skúmavky sa po odbere odnášajú do laboratória."),
    "uk.md": ("uk", "Рятувальні плоти перевіряє берегова станція."),
    "zh.md": ("zh", "叉车充电在东侧充电间进行。"),
}


@pytest.mark.parametrize(
    ("question", "path"),
    [
        ("who inspects a pump", "en.md"),
        ("Wer macht Ueberpruefungen?", "de.md"),
        ("kam odniesť skúmavku", "sk.md"),
        ("хто перевірив пліт", "uk.md"),
        ("在哪里充电", "zh.md"),
        ("tester 200", "de.md"),
        ("TESTER-100", "en.md"),
    ],
)
def test_a_library_of_several_languages_is_searched_in_each(
    tmp_path: Path, question: str, path: str
) -> None:
    index = library(tmp_path, MIXED)
    best = next(iter(index.matching(question, 3)))
    assert index.rows([best])[0].chunk.document == path
    assert {record.path: record.language for record in index.records()} == {
        name: language for name, (language, _) in MIXED.items()
    }


def test_a_name_in_another_form_names_its_document(tmp_path: Path) -> None:
    texts = {
        "kontrola-skumaviek.md": ("sk", "Text o nej."),
        "odpad.md": ("sk", "Text o ňom."),
        "dovolenky.md": ("sk", "Text o nich."),
    }
    index = library(tmp_path, texts)
    named = named_scores(index.naming_terms("Ako sa kontroluje skúmavka?"))
    assert [index.paths([i]) for i in named] == [["kontrola-skumaviek.md"]]
    # a word that all documents say names none by itself
    texts = {name: ("sk", f"{text} Dovolenka.") for name, (_, text) in texts.items()}
    index = library(tmp_path / "second", texts)
    assert max(named_scores(index.naming_terms("Komu patrí dovolenka?")).values()) < 0.1


def test_an_english_library_has_the_words_that_fts5_itself_makes(tmp_path: Path) -> None:
    texts = ["Straße, naïve cafés: the pumps' FY2022 inspection¹ of 铅封 and ﬁlters", "1,250.50 m²"]
    library(tmp_path, {f"{i}.md": ("", text) for i, text in enumerate(texts)})
    with closing(sqlite3.connect(":memory:")) as database:
        database.executescript(TABLES)
        rows = [(i, f"{i}.md", text) for i, text in enumerate(texts)]
        database.executemany("INSERT INTO words(rowid, context, text) VALUES (?, ?, ?)", rows)
        database.execute("ATTACH ? AS ours", (str(tmp_path / "chunks.sqlite"),))
        vocabularies = []
        for schema in ("main", "ours"):
            database.execute(
                f"CREATE VIRTUAL TABLE temp.v_{schema} USING fts5vocab({schema}, words, instance)"
            )
            vocabularies.append(database.execute(f"SELECT * FROM v_{schema}").fetchall())
    assert vocabularies[0] == vocabularies[1] != []


def change(folder: Path, statement: str) -> None:
    with closing(sqlite3.connect(folder / "chunks.sqlite")) as database, database:
        database.execute(statement)


def test_an_index_of_words_made_otherwise_is_refused_and_built_anew(tmp_path: Path) -> None:
    library(tmp_path, MIXED)
    change(tmp_path, "UPDATE meta SET value = '999 3.1.1 15.0.0' WHERE name = 'words'")
    with pytest.raises(fieldpack.BundleUnsupported, match=r"indexed by another version.*again"):
        KnowledgeIndex(tmp_path)
    index = library(tmp_path, {"sk.md": MIXED["sk.md"]})
    assert index.documents() == ["sk.md"]


def test_another_release_of_snowball_is_searched_but_not_changed_in_place(tmp_path: Path) -> None:
    library(tmp_path, MIXED)
    change(tmp_path, "UPDATE meta SET value = '1 0.0.1 15.0.0' WHERE name = 'words'")
    assert KnowledgeIndex(tmp_path).matching("skúmavka", 3)
    writer = IndexWriter(tmp_path, dim=DIM)
    writer.remove(["sk.md"])
    assert not writer.finish().in_place
    assert KnowledgeIndex(tmp_path).documents() == ["de.md", "en.md", "uk.md", "zh.md"]


def test_a_language_that_this_version_does_not_know_is_refused(tmp_path: Path) -> None:
    library(tmp_path, MIXED)
    change(tmp_path, "UPDATE documents SET language = 'tlh' WHERE language = 'sk'")
    with pytest.raises(
        fieldpack.BundleUnsupported, match=r"'tlh', whose words this version cannot"
    ):
        KnowledgeIndex(tmp_path)


@pytest.mark.parametrize(
    ("languages", "mark"),
    [
        ((PLAIN,), "."),
        (("de",), ","),
        (("de", "fr"), ","),
        (("de", PLAIN), None),
        (("ja", PLAIN), "."),
        ((), None),
    ],
)
def test_the_decimal_mark_is_told_where_all_languages_have_the_same(
    languages: tuple[str, ...], mark: str | None
) -> None:
    assert decimal_mark(languages) == mark
