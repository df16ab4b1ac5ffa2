"""Whether the right document is found in Slovak, Ukrainian, German and Chinese: recall@1 and @5 of
the small libraries in benchmarks/languages, by words alone, by vectors alone and by the whole
search; and whether the sentence is quoted that says the answer, with words compared as they are
and as the library's languages have them.

    python benchmarks/languages.py [--language sk] [--json results.json] [--work FOLDER]
    [--embedder hub:intfloat/multilingual-e5-small]

The documents are invented (CC0). Their questions were written before any search was run, as staff
would ask: words stand in other forms than in the documents, umlauts are sometimes written out.
"says" is a piece of each sentence that answers, added later, before any quote was looked at. To
compare with other code, run this file with PYTHONPATH set to that code's three folders and with a
`--work` of its own. Twenty or thirty questions a language: one question is 3 to 5 points.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from measuring import machine, machine_line, table, write_json
from retrieval import EMBEDDER, PACKAGES, SHA256

from fieldpack.index.reader import KnowledgeIndex
from fieldpack.retrieval.fusion import RetrievalSettings
from fieldpack.retrieval.quoting import QuoteSettings, pick
from fieldpack.retrieval.retriever import open_retriever
from fieldpack_build.api import build_knowledge
from fieldpack_build.pipeline.store import Store

HERE = Path(__file__).with_name("languages")
KS = (1, 5)
_PASSAGES = 3  # that a quote is picked from, as a recipe has it by default
_MOST = 50  # chunks or passages of which the documents are taken

Search = Callable[[str], list[str]]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--language", action="append", help="this one alone; may be repeated")
    parser.add_argument("--embedder", default=EMBEDDER, help="as base.model of a recipe")
    parser.add_argument("--sha256", default=SHA256, help="of the wheel of a pypi: embedder")
    parser.add_argument("--work", type=Path, default=Path("benchmarks/out/languages"))
    parser.add_argument("--cache", type=Path, help="the build's cache; by default below --work")
    parser.add_argument("--misses", action="store_true", help="print the questions missed by words")
    parser.add_argument("--json", type=Path, help="write the figures there")
    run(parser.parse_args())


def run(arguments: argparse.Namespace) -> None:
    facts = machine(PACKAGES)
    rows: list[Sequence[object]] = []
    kept: dict[str, Any] = {"machine": facts, "embedder": arguments.embedder, "languages": {}}
    for language in arguments.language or sorted(p.name for p in HERE.iterdir() if p.is_dir()):
        folders = _build(language, arguments)
        lines = (HERE / language / "questions.jsonl").read_text(encoding="utf-8").splitlines()
        questions = [json.loads(line) for line in lines]
        figures = {}
        for name, search in _searches(folders).items():
            ranks = [_rank(search(row["question"]), row["document"]) for row in questions]
            figures[name] = {k: sum(0 < rank <= k for rank in ranks) / len(ranks) for k in KS}
            if arguments.misses and name == "words":
                for row, rank in zip(questions, ranks, strict=True):
                    if rank != 1:
                        print(f"{language} rank {rank}: {row['question']} ({row['document']})")
        quoted = _quoted(folders, questions, misses=arguments.misses)
        kept["languages"][language] = {
            "questions": len(questions),
            "recall": figures,
            "quoted": quoted,
        }
        cells = [f"{figures[name][k]:.0%}" for name in figures for k in KS]
        cells += [f"{share:.0%}" for share in quoted.values()]
        rows.append((language, len(questions), *cells))
    print(machine_line(facts))
    names = ("words", "vectors", "whole search")
    recalls = (f"{name} @{k}" for name in names for k in KS)
    print(table(("", "questions", *recalls, "quote, words as they are", "quote"), rows))
    write_json(arguments.json, kept)


def _build(language: str, arguments: argparse.Namespace) -> dict[str, Path]:
    """Build one library by its recipe and return the folders of its embedder and knowledge."""
    arguments.work.mkdir(parents=True, exist_ok=True)
    path = arguments.work / f"{language}.yaml"
    lines = [
        f"name: {language}",
        "version: 1.0.0",
        "knowledge:",
        f"  documents: {HERE / language / 'documents'}",
        "  embedder:",
        f"    model: {arguments.embedder}",
        "    precision: fp32",
    ]
    lines += [f"    sha256: {arguments.sha256}"] if arguments.embedder.startswith("pypi:") else []
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    cache = arguments.cache or arguments.work / "cache"
    keys = build_knowledge(str(path), cache=cache)["keys"]
    store = Store(cache)
    return {name: store.folder(name, keys[name]) for name in ("embedder", "knowledge")}


def _searches(folders: dict[str, Path]) -> dict[str, Search]:
    """Return the searches to compare: each a function from a question to paths, best first."""
    whole = open_retriever(folders["embedder"], folders["knowledge"], RetrievalSettings())
    index: KnowledgeIndex = whole.index

    def documents(ids: Sequence[int]) -> list[str]:
        return [row.chunk.document for row in index.rows(ids)]

    return {
        "words": lambda q: documents(list(index.matching(q, _MOST))),
        "vectors": lambda q: documents(list(index.closest(whole.embedder.embed_query(q), _MOST))),
        "whole search": lambda q: [p.document for p in whole.search(q, _MOST)],
    }


def _quoted(
    folders: dict[str, Path], questions: Sequence[dict[str, Any]], *, misses: bool
) -> dict[str, float]:
    """Return for how many questions, 0 to 1, the quote is a sentence that says the answer: with the
    plain weights, words compared as they are and by the library's languages."""
    retriever = open_retriever(folders["embedder"], folders["knowledge"], RetrievalSettings())
    shares = {}
    for name, languages in (("as_they_are", ()), ("by_language", retriever.languages)):
        right = 0
        for row in questions:
            quote = pick(
                row["question"],
                retriever.search(row["question"], _PASSAGES),
                retriever.embedder,
                QuoteSettings(),
                margin=retriever.similarity_margin(row["question"]),
                rarity=retriever.rarity,
                languages=languages,
            )
            is_right = quote is not None and any(says in quote.text for says in row["says"])
            right += is_right
            if misses and not is_right:
                print(f"{name}: {row['question']}: {quote.text if quote else 'no quote'}")
        shares[name] = right / len(questions)
    return shares


def _rank(documents: Sequence[str], wanted: str) -> int:
    """Return the place of a document among the distinct ones, from 1; 0 where it is missing."""
    distinct = list(dict.fromkeys(documents))
    return distinct.index(wanted) + 1 if wanted in distinct else 0


if __name__ == "__main__":
    main()
