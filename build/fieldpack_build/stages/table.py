"""The table of stages: what each depends on, what of the recipe shapes it, which files it reads.
Knows nothing of how a stage does its work.

`pipeline.stage.Stage` says what each column means; the functions named in them are in
`conditions` (is the stage part of this build?), `key_settings` and `key_files`.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ..evaluation.arms import has_model
from ..pipeline import plan
from ..pipeline.plan import Plan
from ..pipeline.stage import Stage
from ..pipeline.store import Store
from ..recipe.schema import Recipe
from .conditions import (
    exports_baseline,
    fits_quotes,
    has_knowledge,
    has_reranker,
    has_targets,
    is_attributed,
    is_evaluated,
    is_tuned,
    learns_threshold,
    writes_rows,
)
from .key_files import (
    base_files,
    calibrate_files,
    document_files,
    embedder_files,
    question_files,
    reranker_files,
    train_files,
    writer_files,
)
from .key_settings import (
    attribute_settings,
    base_settings,
    calibrate_settings,
    embedder_settings,
    evaluate_settings,
    export_settings,
    knowledge_settings,
    merge_settings,
    package_settings,
    quoting_settings,
    reranker_settings,
    same_library,
    same_model,
    synthesize_settings,
    targets_settings,
    train_settings,
)

_MODEL_TOOLS = ("torch", "transformers")
_EXPORTED_BY = (*_MODEL_TOOLS, "onnx", "onnx_ir", "onnxruntime", "onnxruntime-genai")
_LIBRARY = ("embedder", "reranker", "knowledge")
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


def _followed_documents(recipe: Recipe) -> tuple[str, ...]:
    """Return the library's stages, where a changed document is to tune again."""
    return ("knowledge", "embedder") if recipe.train.follow_documents else ()


def _chosen_precision(recipe: Recipe) -> tuple[str, ...]:
    """Return the stage that chooses a precision, where one does: the untuned model is exported in the
    same."""
    return ("export",) if recipe.export.precision == "auto" else ()


def _lower_microbatch(folder: Path) -> str | None:
    """Make a training whose process was killed need less memory, and say how; None where it cannot."""
    from ..training.microbatch import lower

    lowered = lower(folder)
    return f"{lowered.description}, from the last checkpoint" if lowered else None


STAGES: tuple[Stage, ...] = (
    Stage(
        "base",
        2,
        "resolve the base model, convert it to full precision, read its chat template",
        settings=base_settings,
        files=base_files,
        tools=(*_MODEL_TOOLS, "gguf"),
        active=has_model,
    ),
    Stage(
        "embedder",
        2,
        "export the embedding model to ONNX, compare it with torch, choose its precision",
        settings=embedder_settings,
        files=embedder_files,
        tools=(*_MODEL_TOOLS, "sentence-transformers", "onnx", "onnxscript", "onnxruntime"),
        active=has_knowledge,
    ),
    Stage(
        "reranker",
        1,
        "export the cross-encoder to ONNX and compare it with torch",
        settings=reranker_settings,
        files=reranker_files,
        tools=("torch", "onnx", "onnxruntime"),
        active=has_reranker,
        locks=("optimum",),
    ),
    Stage(
        "knowledge",
        10,
        "read, chunk, embed and index the documents",
        settings=knowledge_settings,
        needs=("embedder",),
        files=document_files,
        active=has_knowledge,
        resumes=True,
        updates=same_library,
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
        settings=calibrate_settings,
        needs=_LIBRARY,
        files=calibrate_files,
        tools=("onnxruntime", "usearch"),
        active=learns_threshold,
    ),
    Stage(
        "quoting",
        7,
        "fit how passages are quoted, on the training rows or on questions made of the library",
        settings=quoting_settings,
        needs=(*_LIBRARY, "calibrate"),
        files=train_files,
        tools=("onnxruntime", "usearch"),
        active=fits_quotes,
    ),
    Stage(
        "synthesize",
        1,
        "write training rows from the documents, sift them",
        settings=synthesize_settings,
        sees=lambda recipe: _LIBRARY,
        files=writer_files,
        tools=_MODEL_TOOLS,
        active=writes_rows,
        resumes=True,
        updates=lambda parts: "replies",  # each is kept under all that shaped it
        needs_too=_followed_documents,
    ),
    Stage(
        "train",
        5,
        "tune an adapter on the recipe's examples",
        settings=train_settings,
        needs=("base", "synthesize"),
        sees=lambda recipe: _LIBRARY if recipe.train_passages else (),
        files=train_files,
        tools=(*_MODEL_TOOLS, "peft", "bitsandbytes"),
        active=is_tuned,
        resumes=True,
        after_kill=_lower_microbatch,
        needs_too=_followed_documents,
    ),
    Stage(
        "merge",
        3,
        "merge the adapter into the base, in float32",
        settings=merge_settings,
        needs=("base", "train"),
        tools=(*_MODEL_TOOLS, "peft"),
        active=is_tuned,
    ),
    Stage(
        "export",
        5,
        "export to quantized ONNX, open it, compare it with torch",
        settings=export_settings,
        needs=("base", "merge"),
        sees=lambda recipe: (*_LIBRARY, "synthesize"),  # which held-out prompts are made of
        tools=_EXPORTED_BY,
        active=has_model,
        resumes=True,
    ),
    Stage(
        "baseline",
        5,
        "export the untuned base the same way, to compare with",
        settings=export_settings,
        needs=("base",),
        sees=lambda recipe: (*_LIBRARY, "synthesize"),  # which held-out prompts are made of
        tools=_EXPORTED_BY,
        active=exports_baseline,
        resumes=True,
        needs_too=_chosen_precision,
    ),
    Stage(
        "attribute",
        5,
        "ask the same questions of every stage's model: where quality was won and lost",
        settings=attribute_settings,
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
        files=question_files,
        tools=(
            *_MODEL_TOOLS,
            "peft",
            "onnx",
            "onnx_ir",
            "onnxruntime",
            "onnxruntime-genai",
            "usearch",
        ),
        active=is_attributed,
        resumes=True,
    ),
    Stage(
        "evaluate",
        11,
        "ask the test questions on the staged bundle, check the gates, choose what ships",
        settings=evaluate_settings,
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
        files=question_files,
        tools=("onnxruntime", "onnxruntime-genai", "usearch"),
        active=is_evaluated,
    ),
    Stage(
        "targets",
        6,
        "make the model in other hardware's formats, ask the test questions on every target",
        settings=targets_settings,
        needs=_BUNDLED,
        sees=lambda recipe: ("synthesize",),
        files=question_files,
        tools=(*_MODEL_TOOLS, "onnxruntime", "onnxruntime-genai", "usearch"),
        active=has_targets,
        updates=same_model,
        locks=("openvino", "optimum_intel"),
    ),
    Stage(
        "package",
        6,
        "seal what ships into a bundle",
        settings=package_settings,
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
