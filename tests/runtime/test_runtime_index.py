"""Retrieval on letter counts: the expected passage is exact."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import fakes
import fieldpack
from fieldpack.index.reader import KnowledgeIndex, library_size
from fieldpack.passages import Chunk
from fieldpack.retrieval.embedder import Embedder
from fieldpack.retrieval.fusion import RetrievalSettings, fuse
from fieldpack.retrieval.retriever import Retriever


@pytest.fixture(scope="module")
def retriever(sealed: Path) -> Retriever:
    """Each chunk a passage of its own; `test_fusion` joins."""
    apart = RetrievalSettings(merge_adjacent=False)
    return Retriever(
        Embedder.open(sealed / "embedder"), KnowledgeIndex(sealed / "knowledge"), apart
    )


def letters(text: str) -> NDArray[np.float64]:
    """The unit vector of a text's letter and digit counts, counted here by hand."""
    counts = np.array(
        [text.lower().count(c) for c in fakes.LETTERS + fakes.DIGITS], dtype=np.float64
    )
    return counts / max(float(np.linalg.norm(counts)), 1e-12)


def test_the_passage_with_the_question_s_letters_comes_first(retriever: Retriever) -> None:
    best = retriever.search("zz zone zz", 3)[0]
    assert (best.document, best.page, best.heading) == ("fees.pdf", 2, ("Bond Fund",))
    assert best.text == fakes.CHUNKS[1].text


def test_similarity_is_the_cosine(retriever: Retriever) -> None:
    question = "Who may open the valve?"
    for passage in retriever.search(question, 6):
        chunk = fakes.CHUNKS[passage.chunk_id]
        expected = letters(question) @ letters(f"{chunk.context}\n{chunk.text}")
        assert passage.similarity == pytest.approx(expected, abs=2e-3)  # vectors are stored as f16


def test_a_chunk_that_only_the_words_find_is_found(tmp_path: Path) -> None:
    """40 chunks are nearer in letters than the one that holds the word; its similarity is given all
    the same."""
    embedder = Embedder.open(fakes.write_letter_embedder(tmp_path / "e"))
    near = [Chunk("near.txt", "", None, (), 0, 8, "q7" + "a" * i) for i in range(1, 41)]
    far = Chunk(
        "far.txt", "", None, (), 0, 8, "q7 " + "many other letters and words stand around it " * 5
    )
    fakes.write_knowledge(tmp_path / "k", embedder, [*near, far])
    found = Retriever(embedder, KnowledgeIndex(tmp_path / "k")).search("q7", 5)
    hit = next(p for p in found if p.document == "far.txt")
    assert hit.similarity == pytest.approx(letters("q7") @ letters(far.text), abs=2e-3)


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    embedder = Embedder.open(fakes.write_letter_embedder(tmp_path / "e"))
    for name in "ab":
        fakes.write_knowledge(tmp_path / name, embedder, fakes.CHUNKS * 50)
    for file in ("chunks.sqlite", "vectors.bin"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_a_question_of_stop_words_goes_by_vectors_alone(retriever: Retriever) -> None:
    found = retriever.search("what is it that we have", 6)
    assert [p.similarity for p in found] == sorted((p.similarity for p in found), reverse=True)


def test_another_script_has_no_vector_and_is_found_by_words(retriever: Retriever) -> None:
    found = retriever.search("дверь", 3)
    assert "дверь" in found[0].text
    assert all(p.similarity == 0.0 for p in found)
    assert len(retriever.search("東京は何時ですか", 3)) == 3


@pytest.mark.parametrize(
    "question",
    [
        '"',
        '"" OR ""',
        "NEAR(a b, 5)",
        "text:valve",
        "valve*",
        "a AND NOT b",
        "(((",
        "^fee -x",
        "'; DROP TABLE chunks; --",
        "\0valve",
        "___",
        "²½",
        "{context}: x",
        "a\nb",
        "word " * 500,
    ],
)
def test_search_syntax_in_a_question_is_only_words(retriever: Retriever, question: str) -> None:
    assert len(retriever.search(question, 4)) == 4


@settings(max_examples=150, deadline=None)
@given(question=st.text(max_size=60), k=st.integers(1, 9))
def test_any_question_gives_k_passages_best_first(
    retriever: Retriever, expert: fieldpack.Expert, question: str, k: int
) -> None:
    found = retriever.search(question, k)
    assert len(found) == min(k, len(fakes.CHUNKS))
    assert len({p.chunk_id for p in found}) == len(found)
    assert all(p.score >= 0 and -1.001 <= p.similarity <= 1.001 for p in found)
    assert [p.score for p in found] == sorted((p.score for p in found), reverse=True)
    try:
        joined = expert.search(question, k)
    except fieldpack.EmptyQuestion:
        return
    assert 1 <= len(joined) <= k
    assert {p.chunk_id for p in found} <= {i for p in joined for i in _chunks_in(p)}


def _chunks_in(passage: fieldpack.Passage) -> set[int]:
    return {
        i
        for i, c in enumerate(fakes.CHUNKS)
        if c.document == passage.document and c.text in passage.text
    }


def test_documents_chunks_and_sizes(sealed: Path) -> None:
    index = KnowledgeIndex(sealed / "knowledge")
    assert index.documents() == ["fees.pdf", "pump.md", "rules.txt"]
    assert [chunk for _, chunk in index.chunks()] == list(fakes.CHUNKS)
    assert [i for i, _ in index.chunks("pump.md")] == [2, 3]
    assert library_size(sealed / "knowledge") == (3, 6)


def test_opening_writes_nothing_beside_the_index(bundle: Path) -> None:
    before = sorted(p.name for p in (bundle / "knowledge").iterdir())
    KnowledgeIndex(bundle / "knowledge").chunks()
    assert sorted(p.name for p in (bundle / "knowledge").iterdir()) == before


@pytest.mark.parametrize("name", ["chunks.sqlite", "vectors.bin"])
def test_half_an_index_is_corrupt(bundle: Path, name: str) -> None:
    (bundle / "knowledge" / name).unlink()
    with pytest.raises(fieldpack.BundleCorrupt, match="missing"):
        KnowledgeIndex(bundle / "knowledge")


def test_fusion_scales_each_list_and_keeps_what_one_lacks() -> None:
    fused = fuse({1: 0.9, 2: 0.5}, {2: 8.0, 3: 2.0}, vector_weight=0.6)
    assert fused == pytest.approx({1: 0.6, 2: 0.4, 3: 0.0})
    assert fuse({1: 0.3}, {}) == {1: 1.0}


def test_an_index_opened_before_the_embedder_does_not_crash(sealed: Path) -> None:
    """onnxruntime imported after usearch ends the process (SIGSEGV): a fresh one, index first."""
    code = (
        "import sys; from pathlib import Path; from fieldpack.index.reader import KnowledgeIndex\n"
        "from fieldpack.retrieval.hybrid import find_passages\n"
        "index = KnowledgeIndex(Path(sys.argv[1]) / 'knowledge')\n"
        "from fieldpack.retrieval.embedder import Embedder\n"
        "vector = Embedder.open(Path(sys.argv[1]) / 'embedder').embed_query('zz')\n"
        "print(len(find_passages(index, 'zz', vector, 1)))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(sealed)], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, "1"), done.stderr
