"""The recipe's `answer` and `knowledge.retrieval` sections in the runtime's terms: the same
settings for training, evaluation and the bundle; with the refusal thresholds that a build has
learned, if it has."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from fieldpack.prompt import PromptSettings
from fieldpack.retrieval.fusion import RetrievalSettings
from fieldpack.retrieval.quoting import QuoteSettings
from fieldpack.untrusted import typed

from .schema import Recipe

if TYPE_CHECKING:
    from fieldpack.retrieval.retriever import Retriever

CALIBRATION = "calibration.json"  # in the calibrate stage's folder
QUOTING = "quoting.json"  # in the quoting stage's folder


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Similarities below which nothing is generated: the cosine of the best passage, and its lead
    over the others; a `lead` of None is not looked at."""

    cosine: float
    lead: float | None


def read_thresholds(folder: Path) -> Thresholds:
    """Read what the calibrate stage learned, from its folder."""
    calibration = json.loads((folder / CALIBRATION).read_text(encoding="utf-8"))
    return Thresholds(**calibration["thresholds"])


def read_quoting(folder: Path) -> QuoteSettings:
    """Read how passages are quoted, from the folder of the stage that fitted it."""
    return typed(QuoteSettings, json.loads((folder / QUOTING).read_text(encoding="utf-8")))


def prompt_settings(
    recipe: Recipe,
    calibration: Path | None = None,
    quoting: Path | None = None,
    *,
    knowledge: bool = True,
    sure_from: float | None = None,
) -> PromptSettings:
    """Return the settings of prompts and answers as the runtime reads them.

    `calibration`: folder of the stage that learned the refusal thresholds. Where they are to be
    learned and it is None, nothing is refused by them: training and export do not look at them.
    `quoting`: folder of the stage that fitted how passages are quoted; the plain weights where
    there was nothing to fit on. `knowledge`: off in a bundle without documents. `sure_from`: the
    sureness from which on the bundle answers, None where no risk is wanted or it is not yet
    learned."""
    answer = recipe.answer
    learned = read_thresholds(calibration) if calibration else Thresholds(-1.0, None)
    wanted = answer.refuse_below
    return PromptSettings(
        system=answer.system.strip(),
        refusal=answer.refusal.strip(),
        passages=answer.passages,
        max_context=recipe.export.max_context,
        max_answer_tokens=answer.max_answer_tokens,
        refuse_below=learned.cosine if wanted == "auto" else wanted,
        refuse_lead_below=learned.lead if wanted == "auto" else None,
        max_question_chars=answer.max_question_chars,
        repetition_penalty=answer.repetition_penalty,
        sure_from=sure_from,
        unsure=answer.unsure.strip() if sure_from is not None else None,
        quoting=(read_quoting(quoting) if quoting else QuoteSettings())
        if recipe.knowledge and knowledge
        else None,
    )


def retrieval_settings(recipe: Recipe) -> RetrievalSettings:
    """Return how the runtime finds passages: the recipe's settings, which have the same names."""
    assert recipe.knowledge
    section = recipe.knowledge.retrieval
    return RetrievalSettings(
        **{field.name: getattr(section, field.name) for field in fields(RetrievalSettings)}
    )


def open_library(recipe: Recipe, folders: Mapping[str, Path]) -> Retriever:
    """Open a finished library as the device will open it; `folders`: those of the stages by name,
    embedder, knowledge and reranker among them. Raises the runtime's BundleError."""
    from fieldpack.retrieval.retriever import open_retriever

    return open_retriever(
        folders["embedder"],
        folders["knowledge"],
        retrieval_settings(recipe),
        reranker=folders.get("reranker"),
    )
