"""Fusion of scores into passages, worked out by hand: names, duplicates, pages, neighbours; and the
documents that a question names."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fakes
import fieldpack
from fieldpack.index.document_names import (
    name_terms,
    named_scores,
    naming_terms,
    without_names,
    write_names,
)
from fieldpack.index.query_terms import content_words
from fieldpack.index.reader import KnowledgeIndex
from fieldpack.passages import Chunk, Place, without_figures
from fieldpack.retrieval import fusion
from fieldpack.retrieval.embedder import Embedder
from fieldpack.retrieval.fusion import RetrievalSettings
from fieldpack.retrieval.retriever import Retriever, unit_midpoint
from fieldpack_build.index.writer import write_index

TEXT = "Alpha one.\n\nBeta two.\n\nGamma three."


def at(i: int, *, page: int | None = 1, twin: int | None = None) -> Place:
    return Place(i, 0, "a.pdf", i, page, twin)


def chunk(start: int, end: int, gap: str = "") -> Chunk:
    return Chunk("a.pdf", "A", 1, (), start, end, TEXT[start:end], gap)


PAGE = {0: at(0), 1: at(1), 2: at(2)}
CHUNKS = {0: chunk(0, 10), 1: chunk(12, 21, "\n\n"), 2: chunk(23, 35, "\n\n")}


def test_neighbours_become_an_exact_slice_of_the_page() -> None:
    for order, expected in (([1, 0], (0, 21)), ([0, 1], (0, 21)), ([2, 1], (12, 35))):
        (group,) = fusion.group_neighbours(order, PAGE, 3)
        passage = fusion.to_passage(group, CHUNKS, 1.0, 0.5)
        assert (passage.start, passage.end) == expected
        assert passage.text == TEXT[passage.start : passage.end]


def test_chunks_that_are_no_neighbours_stay_apart() -> None:
    assert fusion.group_neighbours([0, 2], PAGE, 3) == [[0], [2]]
    other_page = {0: at(0), 1: at(1, page=2)}
    assert fusion.group_neighbours([0, 1], other_page, 3) == [[0], [1]]
    assert fusion.group_neighbours([0, 1, 2], PAGE, 3) == [[0, 1], [2]]  # two at most


def test_an_overlap_is_there_once_in_a_joined_passage() -> None:
    (group,) = fusion.group_neighbours([0, 1], PAGE, 3)
    assert fusion.to_passage(group, {0: chunk(0, 16), 1: chunk(12, 35)}, 1.0, 0.5).text == TEXT


def test_joining_stops_once_there_are_k_passages() -> None:
    chunks = {**PAGE, 9: at(9)}
    assert fusion.group_neighbours([0, 9, 1], chunks, 2) == [[0], [9]]
    assert fusion.group_neighbours([0, 1, 9], chunks, 2) == [[0, 1], [9]]


def test_of_twins_the_best_placed_stays() -> None:
    chunks = {0: at(0), 1: at(1, twin=0), 2: at(2, twin=0), 3: at(3)}
    assert fusion.drop_duplicates([2, 0, 3, 1], chunks) == [2, 3]


def test_a_page_gains_from_its_other_chunks_and_gives_way_in_the_list() -> None:
    chunks = {0: at(0), 1: at(1), 2: at(2, page=2)}
    scores = {0: 0.8, 1: 0.6, 2: 0.83}
    assert fusion.add_page_bonus(scores, chunks, 0.1) == pytest.approx({0: 0.86, 1: 0.68, 2: 0.83})
    assert fusion.diversify_pages([0, 1, 2], {0: 0.8, 1: 0.75, 2: 0.7}, chunks, 3, 0.1) == [0, 2, 1]


def test_without_pages_nothing_is_mixed() -> None:
    chunks = {i: at(i, page=None) for i in range(3)}
    assert fusion.diversify_pages([0, 1, 2], {0: 0.8, 1: 0.75, 2: 0.7}, chunks, 3, 0.1) == [0, 1, 2]


# Names


@pytest.fixture
def database() -> sqlite3.Connection:
    found = sqlite3.connect(":memory:")
    found.execute(
        "CREATE TABLE documents (id INTEGER PRIMARY KEY, path TEXT, chunks INTEGER, language TEXT)"
    )
    return found


def names(database: sqlite3.Connection, paths: Sequence[str], question: str) -> list[str]:
    """Paths that the question names, the clearest first."""
    database.executemany("INSERT INTO documents VALUES (?, ?, 1, '')", enumerate(paths))
    write_names(database)
    found = named_scores(naming_terms(database, question, len(paths), lambda word, documents: 1.0))
    return [paths[i] for i in sorted(found, key=lambda i: (-found[i], i)) if found[i] > 0]


FILINGS = [
    "ACTIVISIONBLIZZARD_2019_10K.pdf",
    "JOHNSON_JOHNSON_2022Q4.pdf",
    "MGMRESORTS_2022_10K.pdf",
    "Nike 2022 10K.pdf",
]


@pytest.mark.parametrize(
    ("question", "first"),
    [
        ("What is the FY2019 capex of Activision Blizzard?", FILINGS[0]),
        ("Has MGM paid dividends?", FILINGS[2]),
        ("How did JnJ's sales grow?", FILINGS[1]),
        ("What did J&J say?", FILINGS[1]),
        ("Nike's cost of sales in FY2022", FILINGS[3]),
    ],
)
def test_a_name_is_found_however_it_is_written(
    database: sqlite3.Connection, question: str, first: str
) -> None:
    assert names(database, FILINGS, question)[0] == first


def test_what_all_names_have_names_none(database: sqlite3.Connection) -> None:
    assert names(database, ["report-a.md", "report-b.md"], "Where is the report?") == []


def test_parts_of_a_word_do_not_count_beside_it(database: sqlite3.Connection) -> None:
    database.executemany(
        "INSERT INTO documents VALUES (?, ?, 1, '')",
        [(0, "x_acme2023.pdf"), (1, "y_2021.pdf"), (2, "z.pdf")],
    )
    write_names(database)
    assert named_scores(
        naming_terms(database, "acme2023", 3, lambda word, documents: 1.0)
    ) == pytest.approx({0: 1.0})


def test_a_word_of_everybody_s_names_nobody_and_a_year_only_who_is_named(
    database: sqlite3.Connection,
) -> None:
    database.executemany(
        "INSERT INTO documents VALUES (?, ?, 1, '')",
        [(0, "acme-2021.pdf"), (1, "acme-2022.pdf"), (2, "fees-2022.pdf")],
    )
    write_names(database)

    def peculiar(word: str, documents: Sequence[int]) -> float:
        return {"fees": 0.1}.get(word, 1.0)

    found = named_scores(naming_terms(database, "The fees of Acme in 2022?", 3, peculiar))
    assert found[1] > found[0] > 0.3
    assert found[2] < 0.01
    assert named_scores(naming_terms(database, "What changed in 2022?", 3, peculiar)) == {}


def test_name_terms() -> None:
    assert name_terms("letters/JOHNSON_JOHNSON_2023Q2.pdf") == (
        "letters johnson 2023q2 2023 q 2 2023q q2",
        "jj",
    )
    assert name_terms("policies/conflicts-of-interest.md") == (
        "policies conflicts of interest",
        "ci",
    )


@pytest.mark.parametrize(
    ("question", "rest"),
    [
        ("What is Activision Blizzard's FY2019 capex?", "What is capex?"),
        ("Has Activision paid 12 dividends?", "Has paid 12 dividends?"),
        ("What is the ratio?", "What is the ratio?"),
    ],
)
def test_a_question_without_the_names(question: str, rest: str) -> None:
    assert without_names(question, FILINGS[:1]) == rest


@given(
    st.text(max_size=80),
    st.lists(st.text(min_size=1, max_size=30), min_size=2, max_size=4, unique=True),
)
def test_any_question_and_any_path(question: str, paths: list[str]) -> None:
    found = sqlite3.connect(":memory:")
    found.execute(
        "CREATE TABLE documents (id INTEGER PRIMARY KEY, path TEXT, chunks INTEGER, language TEXT)"
    )
    usable = [path.encode("utf-8", "replace").decode() for path in paths]
    found.executemany("INSERT INTO documents VALUES (?, ?, 1, '')", enumerate(usable))
    write_names(found)
    asked = question.encode("utf-8", "replace").decode()
    named = named_scores(naming_terms(found, asked, len(usable), lambda word, documents: 0.5))
    assert all(score >= 0 for score in named.values())
    assert set(without_names(question, usable).split()) <= set(question.split())


def test_a_named_document_brings_its_own_candidates(tmp_path: Path) -> None:
    """300 chunks of other documents are nearer to the question than the only one of the document
    that it names."""
    embedder = Embedder.open(fakes.write_letter_embedder(tmp_path / "e"))
    near = [
        Chunk(f"other{i}.md", "", None, (), 0, 1, "pump cost" + " a" * (i % 3)) for i in range(300)
    ]
    chunks = [*near, Chunk("zebra.md", "", None, (), 0, 1, "the pump cost is paid in zz zz zz")]
    write_index(tmp_path / "k", chunks, embedder.embed_passages([c.embedded for c in chunks]))
    index = KnowledgeIndex(tmp_path / "k")
    question = "What is the pump cost of the zebra?"
    vector = embedder.embed_query(question)
    zebra = next(i for i, chunk in index.chunks("zebra.md"))
    assert zebra not in {**index.closest(vector, 10), **index.matching("pump cost", 10)}
    found = Retriever(embedder, index, RetrievalSettings(candidates=10)).search(question, 3)
    assert found[0].document == "zebra.md"
    assert found[0].similarity == pytest.approx(
        float(vector @ embedder.embed_passages([chunks[-1].embedded])[0]), abs=2e-3
    )


# The rest


def test_settings_travel_with_the_bundle(tmp_path: Path) -> None:
    assert RetrievalSettings.read(tmp_path) == RetrievalSettings()
    settings = RetrievalSettings(vector_weight=0.3, merge_adjacent=False)
    settings.write(tmp_path)
    assert RetrievalSettings.read(tmp_path) == settings
    (tmp_path / "retrieval.json").write_text('{"weight": 0.3, "join": false}')
    older = RetrievalSettings.read(tmp_path)
    assert older == replace(settings, phrase_weight=0.0), "it ranks as it did"
    (tmp_path / fusion.SETTINGS).write_text('{"weight": 1, "what": 2}', encoding="utf-8")
    with pytest.raises(fieldpack.BundleCorrupt, match="copy the bundle again"):
        RetrievalSettings.read(tmp_path)


def test_the_settings_file_has_the_keys_that_bundles_have_always_had(tmp_path: Path) -> None:
    RetrievalSettings().write(tmp_path)
    assert (tmp_path / "retrieval.json").read_text(encoding="utf-8") == (
        '{\n  "candidates": 200,\n  "join": true,\n  "mix": 0.1,\n  "names": 1.0,\n  "page": 0.0,\n'
        '  "phrases": 0.25,\n  "rerank": 20,\n  "weight": 0.4\n}\n'
    )
    (tmp_path / "retrieval.json").write_text('{"vector_weight": 0.3}')
    with pytest.raises(fieldpack.BundleCorrupt, match="vector_weight: unknown setting"):
        RetrievalSettings.read(tmp_path)
    (tmp_path / "retrieval.json").write_text('{"mix": true}')
    with pytest.raises(fieldpack.BundleCorrupt, match="mix: want float, not True"):
        RetrievalSettings.read(tmp_path)


def test_between_two_vectors() -> None:
    middle = unit_midpoint(np.array([1, 0], dtype=np.float32), np.array([0, 1], dtype=np.float32))
    assert middle == pytest.approx([2**-0.5, 2**-0.5])
    assert not unit_midpoint(
        np.array([1, 0], dtype=np.float32), np.array([-1, 0], dtype=np.float32)
    ).any()


def test_figures_of_a_table_are_not_embedded() -> None:
    assert (
        without_figures("Net sales | $34,229 | (35.5)% | —\nYear | 2022 | 2021 | 1,000 | 7")
        == "Net sales\nYear 2022 2021"
    )
    assert (
        without_figures("Sales rose by 12% in March.\nA | B")
        == "Sales rose by 12% in March.\nA | B"
    )


def test_content_words() -> None:
    assert content_words("What is the FY2022 capex of the FY2022 plan?") == [
        "fy2022",
        "fy",
        "2022",
        "capex",
        "plan",
    ]


def test_neighbouring_words_count_more_side_by_side(tmp_path: Path) -> None:
    embedder = Embedder.open(fakes.write_letter_embedder(tmp_path / "e"))
    texts = {
        "apart.md": "The valve in the hall is closed by hand, the relief of the crew at six; valve.",
        "side.md": "A relief valve opens at seven bar, and it is tested by a crew of two in May.",
        "other.md": "Something else is written here, of a motor.",
    }
    chunks = [Chunk(path, "", None, (), 0, len(text), text) for path, text in texts.items()]
    write_index(tmp_path / "k", chunks, embedder.embed_passages([c.embedded for c in chunks]))
    index = KnowledgeIndex(tmp_path / "k")

    def first(question: str, phrases: float) -> str:
        settings = RetrievalSettings(vector_weight=0.0, phrase_weight=phrases)
        return Retriever(embedder, index, settings).search(question, 3)[0].document

    assert first("What is the relief valve?", 0.0) == "apart.md"
    assert first("What is the relief valve?", 1.0) == "side.md"
    assert first("Which valve, relief?", 1.0) == "apart.md", "they are no neighbours there"
