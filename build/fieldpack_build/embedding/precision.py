"""int8 for an embedder, and whether it is good enough: recall on the recipe's own questions
decides. Knows nothing of stages; torch is not needed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fieldpack.passages import Chunk
from fieldpack.retrieval.embedder import SETTINGS, Embedder

from ..chunking import chunk_document
from ..data import TestQuestion, read_questions
from ..documents import read_document
from ..errors import DocumentError
from ..evaluation.metrics import contains
from ..ingest.files import survey_of
from ..recipe.schema import Recipe

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RANKS = 5  # recall@5
MAX_LOSS = 0.01  # of recall
# about a minute and a half of two cores for all-MiniLM-L6-v2, both precisions together
MAX_CHUNKS = 3000


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether int8 is good enough, and by what figures.

    `recall_*`: share of the questions with a right passage among the first five, by vectors
    alone; `cosine`: the mean between the two precisions' vectors. `reason` says in a sentence what
    decided."""

    accepted: bool
    reason: str
    questions: int = 0
    chunks: int = 0
    recall_fp32: float | None = None
    recall_int8: float | None = None
    cosine: float | None = None


def write_int8(folder: Path, target: Path) -> Path:
    """Write a copy of an embedder's folder with its weights in 8 bits, quantised by column;
    activations are at run time. Returns `target`.

    7 of the 8 bits: on a CPU without VNNI two products of 8 bits overflow the 16 that they are
    added in, and the vectors would differ from CPU to CPU (all-MiniLM-L6-v2 on AVX2: least cosine
    to fp32 0.976 in full range, 0.986 so)."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    target.mkdir(parents=True)
    for file in folder.iterdir():
        if file.is_file() and file.suffix in (".json", ".npz"):
            shutil.copy2(file, target)
    quantize_dynamic(
        folder / "model.onnx",
        target / "model.onnx",
        op_types_to_quantize=["MatMul", "Gather"],
        per_channel=True,
        reduce_range=True,
        weight_type=QuantType.QInt8,
        use_external_data_format=(folder / "model.onnx.data").is_file(),
        extra_options={"MatMulConstBOnly": True, "DefaultTensorType": onnx.TensorProto.FLOAT},
    )
    return target


def replace_by(folder: Path, other: Path) -> None:
    """Move the model in `other` into the place of the one in `folder`: only one ships."""
    for file in list(folder.glob("model.onnx*")):
        file.unlink()
    for file in other.glob("model.onnx*"):
        shutil.move(file, folder / file.name)
    assert (folder / SETTINGS).is_file()


def decide(recipe: Recipe, fp32: Embedder, int8: Embedder) -> Decision:
    """Decide by the recipe's questions and the documents that they name, as they are today: a
    decision is made once for an embedder, and a document that changes overnight must not turn it
    over and embed the library anew."""
    assert recipe.knowledge
    if recipe.evaluate is None:
        return Decision(False, "fp32: the recipe has no questions to measure int8 with")
    path = recipe.path(recipe.evaluate.questions)
    questions = [one for one in read_questions(path, needed=("question",)) if one.document]
    chunks = list(_sample(recipe, fp32, questions))
    documents = {chunk.document for chunk in chunks}
    return accept_int8(fp32, int8, chunks, [one for one in questions if one.document in documents])


def accept_int8(
    fp32: Embedder, int8: Embedder, chunks: Sequence[Chunk], questions: Sequence[TestQuestion]
) -> Decision:
    """Accept int8 where recall@5 falls by at most one point. `questions` name a document among the
    chunks'."""
    if not questions or not chunks:
        return Decision(
            False, "fp32: no question names a document that can be read", chunks=len(chunks)
        )
    texts = [chunk.embedded for chunk in chunks]
    wide, narrow = fp32.embed_passages(texts), int8.embed_passages(texts)
    before, after = (_recall(e, v, chunks, questions) for e, v in ((fp32, wide), (int8, narrow)))
    accepted = before - after <= MAX_LOSS + 1e-9
    figures = (
        f"recall@{RANKS} {before:.1%} in fp32, {after:.1%} in int8, {len(questions)} questions, "
        f"{len(chunks)} chunks"
    )
    return Decision(
        accepted=accepted,
        reason=f"{'int8' if accepted else 'fp32'}: {figures}",
        questions=len(questions),
        chunks=len(chunks),
        recall_fp32=round(before, 4),
        recall_int8=round(after, 4),
        cosine=round(float((wide * narrow).sum(axis=1).mean()), 5),
    )


def _sample(
    recipe: Recipe, embedder: Embedder, questions: Sequence[TestQuestion]
) -> Iterator[Chunk]:
    """Yield all chunks of the documents that the questions name, document by document, up to
    MAX_CHUNKS."""
    knowledge = recipe.knowledge
    assert knowledge
    named = {question.document for question in questions}
    library = survey_of(recipe, knowledge)
    left = MAX_CHUNKS
    for path in library.paths if named else ():
        relative = library.names[path]
        if relative not in named or left <= 0:
            continue
        try:
            document = read_document(
                path,
                relative,
                ocr=knowledge.ocr,
                hidden=knowledge.hidden == "read",
                vocabulary=knowledge.vocabulary,
                language=knowledge.index_language,
            )
        except DocumentError:
            continue  # the knowledge stage reports it
        chunks = chunk_document(
            document,
            count_tokens=embedder.count_tokens,
            max_tokens=knowledge.chunk.tokens,
            overlap=knowledge.chunk.overlap,
            token_starts=embedder.token_starts,
        )
        # a document whole or not at all, and at least one
        if len(chunks) <= left or left == MAX_CHUNKS:
            left -= len(chunks)
            yield from chunks


def _recall(
    embedder: Embedder,
    vectors: NDArray[np.float32],
    chunks: Sequence[Chunk],
    questions: Sequence[TestQuestion],
) -> float:
    """Return the share of the questions with a right passage among the first five, by vectors alone;
    `vectors`: of the chunks, [chunks, dim]."""
    import numpy as np

    hits = 0
    for question in questions:
        scores = vectors @ embedder.embed_query(question.question)
        best = np.argsort(-scores, kind="stable")[:RANKS]
        hits += any(_is_right(chunks[i], question) for i in best)
    return hits / len(questions)


def _is_right(chunk: Chunk, question: TestQuestion) -> bool:
    """Return whether a chunk is of the right document, and on the right page or with the value
    where these are known."""
    if chunk.document != question.document:
        return False
    if question.pages and chunk.page is not None:
        return chunk.page in question.pages
    return not question.value or contains(chunk.in_context, question.value)
