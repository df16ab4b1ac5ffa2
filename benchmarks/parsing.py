"""Documents read and cut into chunks, pages a second: the build's own pool of reading processes,
nothing embedded.

python benchmarks/parsing.py --data ../shared/data/financebench/docs --embedder FOLDER [--json FILE]
"""

from __future__ import annotations

import time
from pathlib import Path

import click
from measuring import machine, machine_line, table, write_json

from fieldpack_build.documents import survey
from fieldpack_build.ingest.pool import ReadingPool
from fieldpack_build.ingest.read import ReadDocument, ReaderConfig, ReadJob

_PACKAGES = ("pypdfium2", "tokenizers", "python-docx", "openpyxl")


@click.command()
@click.option(
    "--data",
    required=True,
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Documents.",
)
@click.option(
    "--embedder",
    required=True,
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="A built one.",
)
@click.option("--tokens", default=220, show_default=True, help="A chunk's longest.")
@click.option(
    "--workers", type=int, help="Reading processes [default: the cores this process may use]."
)
@click.option("--rounds", default=2, show_default=True)
@click.option(
    "--json", "json_path", type=click.Path(path_type=Path), help="Write the figures here."
)
def main(
    data: Path,
    embedder: Path,
    tokens: int,
    workers: int | None,
    rounds: int,
    json_path: Path | None,
) -> None:
    """Pages a second of reading and cutting; the best round counts, the processes' start included."""
    facts = machine(_PACKAGES)
    workers = workers or facts["cores"]
    reading = ReaderConfig(embedder, tokens, 0, False, 512, {})
    paths = survey(data, ("**/*",), 512).paths
    orders = [
        ReadJob(path, path.relative_to(data).as_posix(), path.stat().st_size) for path in paths
    ]
    found = [_round(orders, reading, workers) for _ in range(rounds)]
    best = min(found, key=lambda row: row["seconds"])
    print(machine_line(facts))
    head = ("workers", "documents", "pages", "chunks", "unread", "seconds", "pages/s")
    print(table(head, [(workers, *(best[name] for name in head[1:]))]))
    write_json(
        json_path,
        {
            "benchmark": "parsing",
            "machine": facts,
            "workers": workers,
            "tokens": tokens,
            "rounds": found,
        },
    )


def _round(orders: list[ReadJob], reading: ReaderConfig, workers: int) -> dict[str, float]:
    pages = chunks = read = 0
    started = time.perf_counter()
    with ReadingPool(reading, workers=workers) as pool:
        for outcome in pool.results(orders):
            if isinstance(outcome, ReadDocument):
                read, pages, chunks = (
                    read + 1,
                    pages + outcome.record.pages,
                    chunks + len(outcome.chunks),
                )
    seconds = time.perf_counter() - started
    return {
        "documents": read,
        "pages": pages,
        "chunks": chunks,
        "unread": len(orders) - read,
        "seconds": round(seconds, 2),
        "pages/s": round(pages / seconds, 1),
    }


if __name__ == "__main__":
    main()
