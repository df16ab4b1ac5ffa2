"""A small library to build without a toolchain: a recipe, documents, and an embedder that counts
letters in the place of the embedder stage's work. The knowledge stage on it is the real one, with
its real processes.

A plugin that tests import from, too: PYTEST_DONT_REWRITE, or pytest warns that it came late.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import fakes
from fieldpack.index.reader import KnowledgeIndex
from fieldpack.retrieval.embedder import Embedder
from fieldpack.retrieval.retriever import Retriever
from fieldpack_build.pipeline.store import Receipt, Store, files_of
from fieldpack_build.pipeline.task import Task
from fieldpack_build.recipe.load import load_recipe
from fieldpack_build.recipe.schema import Recipe
from fieldpack_build.stages import knowledge
from fieldpack_build.stages.table import make_plan, needed_for

HALF = needed_for("knowledge", "reranker")
RECIPE = {
    "name": "shelf",
    "version": "1.0.0",
    "base": {"model": "nothing"},
    "answer": {"system": "Answer."},
    "knowledge": {
        "documents": "documents",
        "chunk": {"tokens": 120},
        "workers": 1,
        "embedder": {"model": "embedder"},
    },
}


@dataclass
class Shelf:
    """`events`: what the stage said in the last `make`."""

    folder: Path
    cache: Path
    events: list[dict[str, Any]] = field(default_factory=list)

    @property
    def documents(self) -> Path:
        return self.folder / "documents"

    @property
    def store(self) -> Store:
        return Store(self.cache)

    def write(self, name: str, text: str | bytes) -> Path:
        path = self.documents / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    def recipe(self, *overrides: str) -> Recipe:
        return load_recipe(self.folder / "shelf.yaml", overrides)

    def embedder(self, *overrides: str) -> Path:
        """The embedder stage's folder, finished with letter counts in it."""
        step = make_plan(self.recipe(*overrides), self.store, among=["embedder"]).steps[0]
        if step.receipt is None:
            partial = self.store.begin("embedder", step.key, keep=False)
            fakes.write_letter_embedder(partial)
            receipt = Receipt(
                "embedder",
                "shelf",
                step.key,
                step.parts,
                {},
                files_of(partial),
                1.0,
                100.0,
                {"dim": 64},
            )
            self.store.commit(partial, receipt)
        return self.store.folder("embedder", step.key)

    def make(self, out: Path, *overrides: str, earlier: Path | None = None) -> dict[str, Any]:
        """The stage alone, in this process, into a folder of the test's own."""
        out.mkdir(parents=True, exist_ok=True)
        self.events.clear()
        inputs = {"embedder": self.embedder(*overrides)}
        return knowledge.run(
            Task(
                self.recipe(*overrides),
                inputs,
                out,
                self.store,
                {},
                self.events.append,
                previous_output=earlier,
            )
        )

    def command(
        self, *arguments: str, recipe: str = "shelf.yaml"
    ) -> subprocess.CompletedProcess[str]:
        """`build knowledge shelf.yaml ...` as a shell runs it."""
        self.embedder()
        line = [
            sys.executable,
            "-m",
            "fieldpack_build.cli",
            "knowledge",
            recipe,
            "--cache",
            str(self.cache),
            *arguments,
        ]
        return subprocess.run(line, capture_output=True, text=True, timeout=120, cwd=self.folder)

    def found(
        self, out: Path, questions: Sequence[str], k: int = 10
    ) -> list[list[tuple[Any, ...]]]:
        """For each question what a search of that folder gives. Ids are left out, they depend on
        history; so are scores, whose fourth digit depends on which chunks were embedded together.
        """
        retriever = Retriever(Embedder.open(self.embedder()), KnowledgeIndex(out))
        return [
            [
                (p.document, p.title, p.page, p.heading, p.text)
                for p in retriever.search(question, k)
            ]
            for question in questions
        ]


def rows(out: Path) -> dict[str, dict[str, Any]]:
    """library.json by document."""
    library = json.loads((out / knowledge.LIBRARY).read_text(encoding="utf-8"))
    return {row["document"]: row for row in library["documents"]}


def make_shelf(home: Path) -> Shelf:
    folder = home / "shelf"
    (folder / "documents").mkdir(parents=True)
    (folder / "embedder").mkdir()
    (folder / "embedder" / "modules.json").write_text("[]")
    (folder / "shelf.yaml").write_text(json.dumps(RECIPE))
    return Shelf(folder, home / "cache")


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return make_shelf(tmp_path)
