"""Proves that rows which are joined in one sequence, packed or behind a shared beginning, do not
see each other: an attention kernel, a convolution or a state that carries something from one row
into the next would be trained on. Knows nothing of recipes or trainers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..data.prompts import IGNORED, Tokenized
from ..errors import CheckFailed, RecipeError
from ..models.inspection.settings import sliding_window
from .dataset import Collator, item, shared
from .loss import supervised_logits

if TYPE_CHECKING:
    from .dataset import Item

# How often the measured rounding a difference may be. Both are the largest of many differences that
# rounding makes, over a few dozen tokens, and measured in fewer shapes than there are; a row that
# sees another moves its logits by whole units.
_MARGIN = 4.0
_ROWS, _TOKENS = 3, 32  # that the proof looks at: some thirteen forward passes, seconds on a CPU


def prove_rows_isolated(model: Any, rows: Sequence[Tokenized], pad: int, *, packed: bool) -> None:
    """Raise CheckFailed unless rows in one sequence give the logits that they give apart, and do
    not move when another row's answer is changed.

    Both differences are held against the rounding of this model, dtype and CPU, measured here: how
    far the logits of a row alone move when only the shapes that it is computed in change. A fixed
    tolerance would be one CPU's: split differently, the same rows' loss differs by 1e-5 with AVX2's
    float32 kernels and by 3e-3 with AMX's bfloat16 ones."""
    import torch

    rows = _shortened(rows)
    device = next(model.parameters()).device
    mixed = device.type == "cuda" and any(
        parameter.dtype == torch.bfloat16 for parameter in model.parameters()
    )
    model.eval()

    def logits(items: list[Item], packed: bool = False) -> Any:
        batch = {
            name: tensor.to(device) for name, tensor in Collator(pad, packed=packed)(items).items()
        }
        # as the trainer computes on a GPU
        with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=mixed):
            return supervised_logits(model, batch)

    def joined(rows: Sequence[Tokenized]) -> list[Any]:
        one = item(rows) if packed else shared(rows)
        return list(logits([one], packed).split([row.supervised for row in rows]))

    alone = [logits([item([row])]) for row in rows]
    if not all(bool(one.isfinite().all()) for one in alone):
        # no numbers can be compared: the first training step ends at that and says what is wrong
        return
    together = joined(rows)
    width = sum(len(row.ids) for row in rows)
    rounding = max(
        _distance(part, alone[at])
        for at, row in enumerate(rows)
        for batch in _harmless_changes(row, width, masked=not packed)
        for part in logits(batch).split(len(alone[at]))
    )
    # No shape may have moved anything and the joint one still does: roundings of float32 results,
    # one an operation, add up as a random walk.
    scale = max(float(one.abs().max()) for one in alone)
    rounding = max(
        rounding, torch.finfo(torch.float32).eps * scale * sum(1 for _ in model.modules()) ** 0.5
    )
    apart = max(map(_distance, together, alone))
    leak = 0.0
    for changed in range(len(rows)):
        other = [
            _with_another_answer(row, alone[0].shape[-1]) if at == changed else row
            for at, row in enumerate(rows)
        ]
        moved = [
            _distance(one, before) for one, before in zip(joined(other), together, strict=True)
        ]
        leak = max(leak, *(moved[:changed] + moved[changed + 1 :]))
    if not max(apart, leak) <= _MARGIN * rounding:
        key, off = ("packing", "false") if packed else ("share", "1")
        raise CheckFailed(
            f"train.{key}: this model reads across rows (logits differ by {apart:.3g} from those "
            "of the rows apart, by "
            f"{leak:.3g} when another row is changed, and by {rounding:.3g} through rounding "
            f"alone); set train.{key}: {off}"
        )


def refuse_windowed_sharing(config: Any, rows: Sequence[Tokenized]) -> None:
    """Raise RecipeError where rows that share a beginning are longer than a window that the model's
    layers see: who sees whom is then said by a mask of our own, and transformers takes that in
    place of the window."""
    window = sliding_window(config.to_dict())
    longest = max((len(row.ids) for row in rows if row.group is not None), default=0)
    if window and longest > window:
        raise RecipeError(
            f"train.questions_per_prompt: layers of this model see the last {window:,} tokens and a row has "
            f"{longest:,}; "
            f"set train.questions_per_prompt: 1, or train.max_tokens to at most {window:,}"
        )


def _shortened(rows: Sequence[Tokenized]) -> list[Tokenized]:
    """A few of the rows, from shortly before their prompts part to shortly behind the first
    supervised token of each: what can leak shows in any tokens."""
    rows = rows[:_ROWS]
    parted = next(
        (
            at
            for at, tokens in enumerate(zip(*(row.ids for row in rows), strict=False))
            if len(set(tokens)) > 1
        ),
        0,
    )
    start, short = max(0, parted - _TOKENS), []
    for row in rows:
        first = next(at for at, label in enumerate(row.labels) if label != IGNORED)
        begin = start if parted else max(0, first - _TOKENS)
        short.append(
            replace(
                row,
                ids=row.ids[begin : first + _TOKENS],
                labels=row.labels[begin : first + _TOKENS],
            )
        )
    return short


def _harmless_changes(row: Tokenized, width: int, *, masked: bool) -> list[list[Item]]:
    """Batches that hold the row, and nothing that a causal model could see from it: tokens behind
    it, up to the joint sequence's `width`, and the row twice; where `masked`, also through the mask
    that rows with a shared beginning have."""
    more = max(width - len(row.ids), 1)
    longer = {
        "input_ids": [*row.ids, *(row.ids[at % len(row.ids)] for at in range(more))],
        "labels": [*row.labels, *[IGNORED] * more],
        "position_ids": list(range(len(row.ids) + more)),
    }
    shut_out = longer | {"segments": [1] * len(row.ids) + [2] * more}
    return [[longer], [shut_out, shut_out]] if masked else [[longer], [longer, longer]]


def _with_another_answer(row: Tokenized, vocabulary: int) -> Tokenized:
    """The row with every supervised token replaced by the next one of the vocabulary."""
    pairs = zip(row.ids, row.labels, strict=True)
    return replace(
        row, ids=[token if label == IGNORED else (token + 1) % vocabulary for token, label in pairs]
    )


def _distance(one: Any, other: Any) -> float:
    return float((one - other).abs().max())
