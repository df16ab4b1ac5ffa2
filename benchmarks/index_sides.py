"""The two processes of benchmarks/index.py: one builds an index, a fresh one asks it. Each prints
JSON."""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def rss_mb() -> float:
    return int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1]) * 4096 / 2**20


def build(job: dict[str, Any]) -> dict[str, Any]:
    from measuring import peak_rss_mb

    from fieldpack_build.index.writer import IndexWriter

    synthesis = open_synthesis(Path(job["data"]), keep_real=job["keep_real"])
    size, folder = job["size"], Path(job["folder"])
    options = {"graph_from": job["graph_from"]} if job["graph_from"] is not None else {}
    writer = IndexWriter(folder, dim=synthesis.dim, dtype=job["dtype"], **options)
    made = start = time.perf_counter()
    adding = 0.0
    there = writer.documents()
    for record, chunks, vectors in synthesis.documents(size):
        begin = time.perf_counter()
        if record.path not in there:
            writer.add(record, chunks, vectors)
        adding += time.perf_counter() - begin
    made = time.perf_counter() - start - adding
    before = peak_rss_mb()
    begin = time.perf_counter()
    writer.finish(_progress)
    finishing = time.perf_counter() - begin
    writer = IndexWriter(folder, dim=synthesis.dim, dtype=job["dtype"], **options)
    begin = time.perf_counter()
    changed = (
        job["change"]
        and [writer.add(*synthesis.document(0, 250, version=1)), writer.finish().in_place][1]
    )
    return {
        "made_s": made,
        "add_s": adding,
        "finish_s": finishing,
        "peak_mb": peak_rss_mb(),
        "peak_before_finish_mb": before,
        "change_s": time.perf_counter() - begin if job["change"] else None,
        "changed_in_place": changed,
        "files": {p.name: p.stat().st_size for p in sorted(folder.iterdir())},
    }


def _progress(done: int, total: int) -> None:
    if done % 50_000 == 0:
        print(f"{done:,} of {total:,}", file=sys.stderr, flush=True)


def open_synthesis(data: Path, *, keep_real: bool = False) -> Any:
    import numpy as np
    from index_synthesis import Real, Synthesis

    from fieldpack.index.reader import KnowledgeIndex

    index = KnowledgeIndex(data)
    rows = index.chunks()
    vectors = index._vectors.get(np.array([i for i, _ in rows]))
    return Synthesis(
        Real([chunk for _, chunk in rows], vectors, index.records()), keep_real=keep_real
    )


def ask(job: dict[str, Any]) -> dict[str, Any]:
    bare = rss_mb()
    import numpy as np
    import onnxruntime  # noqa: F401  (its own 60 MB are the embedder's)
    import usearch.index  # noqa: F401

    from fieldpack.index.reader import KnowledgeIndex
    from fieldpack.passages import Filter
    from fieldpack.retrieval.hybrid import find_passages

    given = np.load(job["questions"], allow_pickle=False)
    questions, vectors = given["texts"].tolist(), given["vectors"]
    empty = rss_mb()
    begin = time.perf_counter()
    index = KnowledgeIndex(Path(job["folder"]))
    opened = time.perf_counter() - begin
    filters = {
        "": None,
        " of 50%": Filter(tags=("even",)),
        " of 1%": Filter(folders=("07",)),
        " of one document": Filter(documents=(index.documents()[3],)),
    }
    kinds: dict[str, Callable[[int, Any], Any]] = {
        "vectors": lambda i, where: index.closest(vectors[i], 10, where),
        "words": lambda i, where: index.matching(questions[i], 100, where),
        "hybrid": lambda i, where: find_passages(index, questions[i], vectors[i], 5, where),
    }
    after_open, most = rss_mb() - empty, 0.0
    result: dict[str, Any] = {
        "open_s": opened,
        "imports_mb": empty - bare,
        "open_mb": after_open,
        "times": {},
    }
    result["found"] = [
        [[row.chunk.document, row.ordinal] for row in index.rows(index.closest(vector, 10))]
        for vector in vectors
    ]
    for label, where in filters.items():
        for kind, call in kinds.items():
            times, budget = [], time.perf_counter() + job["seconds"]
            for i in range(len(questions)):
                begin = time.perf_counter()
                call(i, where)
                times.append(1000 * (time.perf_counter() - begin))
                most = max(most, rss_mb() - empty)
                if time.perf_counter() > budget:
                    break
            result["times"][kind + label] = {
                "p50": statistics.median(times),
                "p95": float(np.quantile(times, 0.95)),
                "p99": float(np.quantile(times, 0.99)),
                "n": len(times),
            }
    return result | {"most_mb": most}


def pages(job: dict[str, Any]) -> dict[str, Any]:
    """What the whole search makes of real questions: ranks of the right page, and milliseconds of
    wall clock and of processor time, the embedding of the question among them."""
    import numpy as np

    from fieldpack.retrieval.fusion import RetrievalSettings
    from fieldpack.retrieval.retriever import open_retriever
    from fieldpack_build.data import read_questions
    from fieldpack_build.evaluation.retrieval_metrics import measure

    retriever = open_retriever(Path(job["embedder"]), Path(job["folder"]), RetrievalSettings())
    wall: list[float] = []
    cpu: list[float] = []

    def search(question: str, k: int) -> list[Any]:
        begin, used = time.perf_counter(), time.thread_time()
        found = retriever.search(question, k)
        wall.append(1000 * (time.perf_counter() - begin))
        cpu.append(1000 * (time.thread_time() - used))
        return found

    questions = read_questions(Path(job["questions"]))
    measure(search, questions[:3], (1,))  # reads what every question reads
    wall.clear(), cpu.clear()
    report = measure(search, questions, (1, 5, 10, 20))
    figures = {name: value for name, value in report.to_dict().items() if name != "rows"}
    return figures | {
        name: {q: float(np.quantile(times, float(q[1:]) / 100)) for q in ("p50", "p95")}
        for name, times in (("wall_ms", wall), ("cpu_ms", cpu))
    }


if __name__ == "__main__":
    side, path = sys.argv[1:]
    print(
        json.dumps(globals()[side](json.loads(Path(path).read_text(encoding="utf-8")))), flush=True
    )
