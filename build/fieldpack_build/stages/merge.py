"""Merge the adapter into the full-precision base (never into the 4-bit one: peft#2321), and prove that it is in there.

model/         as transformers writes it, with the tokenizer
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .. import models
from ..errors import CheckFailed
from ..task import Task
from .base import MODEL
from .train import ADAPTER, encode

# Merged against base + adapter, on the canaries: bfloat16 keeps 8 bits of each sum, float32 24.
_TOLERANCE = {"float32": 2e-3, "float16": 0.25, "bfloat16": 1.0}
CANARIES = ("The annual charge of the fund is", "Settlement takes three days unless", "1 2 3 4 5 6")


def run(task: Task) -> dict[str, Any]:
    models.quiet()
    base = task.inputs["base"] / MODEL
    tokenizer = models.load_tokenizer(base)
    task.note("loading base and adapter")
    model = models.load_model(base)
    plain = _logits(model, tokenizer)
    before = _sums(model)
    model = adapt(model, task.inputs["train"] / ADAPTER)
    adapted = _logits(model, tokenizer)
    task.note("merging")
    merged = model.merge_and_unload(safe_merge=True)
    facts = _prove(plain, adapted, _logits(merged, tokenizer), before, _sums(merged), str(merged.dtype))
    merged.save_pretrained(task.out / MODEL)
    tokenizer.save_pretrained(task.out / MODEL)
    (task.out / "merge.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    return facts


def adapt(model: Any, adapter: Path) -> Any:
    from peft import PeftModel

    return PeftModel.from_pretrained(model, adapter).eval()


def _logits(model: Any, tokenizer: Any) -> Any:
    import torch

    with torch.no_grad():
        rows = [model(torch.tensor([encode(tokenizer, text)])).logits[0].float() for text in CANARIES]
    return torch.cat(rows)


def _sums(model: Any) -> dict[str, float]:
    """One figure a weight matrix of the linear layers, to see which moved."""
    import torch

    return {
        name: float(module.weight.detach().double().abs().sum())
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear)
    }


def _prove(
    plain: Any, adapted: Any, merged: Any, before: dict[str, float], after: dict[str, float], dtype: str
) -> dict[str, Any]:
    """Weights moved, logits moved, and they moved to where base + adapter is. Raises CheckFailed."""
    moved = sum(before[name] != after[name] for name in before.keys() & after.keys())
    shift = float((adapted - plain).abs().max())
    gap = float((merged - adapted).abs().max())
    if not moved or not shift > 0:
        raise CheckFailed("the adapter changes nothing: no weight or no logit moved; train longer or raise learning_rate")
    # The gap may not be a good part of the shift either, or a merge that gave back the base would pass.
    allowed = min(_TOLERANCE.get(dtype.removeprefix("torch."), 2e-3), max(0.25 * shift, 1e-5))
    if not gap <= allowed:
        raise CheckFailed(f"the merged model is not base + adapter: logits differ by {gap:.4g}, {allowed:.4g} allowed")
    return {"matrices_moved": moved, "logit_shift": round(shift, 4), "merge_gap": float(f"{gap:.3g}")}
