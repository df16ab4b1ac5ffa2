"""Where sentences end: behind no abbreviation, initial or day."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldpack.citations import best_quote
from fieldpack.language import sentence_ends, sentence_spans
from fieldpack.passages import Passage
from fieldpack.retrieval.quoting import candidates


def sentences(text: str) -> list[str]:
    return [text[start:end] for start, end in sentence_spans(text)]


@pytest.mark.parametrize(
    "parts",
    [
        ["The pharmacy is run by Ms. Ortega, extension 214.", "It opens at 9 a.m.", "We close at 5."],
        ["Dr. Miller and J. Smith lead it.", "See Sec. 7 and Art. IV.", "It costs approx. 25 euros."],
        ["The fee is 12.", "The next one is 5.", "Is it allowed?", "No.", "The desk decides."],
        ["U.S. Treasury bonds rose by 0.5%.", "We hold 3 of them (e.g. Two-year notes)."],
        ["Nr. 14 gilt, vgl. Anlage 3.", "Übertragene Tage verfallen am 31. März.", "So ist es."],
        ["Es kostet 5 Mio. Euro.", "Das ist z. B. Miete.", "Der Bericht kommt im 3. Quartal."],
        ["Podľa čl. 5 ods. 2 rozhoduje MUDr. Nováková.", "Firma ABC s.r.o.", "Zaplatí do 12. mája."],
        ["Термін до 12. січня, вул. Шевченка 5.", "Оплата 100 грн.", "Далі див. Додаток 3."],
        ["请看第三条。", "可以！", "是吗？"],
        ["Wait...", "The end!", '"It is so."', "Fine."],
    ],
)  # fmt: skip
def test_where_sentences_end(parts: list[str]) -> None:
    wide = parts[0].endswith("。")
    assert sentences(("" if wide else " ").join(parts)) == parts


def test_the_number_of_a_list_s_item_is_no_sentence() -> None:
    text = "Orders need:\n1. A reason. It is the client's. A name, 4 out of 7. Done.\n  2. The desk decides."
    assert sentences(text) == [
        "Orders need:",
        "1. A reason.",
        "It is the client's.",
        "A name, 4 out of 7.",
        "Done.",
        "2. The desk decides.",
    ]


def test_an_abbreviation_cuts_neither_a_quote_nor_a_citation() -> None:
    text = "The clinic is open daily. The pharmacy is run by Ms. Ortega on floor 2. It is small."
    passage = Passage(1, "a.md", "Staff", None, (), text, 0.9, 0.9)
    quotes = [candidate.quote for candidate in candidates([passage])]
    assert "The pharmacy is run by Ms. Ortega on floor 2." in quotes
    assert best_quote("Ms. Ortega runs the pharmacy", text) == quotes[1]


@given(st.text(alphabet="aB1 .!?\n(\"'”。", max_size=80))
def test_sentences_are_slices_in_their_order_and_lose_nothing(text: str) -> None:
    spans = list(sentence_spans(text))
    assert all(text[a:b].strip() == text[a:b] != "" for a, b in spans)
    assert all(before[1] <= after[0] for before, after in pairwise(spans))
    assert "".join("".join(text[a:b] for a, b in spans).split()) == "".join(text.split())
    assert list(sentence_ends(text)) == sorted(set(sentence_ends(text)))


def test_many_marks_take_no_time() -> None:
    started = time.process_time()
    list(sentence_spans("." * 50_000 + "!? " * 50_000 + "a.b" * 50_000 + "Mr. " * 50_000))
    assert time.process_time() - started < 10
