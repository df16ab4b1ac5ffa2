"""Questions made of a library's sentences, and the library without what answers them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import fakes
from fieldpack.passages import Chunk, DocumentRecord
from fieldpack.retrieval.embedder import Embedder
from fieldpack.retrieval.retriever import Retriever
from fieldpack_build.evaluation.made_questions import make_questions
from fieldpack_build.evaluation.masked_index import MaskedIndex
from fieldpack_build.index.writer import IndexWriter

TABLE = (
    "| Region | 2018 | 2019 |\n|---|---|---|\n| Revenue without taxes, northern region | 12 | 14 |"
)


def chunk(document: str, text: str, *heading: str, start: int = 0) -> Chunk:
    return Chunk(document, document, None, heading, start, start + len(text), text)


LIBRARY = (
    chunk("diesel.md", "The generator burns 14 litres of diesel a day in winter.", "Fuel", start=0),
    chunk(
        "diesel.md", "Fuel is delivered by the tender every alternate Tuesday.", "Tender", start=90
    ),
    chunk("lamp.md", "Petrel keeps the lamp turning once in 20 seconds at night."),
    chunk("lamp.md", "Too short.", start=70),
    chunk("sales.md", TABLE),
    chunk("copy.md", "The keeper writes barometer, wind and visibility into the log."),
    chunk("original.md", "The keeper writes barometer, wind and visibility into the log."),
)


@pytest.fixture(scope="module")
def embedder(tmp_path_factory: pytest.TempPathFactory) -> Embedder:
    folder = tmp_path_factory.mktemp("embedder")
    fakes.write_letter_embedder(folder)
    return Embedder.open(folder)


def library(folder: Path, embedder: Embedder, *chunks: Chunk) -> MaskedIndex:
    fakes.write_knowledge(folder, embedder, chunks)
    return MaskedIndex(folder)


def test_a_question_has_words_of_its_sentence_and_nothing_with_a_digit(
    tmp_path: Path, embedder: Embedder
) -> None:
    index = library(tmp_path, embedder, *LIBRARY)
    made = make_questions(index, 50)
    texts = {row.id: row.chunk.text for row in index.rows(one.chunk_id for one in made)}
    for one in made:
        words = one.text.removesuffix("?").split()
        assert 4 <= len(words) <= 7 and one.text.endswith("?")
        own = re.findall(r"\w+", texts[one.chunk_id].lower())
        years = [word for word in words if word.isdigit()]
        assert [word for word in words if word.lower() not in own] == []
        assert years == [] or "|" in texts[one.chunk_id]
    assert len(made) == len({one.text for one in made}) == 5, "one for each sentence, copies once"
    assert make_questions(index, 50) == made
    assert len(make_questions(index, 2)) == 2


def test_names_keep_their_capital_and_a_sentence_s_first_word_loses_it(
    tmp_path: Path, embedder: Embedder
) -> None:
    chunks = [
        chunk("a.md", "Petrel rows to Norland fast."),
        chunk("b.md", "Nobody rows when Petrel rests; rowers fast at Norland, nobody else."),
    ]
    made = make_questions(library(tmp_path, embedder, *chunks), 10)
    words = [word for one in made for word in one.text.strip("?").split()]
    assert "nobody" in words or "rows" in words
    assert "Nobody" not in words and "petrel" not in words and "Petrel" in words


def test_a_row_is_asked_for_by_the_years_of_its_table(tmp_path: Path, embedder: Embedder) -> None:
    index = library(tmp_path, embedder, *LIBRARY)
    (row,) = [one for one in make_questions(index, 50) if "northern" in one.text]
    assert set(row.text.removesuffix("?").split()[-2:]) == {"2018", "2019"}


def test_where_most_documents_go_by_years_every_question_names_some(
    tmp_path: Path, embedder: Embedder
) -> None:
    """As in annual reports. A document without such a table has none to name."""
    sentence = "Trade with the northern region grew although prices fell everywhere."
    reports = [
        one
        for n in (1, 2)
        for one in (
            chunk(f"{n}.md", TABLE.replace("taxes", ("taxes", "sales of land")[n - 1])),
            chunk(f"{n}.md", sentence.replace("fell", f"fell {'again ' * n}"), start=200),
        )
    ]
    made = make_questions(library(tmp_path / "most", embedder, *reports, LIBRARY[0]), 50)
    named = {one.text: "2018" in one.text and "2019" in one.text for one in made}
    assert len(named) == 5 and sum(named.values()) == 4
    few = make_questions(library(tmp_path / "few", embedder, *reports[:2], *LIBRARY[:3]), 50)
    assert sum("2018" in one.text for one in few) == 1, "the table's row alone"


def test_a_script_without_blanks_is_asked_for_in_pieces(tmp_path: Path, embedder: Embedder) -> None:
    sentence = "没有单号的包裹不予接收。"
    one = chunk("退货.md", sentence)
    writer = IndexWriter(tmp_path, dim=embedder.settings.dim)
    record = DocumentRecord(one.document, one.title, "", 1, language="zh")
    writer.add(record, [one], embedder.embed_passages([one.in_context]))
    writer.finish()
    (made,) = make_questions(MaskedIndex(tmp_path), 5)
    assert made.text.endswith("？") and " " not in made.text
    assert all(letter in sentence for letter in made.text[:-1])


def test_an_index_without_chunks_does_not_find_them(tmp_path: Path, embedder: Embedder) -> None:
    index = library(tmp_path, embedder, *LIBRARY)
    retriever = Retriever(embedder, index)
    question = "how much diesel does the generator burn"
    assert retriever.search(question, 3)[0].document == "diesel.md"
    whole = retriever.similarity_margin(question)
    (source,) = [i for i, one in index.chunks("diesel.md") if "diesel" in one.text]
    index.masked = index.source_of(source)
    passages = retriever.search(question, 10)
    assert passages and "diesel.md" not in {passage.document for passage in passages}
    assert retriever.similarity_margin(question) < whole
    index.masked = frozenset()
    assert retriever.search(question, 3)[0].document == "diesel.md"


def test_what_says_the_same_goes_with_it(tmp_path: Path, embedder: Embedder) -> None:
    """The whole document, and one with a copy of it; of a library that is one document, the
    section alone."""
    index = library(tmp_path / "many", embedder, *LIBRARY)
    documents = {i: one.document for i, one in index.chunks()}

    def masked(document: str) -> set[str]:
        first = next(i for i in documents if documents[i] == document)
        return {documents[i] for i in index.source_of(first)}

    assert masked("diesel.md") == {"diesel.md"}
    assert len(index.source_of(next(i for i in documents if documents[i] == "diesel.md"))) == 2
    assert any(row.duplicate_of is not None for row in index.rows(documents)), "there is a copy"
    assert masked("copy.md") == masked("original.md") == {"copy.md", "original.md"}
    alone = library(tmp_path / "one", embedder, *LIBRARY[:2])
    for number, one in alone.chunks():
        assert alone.source_of(number) == {number}, one.heading


def test_a_library_of_one_section_is_empty_without_it(tmp_path: Path, embedder: Embedder) -> None:
    index = library(tmp_path, embedder, chunk("a.md", "The lamp turns once in 20 seconds."))
    ((number, _),) = index.chunks()
    index.masked = index.source_of(number)
    retriever = Retriever(embedder, index)
    assert index.masked == {number}
    assert retriever.search("How often does the lamp turn?", 3) == []
    assert retriever.similarity_margin("How often does the lamp turn?") == 2.0
