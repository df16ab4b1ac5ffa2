"""Export the embedding model to ONNX, prove that the runtime's embedder agrees with torch, and
choose its precision.

model.onnx (and model.onnx.data past 2 GB), tokenizer.json, embedder.json, dense.npz where the model
has dense layers
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fieldpack.retrieval.embedder import Embedder, EmbedderSettings

from ..embedding import bert_graph, families, precision
from ..embedding.agreement import CANARIES
from ..errors import CheckFailed
from ..models import causal_lm, sources
from ..pipeline.task import Task
from .results import EmbedderResult

MIN_COSINE = 0.9999
MIN_INT8_COSINE = 0.9  # a guard against a broken graph; what int8 costs is measured in recall


def run(task: Task) -> EmbedderResult:
    """Write the embedding model as ONNX into the stage's folder, in the recipe's precision.

    Raises SourceError for a model that cannot be had, CheckFailed where its vectors differ from
    torch's."""
    knowledge = task.recipe.knowledge
    assert knowledge
    wanted = knowledge.embedder
    task.note("fetching the embedding model")
    source = sources.fetch(wanted, task.recipe, task.store.models)
    causal_lm.quiet()
    work = task.out / "work"
    work.mkdir()
    settings, cosine = export(
        source,
        task.out,
        name=wanted.model,
        query_prefix=wanted.query_prefix,
        passage_prefix=wanted.passage_prefix,
        note=task.note,
    )
    chosen, decision = ("fp32", None) if wanted.precision == "fp32" else _quantize(task, work)
    shutil.rmtree(work)
    result: EmbedderResult = {
        "dim": settings.dim,
        "max_tokens": settings.max_tokens,
        "pooling": settings.pooling,
        "query_prefix": settings.query_prefix,
        "passage_prefix": settings.passage_prefix,
        "cosine_to_torch": cosine,
        "source": wanted.model,
        "license": wanted.license,
        "precision": chosen,
    }
    if decision is not None:
        result["decision"] = decision
    return result


def export(
    source: Path,
    folder: Path,
    *,
    name: str = "",
    query_prefix: str | None = None,
    passage_prefix: str | None = None,
    note: Any = lambda text: None,
) -> tuple[EmbedderSettings, float]:
    """Write the runtime's fp32 embedder into `folder`; gives its settings and its least cosine to
    torch. Raises SourceError for a model that cannot be had, CheckFailed where the vectors
    differ."""
    from ..embedding import torch_model

    note("loading in torch")
    layout = families.read_layout(source)
    model = torch_model.load(source)
    settings = families.read_settings(
        source,
        dim=model.get_embedding_dimension(),
        max_tokens=_max_tokens(model),
        name=name,
        query_prefix=query_prefix,
        passage_prefix=passage_prefix,
    )
    note("exporting to ONNX")
    torch_model.write_tokenizer(model, folder / "tokenizer.json")
    families.write_dense(source, folder)
    if bert_graph.can_write(layout.transformer):
        bert_graph.write(layout.transformer, folder / "model.onnx")
    else:
        torch_model.write_graph(model, folder / "model.onnx")
    settings.write(folder)
    note("comparing with torch")
    ours = Embedder.open(folder).embed_passages(CANARIES)
    theirs = torch_model.vectors(model, CANARIES, prefix=settings.passage_prefix)
    return settings, _check_cosine(
        ours, theirs, MIN_COSINE, "the exported embedder differs from torch"
    )


def _quantize(task: Task, work: Path) -> tuple[str, Mapping[str, object] | None]:
    """Write the embedder in int8, and keep it where the recipe asks for it, or where it costs little
    on the recipe's questions; gives the precision kept, and how it was decided."""
    knowledge = task.recipe.knowledge
    assert knowledge
    task.note("quantising to int8")
    candidate = precision.write_int8(task.out, work / "int8")
    fp32, int8 = Embedder.open(task.out), Embedder.open(candidate)
    wide, narrow = fp32.embed_passages(CANARIES), int8.embed_passages(CANARIES)
    _check_cosine(wide, narrow, MIN_INT8_COSINE, "the int8 embedder differs from fp32")
    if knowledge.embedder.precision == "int8":
        precision.replace_by(task.out, candidate)
        return "int8", None
    task.note("measuring int8 on the questions")
    decision = precision.decide(task.recipe, fp32, int8)
    if decision.accepted:
        precision.replace_by(task.out, candidate)
    return "int8" if decision.accepted else "fp32", asdict(decision)


def _max_tokens(model: Any) -> int:
    """Return the wrapper's limit; a model without one (ALiBi, rotary positions) has its tokenizer's or the
    network's."""
    stated = [
        model.get_max_seq_length(),
        getattr(model[0].auto_model.config, "max_position_embeddings", None),
    ]
    return int(min(value for value in stated if value))


def _check_cosine(ours: Any, theirs: Any, minimum: float, what: str) -> float:
    """Return the least cosine of two sets of vectors [texts, dim] of length 1. Raises CheckFailed
    below `minimum`."""
    cosine = float((ours * theirs).sum(axis=1).min())
    if not cosine >= minimum:
        raise CheckFailed(f"{what}: cosine {cosine:.4f}, at least {minimum} wanted")
    return round(cosine, 6)
