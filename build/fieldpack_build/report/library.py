"""A library in figures: what was read, how long its chunks are, how its vectors lie, which
questions find nothing good. Small enough for report.json: counts are whole, lists are cut. Knows
nothing of HTML.

The map is PCA by numpy: exact, the same for the same library, a question can be put into it,
nothing to install and done at once. Measured on 5,000 vectors of 384 figures: UMAP 0.5 brings 410
MB (llvmlite, scipy, scikit-learn, numba) and took 182 s, openTSNE 1.0 brings 215 MB and took 116 s,
on two busy cores. Their islands are tighter, but the space between them means nothing and questions
have to be fitted along."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from fieldpack.citations import place
from fieldpack.index.reader import KnowledgeIndex
from fieldpack.passages import Chunk, Passage
from fieldpack.retrieval.embedder import Embedder
from fieldpack.retrieval.hybrid import find_passages

from ..data import TestQuestion
from ..documents.omissions import is_routine
from ..evaluation.metrics import rank_of
from ..evaluation.report_file import (
    ChunkLengths,
    LibraryDocument,
    LibraryDocuments,
    LibraryQuestions,
    LibrarySummary,
    LibraryTotals,
    VectorMap,
    WeakQuestion,
)
from ..evaluation.retrieval_metrics import Search
from ..ingest.journal import read_library_file

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SHIPPED = (".sqlite", ".bin", ".usearch")
# Chunks measured and projected; the axes of 752 chunks and of halves of them differ little already.
SAMPLE = 5_000
# Points and questions on the map: a report of some 300 kB.
MAX_POINTS, MAX_QUESTIONS = 2_000, 400
ROWS = 200  # of each list
BINS = 30
GROUPS = 8  # colours that an eye tells apart
# A right passage beyond the fifth place is read by no small model; searched this deep.
GOOD, DEPTH = 5, 20
# Characters kept. Of a document that was read in part each thing left out is named.
TEXT, REASON, PARTS = 80, 200, 600


@dataclass(frozen=True, slots=True)
class SearchedQuestion:
    """What a question found. `kind`: "good", "weak" (no right passage among GOOD, or all of them
    under the refusal threshold) or "unanswerable" (nothing to find); `far`: the threshold refuses
    it."""

    question: TestQuestion
    rank: int | None
    similarity: float
    kind: str
    far: bool
    passages: tuple[Passage, ...]


def summarize_library(
    folder: Path,
    embedder: Embedder,
    questions: Sequence[TestQuestion] = (),
    *,
    search: Search | None = None,
    refuse_below: float | None = None,
) -> LibrarySummary:
    """Summarize what the knowledge stage wrote into `folder`. `search`: the bundle's own where
    there is one, else the index's. `refuse_below`: the similarity under which the bundle
    refuses."""
    index = KnowledgeIndex(folder)
    ids, vectors = index.sample_vectors(SAMPLE)
    stored = index.rows([int(i) for i in ids])
    chunks = [row.chunk for row in stored]

    def search_index(question: str, k: int) -> list[Passage]:
        return find_passages(index, question, embedder.embed_query(question), k)

    searched = search_questions(questions, search or search_index, refuse_below)
    documents = summarize_documents(folder)
    return LibrarySummary(
        **{name: getattr(documents, name) for name in LibraryDocuments.model_fields},
        chunks=index.size,
        dim=vectors.shape[1],
        bytes={
            path.name: path.stat().st_size
            for path in sorted(folder.iterdir())
            if path.suffix in SHIPPED
        },
        repeats=sum(row.duplicate_of is not None for row in stored),
        lengths=chunk_lengths(
            [embedder.count_tokens(chunk.in_context) for chunk in chunks],
            embedder.settings.max_tokens,
        ),
        map=project_vectors(vectors, chunks, embedder, searched),
        questions=weak_questions(searched, refuse_below),
    )


# --- documents ------------------------------------------------------------------------------------


def summarize_documents(folder: Path) -> LibraryDocuments:
    """Summarize library.json: totals, and lists cut to ROWS: the largest documents; what was
    skipped, warned of, there twice."""
    rows = read_library_file(folder)["documents"]
    read = [row for row in rows if "chunks" in row]
    skipped = [
        (row["document"], _reason(row["document"], row["skipped"], length=REASON))
        for row in rows
        if "skipped" in row
    ]
    same = [(row["document"], row["same_as"]) for row in rows if "same_as" in row]
    # Those without the site around their content alone come last.
    in_part = [row for row in read if row.get("warnings")]
    in_part.sort(key=lambda row: all(map(is_routine, row["warnings"])))
    warned = [
        (row["document"], _reason(row["document"], *row["warnings"], length=PARTS))
        for row in in_part
    ]
    dates = sorted(row["date"] for row in read if row.get("date"))
    folders: dict[str, list[int]] = {}
    for row in read:
        counts = folders.setdefault(top_folder(row["document"]), [0, 0, 0])
        for at, count in enumerate((1, row["pages"], row["chunks"])):
            counts[at] += count
    largest = sorted(read, key=lambda row: (-row["chunks"], row["document"]))[:ROWS]
    return LibraryDocuments(
        totals=LibraryTotals(
            read=len(read),
            skipped=len(skipped),
            same=len(same),
            warned=len(warned),
            dated=len(dates),
            pages=sum(row["pages"] for row in read),
            chunks=sum(row["chunks"] for row in read),
            characters=sum(row["characters"] for row in read),
        ),
        documents=[
            LibraryDocument(
                title=shorten(row["title"]),
                date=row.get("date"),
                document=row["document"],
                pages=row["pages"],
                chunks=row["chunks"],
                characters=row["characters"],
            )
            for row in largest
        ],
        folders=sorted(
            ((name, counts[0], counts[1], counts[2]) for name, counts in folders.items()),
            key=lambda row: (-row[3], row[0]),
        )[:ROWS],
        skipped=skipped[:ROWS],
        same=same[:ROWS],
        warned=warned[:ROWS],
        dates=(dates[0], dates[-1]) if dates else None,
        tags=Counter(tag for row in read for tag in row.get("tags") or ()).most_common(ROWS),
    )


def _reason(document: str, *sentences: str, length: int) -> str:
    """Without the name of the document, which stands beside it."""
    return shorten(
        "; ".join(sentence.removeprefix(f"{document}: ") for sentence in sentences), length
    )


def top_folder(document: str) -> str:
    """Return the first part of a document's path; "" for the library's own folder."""
    parts = PurePosixPath(document).parts
    return parts[0] if len(parts) > 1 else ""


def shorten(text: str, length: int = TEXT) -> str:
    """Return a text as one line of at most `length` characters."""
    line = " ".join(text.split())
    return line if len(line) <= length else line[: length - 1].rstrip() + "…"


# --- chunks ---------------------------------------------------------------------------------------


def chunk_lengths(tokens: Sequence[int], limit: int) -> ChunkLengths:
    """Summarize the tokens of each chunk, title and headings included. Of `limit` tokens the
    embedder keeps two for its own."""
    ordered = sorted(tokens)
    longest = ordered[-1] if ordered else 0
    step = max(1, -(-(longest + 1) // BINS))
    counts = Counter(length // step for length in ordered)
    bins = [(n * step, (n + 1) * step, counts[n]) for n in range(longest // step + 1)]
    return ChunkLengths(
        counted=len(ordered),
        limit=limit,
        over=sum(length > limit - 2 for length in ordered),
        longest=longest,
        median=ordered[len(ordered) // 2] if ordered else 0,
        p95=ordered[len(ordered) * 95 // 100] if ordered else 0,
        bins=bins if ordered else [],
    )


# --- questions ------------------------------------------------------------------------------------


def search_questions(
    questions: Sequence[TestQuestion], search: Search, refuse_below: float | None
) -> list[SearchedQuestion]:
    """Search each question that has an answer, and judge what it finds."""
    searched = []
    for question in questions:
        answerable = question.answer is not None
        passages = search(question.question, DEPTH) if answerable else []
        rank = right_place(question, passages)
        similarity = max((passage.similarity for passage in passages[:GOOD]), default=-1.0)
        missed = question.document is not None and (rank is None or rank > GOOD)
        far = refuse_below is not None and similarity < refuse_below
        kind = "unanswerable" if not answerable else "weak" if missed or far else "good"
        searched.append(
            SearchedQuestion(question, rank, round(similarity, 4), kind, far, tuple(passages[:3]))
        )
    return searched


def right_place(question: TestQuestion, passages: Sequence[Passage]) -> int | None:
    """Return the 1-based place of the first right passage: of the document, on one of its pages
    where the question names pages, else with the value where it names one."""
    if not question.pages:
        return rank_of(question, passages, with_value=True)
    places = (
        number
        for number, passage in enumerate(passages, 1)
        if passage.document == question.document and passage.page in question.pages
    )
    return next(places, None)


def weak_questions(
    searched: Sequence[SearchedQuestion], refuse_below: float | None
) -> LibraryQuestions:
    """Return the questions without a good passage, the worst first."""
    weak = [one for one in searched if one.kind == "weak"]
    weak.sort(key=lambda one: (-(one.rank or DEPTH + 1), one.similarity, one.question.line))
    rows = [
        WeakQuestion(
            question=shorten(one.question.question),
            line=one.question.line,
            document=one.question.document,
            pages=list(one.question.pages),
            rank=one.rank,
            similarity=one.similarity,
            far=one.far,
            found=[
                (place(p.document, p.page, p.heading), round(p.similarity, 4), shorten(p.text))
                for p in one.passages
            ],
        )
        for one in weak[:ROWS]
    ]
    return LibraryQuestions(
        answerable=sum(one.kind != "unanswerable" for one in searched),
        weak=len(weak),
        good=GOOD,
        depth=DEPTH,
        refuse_below=refuse_below,
        rows=rows,
    )


# --- map ------------------------------------------------------------------------------------------


def project_vectors(
    vectors: NDArray[np.float32],
    chunks: Sequence[Chunk],
    embedder: Embedder,
    searched: Sequence[SearchedQuestion],
) -> VectorMap:
    """Put the chunks' vectors [n, dim], evenly chosen where there are many, and the questions' into
    two dimensions, coloured by folder, or by document where there is one folder."""
    import numpy as np

    middle, axes, kept = principal_axes(vectors)
    folders = Counter(top_folder(chunk.document) for chunk in chunks)
    by = "folder" if len(folders) > 1 else "document"
    counts = folders if by == "folder" else Counter(chunk.document for chunk in chunks)
    largest = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:GROUPS]
    groups = sorted(name for name, _ in largest)
    points: list[tuple[float, float, int | None, str]] = []
    chosen = np.linspace(0, len(chunks) - 1, min(MAX_POINTS, len(chunks))).astype(int)
    for at, (x, y) in zip(chosen, ((vectors[chosen] - middle) @ axes).round(4), strict=True):
        chunk = chunks[at]
        name = top_folder(chunk.document) if by == "folder" else chunk.document
        group = groups.index(name) if name in groups else None
        points.append((float(x), float(y), group, _label(chunk)))
    questions: list[tuple[float, float, str, str]] = []
    for one in searched[:: -(-len(searched) // MAX_QUESTIONS)] if searched else []:
        vector = embedder.embed_query(one.question.question)
        x, y = ((vector - middle) @ axes).round(4)
        questions.append((float(x), float(y), one.kind, shorten(one.question.question)))
    return VectorMap(by=by, groups=groups, kept=kept, points=points, questions=questions)


def principal_axes(
    vectors: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.float32], float]:
    """Return of vectors [n, dim] their mean [dim], the two directions of most variance [dim, 2] and
    their share of it. A direction that does not exist (a single vector, all the same) is zero."""
    import numpy as np

    middle = vectors.mean(axis=0)
    apart = (vectors - middle).astype(np.float64)
    # The vectors' own SVD gives the same and took three to nine times as long on 5,000 of 384
    # figures.
    strengths, directions = np.linalg.eigh(apart.T @ apart)
    axes = np.zeros((vectors.shape[1], 2), dtype=vectors.dtype)
    for number in range(2):
        if len(strengths) > number and strengths[-1 - number] > 1e-9:
            axis = directions[:, -1 - number]
            # Either sign is an answer: keep to one.
            axes[:, number] = axis * np.sign(axis[np.argmax(np.abs(axis))])
    whole = float(np.trace(apart.T @ apart))
    return middle, axes, round(float(strengths[-2:].sum()) / whole, 4) if whole > 1e-9 else 1.0


def _label(chunk: Chunk) -> str:
    where = place(chunk.document, chunk.page, chunk.heading)
    heading = [part for part in chunk.heading if part != chunk.title]
    return shorten(f"{where}: {heading[-1]}" if heading else where)
