"""Codes in questions: recognised, found however their parts are joined, and first."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fakes
from fieldpack.index.document_names import NamingTerm
from fieldpack.index.reader import KnowledgeIndex
from fieldpack.passages import COLUMNS, Chunk, Filter, Passage, Place
from fieldpack.retrieval.codes import code_spans, held_codes, holders
from fieldpack.retrieval.embedder import Embedder, TokenVectors
from fieldpack.retrieval.fusion import RetrievalSettings, add_code_bonus, add_name_bonus
from fieldpack.retrieval.hybrid import chunks_with_codes
from fieldpack.retrieval.quoting import QuoteSettings, pick
from fieldpack.retrieval.retriever import Retriever
from fieldpack_build.index.writer import write_index


@pytest.mark.parametrize(
    ("question", "glued"),
    [
        ("What does HX 220/7 cost?", ["hx2207"]),
        ("price of 4711 08 15, please", ["47110815", "471108"]),
        ("AB1234X", ["ab1234x"]),
        ("the part AB–1234–X", ["ab1234x"]),
        ("Does ISO 9001 apply?", ["iso9001"]),
        ("serial 20384719?", ["20384719"]),
        ("VALVE HX 220/7 OK?", ["hx2207", "2207ok", "hx2207ok", "valvehx2207"]),
    ],
)
def test_what_may_be_a_code(question: str, glued: list[str]) -> None:
    found = {span.glued for span in code_spans(question)}
    assert set(glued) <= found


@pytest.mark.parametrize(
    "question",
    [
        "What was the FY2022 capex, and that of Q4 2023/24?",
        "May we pay GBP 1,500, EUR 250 or $1250000 at once?",
        "A rise of 12.5% over 250m, on the 19th, in 12-month terms",
        "3M's 2018 sales vs 2019, from Jun 2017 on",
        "level 2 of 3",
        "no figures here at all",
    ],
)
def test_amounts_quantities_and_periods_are_no_codes(question: str) -> None:
    assert [span.glued for span in code_spans(question)] == []


PARTS = st.lists(st.text("ABCXYZ0123456789", min_size=1, max_size=4), min_size=1, max_size=4)
MARKS = st.sampled_from(["-", ".", "/", " ", "_", "", "–", " - "])


@settings(deadline=None)
@given(PARTS, MARKS, MARKS)
def test_a_code_stands_in_a_text_whatever_joins_its_parts(
    parts: list[str], written: str, asked: str
) -> None:
    text = f"before: {written.join(parts)}, after"
    assert holders("".join(parts).lower(), {7: text}) == [7]
    assert holders("".join(parts).lower() + "9", {7: text}) == []
    question, whole = asked.join(parts), "".join(parts).lower()
    if any(span.glued == whole for span in code_spans(question)):
        assert held_codes(question, [text])[0] >= 1


@settings(deadline=None)
@given(st.text(max_size=120))
def test_any_question_has_spans_of_its_own_words(question: str) -> None:
    runs = {run.lower() for run in re.findall(r"[^\W_]+", question)}
    for span in code_spans(question):
        assert 4 <= len(span.glued) <= 32 and any(map(str.isdigit, span.glued))
        assert all(any(part in run for run in runs) for part in span.parts)


def test_a_part_of_a_longer_code_counts_only_where_the_code_stands_nowhere_alone() -> None:
    longer, alone = "has AB-1234-X in it", "has AB 1234 in it"
    assert holders("ab1234", {1: longer, 2: alone}) == [2]
    assert holders("ab1234", {1: longer}) == [1]
    assert holders("ab123", {1: longer, 2: alone}) == []  # not inside of a run
    assert holders("ab1234", {1: "AB-1234²", 2: "| AB | 1234 |", 3: "AB\n1234"}) == [1]


def test_a_code_that_is_said_twice_counts_once() -> None:
    assert held_codes("Is AB-1234 the same as AB 1234?", ["AB-1234 it is", "none"]) == [1, 0]


def test_a_text_of_many_blanks_takes_no_time() -> None:
    started = time.process_time()
    assert holders("1" * 31 + "x", {0: "1 " * 20_000}) == []
    quick = time.process_time() - started
    started = time.process_time()
    assert holders("1" * 31 + "x", {0: "1 " * 40_000}) == []
    assert time.process_time() - started < 20 * max(quick, 0.01)  # about twice, not its square


# In a library


HEADS = f"{COLUMNS}number | kind | price"
NUMBERS = [
    "AB-1234-X",
    "AB-1234-Y",
    "4711.08.15",
    "4711.08.16",
    "HX 220/7",
    "HX 220/71",
    "SN88-0042",
]


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Retriever:
    """A price list whose rows are a chunk each, and files whose names say what is asked for."""
    folder = tmp_path_factory.mktemp("parts")
    embedder = Embedder.open(fakes.write_letter_embedder(folder / "e"))
    rows = [
        Chunk(
            "list.csv",
            "List",
            None,
            (HEADS,),
            40 * i,
            40 * i + 40,
            f"{number} | valve | {i + 3}.50",
        )
        for i, number in enumerate(NUMBERS)
    ]
    named = [
        Chunk(f"{name}.md", name, None, (), 0, 60, "what does the price of a part cost, in stock")
        for name in ("price-of-part", "cost", "ab-1234")
    ]
    filler = [
        Chunk(f"f{i}.md", "", None, (), 0, 60, f"ab x part cost price hx 220 4711 08 {i + 20}")
        for i in range(70)
    ]
    chunks = [*rows, *named, *filler]
    write_index(folder / "k", chunks, embedder.embed_passages([c.embedded for c in chunks]))
    return Retriever(
        embedder, KnowledgeIndex(folder / "k"), RetrievalSettings(merge_adjacent=False)
    )


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("sentence", ["{}", "What does the part {} cost?"])
@pytest.mark.parametrize("mark", ["as it is", "-", " ", ""])
def test_an_exact_number_comes_first_in_every_form(
    parts: Retriever, number: str, sentence: str, mark: str
) -> None:
    asked = number if mark == "as it is" else re.sub("[-./ ]", mark, number)
    passages = parts.search(sentence.format(asked), 3)
    assert passages[0].text.startswith(f"{number} |")
    assert [p.score for p in passages] == sorted((p.score for p in passages), reverse=True)
    quote = pick(
        sentence.format(asked),
        passages,
        parts.embedder,
        QuoteSettings(),
        margin=0.0,
        rarity=parts.rarity,
    )
    assert quote and quote.citation.quote.startswith(f"{number} |")


class Backwards:
    """A reranker that puts first what the search put last."""

    def score(self, question: str, texts: list[str]) -> list[float]:
        return [float(i) for i in range(len(texts))]


def test_a_reranker_leaves_the_code_first(parts: Retriever) -> None:
    backwards = Backwards()
    ranked = Retriever(parts.embedder, parts.index, parts.settings, backwards)  # type: ignore[arg-type]
    assert ranked.search("What does AB 1234 X cost?", 3)[0].text.startswith("AB-1234-X |")
    plain = parts.search("what does the part cost", 20)
    assert ranked.search("what does the part cost", 3)[0].text == plain[-1].text


def test_a_number_that_the_library_lacks_lifts_nothing(parts: Retriever) -> None:
    assert chunks_with_codes(parts.index, "What does AB-1234-Z cost?") == {}
    assert chunks_with_codes(parts.index, "What does 47110899 cost?") == {}


def test_what_stands_in_many_places_is_a_word_like_others(parts: Retriever) -> None:
    assert chunks_with_codes(parts.index, "HX 220 4711 08") == {}  # in all 70 fillers


def test_a_filter_keeps_codes_out_too(parts: Retriever) -> None:
    assert chunks_with_codes(parts.index, "AB-1234-X", Filter(documents=("cost.md",))) == {}
    found = parts.search("AB-1234-X", 3, Filter(documents=("cost.md",)))
    assert {p.document for p in found} == {"cost.md"}


def test_a_code_is_sufficient_whatever_the_likeness() -> None:
    class Nowhere:
        """Embeds every text at a right angle to every question."""

        def embed_tokens(self, texts: list[str], *, query: bool = False) -> list[TokenVectors]:
            import numpy as np

            vector = np.array([query, not query], dtype=np.float32)
            return [TokenVectors(vector, vector[None, :], ((0, len(text)),)) for text in texts]

    def rarity(words: Sequence[str]) -> list[float]:
        return [1.0] * len(words)

    text = "The first is AB-1234-Y here.\nThe second is AB-1234-X here."
    passage = Passage(0, "a.md", "", None, (), text, 1.0, 0.0)
    strict = QuoteSettings(refuse_below=5.0)
    quote = pick("AB 1234 X", [passage], Nowhere(), strict, margin=0.0, rarity=rarity)
    assert quote and quote.sufficient and "1234-X" in quote.text
    other = pick("second one", [passage], Nowhere(), strict, margin=0.0, rarity=rarity)
    assert other and not other.sufficient


# Scores


PLACES = {
    0: Place(0, 0, "leave.pdf", 0, 1, None),
    1: Place(1, 1, "handbook.pdf", 0, 1, None),
    2: Place(2, 2, "leave-2024.pdf", 0, 1, None),
}


def test_a_file_name_does_not_outvote_a_text_that_says_the_words() -> None:
    naming = [(NamingTerm("leave", 1.0, (0, 2), False), frozenset({1}))]
    scores = add_name_bonus({0: 0.2, 1: 0.3, 2: 0.1}, PLACES, naming, 1.25)
    assert scores == pytest.approx({0: 1.45, 1: 1.55, 2: 1.35})


def test_a_figure_counts_in_names_and_beside_words_alone() -> None:
    year = (NamingTerm("2024", 0.5, (2,), True), frozenset({0, 1}))
    assert add_name_bonus({0: 0.0, 2: 0.0}, PLACES, [year], 1.0) == {0: 0.0, 2: 0.0}
    word = (NamingTerm("leave", 0.8, (0, 2), False), frozenset[int]())
    scores = add_name_bonus({0: 0.0, 1: 0.0, 2: 0.0}, PLACES, [word, year], 1.0)
    assert scores == pytest.approx({0: 0.8, 1: 0.0, 2: 0.8 + 0.5 * 0.8})


@settings(deadline=None)
@given(
    st.dictionaries(st.integers(0, 9), st.floats(0, 5), min_size=1),
    st.dictionaries(st.integers(0, 9), st.integers(1, 3)),
)
def test_chunks_with_codes_are_above_all_others(
    scores: dict[int, float], codes: dict[int, int]
) -> None:
    lifted = add_code_bonus(scores, codes)
    for i in scores:
        for j in scores:
            if codes.get(i, 0) > codes.get(j, 0):
                assert lifted[i] > lifted[j]
