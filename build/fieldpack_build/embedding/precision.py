"""int8 for an embedder, and whether it is good enough: recall on the recipe's own questions
decides. Knows nothing of stages; torch is not needed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

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

PLACES = 5  # recall@5
MOST_LOST = 0.01  # of recall
MOST_CHUNKS = (
    3000  # about a minute and a half of two cores for all-MiniLM-L6-v2, both precisions together
)


@dataclass(frozen=True, slots=True)
class Decision:
    """`recall_*`: share of the questions with a right passage among the first five, by vectors
    alone; `cosine`: the mean between the two precisions' vectors. `reason` says in a sentence what
    decided."""

    accepted: bool
    reason: str
    questions: int = 0
    chunks: int = 0
    recall_fp32: float | None = None
    recall_int8: float | None = None
    cosine: float | None = None

    def facts(self) -> dict[str, Any]:
        return asdict(self)


def write_int8(folder: Path, target: Path) -> Path:
    """A copy of an embedder's folder with its weights in 8 bits, quantised by column; activations
    are at run time.

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
    """The model in `other` takes the place of the one in `folder`: only one ships."""
    for file in (*folder.glob("model.onnx*"),):
        file.unlink()
    for file in other.glob("model.onnx*"):
        shutil.move(file, folder / file.name)
    assert (folder / SETTINGS).is_file()


def decide(recipe: Recipe, fp32: Embedder, int8: Embedder) -> Decision:
    """Reads the recipe's questions and the documents that they name, as they are today: a decision
    is made once for an embedder, and a document that changes overnight must not turn it over and
    embed the library anew."""
    assert recipe.knowledge
    if recipe.evaluate is None:
        return Decision(False, "fp32: the recipe has no questions to measure int8 with")
    asked = [
        q
        for q in read_questions(recipe.path(recipe.evaluate.questions), needed=("question",))
        if q.document
    ]
    chunks = list(_sample(recipe, fp32, asked))
    there = {chunk.document for chunk in chunks}
    return accept_int8(fp32, int8, chunks, [q for q in asked if q.document in there])


def accept_int8(
    fp32: Embedder, int8: Embedder, chunks: Sequence[Chunk], questions: Sequence[TestQuestion]
) -> Decision:
    """int8 where recall@5 falls by at most one point. `questions` name a document among the
    chunks'."""
    if not questions or not chunks:
        return Decision(
            False, "fp32: no question names a document that can be read", chunks=len(chunks)
        )
    texts = [chunk.embedded for chunk in chunks]
    wide, narrow = fp32.embed_passages(texts), int8.embed_passages(texts)
    before, after = (_recall(e, v, chunks, questions) for e, v in ((fp32, wide), (int8, narrow)))
    accepted = before - after <= MOST_LOST + 1e-9
    figures = (
        f"recall@{PLACES} {before:.1%} in fp32, {after:.1%} in int8, {len(questions)} questions, "
        f"{len(chunks)} chunks"
    )
    return Decision(
        accepted,
        f"{'int8' if accepted else 'fp32'}: {figures}",
        len(questions),
        len(chunks),
        round(before, 4),
        round(after, 4),
        round(float((wide * narrow).sum(axis=1).mean()), 5),
    )


def _sample(
    recipe: Recipe, embedder: Embedder, questions: Sequence[TestQuestion]
) -> Iterator[Chunk]:
    """All chunks of the documents that the questions name, document by document, up to MOST_CHUNKS."""
    knowledge = recipe.knowledge
    assert knowledge
    named = {question.document for question in questions}
    library = survey_of(recipe, knowledge)
    left = MOST_CHUNKS
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
            )
        except DocumentError:
            continue  # the knowledge stage reports it
        cut = knowledge.chunk
        found = chunk_document(
            document,
            count_tokens=embedder.count_tokens,
            max_tokens=cut.tokens,
            overlap=cut.overlap,
            token_starts=embedder.token_starts,
        )
        if (
            len(found) <= left or left == MOST_CHUNKS
        ):  # a document whole or not at all, and at least one
            left -= len(found)
            yield from found


def _recall(
    embedder: Embedder,
    vectors: NDArray[np.float32],
    chunks: Sequence[Chunk],
    questions: Sequence[TestQuestion],
) -> float:
    import numpy as np

    hits = 0
    for question in questions:
        scores = vectors @ embedder.embed_query(question.question)
        best = np.argsort(-scores, kind="stable")[:PLACES]
        hits += any(_is_right(chunks[i], question) for i in best)
    return hits / len(questions)


def _is_right(chunk: Chunk, question: TestQuestion) -> bool:
    """Of the document, and on the right page or with the value where these are known."""
    if chunk.document != question.document:
        return False
    if question.pages and chunk.page is not None:
        return chunk.page in question.pages
    return not question.value or contains(chunk.in_context, question.value)
