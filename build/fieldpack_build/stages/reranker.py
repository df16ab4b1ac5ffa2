"""Export the cross-encoder to ONNX in the optimum toolchain, and prove that the runtime's reranker
agrees with torch.

model.onnx, tokenizer.json, reranker.json
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Literal, TypedDict, cast

from fieldpack.retrieval.reranker import Reranker, RerankerSettings

from .. import toolchains
from ..errors import CheckFailed, SourceError
from ..models import sources
from ..pipeline.task import Task
from ..recipe.schema import ModelSource
from .results import RerankerResult

MAX_DIFFERENCE = 1e-3  # of a score; float32 in torch and in onnxruntime
# Found, near, elsewhere; figures, a table's row, another script; past most models' limit; nothing
# at all.
_QUESTION = "What does the I class of the fund cost a year?"
_LONG = (
    "Settlement fails are chased from the morning of the day after the contractual settlement "
    "date. "
)
CANARIES = (
    (_QUESTION, "The I class costs 0.55% a year."),
    (_QUESTION, "The fund has two classes."),
    (_QUESTION, "Fund | A class | I class\nGlobal Equity | 0.75% | 0.55%"),
    (_QUESTION, "基金的费用是多少? Какова комиссия фонда?"),
    (_QUESTION, _LONG * 60),
    (_QUESTION, "a"),
    (_QUESTION, ""),
    ("a", _LONG),
    ("Why? " * 12, _LONG * 2),
)


class _Facts(TypedDict):
    """What the toolchain's `score.py` says of a model."""

    labels: int
    activation: str
    max_tokens: int
    pad_id: int


def run(task: Task) -> RerankerResult:
    """Write the recipe's cross-encoder as ONNX into the stage's folder.

    Raises SourceError for a model that is none or has another head than the device knows,
    CheckFailed where its scores differ from torch's."""
    knowledge = task.recipe.knowledge
    assert knowledge and knowledge.retrieval.reranker
    wanted = knowledge.retrieval.reranker
    task.note("fetching the reranker")
    source = sources.fetch(wanted, task.recipe, task.store.models)
    _require_classifier(source, wanted)
    toolchain = toolchains.ensure("optimum", task.store.toolchains, task.note)
    work = task.out / "work"
    work.mkdir()
    task.note("exporting to ONNX")
    export = [
        "-m",
        "optimum.exporters.onnx",
        "--model",
        str(source),
        "--task",
        "text-classification",
    ]
    toolchains.run(toolchain, [*export, "--library", "transformers", str(work / "onnx")])
    for path in [
        *sorted((work / "onnx").glob("model.onnx*")),
        work / "onnx" / "tokenizer.json",
    ]:  # weights beside it from 2 GB
        shutil.move(path, task.out / path.name)
    task.note("comparing with torch")
    (work / "pairs.json").write_text(json.dumps(CANARIES), encoding="utf-8")
    score = [
        str(Path(toolchains.__file__).with_name("score.py")),
        str(source),
        str(work / "pairs.json"),
    ]
    facts: _Facts = json.loads(
        toolchains.run(toolchain, [*score, str(work / "torch.npz")]).splitlines()[-1]
    )
    settings = _settings(facts, wanted)
    settings.write(task.out)
    difference = _parity(task.out, work / "torch.npz")
    shutil.rmtree(work)
    return {
        "labels": settings.labels,
        "max_tokens": settings.max_tokens,
        "activation": settings.activation,
        "difference_to_torch": difference,
        "source": wanted.model,
        "license": wanted.license,
    }


def _require_classifier(source: Path, wanted: ModelSource) -> None:
    """Raise SourceError for rerankers of the other kind: language models that say yes or no, with
    another head and another prompt."""
    path = source / "config.json"
    architectures = (
        json.loads(path.read_text(encoding="utf-8")).get("architectures", [])
        if path.is_file()
        else []
    )
    if not any(name.endswith("ForSequenceClassification") for name in architectures):
        what = ", ".join(architectures) or "no architecture in config.json"
        raise SourceError(
            f"{wanted.model}: {what}: no cross-encoder; knowledge.retrieval.reranker wants a "
            "...ForSequenceClassification model"
        )


def _settings(facts: _Facts, wanted: ModelSource) -> RerankerSettings:
    """Return the device's settings of a model. Raises SourceError for a head that it does not
    know."""
    labels, activation = facts["labels"], facts["activation"]
    if labels not in (1, 2):
        raise SourceError(
            f"{wanted.model}: a head of {labels} labels; a reranker has one (a score) or two (no, "
            "yes)"
        )
    if labels == 2:
        activation = "softmax"
    if activation not in ("identity", "sigmoid", "softmax"):
        raise SourceError(
            f"{wanted.model}: activation {activation} is not supported on the device; identity and "
            "sigmoid are"
        )
    return RerankerSettings(
        facts["max_tokens"],
        cast("Literal[1, 2]", labels),
        cast('Literal["identity", "sigmoid", "softmax"]', activation),
        facts["pad_id"],
    )


def _parity(folder: Path, reference: Path) -> float:
    """Return the greatest difference to torch on the canary pairs, of logits and of scores. Raises
    CheckFailed over 0.001."""
    import numpy as np

    reranker = Reranker.open(folder)
    differences = []
    with np.load(reference) as torch:
        for question in dict.fromkeys(question for question, _ in CANARIES):
            rows = [row for row, (other, _) in enumerate(CANARIES) if other == question]
            texts = [CANARIES[row][1] for row in rows]
            differences.append(
                np.abs(reranker.logits(question, texts) - torch["logits"][rows]).max()
            )
            differences.append(
                np.abs(reranker.score(question, texts) - torch["scores"][rows]).max()
            )
    greatest = float(np.max(differences))  # NaN stays NaN
    if not greatest <= MAX_DIFFERENCE:
        raise CheckFailed(
            f"the exported reranker differs from torch: a score by {greatest:.4f}, at most "
            f"{MAX_DIFFERENCE} wanted"
        )
    return round(greatest, 7)
