"""Export the embedding model to ONNX in the optimum toolchain, and prove that the runtime's embedder agrees with torch.

model.onnx, tokenizer.json, embedder.json
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from fieldpack.embedder import Embedder, EmbedderSettings

from .. import sources, toolchains
from ..errors import CheckFailed, SourceError
from ..task import Task

LEAST_COSINE = 0.999
# Short, long (past most models' limit), figures, a table row, another script, nearly nothing.
CANARIES = (
    "What does the fund cost a year?",
    "Settlement fails are chased from the morning of the day after the contractual settlement date. " * 40,
    "GBP 1,250.50 on 31 March 2025 (0.75%)",
    "Fund | A class | I class\nGlobal Equity | 0.75% | 0.55%",
    "Какова комиссия фонда? 基金的费用是多少?",
    "a",
)
_POOLINGS = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls", "pooling_mode_lasttoken": "last"}


def run(task: Task) -> dict[str, Any]:
    knowledge = task.recipe.knowledge
    assert knowledge
    task.note("fetching the embedding model")
    source = sources.fetch(knowledge.embedder, task.recipe, task.store.models)
    if not (source / "modules.json").is_file():
        raise SourceError(f"{knowledge.embedder.model}: {source} is no sentence-transformers model (no modules.json)")
    toolchain = toolchains.ensure("optimum", task.store.toolchains, task.note)
    work = task.out / "work"
    work.mkdir()
    task.note("exporting to ONNX")
    export = ["-m", "optimum.exporters.onnx", "--model", str(source), "--task", "feature-extraction"]
    toolchains.run(toolchain, [*export, "--library", "sentence_transformers", str(work / "onnx")])
    for name in ("model.onnx", "tokenizer.json"):
        shutil.move(work / "onnx" / name, task.out / name)
    task.note("comparing with torch")
    (work / "texts.json").write_text(json.dumps(CANARIES), encoding="utf-8")
    encode = [str(Path(toolchains.__file__).with_name("encode.py")), str(source), str(work / "texts.json")]
    facts = json.loads(toolchains.run(toolchain, [*encode, str(work / "torch.npy")]).splitlines()[-1])
    settings = read_settings(source, dim=facts["dim"], max_tokens=facts["max_tokens"])
    settings.write(task.out)
    cosine = _parity(task.out, work / "torch.npy")
    shutil.rmtree(work)
    return {
        "dim": settings.dim, "max_tokens": settings.max_tokens, "pooling": settings.pooling,
        "cosine_to_torch": cosine, "source": knowledge.embedder.model, "license": knowledge.embedder.license,
    }  # fmt: skip


def read_settings(source: Path, *, dim: int, max_tokens: int) -> EmbedderSettings:
    """Pooling, normalisation and prefixes from the model's own files (modules.json and what it names)."""
    modules = json.loads((source / "modules.json").read_text(encoding="utf-8"))
    kinds = {module["type"].rsplit(".", 1)[-1]: source / module["path"] for module in modules}
    unknown = kinds.keys() - {"Transformer", "Pooling", "Normalize"}
    if unknown:
        raise SourceError(f"{source}: modules {', '.join(sorted(unknown))} are not supported on the device yet")
    pooling = json.loads((kinds["Pooling"] / "config.json").read_text(encoding="utf-8")) if "Pooling" in kinds else {}
    mode: Any = pooling.get("pooling_mode") or next((v for k, v in _POOLINGS.items() if pooling.get(k)), None)
    mode = {"lasttoken": "last"}.get(str(mode), mode)
    if mode not in ("mean", "cls", "last"):
        raise SourceError(f"{source}: pooling {mode or pooling} is not supported on the device yet")
    settings_file = source / "config_sentence_transformers.json"
    prompts = json.loads(settings_file.read_text(encoding="utf-8")).get("prompts", {}) if settings_file.is_file() else {}
    passage = next((prompts[name] for name in ("document", "passage", "corpus") if prompts.get(name)), "")
    return EmbedderSettings(dim, max_tokens, mode, True, prompts.get("query", ""), passage)


def _parity(folder: Path, reference: Path) -> float:
    """The least cosine between the runtime's vectors and torch's; CheckFailed under 0.999."""
    import numpy as np

    ours = Embedder.open(folder).embed_passages(CANARIES)
    least = float((ours * np.load(reference)).sum(axis=1).min())
    if not least >= LEAST_COSINE:
        raise CheckFailed(f"the exported embedder differs from torch: cosine {least:.4f}, at least {LEAST_COSINE} wanted")
    return round(least, 6)
