"""Lays finished stages out as a bundle and writes its manifest. Used for the staged bundle that is
evaluated and for the one that is sealed, so what was measured is what ships."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fieldpack.bundle.golden import write_golden
from fieldpack.bundle.manifest import (
    ORIGINALS,
    Manifest,
    describe_files,
    original_path,
    write_manifest,
)
from fieldpack.bundle.targets import VARIANTS, Target, targets_from_json
from fieldpack.index.reader import KnowledgeIndex
from fieldpack.prompt import ChatFormat, write_prompt

from ..evaluation.report_file import Report
from ..export.facts import read_facts
from ..ingest.journal import LIBRARY
from ..models.causal_lm import MODEL
from ..models.chat_template import read_chat
from ..pipeline.store import LOG, RECEIPT
from ..recipe.runtime_settings import prompt_settings, retrieval_settings
from ..recipe.schema import Recipe
from .golden import choose

TARGETS = "targets.json"  # in the targets stage's folder
_NO_CHAT = ChatFormat("", "", "", "")  # of a bundle without a language model
_NOT_SHIPPED = shutil.ignore_patterns(RECEIPT, LOG, LIBRARY)


def assemble(
    folder: Path,
    recipe: Recipe,
    inputs: Mapping[str, Path],
    *,
    model: str | None = "export",
    knowledge: bool = True,
    provenance: Mapping[str, Any],
    originals: Mapping[str, Path] | None = None,
    place: Callable[[str, str], object] = shutil.copy2,
) -> Manifest:
    """Fill `folder` (it must not exist) from finished stages; `place(source, target)` copies or
    links a file. `model`: the stage whose model goes in; None: the bundle quotes. `knowledge`: off,
    and the recipe's documents and embedder stay out. `originals`: source PDFs by their SHA-256."""
    folder.mkdir()
    if model is not None:
        shutil.copytree(inputs[model] / MODEL, folder / "model", copy_function=place)
    if recipe.knowledge is not None and knowledge:
        for name in ("embedder", "knowledge", *(("reranker",) if "reranker" in inputs else ())):
            shutil.copytree(inputs[name], folder / name, copy_function=place, ignore=_NOT_SHIPPED)
        retrieval_settings(recipe).write(folder)
    risk = None
    if originals:
        (folder / ORIGINALS).mkdir()
        for digest, source in originals.items():
            place(str(source), str(folder / original_path(digest)))
    if "evaluate" in inputs:
        shutil.copytree(inputs["evaluate"] / "report", folder / "report", copy_function=place)
        report = Report.read(folder / "report")
        risk = report.risk
        golden = choose(
            report,
            unsure=recipe.answer.unsure.strip(),
            holds_words=KnowledgeIndex(folder / "knowledge").holds_words
            if (folder / "knowledge").is_dir()
            else lambda _: True,
        )
        if golden:
            write_golden(folder, golden)
    exported = read_facts(inputs[model]) if model is not None else None
    chat = (
        read_chat(inputs["base"], skip_tokens=int(exported["skip_tokens"]))
        if exported
        else _NO_CHAT
    )
    settings = prompt_settings(
        recipe,
        inputs.get("calibrate"),
        inputs.get("quoting"),
        knowledge=knowledge,
        sure_from=risk.threshold if risk else None,
    )
    tools = (
        ("onnxruntime", "onnxruntime-genai", "usearch") if exported else ("onnxruntime", "usearch")
    )
    targets: tuple[Target, ...] = ()
    if "targets" in inputs and model is not None:
        targets = _place_targets(folder, inputs["targets"], place)
    write_prompt(folder, chat, settings)
    manifest = Manifest(
        name=recipe.name,
        version=recipe.version,
        description=recipe.bundle.description,
        files=describe_files(folder),
        limits={
            "max_context": settings.max_context,
            "max_answer_tokens": settings.max_answer_tokens,
            "max_question_chars": settings.max_question_chars,
        },
        compat={
            "provider": "cpu",
            **({"precision": exported["precision"]} if exported else {}),
            "proved_with": {name: version(name) for name in tools},
        },
        provenance=provenance,
        targets=targets,
    )
    write_manifest(folder, manifest)
    return manifest


def _place_targets(
    folder: Path, stage: Path, place: Callable[[str, str], object]
) -> tuple[Target, ...]:
    """Lay the models of other formats into the bundle and return the targets' records. `stage`: the
    folder of the stage `targets`."""
    if (stage / VARIANTS).is_dir():
        shutil.copytree(stage / VARIANTS, folder / VARIANTS, copy_function=place)
    return targets_from_json(json.loads((stage / TARGETS).read_text(encoding="utf-8"))["targets"])
