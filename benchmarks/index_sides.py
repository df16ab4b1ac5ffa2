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

    synthesis, size, folder = open_synthesis(Path(job["data"])), job["size"], Path(job["folder"])
    writer = IndexWriter(folder, dim=synthesis.dim, dtype=job["dtype"])
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
    writer = IndexWriter(folder, dim=synthesis.dim, dtype=job["dtype"])
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


def open_synthesis(data: Path) -> Any:
    import numpy as np
    from index_synthesis import Real, Synthesis

    from fieldpack.index.reader import KnowledgeIndex

    index = KnowledgeIndex(data)
    rows = index.chunks()
    vectors = index._vectors.get(np.array([i for i, _ in rows]))
    return Synthesis(Real([chunk for _, chunk in rows], vectors))


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
                "p99": float(np.quantile(times, 0.99)),
                "n": len(times),
            }
    return result | {"most_mb": most}


if __name__ == "__main__":
    side, path = sys.argv[1:]
    print(
        json.dumps(globals()[side](json.loads(Path(path).read_text(encoding="utf-8")))), flush=True
    )
