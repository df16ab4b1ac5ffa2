"""Seal the finished stages into a bundle: every file with size and SHA-256, and where everything
came from.

bundle/        as it is delivered
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from fieldpack.bundle.manifest import ORIGINALS, read_manifest, verify
from fieldpack.index.reader import library_documents

from ..bundle.assemble import assemble
from ..bundle.originals import check_copied, find_originals
from ..evaluation.arms import BASELINE, EXPORT, left_out, model_of, retrieves, whole_arm
from ..ingest.summary import LibraryResult
from ..pipeline.store import read_receipt
from ..pipeline.task import Task
from .results import PackageResult, evaluate_result

BUNDLE = "bundle"


def run(task: Task) -> PackageResult:
    """Assemble what ships in `bundle/`, and verify it against its own manifest."""
    recipe = task.recipe
    folder = task.out / BUNDLE
    task.note("copying and hashing")
    arm = shipped_by(task)
    model = model_of(recipe, arm)
    originals: dict[str, Path] = {}
    if recipe.bundle.originals and retrieves(arm):
        documents = library_documents(task.inputs["knowledge"])
        originals = find_originals(recipe, documents, task.store)
    manifest = assemble(
        folder,
        recipe,
        task.inputs,
        model=model,
        knowledge=retrieves(arm),
        provenance=_provenance(task, arm, model),
        originals=originals,
    )
    check_copied((one for one in manifest.files if one.role == ORIGINALS), originals)
    verify(folder, read_manifest(folder))
    result: PackageResult = {
        "files": len(manifest.files),
        "size_mb": round(manifest.size / 1e6, 1),
        "arm": arm,
        "left_out": left_out(recipe, arm),
    }
    if recipe.bundle.originals:
        result["originals"] = len(originals)
        result["originals_mb"] = round(manifest.size_of(ORIGINALS) / 1e6, 1)
    return result


def shipped_by(task: Task) -> str:
    """The arm that the evaluation chose; all that the recipe has where nothing was measured."""
    if "evaluate" not in task.inputs:
        return whole_arm(task.recipe)
    receipt = read_receipt(task.inputs["evaluate"])
    assert receipt  # else the pipeline had not called it finished
    return evaluate_result(receipt.result)["shipped"]


def _provenance(task: Task, arm: str, model: str | None) -> Mapping[str, object]:
    """For audits: the whole recipe, the arm that ships, key, sources and tools of each stage, and
    the licences of what is inside. Of the exported models only the one that ships is named."""
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
        receipt = read_receipt(folder)
        assert receipt
        stages[name] = {
            "key": receipt.key,
            "sources": receipt.parts["sources"],
            "tools": receipt.parts["tools"],
            "seen": receipt.seen,
            "warnings": list(receipt.warnings),
        }
    licences = {"bundle": recipe.bundle.license}
    if model is not None and recipe.base is not None:
        licences["base"] = recipe.base.license
    if recipe.knowledge and retrieves(arm):
        licences["embedder"] = recipe.knowledge.embedder.license
        if recipe.knowledge.retrieval.reranker:
            licences["reranker"] = recipe.knowledge.retrieval.reranker.license
    # Sections that few recipes have are named only where one has them: other bundles stay the same.
    excluded: dict[str, Any] = {"folder": True}
    excluded |= {name: True for name in ("targets", "device") if not getattr(recipe, name)}
    if not recipe.bundle.originals:
        excluded["bundle"] = {"originals"}
    return {
        "arm": arm,
        "recipe": recipe.model_dump(exclude=excluded),
        "stages": stages,
        "licences": licences,
        **({"not_read": not_read} if (not_read := _not_read(task)) else {}),
    }


def _not_read(task: Task) -> Mapping[str, object]:
    """Which files of the library could not be read: their number, and the first of them by name."""
    if "knowledge" not in task.inputs:
        return {}
    receipt = read_receipt(task.inputs["knowledge"])
    assert receipt
    if not receipt.result["skipped"]:
        return {}
    read = cast(LibraryResult, receipt.result)
    names = [document for document, _ in read["listed"]["skipped"]]
    return {"files": read["skipped"], "names": names}
