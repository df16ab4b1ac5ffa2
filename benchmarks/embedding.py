"""Embedding on a CPU: sentence-transformers (torch, fp32, its defaults) against the build's
embedder in fp32 and in int8.

Same model, same chunks of real documents, same cores, rounds that alternate; medians.
sentence-transformers sorts by length and batches 32; ours runs one text at a time on every core.
With an eval.jsonl beside the documents (or --questions) recall@5 by vectors alone is measured for
the three, over all chunks read.

    python benchmarks/embedding.py --data ../shared/data/financebench --model MODEL_FOLDER --json
    embedding.json
"""

from __future__ import annotations

import random
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
from measuring import machine, machine_line, median, peak_rss_mb, table, write_json

import fieldpack  # noqa: F401 - before onnxruntime: its telemetry is switched off

_PACKAGES = ("torch", "sentence-transformers", "transformers", "onnxruntime", "tokenizers", "numpy")
_PLACES = 5


@click.command()
@click.option(
    "--data",
    required=True,
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="A folder of documents, or one with docs/ and eval.jsonl.",
)
@click.option(
    "--model",
    required=True,
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="A sentence-transformers folder.",
)
@click.option(
    "--questions",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="[default: DATA/eval.jsonl]",
)
@click.option(
    "--documents", default=6, show_default=True, help="So many, the ones that questions name first."
)
@click.option(
    "--chunks", default=512, show_default=True, help="Timed: drawn at random from those read."
)
@click.option(
    "--recall-chunks",
    default=3000,
    show_default=True,
    help="At most so many for recall; 0 leaves it away.",
)
@click.option("--tokens", default=160, show_default=True, help="A chunk's longest.")
@click.option("--rounds", default=3, show_default=True)
@click.option(
    "--threads", type=int, help="For all sides [default: the cores this process may use]."
)
@click.option("--seed", default=17, show_default=True)
@click.option(
    "--json", "json_path", type=click.Path(path_type=Path), help="Write the figures here."
)
def main(
    data: Path,
    model: Path,
    questions: Path | None,
    documents: int,
    chunks: int,
    recall_chunks: int,
    tokens: int,
    rounds: int,
    threads: int | None,
    seed: int,
    json_path: Path | None,
) -> None:
    """Chunks a second, and what int8 costs."""
    facts = machine(_PACKAGES)
    cores = threads or facts["cores"]
    with tempfile.TemporaryDirectory(prefix="fieldpack-embedding-") as name:
        sides = _sides(model, Path(name), cores)
        asked = _questions(questions or data / "eval.jsonl")
        library = _chunks(data, asked, documents, tokens, sides["ours, fp32"]["embedder"])
        picked = random.Random(seed).sample(library, min(chunks, len(library)))
        texts = [chunk.embedded for chunk in picked]
        counts = [sides["ours, fp32"]["embedder"].count_tokens(text) for text in texts]
        seconds = _alternate(sides, texts, rounds)
        vectors = {side: made["embed"](texts) for side, made in sides.items()}
        recall = _recalls(sides, library, asked, recall_chunks) if recall_chunks and asked else {}
    result = _result(seconds, counts, vectors, recall)
    _show(facts, result, model, cores, counts, rounds, recall)
    write_json(
        json_path,
        {
            "benchmark": "embedding",
            "machine": facts,
            "model": model.name,
            "threads": cores,
            "chunks": len(texts),
            "tokens": sum(counts),
            "rounds": rounds,
            "sides": result,
            "recall": recall,
            "seconds": seconds,
            "peak_rss_mb": peak_rss_mb(),
        },
    )


def _sides(model: Path, folder: Path, threads: int) -> dict[str, dict[str, Any]]:
    """side -> {"embed": texts -> [n, dim], "ask": question -> [dim]}; ours carry their Embedder,
    too."""
    import torch
    from sentence_transformers import SentenceTransformer

    from fieldpack.devices import Device
    from fieldpack.retrieval.embedder import Embedder
    from fieldpack_build.embedding.precision import write_int8
    from fieldpack_build.stages.embedder import export

    torch.set_num_threads(threads)
    theirs = SentenceTransformer(str(model), device="cpu", local_files_only=True)
    (folder / "fp32").mkdir()
    settings, _ = export(model, folder / "fp32", name=model.name)
    write_int8(folder / "fp32", folder / "int8")
    prefix = settings.passage_prefix

    def encode(texts: Sequence[str]) -> Any:
        return theirs.encode(
            [prefix + text for text in texts], normalize_embeddings=True, show_progress_bar=False
        )

    sides: dict[str, dict[str, Any]] = {
        "sentence-transformers": {
            "embed": encode,
            "ask": lambda question: theirs.encode(
                settings.query_prefix + question, normalize_embeddings=True
            ),
        }
    }
    for precision in ("fp32", "int8"):
        ours = Embedder.open(folder / precision, device=Device(threads=threads))
        sides[f"ours, {precision}"] = {
            "embed": ours.embed_passages,
            "ask": ours.embed_query,
            "embedder": ours,
        }
    return sides


def _questions(path: Path) -> list[Any]:
    from fieldpack_build.data import read_questions

    return (
        [q for q in read_questions(path, needed=("question",)) if q.document]
        if path.is_file()
        else []
    )


def _chunks(data: Path, asked: Sequence[Any], most: int, tokens: int, embedder: Any) -> list[Any]:
    """Chunks of whole documents, those that questions name first."""
    from fieldpack_build.chunking import chunk_document
    from fieldpack_build.documents import find_documents, read_document

    folder = data / "docs" if (data / "docs").is_dir() else data
    named = {question.document for question in asked}
    paths = [(path, path.relative_to(folder).as_posix()) for path in find_documents(folder)]
    found = []
    for path, name in sorted(paths, key=lambda pair: (pair[1] not in named, pair[1]))[:most]:
        found += chunk_document(
            read_document(path, name), count_tokens=embedder.count_tokens, max_tokens=tokens
        )
    if not found:
        raise click.ClickException(f"{folder}: no documents with text")
    return found


def _alternate(
    sides: dict[str, dict[str, Any]], texts: Sequence[str], rounds: int
) -> dict[str, list[float]]:
    """Wall seconds of each side a round; the order turns round each time."""
    seconds: dict[str, list[float]] = {side: [] for side in sides}
    for made in sides.values():
        made["embed"](texts[:16])
    for number in range(rounds):
        for side in list(sides)[:: -1 if number % 2 else 1]:
            seconds[side].append(_timed(sides[side]["embed"], texts))
    return seconds


def _timed(embed: Callable[[Sequence[str]], Any], texts: Sequence[str]) -> float:
    started = time.perf_counter()
    embed(texts)
    return time.perf_counter() - started


def _recalls(
    sides: dict[str, dict[str, Any]], library: Sequence[Any], asked: Sequence[Any], most: int
) -> dict[str, Any]:
    """Over the first chunks of the library, document by document, and the questions whose pages are
    among them."""
    import numpy as np

    some = library[:most]
    pages = {(chunk.document, chunk.page) for chunk in some}
    mine = [q for q in asked if any((q.document, page) in pages for page in q.pages)]
    if not mine:
        return {}
    found: dict[str, Any] = {"questions": len(mine), "chunks": len(some)}
    for side, made in sides.items():
        vectors = np.asarray(made["embed"]([chunk.embedded for chunk in some]))
        hits = 0
        for question in mine:
            best = np.argsort(-(vectors @ made["ask"](question.question)), kind="stable")[:_PLACES]
            hits += any(
                some[i].document == question.document and some[i].page in question.pages
                for i in best
            )
        found[side] = hits / len(mine)
    return found


def _result(
    seconds: dict[str, list[float]],
    counts: Sequence[int],
    vectors: dict[str, Any],
    recall: dict[str, Any],
) -> dict[str, dict[str, Any]]:
    base = "sentence-transformers"
    rows = {}
    for side, taken in seconds.items():
        middle = median(taken) or float("nan")
        cosine = (vectors[side] * vectors[base]).sum(axis=1)
        rows[side] = {
            "chunks_per_s": len(counts) / middle,
            "tokens_per_s": sum(counts) / middle,
            # The middle of the ratios round by round: a slow minute of the machine slows all sides.
            "ratio": statistics.median(b / o for b, o in zip(seconds[base], taken, strict=True)),
            "cosine_mean": float(cosine.mean()),
            "cosine_least": float(cosine.min()),
            "recall_at_5": recall.get(side),
        }
    return rows


def _show(
    facts: dict[str, Any],
    result: dict[str, dict[str, Any]],
    model: Path,
    threads: int,
    counts: Sequence[int],
    rounds: int,
    recall: dict[str, Any],
) -> None:
    print(machine_line(facts))
    print(
        f"{model.name}, {len(counts)} chunks of {statistics.mean(counts):.0f} tokens, {threads} "
        "threads, "
        f"medians of {rounds} alternating rounds\n"
    )
    head = ["", "chunks/s", "tokens/s", "times", "cosine, mean", "least", "recall@5"]
    print(
        table(
            head,
            [
                [
                    side,
                    r["chunks_per_s"],
                    r["tokens_per_s"],
                    r["ratio"],
                    f"{r['cosine_mean']:.4f}",
                    f"{r['cosine_least']:.4f}",
                    r["recall_at_5"],
                ]
                for side, r in result.items()
            ],
        )
    )
    if recall:
        print(
            f"\nrecall@5 by vectors alone: {recall['questions']} questions, {recall['chunks']} "
            "chunks"
        )


if __name__ == "__main__":
    main()
