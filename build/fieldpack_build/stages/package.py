"""Seal the finished stages into a bundle: every file with size and SHA-256, and where everything came from.

bundle/        as it is delivered
"""

from __future__ import annotations

import json
from typing import Any

from fieldpack.manifest import read_manifest, verify

from ..bundling import assemble
from ..store import RECEIPT
from ..task import Task

BUNDLE = "bundle"


def run(task: Task) -> dict[str, Any]:
    recipe = task.recipe
    folder = task.out / BUNDLE
    task.note("copying and hashing")
    manifest = assemble(folder, recipe, task.inputs, provenance=_provenance(task))
    verify(folder, read_manifest(folder))
    return {"files": len(manifest.files), "size_mb": round(manifest.size / 1e6, 1)}


def _provenance(task: Task) -> dict[str, Any]:
    """For audits: the whole recipe, each stage's key, sources and tools, and the licences of what is inside."""
    recipe = task.recipe
    stages = {}
    for name, folder in task.inputs.items():
        receipt = json.loads((folder / RECEIPT).read_text(encoding="utf-8"))
        parts = receipt["parts"]
        stages[name] = {"key": receipt["key"], "sources": parts["sources"], "tools": parts["tools"], "seen": receipt["seen"],
                        "warnings": receipt["warnings"]}  # fmt: skip
    licences = {"base": recipe.base.license, "bundle": recipe.bundle.license}
    if recipe.knowledge:
        licences["embedder"] = recipe.knowledge.embedder.license
        if recipe.knowledge.retrieval.reranker:
            licences["reranker"] = recipe.knowledge.retrieval.reranker.license
    return {"recipe": recipe.model_dump(exclude={"folder"}), "stages": stages, "licences": licences}
