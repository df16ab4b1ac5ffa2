"""The table of stages: what each depends on, what of the recipe shapes it, which files it reads.
Knows nothing of how a stage does its work."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fieldpack import prompt as runtime_prompt

from ..evaluation.arms import has_model
from ..models import sources
from ..pipeline import plan
from ..pipeline.plan import Plan
from ..pipeline.stage import Stage
from ..pipeline.store import Store
from ..recipe.schema import ModelSource, Recipe, Section
from ..recipe.targets import CPU

_MODEL_TOOLS = ("torch", "transformers")


def _with_knowledge(recipe: Recipe) -> bool:
    return recipe.knowledge is not None


def _reranker(recipe: Recipe) -> ModelSource | None:
    return recipe.knowledge.retrieval.reranker if recipe.knowledge else None


def _tuned(recipe: Recipe) -> bool:
    return recipe.tuned and has_model(recipe)


def _with_baseline(recipe: Recipe) -> bool:
    """The untuned model is exported too when the report shall compare with it."""
    arms = {*recipe.evaluate.arms, recipe.evaluate.ship} if recipe.evaluate else set()
    return _tuned(recipe) and any(recipe.has_arm(arm) for arm in {"base", "rag"} & arms)


def _section(*names: str) -> Callable[[Recipe], object]:
    return lambda recipe: {name: _dump(getattr(recipe, name)) for name in names}


def _dump(value: Any, *, without: Iterable[str] = ()) -> Any:
    """What of a section goes into a key, under the oldest names of its keys: a new name alone must
    run nothing again."""
    if not isinstance(value, Section):
        return value
    oldest = {new: old for old, new in value.renamed.items()}
    dumped = value.model_dump(exclude=set(without))
    return {oldest.get(name, name): item for name, item in dumped.items()}


def _prompt_settings(recipe: Recipe) -> dict[str, object]:
    """What a training prompt is made of: a change here changes what the model learned."""
    answer = recipe.answer
    return {
        "system": answer.system,
        "refusal": answer.refusal,
        "version": runtime_prompt.CODE_VERSION,
    }


def _drops_leaks(recipe: Recipe) -> bool:
    """Then the test questions say what is trained on; else they only say whether."""
    return recipe.train.on_leak == "drop" and recipe.evaluate is not None


def _train_files(recipe: Recipe) -> Sequence[Path]:
    if recipe.evaluate and _drops_leaks(recipe):
        return [*recipe.train_files, recipe.path(recipe.evaluate.questions)]
    return recipe.train_files


def _rows_read(recipe: Recipe) -> list[object]:
    """What decides how training rows are read, and which of them are left out."""
    train = recipe.train
    return [
        train.format,
        train.conversation_turns,
        recipe.answer.refusal,
        _drops_leaks(recipe),
    ]


def _synthesize_settings(recipe: Recipe) -> object:
    """Who writes and what is asked for, not how many requests run at once. Test questions are read
    and are no part of the key: a new one must not pay for all rows again (where it leaks, the check
    before a build says so)."""
    if recipe.train.synthesize is None:
        return None
    shaped = _dump(recipe.train.synthesize, without=("key_env", "workers", "timeout"))
    answer = {"words": recipe.answer.max_answer_tokens, "passages": recipe.answer.passages}
    return {**shaped, **answer, "rehearsal": recipe.rehearsal}


def _writer(recipe: Recipe) -> ModelSource | None:
    return recipe.train.synthesize.source if recipe.train.synthesize else None


def _train_settings(recipe: Recipe) -> object:
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
    if not _drops_leaks(recipe):
        aside.add("on_leak")
    return {
        "train": _dump(recipe.train, without=aside),
        "rows": recipe.train.rows_an_update,
        "prompt": _prompt_settings(recipe),
        "passages": recipe.train_passages,
        "rehearsal": recipe.rehearsal,
        "order": recipe.train.data if len(recipe.train.data) > 1 else None,
    }


def _document_files(recipe: Recipe) -> Sequence[Path]:
    from ..ingest.files import survey_of

    assert recipe.knowledge
    return survey_of(recipe, recipe.knowledge).paths


def _knowledge_settings(recipe: Recipe) -> object:
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


def _retrieval(recipe: Recipe) -> object:
    return _dump(recipe.knowledge.retrieval) if recipe.knowledge else None


def _same_library(parts: Mapping[str, Any]) -> object:
    """A library of other documents, made the same way: tags and what a broken document means may
    differ."""
    settings = {
        name: value for name, value in parts["settings"].items() if name not in ("tags", "on_error")
    }
    return {**parts, "settings": settings, "sources": None}


def _embedder_settings(recipe: Recipe) -> object:
    """Under `precision: auto` documents and questions are read and are no part of the key: one that
    changes overnight must not change the embedder, which would embed the whole library again."""
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


def _answer(recipe: Recipe, *, risk: bool = False) -> object:
    """How the device answers. A risk is learned and applied by the evaluation and the package alone;
    where none is asked for, its keys name nothing. Made-up questions are the quoting stage's."""
    aside = () if risk and recipe.answer.risk is not None else ("risk", "unsure")
    return _dump(recipe.answer, without=(*aside, "made_up_questions"))


def _calibrate_settings(recipe: Recipe) -> object:
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


def _quoting_settings(recipe: Recipe) -> object:
    answer = recipe.answer
    return {
        "passages": answer.passages,
        "max_wrong": answer.max_wrong_refusals,
        "refuse_below": answer.refuse_below,
        "rows": _rows_read(recipe) if recipe.train.data else "made up",
        "retrieval": _retrieval(recipe),
        "rehearsal": recipe.rehearsal,
    }


def _calibrate_files(recipe: Recipe) -> Sequence[Path]:
    if recipe.evaluate is None:
        return ()
    return (
        _train_files(recipe)
        if recipe.evaluate.calibration == "train"
        else [recipe.path(recipe.evaluate.questions)]
    )


def _halve(folder: Path) -> str | None:
    from ..training.microbatch import lower

    lowered = lower(folder)
    return f"{lowered.description}, from the last checkpoint" if lowered else None


def _attribute_settings(recipe: Recipe) -> object:
    return {
        "attribution": _dump(recipe.evaluate.attribution) if recipe.evaluate else None,
        "answer": _answer(recipe),
        "rehearsal": recipe.rehearsal,
        "calibration": recipe.evaluate.calibration if recipe.evaluate else None,
        "retrieval": _retrieval(recipe),
        "prompt": runtime_prompt.CODE_VERSION,
        "context": recipe.export.max_context,
    }


_EXPORTED_BY = (*_MODEL_TOOLS, "onnx", "onnx_ir", "onnxruntime", "onnxruntime-genai")


def _export_settings(recipe: Recipe) -> object:
    """Questions and documents are read to measure with and are no part of the key: one that changes
    overnight must not make another model. Under `precision: auto` the candidates decide how, else
    algorithm and block do."""
    auto = {"candidates", "max_degradation"}
    aside = {"algorithm", "block_size"} if recipe.export.precision == "auto" else auto
    measured = recipe.export.precision == "auto"
    questions = recipe.evaluate.questions if recipe.evaluate and measured else None
    return {"export": _dump(recipe.export, without=aside), "questions": questions}


def _package_settings(recipe: Recipe) -> object:
    models = [
        recipe.base,
        recipe.knowledge.embedder if recipe.knowledge else None,
        _reranker(recipe),
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


def _followed_documents(recipe: Recipe) -> tuple[str, ...]:
    """Training on documents that it follows is made of the library."""
    return ("knowledge", "embedder") if recipe.train.follow_documents else ()


_BUNDLED = (
    "base",
    "embedder",
    "reranker",
    "knowledge",
    "calibrate",
    "quoting",
    "train",
    "merge",
    "export",
    "baseline",
    "evaluate",
)


def _with_targets(recipe: Recipe) -> bool:
    return has_model(recipe) and any(target.name != CPU for target in recipe.targets)


def _targets_settings(recipe: Recipe) -> object:
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


def _same_model(parts: Mapping[str, Any]) -> object:
    """Targets of the same model, made the same way: documents and questions may differ."""
    model = {name: parts["inputs"].get(name) for name in ("base", "merge")}
    return [
        parts["code"],
        parts["locks"],
        model,
        parts["settings"]["targets"],
        parts["settings"]["export"],
    ]


STAGES: tuple[Stage, ...] = (
    Stage(
        "base",
        2,
        "resolve the base model, convert it to full precision, read its chat template",
        settings=lambda r: {
            "source": sources.identify(r.base) if r.base else None,
            "rehearsal": r.rehearsal,
        },
        files=lambda r: sources.local_files(r.base, r) if r.base else (),
        tools=(*_MODEL_TOOLS, "gguf"),
        active=has_model,
    ),
    Stage(
        "embedder",
        2,
        "export the embedding model to ONNX, compare it with torch, choose its precision",
        settings=_embedder_settings,
        files=lambda r: sources.local_files(r.knowledge.embedder, r) if r.knowledge else (),
        tools=(*_MODEL_TOOLS, "sentence-transformers", "onnx", "onnxscript", "onnxruntime"),
        active=_with_knowledge,
    ),
    Stage(
        "reranker",
        1,
        "export the cross-encoder to ONNX and compare it with torch",
        settings=lambda r: sources.identify(model) if (model := _reranker(r)) else None,
        files=lambda r: sources.local_files(model, r) if (model := _reranker(r)) else (),
        tools=("torch", "onnx", "onnxruntime"),
        active=lambda r: _reranker(r) is not None,
        locks=("optimum",),
    ),
    Stage(
        "knowledge",
        9,
        "read, chunk, embed and index the documents",
        settings=_knowledge_settings,
        needs=("embedder",),
        files=_document_files,
        active=_with_knowledge,
        resumes=True,
        updates=_same_library,
        tools=(
            "onnxruntime",
            "usearch",
            "tokenizers",
            "pypdfium2",
            "python-docx",
            "python-pptx",
            "openpyxl",
            "lxml",
            "markdown-it-py",
            "charset-normalizer",
            "py3langid",
            "snowballstemmer",
        ),
    ),
    Stage(
        "calibrate",
        3,
        "learn from which similarity on a question is refused",
        settings=_calibrate_settings,
        needs=("embedder", "reranker", "knowledge"),
        files=_calibrate_files,
        tools=("onnxruntime", "usearch"),
        active=lambda r: r.calibrated and r.evaluate is not None,
    ),
    Stage(
        "quoting",
        6,
        "fit how passages are quoted, on the training rows or on questions made of the library",
        settings=_quoting_settings,
        needs=("embedder", "reranker", "knowledge", "calibrate"),
        files=_train_files,
        tools=("onnxruntime", "usearch"),
        active=lambda r: (
            r.knowledge is not None and (bool(r.train.data) or r.answer.made_up_questions)
        ),
    ),
    Stage(
        "synthesize",
        1,
        "write training rows from the documents, sift them",
        settings=_synthesize_settings,
        sees=lambda r: ("embedder", "reranker", "knowledge"),
        files=lambda r: sources.local_files(model, r) if (model := _writer(r)) else (),
        tools=_MODEL_TOOLS,
        active=lambda r: _tuned(r) and r.train.synthesize is not None,
        resumes=True,
        updates=lambda parts: "replies",  # each is kept under all that shaped it
        needs_too=_followed_documents,
    ),
    Stage(
        "train",
        5,
        "tune an adapter on the recipe's examples",
        settings=_train_settings,
        needs=("base", "synthesize"),
        sees=lambda r: ("embedder", "reranker", "knowledge") if r.train_passages else (),
        files=_train_files,
        tools=(*_MODEL_TOOLS, "peft", "bitsandbytes"),
        active=_tuned,
        resumes=True,
        after_kill=_halve,
        needs_too=_followed_documents,
    ),
    Stage(
        "merge",
        3,
        "merge the adapter into the base, in float32",
        settings=lambda r: None,
        needs=("base", "train"),
        tools=(*_MODEL_TOOLS, "peft"),
        active=_tuned,
    ),
    Stage(
        "export",
        5,
        "export to quantized ONNX, open it, compare it with torch",
        settings=_export_settings,
        needs=("base", "merge"),
        sees=lambda r: ("embedder", "reranker", "knowledge", "synthesize"),
        tools=_EXPORTED_BY,
        active=has_model,
        resumes=True,
    ),
    Stage(
        "baseline",
        5,
        "export the untuned base the same way, to compare with",
        settings=_export_settings,
        needs=("base",),
        sees=lambda r: ("embedder", "reranker", "knowledge", "synthesize"),
        tools=_EXPORTED_BY,
        active=_with_baseline,
        resumes=True,
        needs_too=lambda r: (
            ("export",) if r.export.precision == "auto" else ()
        ),  # as the tuned model came to be
    ),
    Stage(
        "attribute",
        4,
        "ask the same questions of every stage's model: where quality was won and lost",
        settings=_attribute_settings,
        needs=(
            "base",
            "embedder",
            "reranker",
            "knowledge",
            "calibrate",
            "train",
            "merge",
            "export",
        ),
        files=lambda r: [r.path(r.evaluate.questions)] if r.evaluate else [],
        tools=(
            *_MODEL_TOOLS,
            "peft",
            "onnx",
            "onnx_ir",
            "onnxruntime",
            "onnxruntime-genai",
            "usearch",
        ),
        active=lambda r: (
            r.evaluate is not None and r.evaluate.attribution is not None and has_model(r)
        ),
        resumes=True,
    ),
    Stage(
        "evaluate",
        9,
        "ask the test questions on the staged bundle, check the gates, choose what ships",
        settings=lambda r: {
            "evaluate": _dump(r.evaluate),
            "answer": _answer(r, risk=True),
            "rehearsal": r.rehearsal,
            "retrieval": _retrieval(r),
            "prompt": runtime_prompt.CODE_VERSION,
            "context": r.export.max_context,
        },
        needs=(
            "base",
            "embedder",
            "reranker",
            "knowledge",
            "calibrate",
            "quoting",
            "train",
            "export",
            "baseline",
            "attribute",
        ),
        files=lambda r: [r.path(r.evaluate.questions)] if r.evaluate else [],
        tools=("onnxruntime", "onnxruntime-genai", "usearch"),
        active=lambda r: r.evaluate is not None,
    ),
    Stage(
        "targets",
        5,
        "make the model in other hardware's formats, ask the test questions on every target",
        settings=_targets_settings,
        needs=_BUNDLED,
        sees=lambda r: ("synthesize",),
        files=lambda r: [r.path(r.evaluate.questions)] if r.evaluate else [],
        tools=(*_MODEL_TOOLS, "onnxruntime", "onnxruntime-genai", "usearch"),
        active=_with_targets,
        updates=_same_model,
        locks=("openvino", "optimum_intel"),
    ),
    Stage(
        "package",
        5,
        "seal what ships into a bundle",
        settings=_package_settings,
        needs=(*_BUNDLED, "targets"),
    ),
)
NAMES = tuple(stage.name for stage in STAGES)


def needed_for(*names: str) -> tuple[str, ...]:
    """Return these stages, as far as there are such, and all that they build on, in order."""
    needed = set(names)
    for stage in reversed(STAGES):
        if stage.name in needed:
            needed |= set(stage.needs)
    return tuple(name for name in NAMES if name in needed)


def make_plan(
    recipe: Recipe, store: Store, *, redo: Iterable[str] = (), among: Iterable[str] = NAMES
) -> Plan:
    """Make the plan of all stages in `among`; what one of them needs must be in it too
    (`needed_for`). Stages in `redo` count as not done."""
    names = set(among)
    return plan.make_plan(
        [stage for stage in STAGES if stage.name in names], recipe, store, redo=redo
    )
