"""Read, chunk, embed and index the documents.

chunks.sqlite, vectors.usearch (as shipped); library.json (what was read, what was skipped and why)
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from fieldpack.embedder import Embedder
from fieldpack.index import write_index
from fieldpack.passages import Chunk

from ..documents import Skipped, find_documents, read_library
from ..documents.chunking import chunk_document
from ..errors import DocumentError
from ..task import Task

LIBRARY = "library.json"
_REHEARSED = 6  # documents in a rehearsal


def run(task: Task) -> dict[str, Any]:
    knowledge = task.recipe.knowledge
    assert knowledge
    embedder = Embedder.open(task.inputs["embedder"])
    chunks, rows = _read(task, embedder)
    if not chunks:
        raise DocumentError(f"{task.recipe.path(knowledge.documents)}: no text in any of {len(rows)} documents")

    def progress(done: int, total: int) -> None:
        task.progress(done, total, "chunks embedded")

    texts = [chunk.in_context for chunk in chunks]
    vectors = embedder.embed_passages(texts, progress=progress)
    write_index(task.out, chunks, vectors)
    (task.out / LIBRARY).write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    skipped = sum("skipped" in row for row in rows)
    return {"documents": len(rows) - skipped, "skipped": skipped, "chunks": len(chunks),
            "pages": sum(row.get("pages", 0) for row in rows)}  # fmt: skip


def _read(task: Task, embedder: Embedder) -> tuple[list[Chunk], list[dict[str, Any]]]:
    knowledge = task.recipe.knowledge
    assert knowledge
    folder = task.recipe.path(knowledge.documents)
    total = len(find_documents(folder)) if folder.is_dir() else 0
    chunks: list[Chunk] = []
    rows: list[dict[str, Any]] = []
    for number, document in enumerate(read_library(folder, on_error=knowledge.on_error), 1):
        if isinstance(document, Skipped):
            task.warn(f"skipped {document.reason}")
            rows.append({"document": document.path, "skipped": document.reason})
            continue
        found: Sequence[Chunk] = chunk_document(
            document, count_tokens=embedder.count_tokens, max_tokens=knowledge.chunk.tokens,
            overlap=knowledge.chunk.overlap,
        )  # fmt: skip
        chunks += found
        rows.append({"document": document.path, "title": document.title, "sha256": document.sha256,
                     "pages": len(document.pages), "chunks": len(found),
                     "characters": sum(len(page.text) for page in document.pages)})  # fmt: skip
        task.progress(number, total, "documents read")
        if task.recipe.rehearsal and number >= _REHEARSED:
            break
    return chunks, rows
