"""Words that a question writes as one and a document as several, and the other way round: found
where the library's own words say so, and only there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fieldpack.index.compound_terms import compound_terms
from fieldpack.index.reader import KnowledgeIndex
from fieldpack.language import COMPOUNDING, analyzer, cuts, joined
from fieldpack.passages import Chunk, DocumentRecord
from fieldpack.retrieval.word_forms import Compounds, text_forms, words_to_match
from fieldpack_build.index.writer import IndexWriter


def library(folder: Path, texts: dict[str, tuple[str, str]]) -> KnowledgeIndex:
    writer = IndexWriter(folder, dim=4)
    for path, (language, text) in texts.items():
        record = DocumentRecord(path, "", path, 1, language=language)
        chunk = Chunk(path, "", 1, (), 0, len(text), text)
        writer.add(record, [chunk], np.eye(1, 4, dtype=np.float32))
    writer.finish()
    return KnowledgeIndex(folder)


def first(index: KnowledgeIndex, question: str) -> str | None:
    best = next(iter(index.matching(question, 3)), None)
    return None if best is None else index.rows([best])[0].chunk.document


GERMAN = {
    "frist.md": ("de", "Eine Kündigung ist schriftlich. Die Frist beträgt drei Monate."),
    "mahnung.md": ("de", "Die Mahngebühr beträgt fünf Euro."),
    "miete.md": ("de", "Eine Mieterhöhung teilen wir vorher mit."),
    "strasse.md": ("de", "Der Lärm auf der Straße ist zu messen."),
    "kosten.md": ("de", "Eine Abrechnung der Nebenkosten kommt jährlich."),
    "frei.md": ("de", "Das Amt ist am Freitag für alle frei."),
}


@pytest.mark.parametrize(
    ("question", "path"),
    [
        ("Wie lang ist die Kündigungsfrist?", "frist.md"),
        ("Kuendigungsfristen", "frist.md"),
        ("Wie hoch ist die Gebühr für eine Mahnung?", "mahnung.md"),
        ("Was gilt bei einer Erhöhung der Mieten?", "miete.md"),
        ("Straßenlärm", "strasse.md"),
        ("Strassenlaerm", "strasse.md"),
        ("Wann kommt die Nebenkostenabrechnung?", "kosten.md"),
    ],
)
def test_german_compounds_are_found_apart_and_as_one(
    tmp_path: Path, question: str, path: str
) -> None:
    assert first(library(tmp_path, GERMAN), question) == path


def terms(index: KnowledgeIndex, question: str) -> list[str]:
    return compound_terms(index._database, question, index.languages)


def test_parts_are_words_of_the_library_and_no_question_words(tmp_path: Path) -> None:
    index = library(tmp_path, GERMAN)
    assert terms(index, "Die Kündigungsfrist") == ["kundig", "frist"]
    assert terms(index, "Die Kündigungsschreiben") == [], "no document writes"
    assert terms(index, "Das Amtfrei") == ["amt", "frei"]
    assert terms(index, "Das Fürfrei") == [], "für is no part of a compound"
    assert terms(index, "Eine Gebühr für eine Erhöhung") == [], "no document has Gebührerhöhung"


def test_small_words_are_cut_unless_the_question_writes_nouns_with_capitals(tmp_path: Path) -> None:
    index = library(tmp_path, GERMAN)
    assert terms(index, "wie lang ist die kündigungsfrist") == ["kundig", "frist"]
    assert terms(index, "Beginnt die kündigungsfrist?") == ["kundig", "frist"]
    assert terms(index, "Welche Kündigungsfrist ist amtfrei?") == ["kundig", "frist"]
    assert terms(index, "") == terms(index, "Wie ist das?") == []


def test_a_compound_of_three_words_is_cut_in_three(tmp_path: Path) -> None:
    texts = {"a.md": ("de", "Die Miete, der Vertrag und das Recht.")}
    assert terms(library(tmp_path, texts), "Mietvertragsrecht") == ["miet", "vertrag", "recht"]


ENGLISH = {
    "names.md": ("", "The codenames come from a film. Each codename is a toy."),
    "code.md": ("", "The code of the names of the releases is signed."),
    "files.md": ("", "Give the file name in full."),
    "cash.md": ("", "The cash flow statement. Cash flows. cashflow"),
    "lakes.md": ("", "The boat of the club lies at the lake."),
}


@pytest.mark.parametrize(
    ("question", "path"),
    [
        ("Where do the code names of the releases come from?", "names.md"),
        ("filename", "files.md"),
        ("What filenames are there?", "files.md"),
    ],
)
def test_english_words_are_found_as_one_and_as_two(
    tmp_path: Path, question: str, path: str
) -> None:
    assert first(library(tmp_path, ENGLISH), question) == path


def test_the_spelling_that_a_library_has_most_is_looked_for(tmp_path: Path) -> None:
    index = library(tmp_path, ENGLISH)
    assert terms(index, "the cash flow") == [], "cashflow stands there once, cash flow as often"
    assert terms(index, "the code names") == ["codenames"]
    assert terms(index, "the boat's lake, the code, names") == []
    assert terms(index, "codenames") == [], "the library has the word itself"


def test_a_question_is_cut_in_the_language_that_it_is_asked_in(tmp_path: Path) -> None:
    index = library(tmp_path, GERMAN | ENGLISH)
    assert terms(index, "Wie ist die Kündigungsfrist?") == ["kundig", "frist"]
    assert "frist" not in terms(index, "What is the Kündigungsfrist?")


@settings(deadline=None)
@given(
    st.sampled_from(sorted(COMPOUNDING)),
    st.text("abdeiknorstuäöüß-7 ", max_size=45),
    st.text("abdeiknorstuäöüß-7 ", max_size=12),
)
def test_parts_and_compounds_are_of_letters(language: str, word: str, other: str) -> None:
    for head, tails in cuts(word, language):
        assert min(map(len, (head, *tails))) >= 3 and (head + tails[-1]).isalpha()
    for name in joined(word, other, language):
        assert name.isalpha()


@pytest.mark.parametrize("language", sorted(COMPOUNDING))
def test_a_compound_of_two_words_is_the_term_of_the_word_itself(language: str) -> None:
    compounds = {"de": ("kündigung", "frist", "Kündigungsfristen")}
    one, other, compound = compounds[language]
    assert analyzer(language).stem(compound) in joined(one, other, language)


def counted(question: str, text: str, others: str = "", language: str = "de") -> int:
    forms = text_forms(text, [language])
    words = words_to_match(question, [language])
    said = forms | text_forms(others, [language])
    return Compounds.of(words, said, [language]).count_in(forms)


def test_a_text_has_a_compound_where_it_has_both_parts() -> None:
    question = "Kündigungsfrist?"
    assert counted(question, "Die Frist einer Kündigung ist lang.") == 1
    assert counted(question, "Die Frist ist lang.", "Die Kündigung ist da.") == 0
    assert counted(question, "Die Kündigungsfristen sind lang.") == 1


def test_a_text_has_two_words_where_it_has_them_as_one() -> None:
    question = "Gebühr einer Mahnung?"
    assert counted(question, "Die Mahngebühr ist fällig.") == 2
    assert counted(question, "Die Bearbeitungsgebühr ist fällig.") == 0


def test_words_of_a_language_that_does_not_compound_are_left_as_they_are() -> None:
    assert counted("netzwerkkarte?", "karte v netzwerk", language="sk") == 0
    words = words_to_match("What is the notice period?")
    assert Compounds.of(words, {"noticeperiod"}, [""]).words == tuple(words)


@pytest.mark.parametrize(("letters", "found"), [(35, True), (36, False)])
def test_a_run_of_letters_longer_than_words_are_is_not_cut(
    tmp_path: Path, letters: int, found: bool
) -> None:
    long = "z" * letters
    index = library(tmp_path, {"a.md": ("", f"There is a phase {long}.")})
    assert terms(index, f"phase{long}") == ([f"phase {long}"] if found else [])
    assert terms(index, "z" * 100_000) == []
