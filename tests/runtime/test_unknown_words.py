"""The words of a question that no document of a library has: which are worth saying."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

import fakes
from fieldpack.index.reader import KnowledgeIndex
from fieldpack.language import question_words
from fieldpack.passages import Chunk, DocumentRecord
from fieldpack.prompt import PromptBuilder
from fieldpack.rag import AnswerOptions, Rag
from fieldpack.retrieval.embedder import Embedder
from fieldpack.retrieval.fusion import RetrievalSettings
from fieldpack.retrieval.quoting import QuoteSettings
from fieldpack.retrieval.retriever import Retriever
from fieldpack.retrieval.subject_words import is_said_otherwise, subject_words
from fieldpack_build.index.writer import IndexWriter

COMMON = {"dose", "okay", "please", "tell", "night", "head", "word", "unit"}
DOSES = "Amoxicillin 500 mg every 8 hours. Apixaban is stopped two days before."
UNIT = "The intensive care unit takes codenames, insured visitors and a filename."
CHUNKS = (
    Chunk("doses.md", "Doses", None, ("Dosing in adults",), 0, len(DOSES), DOSES),
    Chunk("unit.md", "Unit", None, (), 0, len(UNIT), UNIT),
)


class Words(Embedder):
    """The letters' embedder with a tokenizer that has common English words whole, others in two."""

    def token_spans(self, text: str) -> list[tuple[int, int]]:
        return spans_of(text)


def spans_of(text: str) -> list[tuple[int, int]]:
    spans = []
    for match in re.finditer(r"\w+", text):
        start, end = match.span()
        if match[0].lower() in COMMON | question_words("en"):
            spans.append((start, end))
        else:
            middle = (start + end) // 2
            spans += [(start, middle), (middle, end)]
    return spans


def library(folder: Path, chunks: Sequence[Chunk], language: str = "") -> Retriever:
    embedder = Words.open(fakes.write_letter_embedder(folder / "embedder"))
    writer = IndexWriter(folder / "knowledge", dim=fakes.DIM)
    for chunk in chunks:
        record = DocumentRecord(chunk.document, chunk.title, "", 1, language=language)
        writer.add(record, [chunk], embedder.embed_passages([chunk.embedded]))
    writer.finish()
    return Retriever(embedder, KnowledgeIndex(folder / "knowledge"), RetrievalSettings())


@pytest.fixture(scope="module")
def retriever(tmp_path_factory: pytest.TempPathFactory) -> Retriever:
    return library(tmp_path_factory.mktemp("library"), CHUNKS)


@pytest.mark.parametrize(
    ("question", "unknown"),
    [
        ("What is the dose of digoxin?", ("digoxin",)),
        ("Please tell me the dose of amoxicillin", ()),
        ("Who is okay at night?", ()),  # no document has them, and a tokenizer has them whole
        ("Is the Okay dose for apixaban?", ("Okay",)),  # written as a name
        ("PLEASE TELL ME THE DOSE OF AMOXICILLIN", ()),
        ("Who is insuring visitors?", ()),  # another form
        ("What are code names, and a file name?", ()),  # the documents have them as one
        ("What is the dose of amoxicilin?", ()),  # a slip of the pen
        ("When does the icu take visitors?", ()),  # initials of what a passage says
        ("When does the ecmo take visitors?", ("ecmo",)),
        ("Isn't it 50mg of CSBF-2 on 3.5 or www.zebra.example?", ()),  # no words
        ("digoxin's dose, digoxin dose and warfarin", ("digoxin", "warfarin")),
        ("Wie hoch ist die Tagesdosis von digoxin?", ()),  # in a language that no document is in
        ("東京の地高辛", ()),
    ],
)
def test_names_and_technical_words_that_no_document_has(
    retriever: Retriever, question: str, unknown: tuple[str, ...]
) -> None:
    assert retriever.unknown_words(question, retriever.search(question, 3)) == unknown


def test_words_of_a_documents_name_are_known(tmp_path: Path) -> None:
    chunks = [replace(CHUNKS[0], document="digoxin.md"), CHUNKS[1]]
    assert library(tmp_path, chunks).unknown_words("What is the dose of digoxin?", ()) == ()


def test_a_tokenizer_of_another_language_tells_nothing(tmp_path: Path) -> None:
    """It has "der" and "welche" in pieces too, so that pieces say nothing of a word."""
    question = "Welche Dosis hat der Wirkstoff digoxin?"
    german = library(tmp_path, CHUNKS, "de")
    assert german.unknown_words(question, ()) == ()

    def of_german(text: str) -> list[tuple[int, int]]:
        asked = question_words("de")
        return [
            span
            for match in re.finditer(r"\w+", text)
            for span in (
                [match.span()]
                if match[0].lower() in asked
                else [(match.start(), match.start() + 1), (match.start() + 1, match.end())]
            )
        ]

    assert subject_words(question, of_german, ("de",)) == ["Dosis", "Wirkstoff", "digoxin"]


def test_one_slip_of_the_pen() -> None:
    for slip in ("vancomicin", "vancomycn", "vancomycine", "vancoymcin"):
        assert is_said_otherwise(slip, ["Take a Vancomycin level."]), slip
    for other in ("vancomixxn", "prednisone", "vin"):
        assert not is_said_otherwise(other, ["Vancomycin or prednisolone or wine."]), other


@pytest.mark.parametrize("with_model", [False, True], ids=["quotes alone", "a model writes"])
@pytest.mark.parametrize("refusing", [False, True])
def test_an_answer_and_a_refusal_name_them(
    with_model: bool, refusing: bool, exported_llama: Path, tmp_path: Path
) -> None:
    from fieldpack import open as open_bundle

    settings = replace(
        fakes.SETTINGS, quoting=QuoteSettings(), refuse_below=1.1 if refusing else -1.0
    )
    folder = fakes.write_bundle(tmp_path / "b", model=exported_llama, settings=settings)
    question = "What is the dose of digoxin?"
    with open_bundle(folder, threads=1) as expert:
        rag = expert._open_rag()
        retriever = library(tmp_path, CHUNKS)
        builder = PromptBuilder(rag.builder.chat, settings, rag.builder.count_tokens)
        asked = Rag(builder, rag.generator if with_model else None, retriever)
        answer = asked.ask(question)
        assert answer.refused == refusing
        assert answer.unknown_words == ("digoxin",)
        assert answer.to_dict()["unknown_words"] == ["digoxin"]
        if with_model:
            alone = asked.ask(question, options=AnswerOptions(retrieval=False))
            assert alone.unknown_words == ()
