"""The library's picture as plain data: what was read, how long its chunks are, how its vectors lie,
which questions find nothing good. Small enough for report.json: counts are whole, lists are cut.
Knows nothing of HTML.

The map is PCA by numpy: exact, the same for the same library, a question can be put into it,
nothing to install and done at once. Measured on 5,000 vectors of 384 figures: UMAP 0.5 brings 410
MB (llvmlite, scipy, scikit-learn, numba) and took 182 s, openTSNE 1.0 brings 215 MB and took 116 s,
on two busy cores. Their islands are tighter, but the room between them means nothing and questions
have to be fitted along."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from fieldpack.citations import place
from fieldpack.index.reader import KnowledgeIndex
from fieldpack.passages import Chunk, Passage
from fieldpack.retrieval.embedder import Embedder
from fieldpack.retrieval.hybrid import find_passages

from ..data import TestQuestion
from ..evaluation.metrics import rank_of
from ..evaluation.retrieval_metrics import Search
from ..ingest.journal import read_library_file

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SHIPPED = (".sqlite", ".bin", ".usearch")
# chunks measured and projected; the axes of 752 chunks and of halves of them differ little already
SAMPLE = 5_000
DRAWN, ASKED = 2_000, 400  # points and questions on the map: a report of some 300 kB
ROWS = 200  # of each list
BINS = 30
GROUPS = 8  # colours that an eye tells apart
GOOD, DEPTH = (
    5,
    20,
)  # a right passage beyond the fifth place is read by no small model; searched this deep
TEXT, REASON, PARTS = (
    80,
    200,
    600,
)  # characters kept; of a document that was read in part each thing left out is named

_KEPT = ("document", "pages", "chunks", "characters")


def picture(
    folder: Path,
    embedder: Embedder,
    questions: Sequence[TestQuestion] = (),
    *,
    search: Search | None = None,
    refuse_below: float | None = None,
) -> dict[str, Any]:
    """`folder`: what the knowledge stage wrote. `search`: the bundle's own where there is one, else
    the index's. `refuse_below`: the similarity under which the bundle refuses. JSON-ready."""
    index = KnowledgeIndex(folder)
    ids, vectors = index.sample_vectors(SAMPLE)
    stored = index.rows([int(i) for i in ids])
    chunks = [row.chunk for row in stored]
    asked = ask(questions, search or _plain_search(index, embedder), refuse_below)
    return {
        **documents(folder),
        "chunks": index.size,
        "dim": vectors.shape[1],
        "bytes": {
            path.name: path.stat().st_size
            for path in sorted(folder.iterdir())
            if path.suffix in SHIPPED
        },
        "repeats": sum(row.duplicate_of is not None for row in stored),
        "lengths": lengths(
            [embedder.count_tokens(chunk.in_context) for chunk in chunks],
            embedder.settings.max_tokens,
        ),
        "map": chart(vectors, chunks, embedder, asked),
        "questions": weak(asked, refuse_below),
    }


def _plain_search(index: KnowledgeIndex, embedder: Embedder) -> Search:
    return lambda question, k: find_passages(index, question, embedder.embed_query(question), k)


# --- documents ------------------------------------------------------------------------------------


def documents(folder: Path) -> dict[str, Any]:
    """library.json -> totals, and lists cut to ROWS: the largest documents; what was skipped,
    warned of, there twice."""
    rows = read_library_file(folder)["documents"]
    read = [row for row in rows if "chunks" in row]
    skipped = [
        [row["document"], _reason(row["document"], row["skipped"])]
        for row in rows
        if "skipped" in row
    ]
    same = [[row["document"], row["same_as"]] for row in rows if "same_as" in row]
    warned = [
        [row["document"], _reason(row["document"], *row["warnings"], room=PARTS)]
        for row in read
        if row.get("warnings")
    ]
    dates = sorted(row["date"] for row in read if row.get("date"))
    largest = sorted(read, key=lambda row: (-row["chunks"], row["document"]))[:ROWS]
    return {
        "totals": {
            "read": len(read),
            "skipped": len(skipped),
            "same": len(same),
            "warned": len(warned),
            "dated": len(dates),
            **{key: sum(row[key] for row in read) for key in ("pages", "chunks", "characters")},
        },
        "documents": [
            {
                "title": shorten(row["title"]),
                "date": row.get("date"),
                **{key: row[key] for key in _KEPT},
            }
            for row in largest
        ],
        "folders": _folders(read)[:ROWS],
        "skipped": skipped[:ROWS],
        "same": same[:ROWS],
        "warned": warned[:ROWS],
        "dates": [dates[0], dates[-1]] if dates else None,
        "tags": Counter(tag for row in read for tag in row.get("tags") or ()).most_common(ROWS),
    }


def _reason(document: str, *sentences: str, room: int = REASON) -> str:
    """Without the name of the document, which stands beside it."""
    return shorten(
        "; ".join(sentence.removeprefix(f"{document}: ") for sentence in sentences), room
    )


def _folders(read: Sequence[Mapping[str, Any]]) -> list[list[Any]]:
    """[folder, documents, pages, chunks] by the first part of the path; "" is the library's own
    folder."""
    found: dict[str, list[int]] = {}
    for row in read:
        counts = found.setdefault(top_folder(row["document"]), [0, 0, 0])
        for at, count in enumerate((1, row["pages"], row["chunks"])):
            counts[at] += count
    return sorted(
        ([folder, *counts] for folder, counts in found.items()), key=lambda row: (-row[3], row[0])
    )


def top_folder(document: str) -> str:
    parts = PurePosixPath(document).parts
    return parts[0] if len(parts) > 1 else ""


def shorten(text: str, room: int = TEXT) -> str:
    """One line of at most `room` characters."""
    line = " ".join(text.split())
    return line if len(line) <= room else line[: room - 1].rstrip() + "…"


# --- chunks ---------------------------------------------------------------------------------------


def lengths(tokens: Sequence[int], limit: int) -> dict[str, Any]:
    """Tokens a chunk, title and headings included. `bins`: [from, to, count], the end left out.
    `over`: chunks of which the embedder, which reads `limit` tokens with its own two, sees only the
    beginning."""
    ordered = sorted(tokens)
    longest = ordered[-1] if ordered else 0
    step = max(1, -(-(longest + 1) // BINS))
    counts = Counter(length // step for length in ordered)
    return {
        "counted": len(ordered),
        "limit": limit,
        "over": sum(length > limit - 2 for length in ordered),
        "longest": longest,
        "median": ordered[len(ordered) // 2] if ordered else 0,
        "p95": ordered[len(ordered) * 95 // 100] if ordered else 0,
        "bins": [[n * step, (n + 1) * step, counts[n]] for n in range(longest // step + 1)]
        if ordered
        else [],
    }


# --- questions ------------------------------------------------------------------------------------


def ask(
    questions: Sequence[TestQuestion], search: Search, refuse_below: float | None
) -> list[dict[str, Any]]:
    """What each question finds; `kind`: "good", "weak" (no right passage among GOOD, or all of them
    under the refusal threshold) or "unanswerable" (nothing to find)."""
    return [_asked(question, search, refuse_below) for question in questions]


def _asked(question: TestQuestion, search: Search, refuse_below: float | None) -> dict[str, Any]:
    found = search(question.question, DEPTH) if question.answer is not None else []
    rank = right_place(question, found)
    similarity = max((passage.similarity for passage in found[:GOOD]), default=-1.0)
    missed = question.document is not None and (rank is None or rank > GOOD)
    far = refuse_below is not None and similarity < refuse_below
    kind = "unanswerable" if question.answer is None else "weak" if missed or far else "good"
    return {
        "question": question.question,
        "line": question.line,
        "document": question.document,
        "rank": rank,
        "pages": list(getattr(question, "pages", ()) or ()),
        "similarity": round(similarity, 4),
        "kind": kind,
        "far": far,
        "found": [_found(passage) for passage in found[:3]],
    }


def right_place(question: TestQuestion, found: Sequence[Passage]) -> int | None:
    """1-based place of the first right passage: of the document, on one of its pages where the
    question names pages, else with the value where it names one."""
    pages = getattr(question, "pages", ()) or ()
    if not pages:
        return rank_of(question, found, with_value=True)
    places = (
        n for n, p in enumerate(found, 1) if p.document == question.document and p.page in pages
    )
    return next(places, None)


def _found(passage: Passage) -> list[Any]:
    """[where, similarity, how its text begins]."""
    return [
        place(passage.document, passage.page),
        round(passage.similarity, 4),
        shorten(passage.text),
    ]


def weak(asked: Sequence[Mapping[str, Any]], refuse_below: float | None) -> dict[str, Any]:
    """The questions without a good passage, the worst first."""
    rows = [row for row in asked if row["kind"] == "weak"]
    rows.sort(key=lambda row: (-(row["rank"] or DEPTH + 1), row["similarity"], row["line"]))
    kept = ("line", "document", "pages", "rank", "similarity", "far", "found")
    listed = [
        {"question": shorten(row["question"]), **{key: row[key] for key in kept}}
        for row in rows[:ROWS]
    ]
    answerable = sum(row["kind"] != "unanswerable" for row in asked)
    return {
        "answerable": answerable,
        "weak": len(rows),
        "good": GOOD,
        "depth": DEPTH,
        "refuse_below": refuse_below,
        "rows": listed,
    }


# --- map ------------------------------------------------------------------------------------------


def chart(
    vectors: NDArray[np.float32],
    chunks: Sequence[Chunk],
    embedder: Embedder,
    asked: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """`points`: [x, y, group, label]; `questions`: [x, y, kind, text]. `kept`: the share of the
    vectors' variance that two dimensions hold."""
    import numpy as np

    middle, axes, kept = principal_axes(vectors)
    names, by = _grouping([chunk.document for chunk in chunks])
    drawn = np.linspace(0, len(chunks) - 1, min(DRAWN, len(chunks))).astype(int)
    places = ((vectors[drawn] - middle) @ axes).round(4)
    points = [
        [*map(float, at), _group(chunks[n].document, names, by), _label(chunks[n])]
        for at, n in zip(places, drawn, strict=True)
    ]
    rows = asked[:: -(-len(asked) // ASKED)] if asked else []
    where = [((embedder.embed_query(row["question"]) - middle) @ axes).round(4) for row in rows]
    marks = [
        [*map(float, at), row["kind"], shorten(row["question"])]
        for at, row in zip(where, rows, strict=True)
    ]
    return {"by": by, "groups": names, "kept": kept, "points": points, "questions": marks}


def principal_axes(
    vectors: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.float32], float]:
    """[n, dim] -> mean [dim], the two directions of most variance [dim, 2], their share of it. One
    that does not exist (a single vector, all the same) is zero."""
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
            axes[:, number] = axis * np.sign(
                axis[np.argmax(np.abs(axis))]
            )  # either sign is an answer: keep to one
    whole = float(np.trace(apart.T @ apart))
    return middle, axes, round(float(strengths[-2:].sum()) / whole, 4) if whole > 1e-9 else 1.0


def _grouping(names: Sequence[str]) -> tuple[list[str], str]:
    """The largest folders of the first level where there are several, else the largest documents."""
    folders = Counter(top_folder(name) for name in names)
    counts, by = (folders, "folder") if len(folders) > 1 else (Counter(names), "document")
    return sorted(
        name for name, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:GROUPS]
    ), by


def _group(document: str, names: Sequence[str], by: str) -> int | None:
    """Number of a document's colour; None for the rest."""
    name = top_folder(document) if by == "folder" else document
    return names.index(name) if name in names else None


def _label(chunk: Chunk) -> str:
    where = place(chunk.document, chunk.page)
    heading = [part for part in chunk.heading if part != chunk.title]
    return shorten(f"{where}: {heading[-1]}" if heading else where)
