"""The writer: fresh, interrupted, changed in place; what is found is always what a fresh build
finds."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import fieldpack
from fieldpack.index.graph import GRAPH, GraphVectors
from fieldpack.index.reader import KnowledgeIndex
from fieldpack.index.vectors import GRAPH_FROM, VECTORS, FlatVectors
from fieldpack.passages import Chunk, DocumentRecord, Filter
from fieldpack_build.index.writer import IndexFacts, IndexWriter, chunk_key, write_index

DIM = 16
WORDS = [f"word{i}" for i in range(30)] + "kontrola kontroly Prüfung Prüfungen 安全帽".split()
LANGUAGES = ("", "de", "sk", "zh")
Dtype = Literal["f16", "i8"]


def document(
    number: int, version: int = 0
) -> tuple[DocumentRecord, list[Chunk], NDArray[np.float32]]:
    """Up to five chunks of random words and vectors; every third version repeats its first chunk in
    all documents."""
    choose = random.Random(1000 * number + version)
    path, title = f"{'ab'[number % 2]}/{number}.txt", f"Title {number}"
    count = choose.randint(0, 5)
    chunks = [
        Chunk(path, title, i + 1, ("Part", str(i)), 0, 9, " ".join(choose.choices(WORDS, k=9)))
        for i in range(count)
    ]
    vectors = (
        np.random.default_rng(1000 * number + version).normal(size=(count, DIM)).astype(np.float32)
    )
    if count and version == 2:
        chunks[0] = Chunk(
            path, title, 1, (), 0, 9, "the same nine words stand in all of these documents"
        )
        vectors[0] = 1.0
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    tags = ("even",) if number % 2 == 0 else ("odd", "third") if number % 3 == 0 else ()
    return (
        DocumentRecord(
            path,
            title,
            f"{number}-{version}",
            count,
            f"20{10 + number}-06-01",
            tags,
            LANGUAGES[(number + version) % len(LANGUAGES)],
        ),
        chunks,
        vectors,
    )


def build(
    folder: Path,
    documents: Iterable[tuple[int, int]],
    *,
    dtype: Dtype = "f16",
    graph_from: int = GRAPH_FROM,
) -> IndexFacts:
    writer = IndexWriter(folder, dim=DIM, dtype=dtype, graph_from=graph_from)
    for number, version in documents:
        writer.add(*document(number, version))
    return writer.finish()


def found(index: KnowledgeIndex, seed: int) -> list[object]:
    """All that an index says to a few questions, but for its ids."""
    choose, numbers = random.Random(seed), np.random.default_rng(seed)
    said: list[object] = [index.size, index.documents(), [chunk for _, chunk in index.chunks()]]
    for where in (
        None,
        Filter(tags=("even",)),
        Filter(folders=("b",)),
        Filter(after="2013-01-01", before="2016-12-31"),
    ):
        vector = numbers.normal(size=DIM).astype(np.float32)
        vector /= np.linalg.norm(vector)
        near = index.closest(vector, 7, where)
        words = index.matching(" ".join(choose.choices(WORDS, k=4)) + " nine documents", 7, where)
        for scores in (near, words):
            rows = index.rows(scores)
            twins = [row.duplicate_of for row in rows]
            firsts = [index.rows([t])[0].chunk if t is not None else None for t in twins]
            said.append(
                [
                    (row.chunk, row.ordinal, first, round(scores[row.id], 5))
                    for row, first in zip(rows, firsts, strict=True)
                ]
            )
    return said


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.mark.parametrize("dtype", ["f16", "i8"])
def test_any_order_and_any_interruption_gives_the_same_bytes(tmp_path: Path, dtype: Dtype) -> None:
    build(tmp_path / "a", [(i, 0) for i in range(30)], dtype=dtype)
    for number in random.Random(1).sample(range(30), 30):
        writer = IndexWriter(tmp_path / "b", dim=DIM, dtype=dtype)
        writer.add(*document(number, 1))
        writer.add(*document(number))  # replaces it
        writer.close()
    assert len(IndexWriter(tmp_path / "b", dim=DIM, dtype=dtype).documents()) == 30
    build(tmp_path / "b", [], dtype=dtype)
    assert files(tmp_path / "a") == files(tmp_path / "b")
    assert sorted(files(tmp_path / "a")) == ["chunks.sqlite", "vectors.bin"]


EDIT = st.tuples(st.sampled_from(["add", "remove"]), st.integers(0, 11), st.integers(0, 2))


@settings(max_examples=40, deadline=None)
@given(
    rounds=st.lists(st.lists(EDIT, max_size=6), min_size=1, max_size=4),
    dtype=st.sampled_from(["f16", "i8"]),
    graph_from=st.sampled_from([0, 20, GRAPH_FROM]),
    seed=st.integers(0, 99),
)
def test_an_edited_index_finds_what_a_fresh_one_finds(
    tmp_path_factory: pytest.TempPathFactory,
    rounds: list[list[tuple[str, int, int]]],
    dtype: Dtype,
    graph_from: int,
    seed: int,
) -> None:
    folder = tmp_path_factory.mktemp("edited")
    there = dict.fromkeys(range(10), 0)
    build(folder / "edited", there.items(), dtype=dtype, graph_from=graph_from)
    for edits in rounds:
        writer = IndexWriter(folder / "edited", dim=DIM, dtype=dtype, graph_from=graph_from)
        for verb, number, version in edits:
            if verb == "add":
                writer.add(*document(number, version))
                there[number] = version
            else:
                removed = writer.remove([document(number)[0].path])
                assert removed == (
                    len(document(number, there[number])[1]) if number in there else 0
                )
                there.pop(number, None)
        facts = writer.finish()
        assert facts.documents == len(there)
    build(folder / "fresh", there.items(), dtype=dtype, graph_from=graph_from)
    edited, fresh = KnowledgeIndex(folder / "edited"), KnowledgeIndex(folder / "fresh")
    assert found(edited, seed) == found(fresh, seed)
    shutil.rmtree(folder)


def test_a_small_change_is_made_in_place_and_a_large_one_anew(tmp_path: Path) -> None:
    numbers = [i for i in range(60) if document(i)[1]]
    build(tmp_path, [(i, 0) for i in numbers])
    writer = IndexWriter(tmp_path, dim=DIM)
    assert writer.stale == 0
    assert writer.remove([document(numbers[0])[0].path, "unknown.txt"]) == len(
        document(numbers[0])[1]
    )
    total = sum(len(document(i)[1]) for i in numbers)
    assert writer.stale == pytest.approx(len(document(numbers[0])[1]) / total)
    assert writer.finish().in_place
    facts = build(tmp_path, [(i, 1) for i in numbers[:20]])
    assert not facts.in_place and IndexWriter(tmp_path, dim=DIM).stale == 0


def test_known_vectors_come_back_by_content(tmp_path: Path) -> None:
    writer = IndexWriter(tmp_path, dim=DIM)
    _, chunks, vectors = next(document(i) for i in range(9) if len(document(i)[1]) > 2)
    for number in range(9):
        writer.add(*document(number))
    for _ in range(2):  # pending, then finished
        known = writer.known([chunk_key(c) for c in chunks] + [b"x" * 16])
        assert len(known) == len(chunks)
        for chunk, vector in zip(chunks, vectors, strict=True):
            np.testing.assert_allclose(known[chunk_key(chunk)], vector, atol=2e-3)
        writer.finish()
        writer = IndexWriter(tmp_path, dim=DIM)


def test_finishing_twice_changes_nothing(tmp_path: Path) -> None:
    build(tmp_path, [(i, 0) for i in range(9)])
    before = files(tmp_path)
    assert build(tmp_path, []).added == 0
    assert files(tmp_path) == before


def test_an_empty_library_can_be_written_and_asked(tmp_path: Path) -> None:
    assert build(tmp_path, []).chunks == 0
    index = KnowledgeIndex(tmp_path)
    assert index.closest(np.ones(DIM, dtype=np.float32) / 4, 5) == {} == index.matching("word1", 5)
    assert build(tmp_path, [(i, 0) for i in range(9)]).documents == 9


_BUILD = """
import sys; sys.path.insert(0, sys.argv[1])
from pathlib import Path
from test_runtime_index_writer import build
print("begin", flush=True)
build(Path(sys.argv[2]), [(int(n), 3) for n in sys.argv[3].split(",")])
print("done", flush=True)
"""


@pytest.mark.parametrize("wait", [0.0, 0.01, 0.03, 0.06, 0.1])
def test_killed_while_it_changes_it_is_the_old_one_or_goes_on(tmp_path: Path, wait: float) -> None:
    old = dict.fromkeys(range(40), 0)
    build(tmp_path / "a", old.items())
    new = old | dict.fromkeys((3, 7, 50), 3)
    here = os.fspath(Path(__file__).parent)
    changed = [sys.executable, "-c", _BUILD, here, os.fspath(tmp_path / "a"), "3,7,50"]
    process = subprocess.Popen(changed, stdout=subprocess.PIPE, text=True)
    assert process.stdout and process.stdout.readline() == "begin\n"
    threading.Event().wait(wait)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    build(tmp_path / "a", [(n, 3) for n in (3, 7, 50)])
    build(tmp_path / "b", new.items())
    assert found(KnowledgeIndex(tmp_path / "a"), 1) == found(KnowledgeIndex(tmp_path / "b"), 1)
    assert not list((tmp_path / "a").glob("*.new")) and not list((tmp_path / "a").glob("pending*"))


def test_an_index_of_the_old_schema_is_refused_by_the_reader_and_built_anew_by_the_writer(
    tmp_path: Path,
) -> None:
    with sqlite3.connect(tmp_path / "chunks.sqlite") as database:
        database.execute("CREATE TABLE chunks (id INTEGER PRIMARY KEY, document TEXT, text TEXT)")
    database.close()
    with pytest.raises(fieldpack.BundleUnsupported, match=r"schema 1.*build the bundle again"):
        KnowledgeIndex(tmp_path)
    assert build(tmp_path, [(1, 0), (2, 0)]).documents == 2
    assert KnowledgeIndex(tmp_path).documents()


def test_vectors_of_another_embedder_are_not_taken_over(tmp_path: Path) -> None:
    build(tmp_path, [(i, 0) for i in range(5)], dtype="i8")
    assert IndexWriter(tmp_path, dim=DIM, dtype="f16").documents() == {}


def test_vectors_and_chunks_must_match(tmp_path: Path) -> None:
    record, chunks, vectors = document(1)
    with pytest.raises(ValueError, match=r"1\.txt"):
        IndexWriter(tmp_path, dim=DIM).add(
            record, chunks, np.vstack([vectors, vectors[:1], vectors[:1]])
        )


def test_questions_from_several_threads_get_the_same_answers(tmp_path: Path) -> None:
    build(tmp_path, [(i, 0) for i in range(40)])
    index = KnowledgeIndex(tmp_path)
    expected = [found(index, seed) for seed in range(4)]
    wrong: list[int] = []

    def ask(seed: int) -> None:
        wrong.extend(seed for _ in range(10) if found(index, seed) != expected[seed])

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_the_dtypes_agree_with_exact_cosines(tmp_path: Path) -> None:
    vectors = np.random.default_rng(0).normal(size=(300, 64)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    chunks = [Chunk("a.txt", "A", None, (), i, i + 1, f"number {i}") for i in range(300)]
    for dtype, tolerance in (("f16", 1e-3), ("i8", 1e-2)):
        write_index(tmp_path / dtype, chunks, vectors, dtype=dtype)  # type: ignore[arg-type]
        near = KnowledgeIndex(tmp_path / dtype).closest(vectors[7], 300)
        exact = vectors @ vectors[7]
        assert next(iter(near)) == 7 and len(near) == 300
        assert max(abs(near[i] - exact[i]) for i in range(300)) < tolerance


@pytest.mark.parametrize("kind", [FlatVectors, GraphVectors])
def test_each_id_has_its_vector_and_the_nearest_are_found(
    tmp_path: Path, kind: type[FlatVectors]
) -> None:
    """A matrix alone, and one with a graph that all cores have added to in an order of its own;
    then changed in place."""
    vectors = np.random.default_rng(0).normal(size=(2500, 32)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    graph_from = 0 if kind is GraphVectors else GRAPH_FROM
    names = {n: f"{n:04}.txt" for n in range(0, 2500, 10)}

    def put(writer: IndexWriter, first: int, end: int) -> None:
        for n in range(first, end, 10):
            chunks = [Chunk(names[n], "t", None, (), i, i + 1, f"w{n + i}") for i in range(10)]
            writer.add(DocumentRecord(names[n], "t", "", 1), chunks, vectors[n : n + 10])

    writer = IndexWriter(tmp_path, dim=32, dtype="i8", graph_from=graph_from)
    put(writer, 0, 2000)
    writer.finish()
    gone = list(range(0, 2000, 90))  # first ids of the documents that go
    writer = IndexWriter(tmp_path, dim=32, dtype="i8", graph_from=graph_from)
    writer.remove([names[n] for n in gone])
    put(writer, 2000, 2500)
    assert writer.finish().in_place
    assert (tmp_path / GRAPH).exists() == (kind is GraphVectors)
    there = np.array([n for n in range(2500) if n // 10 * 10 not in gone])
    assert not np.fromfile(tmp_path / VECTORS, dtype=np.int8).reshape(-1, 32)[gone].any()
    live = [
        (a, b) for a, b in zip([0, *(n + 10 for n in gone)], [*gone, 2500], strict=True) if a < b
    ]
    index = kind(tmp_path, 32, "i8", rows=2500, live=live)
    np.testing.assert_allclose(index.get(there), vectors[there], atol=0.01)
    hits = 0
    for query in vectors[:50]:
        near = index.closest(query, 10)
        assert set(near) <= set(there.tolist())
        assert all(near[i] == pytest.approx(float(vectors[i] @ query), abs=0.02) for i in near)
        hits += len(set(near) & set(there[np.argsort(-(vectors[there] @ query))[:10]].tolist()))
    assert hits >= 0.9 * 500  # i8 itself changes some of the ten


def test_a_library_that_grows_gets_a_graph_and_one_that_shrinks_loses_it(tmp_path: Path) -> None:
    build(tmp_path, [(i, 0) for i in range(5)], graph_from=20)
    assert KnowledgeIndex(tmp_path).size < 20 and not (tmp_path / GRAPH).exists()
    build(tmp_path, [(i, 0) for i in range(5, 20)], graph_from=20)
    assert KnowledgeIndex(tmp_path).size >= 20 and (tmp_path / GRAPH).exists()
    writer = IndexWriter(tmp_path, dim=DIM, graph_from=20)
    writer.remove([document(i)[0].path for i in range(5, 20)])
    writer.finish()
    assert sorted(files(tmp_path)) == ["chunks.sqlite", "vectors.bin"]


def test_files_of_an_older_schema_go(tmp_path: Path) -> None:
    """A stage begins with a copy of the library before: what only an older version reads must not
    ship."""
    for name in ("vectors.slots", "vectors.usearch", "vectors.1.usearch"):
        (tmp_path / name).write_bytes(b"old")
    build(tmp_path, [(1, 0), (2, 0)])
    assert sorted(files(tmp_path)) == ["chunks.sqlite", "vectors.bin"]


@pytest.mark.parametrize("schema", [2, 3])
def test_an_index_of_an_older_schema_is_refused_by_its_number(tmp_path: Path, schema: int) -> None:
    build(tmp_path, [(1, 0)])
    with sqlite3.connect(tmp_path / "chunks.sqlite") as database:
        database.execute("UPDATE meta SET value = ? WHERE name = 'schema'", (schema,))
    database.close()
    with pytest.raises(
        fieldpack.BundleUnsupported,
        match=rf"schema {schema}, this version reads 4; build the bundle again",
    ):
        KnowledgeIndex(tmp_path)
