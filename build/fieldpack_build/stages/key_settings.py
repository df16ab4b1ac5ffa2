"""What of a recipe goes into each stage's key: what shapes the stage's result, and nothing else, as
whatever stands in a key runs the stage again when it changes. Knows nothing of files or of how a
stage does its work.

Keys of recipes made before must stay as they are: a new name in a recipe is written here under its
oldest one, and a new setting appears only where it is used.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from fieldpack import prompt as runtime_prompt

from ..models import sources
from ..recipe.schema import Recipe, Section
from .conditions import drops_leaks, reranker_of


def base_settings(recipe: Recipe) -> object:
    """Return which model is resolved."""
    return {
        "source": sources.identify(recipe.base) if recipe.base else None,
        "rehearsal": recipe.rehearsal,
    }


def embedder_settings(recipe: Recipe) -> object:
    """Return which model embeds, and how. Under `precision: auto` documents and questions are read and
    are no part of the key: one that changes overnight must not change the embedder, which would
    embed the whole library again."""
    if recipe.knowledge is None:
        return None
    embedder = recipe.knowledge.embedder
    measured = recipe.evaluate is not None and embedder.precision == "auto"
    return {
        "source": sources.identify(embedder),
        "precision": embedder.precision,
        "query_prefix": embedder.query_prefix,
        "passage_prefix": embedder.passage_prefix,
        "questions": recipe.evaluate.questions if recipe.evaluate and measured else None,
    }


def reranker_settings(recipe: Recipe) -> object:
    """Return which cross-encoder is exported."""
    return sources.identify(model) if (model := reranker_of(recipe)) else None


def knowledge_settings(recipe: Recipe) -> object:
    """Return what shapes the index, beside the documents themselves."""
    knowledge = recipe.knowledge
    if knowledge is None:
        return None
    # Where and by how many a text is embedded makes no other vectors; how they are searched, the
    # runtime decides.
    shaped_by = ("chunk", "on_error", "tags", "ocr", "hidden", "vectors", "vocabulary", "language")
    # With several folders each document's name begins with that of its folder.
    named = {"documents": knowledge.places} if len(knowledge.places) > 1 else {}
    return {
        **{name: _dump(getattr(knowledge, name)) for name in shaped_by},
        **named,
        "rehearsal": recipe.rehearsal,
    }


def same_library(parts: Mapping[str, Any]) -> object:
    """Return what a library of other documents, made the same way, has in common with this one: tags
    and what a broken document means may differ."""
    settings = {
        name: value for name, value in parts["settings"].items() if name not in ("tags", "on_error")
    }
    return {**parts, "settings": settings, "sources": None}


def calibrate_settings(recipe: Recipe) -> object:
    """Return what the refusal threshold is learned on, and how wrong it may be."""
    share = recipe.evaluate.calibration if recipe.evaluate else None
    learns_from_rows = share == "train"
    return {
        "passages": recipe.answer.passages,
        "max_wrong": recipe.answer.max_wrong_refusals,
        "from": share,
        "rows": _rows_read(recipe) if learns_from_rows else None,
        "retrieval": _retrieval(recipe),
        "rehearsal": recipe.rehearsal,
    }


def quoting_settings(recipe: Recipe) -> object:
    """Return what quotes are fitted to, and how passages are retrieved for them."""
    answer = recipe.answer
    return {
        "passages": answer.passages,
        "max_wrong": answer.max_wrong_refusals,
        "refuse_below": answer.refuse_below,
        "rows": _rows_read(recipe) if recipe.train.data else "made up",
        "retrieval": _retrieval(recipe),
        "rehearsal": recipe.rehearsal,
    }


def synthesize_settings(recipe: Recipe) -> object:
    """Return who writes and what is asked for, not how many requests run at once. Test questions are
    read and are no part of the key: a new one must not pay for all rows again (where it leaks, the
    check before a build says so)."""
    if recipe.train.synthesize is None:
        return None
    shaped = _dump(recipe.train.synthesize, without=("key_env", "workers", "timeout"))
    answer = {"words": recipe.answer.max_answer_tokens, "passages": recipe.answer.passages}
    return {**shaped, **answer, "rehearsal": recipe.rehearsal}


def train_settings(recipe: Recipe) -> object:
    """Return what the model learns, from how many rows an update, in which prompts."""
    # Where to run is not what to learn, nor how an update's rows are split; checkpoints are a
    # matter of when.
    aside = {
        "device",
        "allow_cpu",
        "checkpoint_steps",
        "data",
        "follow_documents",
        "launch",
        "track",
        "synthesize",
    }
    aside |= {"effective_batch", "batch_size", "gradient_accumulation", "gradient_checkpointing"}
    if not drops_leaks(recipe):
        aside.add("on_leak")
    return {
        "train": _dump(recipe.train, without=aside),
        "rows": recipe.train.rows_an_update,
        "prompt": _prompt_settings(recipe),
        "passages": recipe.train_passages,
        "rehearsal": recipe.rehearsal,
        "order": recipe.train.data if len(recipe.train.data) > 1 else None,
    }


def merge_settings(recipe: Recipe) -> object:
    """Return nothing: how an adapter is merged, no recipe decides."""
    return None


def export_settings(recipe: Recipe) -> object:
    """Return how the model is exported. Questions and documents are read to measure with and are no
    part of the key: one that changes overnight must not make another model. Under `precision: auto`
    the candidates decide how, else algorithm and block do."""
    auto = {"candidates", "max_degradation"}
    aside = {"algorithm", "block_size"} if recipe.export.precision == "auto" else auto
    measured = recipe.export.precision == "auto"
    questions = recipe.evaluate.questions if recipe.evaluate and measured else None
    return {"export": _dump(recipe.export, without=aside), "questions": questions}


def attribute_settings(recipe: Recipe) -> object:
    """Return what is asked of every stage's model, and how it answers."""
    return {
        "attribution": _dump(recipe.evaluate.attribution) if recipe.evaluate else None,
        "answer": _answer(recipe),
        "rehearsal": recipe.rehearsal,
        "calibration": recipe.evaluate.calibration if recipe.evaluate else None,
        "retrieval": _retrieval(recipe),
        "prompt": runtime_prompt.CODE_VERSION,
        "context": recipe.export.max_context,
    }


def evaluate_settings(recipe: Recipe) -> object:
    """Return what is asked, how it is answered, and what must be reached."""
    return {
        "evaluate": _dump(recipe.evaluate),
        "answer": _answer(recipe, risk=True),
        "rehearsal": recipe.rehearsal,
        "retrieval": _retrieval(recipe),
        "prompt": runtime_prompt.CODE_VERSION,
        "context": recipe.export.max_context,
    }


def targets_settings(recipe: Recipe) -> object:
    """Return which hardware the model is made for, and the limits that it must keep to there."""
    limits = ("max_kl", "min_same_next_token", "max_perplexity_ratio", "max_context")
    return {
        "targets": [target.model_dump() for target in recipe.targets],
        "answer": _answer(recipe),
        "export": {name: getattr(recipe.export, name) for name in limits},
        "retrieval": _retrieval(recipe),
        "sample": recipe.evaluate.sample if recipe.evaluate else None,
        "prompt": runtime_prompt.CODE_VERSION,
        "rehearsal": recipe.rehearsal,
    }


def same_model(parts: Mapping[str, Any]) -> object:
    """Return what targets of the same model, made the same way, have in common: documents and
    questions may differ."""
    model = {name: parts["inputs"].get(name) for name in ("base", "merge")}
    return [
        parts["code"],
        parts["locks"],
        model,
        parts["settings"]["targets"],
        parts["settings"]["export"],
    ]


def package_settings(recipe: Recipe) -> object:
    """Return what the bundle says of itself, and the settings that it ships."""
    models = [
        recipe.base,
        recipe.knowledge.embedder if recipe.knowledge else None,
        reranker_of(recipe),
    ]
    return {
        "name": recipe.name,
        "version": recipe.version,
        "bundle": _dump(recipe.bundle, without=() if recipe.bundle.originals else ("originals",)),
        "answer": _answer(recipe, risk=True),
        "licences": [model.license if model else None for model in models],
        "retrieval": _retrieval(recipe),
        "prompt": runtime_prompt.CODE_VERSION,
        "context": recipe.export.max_context,
    }


def _dump(value: Any, *, without: Iterable[str] = ()) -> Any:
    """What of a section goes into a key, under the oldest names of its keys: a new name alone must
    run nothing again."""
    if not isinstance(value, Section):
        return value
    oldest = {new: old for old, new in value.renamed.items()}
    dumped = value.model_dump(exclude=set(without))
    return {oldest.get(name, name): item for name, item in dumped.items()}


def _answer(recipe: Recipe, *, risk: bool = False) -> object:
    """How the device answers. A risk is learned and applied by the evaluation and the package alone;
    where none is asked for, its keys name nothing. Made-up questions are the quoting stage's."""
    aside = () if risk and recipe.answer.risk is not None else ("risk", "unsure")
    return _dump(recipe.answer, without=(*aside, "made_up_questions"))


def _retrieval(recipe: Recipe) -> object:
    return _dump(recipe.knowledge.retrieval) if recipe.knowledge else None


def _prompt_settings(recipe: Recipe) -> dict[str, object]:
    """What a training prompt is made of: a change here changes what the model learned."""
    answer = recipe.answer
    return {
        "system": answer.system,
        "refusal": answer.refusal,
        "version": runtime_prompt.CODE_VERSION,
    }


def _rows_read(recipe: Recipe) -> list[object]:
    """What decides how training rows are read, and which of them are left out."""
    train = recipe.train
    return [
        train.format,
        train.conversation_turns,
        recipe.answer.refusal,
        drops_leaks(recipe),
    ]
