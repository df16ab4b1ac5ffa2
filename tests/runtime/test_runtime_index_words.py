"""Words against FTS5's own bm25, near-duplicates, filters."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from fieldpack.index.bm25 import best_by_words, phrases_within
from fieldpack.index.reader import KnowledgeIndex
from fieldpack.index.schema import open_for_reading
from fieldpack.passages import Chunk, DocumentRecord, Filter
from fieldpack_build.index.minhash import alike
from fieldpack_build.index.writer import IndexWriter

DIM = 8
SIZE = 3000  # chunks: some words are in half of them


def text(choose: random.Random) -> str:
    """Words with the frequencies of a language: the n-th is n times as rare as the first."""
    return " ".join(
        f"w{min(int(choose.paretovariate(0.6)), 3000)}" for _ in range(choose.randint(5, 60))
    )


def unit(count: int, seed: int) -> NDArray[np.float32]:
    vectors = np.random.default_rng(seed).normal(size=(count, DIM)).astype(np.float32)
    normal: NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return normal


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SIZE chunks in 60 documents, two of them replaced and one removed after it was finished."""
    folder = tmp_path_factory.mktemp("library")
    choose, count = random.Random(1), SIZE // 60
    for numbers in (range(60), (3, 59)):
        writer = IndexWriter(folder, dim=DIM)
        for n in numbers:
            path, title = f"{n % 6}/{n:02}.txt", f"title t{n}"
            chunks = [Chunk(path, title, 1, (), 0, 1, text(choose)) for _ in range(count)]
            writer.add(
                DocumentRecord(path, title, "", 1, f"2020-{1 + n % 12:02}-01"),
                chunks,
                unit(count, n),
            )
        writer.remove(["5/17.txt"])
        writer.finish()
    return folder


def by_fts5(
    folder: Path, words: list[str], count: int, first: int = 0, end: int = 1 << 40
) -> list[tuple[int, float]]:
    database = sqlite3.connect(folder / "chunks.sqlite")
    found = database.execute(
        "SELECT rowid, -bm25(words) FROM words WHERE words MATCH ? AND rowid >= ? AND rowid < ? "
        "ORDER BY 2 DESC LIMIT ?",
        (" OR ".join(f'"{word}"' for word in words), first, end, count),
    ).fetchall()
    database.close()
    return [(int(row), float(score)) for row, score in found]


def test_scores_are_those_of_fts5_for_rare_and_common_words(library: Path) -> None:
    index, choose = KnowledgeIndex(library), random.Random(2)
    for _ in range(40):
        words = list(dict.fromkeys(text(choose).split()[:12]))
        ours, theirs = index.matching(" ".join(words), 50), by_fts5(library, words, 50)
        assert len(ours) == len(theirs)
        assert list(ours.values()) == pytest.approx([score for _, score in theirs], rel=1e-4)
        exact = dict(by_fts5(library, words, SIZE))
        assert all(exact[i] == pytest.approx(score, rel=1e-4) for i, score in ours.items())


def test_a_phrase_adds_its_share_of_what_fts5_gives_it(library: Path) -> None:
    with open_for_reading(library / "chunks.sqlite") as database:
        words, phrases = ["w1", "w2", "w3"], ["w1 w2", "w2 w3"]
        plain = best_by_words(database, words, SIZE, chunks=SIZE)
        best = best_by_words(database, words, SIZE, chunks=SIZE, phrases=phrases, phrase_weight=0.5)
        gains = dict(by_fts5(library, phrases, SIZE))
    assert best.keys() == plain.keys() and 0 < len(gains) < len(best)
    expected = {i: score + 0.5 * gains.get(i, 0.0) for i, score in plain.items()}
    assert best == pytest.approx(expected, rel=1e-4)
    assert list(best.values()) == sorted(best.values(), reverse=True)


def test_phrases_of_common_words_are_left_out_beyond_what_they_may_cost() -> None:
    rows = {"rare": 10, "some": 12_000, "more": 12_000, "most": 15_000}
    phrases = ["most more", "some rare", "more some", "most unknown"]
    assert phrases_within(phrases, rows, 60_000) == ["some rare", "more some"]


def test_a_filter_comes_before_the_ranking(library: Path) -> None:
    """The best of the allowed ones, though a thousand others are better."""
    index = KnowledgeIndex(library)
    (vector,) = unit(1, 99)
    for where, allowed in (
        (Filter(folders=("4",)), {f"4/{n:02}.txt" for n in range(4, 60, 6)}),
        (Filter(documents=("*/0[12].txt", "0/30.txt")), {"1/01.txt", "2/02.txt", "0/30.txt"}),
        (
            Filter(after="2020-12-01"),
            {f"{n % 6}/{n:02}.txt" for n in range(11, 60, 12)} - {"5/17.txt"},
        ),
        (Filter(folders=("nowhere",)), set()),
    ):
        chunks = {
            row.id: row
            for row in index.rows(i for i, _ in index.chunks())
            if row.chunk.document in allowed
        }
        assert {row.chunk.document for row in chunks.values()} == allowed
        near = index.closest(vector, 20, where)
        exact = index.similarity(vector, list(chunks))
        assert list(near) == sorted(exact, key=lambda i: -exact[i])[:20]
        words = index.matching("w1 w2 w50", 20, where)
        expected = {
            i: score for i, score in by_fts5(library, ["w1", "w2", "w50"], SIZE) if i in chunks
        }
        assert list(words.values()) == pytest.approx(
            sorted(expected.values(), reverse=True)[:20], rel=1e-4
        )
        assert set(words) <= set(chunks)


def best(folder: Path, words: list[str], count: int, ranked_rows: int) -> dict[int, float]:
    with sqlite3.connect(folder / "chunks.sqlite") as database:
        return best_by_words(database, words, count, chunks=SIZE, ranked_rows=ranked_rows)


def test_words_beyond_the_budget_still_count_for_the_best(library: Path) -> None:
    """With room for the rare words only, the rows that have one get their whole score."""
    words = ["w1", "w2", "w3", "w700"]
    whole = best(library, words, SIZE, ranked_rows=SIZE * 4)
    short = best(library, words, 10, ranked_rows=1)
    rare = {i for i, _ in by_fts5(library, ["w700"], 40)}
    assert rare and set(short) <= rare < set(whole)
    assert all(score == pytest.approx(whole[i], rel=1e-5) for i, score in short.items())
    assert list(short) == sorted(short, key=lambda i: -whole[i])


def test_a_word_of_more_than_half_of_a_large_library_counts_only_where_it_stands_alone(
    library: Path,
) -> None:
    everywhere, rare = by_fts5(library, ["w1"], SIZE), by_fts5(library, ["w700"], SIZE)
    assert len(everywhere) > SIZE / 2 > len(rare) > 0
    assert len(best(library, ["w1"], SIZE, ranked_rows=1)) == len(everywhere)
    assert best(library, ["w1", "w700"], SIZE, ranked_rows=1) == dict(rare)


PARAGRAPH = (
    "The annual management charge of the fund is calculated daily on the net asset value and is "
    "paid to the management "
    "company at the end of each month; it covers custody, administration, audit and the other "
    "running costs of the fund."
)


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (PARAGRAPH, True),
        (PARAGRAPH.upper().replace(" ", "\n  ").replace(";", " -"), True),
        (PARAGRAPH.removesuffix("fund.") + "company.", True),
        (PARAGRAPH + " It is 1.5% in 2024.", False),
        (PARAGRAPH.replace("fund", "trust").replace("month", "quarter"), False),
    ],
)
def test_near_duplicates_of_another_document_are_marked(
    tmp_path: Path, other: str, same: bool
) -> None:
    index = _two_documents(tmp_path, PARAGRAPH, other)
    first, second = index.rows([0, 1])
    assert first.duplicate_of is None
    assert (second.duplicate_of == first.id) is same


def test_two_years_fees_are_no_duplicates(tmp_path: Path) -> None:
    long = PARAGRAPH * 3
    assert (
        _two_documents(tmp_path, f"{long} 0.85% 2024", f"{long} 0.80% 2024")
        .rows([1])[0]
        .duplicate_of
        is None
    )
    assert not alike(f"{long} 0.85%", f"{long} 0.80%") and alike(f"{long} 0.85%", f"{long}; 0.85 %")


def test_when_the_first_goes_the_second_is_no_duplicate_any_more(tmp_path: Path) -> None:
    _two_documents(tmp_path, PARAGRAPH, PARAGRAPH)
    writer = IndexWriter(tmp_path, dim=DIM)
    writer.remove(["a.txt"])
    assert writer.finish().duplicates == 0
    assert [chunk.document for _, chunk in KnowledgeIndex(tmp_path).chunks()] == ["b.txt"]


def _two_documents(folder: Path, first: str, second: str) -> KnowledgeIndex:
    writer = IndexWriter(folder, dim=DIM)
    for path, words in (("a.txt", first), ("b.txt", second)):
        writer.add(
            DocumentRecord(path, path, "", 1),
            [Chunk(path, path, 1, (), 0, len(words), words)],
            unit(1, 0),
        )
    writer.finish()
    return KnowledgeIndex(folder)


def test_a_superscript_is_no_part_of_the_figure_before_it(tmp_path: Path) -> None:
    texts = ["There are 482¹ items.", "There are 4821 items.", "It weighs 2³¹ grams of x²."]
    writer = IndexWriter(tmp_path, dim=DIM)
    chunks = [Chunk("a.txt", "a", 1, (), 0, 1, text) for text in texts]
    writer.add(DocumentRecord("a.txt", "a", "", 1), chunks, unit(3, 1))
    writer.finish()
    assert [row for row, _ in by_fts5(tmp_path, ["482"], 5)] == [0]
    assert [row for row, _ in by_fts5(tmp_path, ["4821"], 5)] == [1]
    assert [row for row, _ in by_fts5(tmp_path, ["231"], 5)] == [] and [
        row for row, _ in by_fts5(tmp_path, ["x"], 5)
    ] == [2]
    assert [row for row, _ in by_fts5(tmp_path, ["482¹"], 5)] == [0]
