"""The index at any size: build time, files, opening, memory, queries with and without filter,
recall against exact.

    python benchmarks/index.py --data .cache/stages/knowledge/<key> --sizes 10000,100000,1000000
    [--dtype i8]

--data is a built index (a stage's folder, or a bundle's knowledge/): its chunks and vectors are
what the synthetic ones are made from (index_synthesis.py says how). With --questions and --embedder
the queries are real questions, otherwise noisy chunks. With --keep-real the real documents are in
each library, made ones around them, and the ranks of the questions' right pages are measured too.
Each index is asked in a fresh process; its memory is counted over that process with numpy,
onnxruntime and usearch imported and nothing open, and is the most seen after any query.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from index_sides import open_synthesis
from index_synthesis import Synthesis, neighbour_cosines
from measuring import machine, machine_line, table, write_json
from numpy.typing import NDArray

_SIDES = Path(__file__).parent / "index_sides.py"


def main() -> None:
    arguments = _arguments()
    facts = machine(["fieldpack", "usearch", "numpy"])
    print(machine_line(facts))
    synthesis = open_synthesis(arguments.data, keep_real=arguments.keep_real)
    questions = _questions(arguments, synthesis)
    real = neighbour_cosines(synthesis.real.vectors)
    print(
        f"real library: {len(synthesis.real.chunks):,} chunks, cosine to the nearest and tenth "
        f"{real[0]:.3f} {real[1]:.3f}"
    )
    with tempfile.TemporaryDirectory() as scratch:
        work = arguments.work or Path(scratch)
        work.mkdir(parents=True, exist_ok=True)
        sizes = [_measure(size, arguments, synthesis, questions, work) for size in arguments.sizes]
    _print(sizes)
    write_json(
        arguments.json,
        {"machine": facts, "dtype": arguments.dtype, "real": {"cosines": real}, "sizes": sizes},
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument(
        "--sizes", type=lambda text: [int(n) for n in text.split(",")], default=[10_000, 100_000]
    )
    parser.add_argument("--dtype", choices=["f16", "i8"], default="i8")
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--questions", type=Path, help="JSON Lines with a `question` each")
    parser.add_argument(
        "--embedder", type=Path, help="folder of the embedder of --data, for --questions"
    )
    parser.add_argument(
        "--work", type=Path, help="keep the indexes here, and use those that are there"
    )
    parser.add_argument(
        "--keep-real", action="store_true", help="the real documents among the made ones"
    )
    parser.add_argument("--graph-from", type=int, help="chunks from which on there is a graph")
    parser.add_argument("--seconds", type=float, default=20, help="at most, for each kind of query")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def _questions(
    arguments: argparse.Namespace, synthesis: Synthesis
) -> tuple[list[str], NDArray[np.float32]]:
    if arguments.questions is None:
        texts, vectors = zip(*synthesis.questions(arguments.queries), strict=True)
        return list(texts), np.stack(vectors)
    from fieldpack.retrieval.embedder import Embedder

    lines = arguments.questions.read_text(encoding="utf-8").splitlines()
    texts = [json.loads(line)["question"] for line in lines if line.strip()][: arguments.queries]
    embedder = Embedder.open(arguments.embedder)
    return list(texts), np.stack([embedder.embed_query(text) for text in texts])


def _measure(
    size: int,
    arguments: argparse.Namespace,
    synthesis: Synthesis,
    questions: tuple[list[str], NDArray[np.float32]],
    work: Path,
) -> dict[str, Any]:
    folder = work / f"{size}-{arguments.dtype}"
    result: dict[str, Any] = {"chunks": size}
    built = folder / "build.json"
    if not built.is_file():
        job = {
            "data": str(arguments.data),
            "size": size,
            "folder": str(folder),
            "dtype": arguments.dtype,
            "keep_real": arguments.keep_real,
            "graph_from": arguments.graph_from,
            "change": True,
        }
        built.write_text(json.dumps(_side("build", job, work)), encoding="utf-8")
    result["build"] = json.loads(built.read_text(encoding="utf-8"))
    np.savez(work / "questions.npz", texts=np.array(questions[0]), vectors=questions[1])
    job = {
        "folder": str(folder),
        "questions": str(work / "questions.npz"),
        "seconds": arguments.seconds,
    }
    result["ask"] = _side("ask", job, work)
    if arguments.keep_real and arguments.questions:
        job |= {"embedder": str(arguments.embedder), "questions": str(arguments.questions)}
        result["pages"] = _side("pages", job, work)
    exact, result["cosines"] = _exact(synthesis, size, questions[1])
    found = [{tuple(pair) for pair in pairs} for pairs in result["ask"].pop("found")]
    result["recall@10"] = sum(len(a & b) for a, b in zip(found, exact, strict=True)) / (
        10 * len(exact)
    )
    return result


def _side(name: str, job: dict[str, Any], work: Path) -> Any:
    path = work / "job.json"
    path.write_text(json.dumps(job), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(_SIDES), name, str(path)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def _exact(
    synthesis: Synthesis, size: int, questions: NDArray[np.float32]
) -> tuple[list[set[tuple[str, int]]], tuple[float, float]]:
    """The ten nearest chunks of each question (path, place in it), in float32, and the made
    vectors' own cosines."""
    best: list[list[tuple[float, str, int]]] = [[] for _ in questions]
    sample = []
    # The build changed the first made document at its end.
    for path, vectors in synthesis.all_vectors(size, changed=0):
        if len(sample) < 400:
            sample.append(vectors)
        cosines = questions @ vectors.T
        for i in np.flatnonzero(
            cosines.max(axis=1) > [b[-1][0] if len(b) == 10 else -2 for b in best]
        ):
            near = [(float(cosines[i, j]), path, int(j)) for j in np.argsort(-cosines[i])[:10]]
            best[i] = sorted([*best[i], *near], reverse=True)[:10]
    return [{(path, place) for _, path, place in b} for b in best], neighbour_cosines(
        np.concatenate(sample)
    )


def _print(sizes: list[dict[str, Any]]) -> None:
    rows = []
    for size in sizes:
        build, ask = size["build"], size["ask"]
        rows.append(
            [
                size["chunks"],
                build["add_s"],
                build["finish_s"],
                build["change_s"],
                sum(build["files"].values()) / 2**20,
                build["peak_mb"],
                1000 * ask["open_s"],
                ask["open_mb"],
                ask["most_mb"],
                size["recall@10"],
            ]
        )
    print(
        "\n"
        + table(
            [
                "chunks",
                "add s",
                "finish s",
                "change s",
                "files MB",
                "build peak MB",
                "open ms",
                "open MB",
                "RSS MB",
                "recall@10",
            ],
            rows,
        )
    )
    head = ["query, ms p50 / p95", *(f"{size['chunks']:,}" for size in sizes)]
    kinds = sizes[0]["ask"]["times"]
    cells = [
        [
            kind,
            *(f"{t['p50']:.2f} / {t['p95']:.1f}" for t in (s["ask"]["times"][kind] for s in sizes)),
        ]
        for kind in kinds
    ]
    for name, key in (("whole search", "wall_ms"), ("its processor time", "cpu_ms")):
        if "pages" in sizes[0]:
            times = [size["pages"][key] for size in sizes]
            cells.append([name, *(f"{t['p50']:.2f} / {t['p95']:.1f}" for t in times)])
    if "pages" in sizes[0]:
        for k in (1, 5, 10, 20):
            shares = [size["pages"]["page"][f"recall_at_{k}"] for size in sizes]
            cells.append([f"page@{k}", *(f"{share:.0%}" for share in shares)])
    print("\n" + table(head, cells))


if __name__ == "__main__":
    main()
