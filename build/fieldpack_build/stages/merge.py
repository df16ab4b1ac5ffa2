"""Merge the adapter into the base (never into the 4-bit one: peft#2321), in float32 whatever the
base's files hold, and prove that it is in there.

A bfloat16 weight keeps 8 bits: added to it, much of what the adapter says is rounded away, and the
merged model's logits differ from base + adapter by 0.9 to 1.4 (SmolLM2-135M). The export reads
float32 all the same.

model/         as transformers writes it, in float32, with the tokenizer
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import CheckFailed
from ..models import causal_lm
from ..models.causal_lm import MODEL
from ..models.chat_template import encode
from ..pipeline.task import Task
from ..training.checkpoints import ADAPTER
from .results import MergeResult

_LOST = (
    0.01  # of what the adapter does to the logits: in float32 a merge loses a thousandth of that
)
CANARIES = ("The annual charge of the fund is", "Settlement takes three days unless", "1 2 3 4 5 6")


def run(task: Task) -> MergeResult:
    """Write the base with the adapter merged into it, in float32, into `model/`.

    Raises CheckFailed where the merged model is not base + adapter."""
    import torch

    causal_lm.quiet()
    base = task.inputs["base"] / MODEL
    tokenizer = causal_lm.load_tokenizer(base)
    task.note("loading base and adapter")
    model = causal_lm.load_model(base, dtype=torch.float32)
    merged, facts = merge(model, tokenizer, task.inputs["train"] / ADAPTER, note=task.note)
    if facts["rows_added"]:
        task.warn(
            f"the tokenizer knows {facts['rows_added']} tokens more than the model has rows: they "
            "were added, untrained"
        )
    merged.save_pretrained(task.out / MODEL)
    tokenizer.save_pretrained(task.out / MODEL)
    (task.out / "merge.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    return facts


def merge(
    model: Any, tokenizer: Any, adapter: Path, *, note: Callable[[str], None] = lambda text: None
) -> tuple[Any, MergeResult]:
    """Return the `model` in float32 with the adapter's weights in it, and what proves it. Raises
    CheckFailed."""
    model = model.float()
    added = _fit_rows(model, tokenizer, adapter)
    plain = _logits(model, tokenizer)
    before = _sums(model)
    model = adapt(model, adapter)
    adapted = _logits(model, tokenizer)
    note("merging")
    untied = _untie(model)
    merged = model.merge_and_unload(safe_merge=True)
    tied = _settle_ties(merged, untied)
    operations = sum(1 for _ in merged.modules())
    moved, shift, gap = _prove(
        plain, adapted, _logits(merged, tokenizer), before, _sums(merged), operations
    )
    return merged, {
        "matrices_moved": moved,
        "logit_shift": round(shift, 4),
        "merge_gap": float(f"{gap:.3g}"),
        "rows_added": added,
        "tied": tied,
    }


def _fit_rows(model: Any, tokenizer: Any, adapter: Path) -> int:
    """Give the embeddings as many rows as the adapter was trained on, and no fewer than the
    tokenizer has tokens: a token without a row ends the device's answer in an error. Gives the rows
    that nobody trained."""
    rows = model.get_input_embeddings().weight.shape[0]
    trained = _trained_rows(adapter)
    wanted = trained or max(rows, len(tokenizer))
    if wanted != rows:
        model.resize_token_embeddings(
            wanted
        )  # also cuts rows off: a base is often padded to a multiple of 64
    missing = max(0, len(tokenizer) - wanted)
    if missing:
        raise CheckFailed(
            f"the tokenizer has {len(tokenizer):,} tokens and the adapter was trained on "
            f"{wanted:,}; "
            "train with the tokenizer that is in the base model's folder"
        )
    return 0 if trained else wanted - rows


def _trained_rows(adapter: Path) -> int | None:
    """Rows of the embeddings or the output matrix that the adapter brings along whole; None if it
    brings neither."""
    from safetensors import safe_open

    with safe_open(adapter / "adapter_model.safetensors", "pt") as tensors:
        for name in tensors.keys():  # noqa: SIM118 (no mapping)
            if name.endswith(("embed_tokens.weight", "lm_head.weight")):
                return int(tensors.get_slice(name).get_shape()[0])
    return None


def adapt(model: Any, adapter: Path) -> Any:
    """Return the model with the adapter put on it by peft, in evaluation mode."""
    from peft import PeftModel

    return PeftModel.from_pretrained(model, adapter).eval()


def _untie(model: Any) -> bool:
    """Where embeddings and output matrix are one tensor and the adapter changes a side of it, give
    the output matrix its own copy: merged into the one tensor the change would be in both, and the
    model another than base + adapter."""
    import torch

    inner = model.get_base_model()
    sides = inner.get_input_embeddings(), inner.get_output_embeddings()
    bare = [side.get_base_layer() if hasattr(side, "get_base_layer") else side for side in sides]
    adapted = any(one is not other for one, other in zip(sides, bare, strict=True))
    if not adapted or bare[0].weight.data_ptr() != bare[1].weight.data_ptr():
        return False
    bare[1].weight = torch.nn.Parameter(bare[1].weight.detach().clone(), requires_grad=False)
    return True


def _settle_ties(merged: Any, untied: bool) -> bool:
    """Write into the config what is true after the merge; equal matrices are one, or the export
    keeps a float32 table."""
    import torch

    embed, head = merged.get_input_embeddings().weight, merged.get_output_embeddings().weight
    tied = embed.data_ptr() == head.data_ptr() or (
        embed.shape == head.shape and torch.equal(embed, head)
    )
    merged.config.tie_word_embeddings = tied
    if tied and untied:
        merged.tie_weights()
    return bool(tied)


def _logits(model: Any, tokenizer: Any) -> Any:
    import torch

    with torch.no_grad():
        rows = [
            model(torch.tensor([encode(tokenizer, text)])).logits[0].float() for text in CANARIES
        ]
    return torch.cat(rows)


def _sums(model: Any) -> dict[str, float]:
    """One figure a weight matrix of the linear layers and the embeddings, to see which moved."""
    import torch

    return {
        name: float(module.weight.detach().double().abs().sum())
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear | torch.nn.Embedding)
    }


def _prove(
    plain: Any,
    adapted: Any,
    merged: Any,
    before: dict[str, float],
    after: dict[str, float],
    operations: int,
) -> tuple[int, float, float]:
    """Prove that weights moved, logits moved, and they moved to where base + adapter is; return how
    many weights, how far the logits, and what is left to base + adapter. Raises CheckFailed.

    `plain`, `adapted`, `merged`: logits [tokens, vocabulary]."""
    import torch

    moved = sum(before[name] != after[name] for name in before.keys() & after.keys())
    shift = float((adapted - plain).abs().max())
    gap = float((merged - adapted).abs().max())
    if not moved or not shift > 0:
        raise CheckFailed(
            "the adapter changes nothing: no weight or no logit moved; train longer or raise "
            "learning_rate"
        )
    # Roundings of float32 results, one an operation, add up as a random walk: below that nothing
    # can be told.
    rounding = torch.finfo(torch.float32).eps * float(adapted.abs().max()) * operations**0.5
    allowed = max(_LOST * shift, rounding)
    if not gap <= allowed:
        raise CheckFailed(
            f"the merged model is not base + adapter: logits differ by {gap:.4g}, {allowed:.4g} "
            "allowed"
        )
    return moved, shift, gap
