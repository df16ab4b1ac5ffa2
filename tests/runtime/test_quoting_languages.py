"""Quotes and codes in other languages than English: words compared in the forms that the library's
languages give them, question words of the language that is spoken, scripts without blanks. In a
library of English documents nothing differs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fieldpack.citations import words_of
from fieldpack.index.query_terms import content_words, word_spans
from fieldpack.language import PLAIN, analyzer, ngram_spans
from fieldpack.passages import Passage
from fieldpack.retrieval.codes import code_spans, held_codes
from fieldpack.retrieval.embedder import TokenVectors
from fieldpack.retrieval.late_interaction import question_words
from fieldpack.retrieval.quoting import (
    QuoteSettings,
    candidates,
    near_words,
    pick,
    signals_of,
)
from fieldpack.retrieval.word_forms import text_forms, words_to_match

ONLY_WORDS = QuoteSettings(cosine=0.0, words=1.0, words_in_context=0.0, rank=0.0, tokens=0.0)


class Alike:
    """Embeds every text alike, so that words alone decide."""

    def embed_tokens(self, texts: Sequence[str], *, query: bool = False) -> list[TokenVectors]:
        vector = np.ones(1, dtype=np.float32)
        return [TokenVectors(vector, vector[None, :], ((0, len(text)),)) for text in texts]


def rarity(words: Sequence[str]) -> list[float]:
    return [1.0] * len(words)


def passage(text: str) -> Passage:
    return Passage(0, "a.md", "", None, (), text, 1.0, 0.0)


def quoted(question: str, text: str, languages: Sequence[str]) -> str:
    quote = pick(
        question,
        [passage(text)],
        Alike(),
        ONLY_WORDS,
        margin=0.0,
        rarity=rarity,
        languages=languages,
    )
    assert quote is not None
    return quote.text


@settings(deadline=None)
@given(st.text(max_size=200))
def test_english_words_are_compared_as_they_are(text: str) -> None:
    for languages in ((), (PLAIN,)):
        assert words_to_match(text, languages) == [frozenset((w,)) for w in content_words(text)]
        assert text_forms(text, languages) == set(words_of(text))
        assert word_spans(text, languages) == word_spans(text)
        assert code_spans(text, languages) == code_spans(text)


@pytest.mark.parametrize(
    ("languages", "question", "text", "answer"),
    [
        (
            ("sk",),
            "Kedy sa odmrazujú mrazničky so vzorkami?",
            "Kedy sa podáva liek, určí lekár.\nMrazničku odmrazuje sanitár prvú sobotu v mesiaci.",
            "Mrazničku odmrazuje sanitár prvú sobotu v mesiaci.",
        ),
        (
            ("uk",),
            "Коли перевіряти рятувальний пліт?",
            "Коли варять обід, вирішує кухар.\nРятувальні плоти перевіряє берегова станція раз на рік.",
            "Рятувальні плоти перевіряє берегова станція раз на рік.",
        ),
        (
            ("", "de"),
            "Wann werden die Feuerlöscher geprueft?",
            "Wann die Halle schließt, sagt der Plan.\nDen Feuerlöscher prüft ein Sachkundiger.",
            "Den Feuerlöscher prüft ein Sachkundiger.",
        ),
        (
            ("zh",),
            "铅封坏了怎么办？",
            "收货时间为周一至周六。铅封破损的要拍照。",
            "铅封破损的要拍照。",
        ),
        (("th",), "ทดสอบเครื่องเมื่อไร", "ปิดประตูทุกคืน\n\nทดสอบเครื่องทุกวันจันทร์", "ทดสอบเครื่องทุกวันจันทร์"),
    ],
)
def test_the_sentence_with_the_words_in_other_forms_is_quoted(
    languages: tuple[str, ...], question: str, text: str, answer: str
) -> None:
    assert quoted(question, text, languages) == answer


def test_all_words_count_that_a_sentence_has_in_another_form() -> None:
    def shares(languages: Sequence[str]) -> list[float]:
        question = question_words(
            "Kto kontroluje skúmavky a kde?", Alike(), rarity, languages=languages
        )
        passages = [passage("Skúmavku kontrolovala sestra v ambulancii.")]
        found = candidates(passages)
        vectors = Alike().embed_tokens([candidate.text for candidate in found])
        context = Alike().embed_tokens([""])
        near = near_words(question, vectors, context, found)
        return signals_of(question, vectors, near, found, passages)[0, 1:3].tolist()

    assert shares(("sk",)) == [1.0, 1.0]
    assert max(shares(())) < 0.5


@pytest.mark.parametrize(
    ("language", "question", "codes"),
    [
        ("sk", "Čo je HX 220/7?", ["hx2207"]),
        ("sk", "Kde mám diel AB-1234-X a 4711.08.15?", ["ab1234x", "47110815"]),
        ("sk", "Platí to do 250 metrov, alebo od 300?", []),
        ("uk", "Що це за HX 220/7 і де він?", ["hx2207"]),
        ("uk", "Чи є кабель до 250 метрів за 500 грн?", []),
        ("uk", "Скільки важить 250мм труба?", []),
        ("zh", "铅封AB-1234在哪里？", ["ab1234"]),
    ],
)
def test_question_words_of_any_language_are_no_part_of_a_code(
    language: str, question: str, codes: list[str]
) -> None:
    assert [span.glued for span in code_spans(question, (language,))] == codes


def test_a_text_that_repeats_the_question_does_not_hold_the_code_alone() -> None:
    texts = ["Ventil HX 220/7 je spätný.", "Toto nie je HX 220/7."]
    assert held_codes("Čo je HX 220/7?", texts, ("sk",)) == [1, 1]


def test_a_code_among_letters_without_blanks_is_held() -> None:
    texts = ["铅封AB 1234在二号门。", "铅封AB-12345在三号门。"]
    assert held_codes("铅封AB-1234在哪里？", texts, ("zh",)) == [1, 0]


@settings(deadline=None)
@given(st.text("铅封坏了ガイド가나 ab1，", max_size=30))
def test_spans_of_ngrams_are_those_that_are_looked_for(text: str) -> None:
    spans = ngram_spans(text)
    terms = analyzer("zh").terms(text)
    assert {text[start:end] for start, end in spans} <= set(terms)
    assert spans == sorted(spans)


def test_questions_in_scripts_without_blanks_are_compared_pair_by_pair() -> None:
    question = "叉车多久保养？"
    words = [question[a:b] for a, b in word_spans(question, ("zh",))]
    assert "叉车" in words and "保养" in words and "多久" not in words
