"""Seal the finished stages into a bundle: every file with size and SHA-256, and where everything came from.

bundle/        as it is delivered
"""

from __future__ import annotations

import json
from typing import Any

from fieldpack.bundle.manifest import read_manifest, verify

from ..bundle.assemble import assemble
from ..evaluation.arms import BASELINE, EXPORT, left_out, model_of, retrieves, whole_arm
from ..pipeline.store import RECEIPT
from ..pipeline.task import Task

BUNDLE = "bundle"


def run(task: Task) -> dict[str, Any]:
    recipe = task.recipe
    folder = task.out / BUNDLE
    task.note("copying and hashing")
    arm = shipped_by(task)
    model = model_of(recipe, arm)
    manifest = assemble(
        folder, recipe, task.inputs, model=model, knowledge=retrieves(arm), provenance=_provenance(task, arm, model)
    )
    verify(folder, read_manifest(folder))
    return {"files": len(manifest.files), "size_mb": round(manifest.size / 1e6, 1), "arm": arm,
            "left_out": left_out(recipe, arm)}  # fmt: skip


def shipped_by(task: Task) -> str:
    """The arm that the evaluation chose; all that the recipe has where nothing was measured."""
    if "evaluate" not in task.inputs:
        return whole_arm(task.recipe)
    receipt = json.loads((task.inputs["evaluate"] / RECEIPT).read_text(encoding="utf-8"))
    return str(receipt["result"]["shipped"])


def _provenance(task: Task, arm: str, model: str | None) -> dict[str, Any]:
    """For audits: the whole recipe, the arm that ships, key, sources and tools of each stage, and the licences of what is
    inside. Of the exported models only the one that ships is named."""
    recipe = task.recipe
    stages = {}
    unused = {EXPORT, BASELINE} - {model}
    if model != EXPORT:
        unused |= {"train", "merge"}
    if model is None:
        unused.add("base")
    for name, folder in task.inputs.items():
        if name in unused:
            continue
        receipt = json.loads((folder / RECEIPT).read_text(encoding="utf-8"))
        parts = receipt["parts"]
        stages[name] = {"key": receipt["key"], "sources": parts["sources"], "tools": parts["tools"], "seen": receipt["seen"],
                        "warnings": receipt["warnings"]}  # fmt: skip
    licences = {"bundle": recipe.bundle.license}
    if model is not None:
        licences["base"] = recipe.base.license
    if recipe.knowledge and retrieves(arm):
        licences["embedder"] = recipe.knowledge.embedder.license
        if recipe.knowledge.retrieval.reranker:
            licences["reranker"] = recipe.knowledge.retrieval.reranker.license
    # Sections that a recipe need not have are named where it has them: other bundles keep their bytes.
    unused = {name for name in ("targets", "device") if not getattr(recipe, name)}
    return {"arm": arm, "recipe": recipe.model_dump(exclude={"folder", *unused}), "stages": stages, "licences": licences}
