"""Proves that rows which are joined in one sequence, packed or behind a shared prompt, do not see
each other: an attention kernel, a convolution or a state that carries something from one row into
the next would be trained on. Knows nothing of recipes or trainers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ..data.prompts import IGNORED, Tokenized
from ..errors import CheckFailed, RecipeError
from ..models.inspection.settings import sliding_window
from .dataset import Collator, TokenSequence, concatenate, share_prompt
from .loss import supervised_logits

# How often the measured rounding a difference may be. Both are the largest of many differences that
# rounding makes, over a few dozen tokens, and measured in fewer shapes than there are; a row that
# sees another moves its logits by whole units.
_MARGIN = 4.0
_ROWS, _TOKENS = (
    3,
    32,
)  # that the proof looks at: some thirty short forward passes, seconds on a CPU


def rows_to_prove(rows: Sequence[Tokenized], *, packed: bool) -> list[Tokenized]:
    """Return the shortest rows that one sequence will hold, to try it with; none where every row
    has a sequence of its own."""
    by_length = sorted(rows, key=lambda row: len(row.ids))
    if packed:
        return by_length[:2]
    groups: dict[int, list[Tokenized]] = {}
    for row in by_length:
        if row.group is not None:
            groups.setdefault(row.group, []).append(row)
    return next((group for group in groups.values() if len(group) > 1), [])


def prove_rows_isolated(model: Any, rows: Sequence[Tokenized], pad: int, *, packed: bool) -> None:
    """Raise CheckFailed unless rows in one sequence give the logits that they give apart, and do
    not move when another row's answer is changed.

    Both differences are held against the rounding of this model, dtype and CPU, measured here: how
    far the logits of a row alone move when only the shapes that it is computed in change. A fixed
    tolerance would be one CPU's: split differently, the same rows' loss differs by 1e-5 with AVX2's
    float32 kernels and by 3e-3 with AMX's bfloat16 ones."""
    import torch

    rows = _shortened(rows)
    model.eval()

    def logits(sequences: list[TokenSequence]) -> Any:
        return _logits(model, Collator(pad)(sequences))

    def logits_joined(rows: Sequence[Tokenized]) -> list[Any]:
        sequence = concatenate(rows) if packed else share_prompt(rows)
        joined = _logits(model, Collator(pad, packed=packed)([sequence]))
        return list(joined.split([row.supervised for row in rows]))

    alone = [logits([concatenate([row])]) for row in rows]
    if not all(bool(one.isfinite().all()) for one in alone):
        # no numbers can be compared: the first training step ends at that and says what is wrong
        return
    joined = logits_joined(rows)
    width = sum(len(row.ids) for row in rows)
    rounding = max(
        _distance(part, alone[at])
        for at, row in enumerate(rows)
        for batch in _harmless_changes(row, width, masked=not packed)
        for part in logits(batch).split(len(alone[at]))
    )
    # No shape may have moved anything and the joint one still does. Roundings of float32 results,
    # one an operation, add up as a random walk; and a model in bfloat16 cannot tell logits apart
    # that differ by less than the last bit of one.
    scale = max(float(one.abs().max()) for one in alone)
    walk = torch.finfo(torch.float32).eps * sum(1 for _ in model.modules()) ** 0.5
    last_bit = max(torch.finfo(p.dtype).eps for p in model.parameters() if p.is_floating_point())
    rounding = max(rounding, scale * max(walk, last_bit))
    apart = max(map(_distance, joined, alone))
    leak = 0.0
    vocabulary = alone[0].shape[-1]
    for changed, row in enumerate(rows):
        # every supervised token replaced by the next one of the vocabulary
        pairs = zip(row.ids, row.labels, strict=True)
        ids = [token if label == IGNORED else (token + 1) % vocabulary for token, label in pairs]
        moved = map(
            _distance,
            logits_joined([*rows[:changed], replace(row, ids=ids), *rows[changed + 1 :]]),
            joined,
        )
        leak = max(leak, *(distance for at, distance in enumerate(moved) if at != changed))
    if not max(apart, leak) <= _MARGIN * rounding:
        key, off = ("packing", "false") if packed else ("questions_per_prompt", "1")
        raise CheckFailed(
            f"train.{key}: this model reads across rows (logits differ by {apart:.3g} from those "
            "of the rows apart, by "
            f"{leak:.3g} when another row is changed, and by {rounding:.3g} through rounding "
            f"alone); set train.{key}: {off}"
        )


def refuse_windowed_sharing(config: Any, rows: Sequence[Tokenized]) -> None:
    """Raise RecipeError where rows that share a prompt are longer than a window that the model's
    layers see: who sees whom is then said by a mask of our own, and transformers takes that in
    place of the window."""
    window = sliding_window(config.to_dict())
    longest = max((len(row.ids) for row in rows if row.group is not None), default=0)
    if window and longest > window:
        raise RecipeError(
            "train.questions_per_prompt: layers of this model see the last "
            f"{window:,} tokens and a row has "
            f"{longest:,}; "
            f"set train.questions_per_prompt: 1, or train.max_tokens to at most {window:,}"
        )


def _logits(model: Any, batch: Any) -> Any:
    """Return a batch's supervised logits as the trainer computes them on the model's device, without
    gradients: float32 [supervised tokens, vocabulary]."""
    import torch

    device = next(model.parameters()).device
    mixed = device.type == "cuda" and any(
        parameter.dtype == torch.bfloat16 for parameter in model.parameters()
    )
    on_device = {name: tensor.to(device) for name, tensor in batch.items()}
    with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=mixed):
        return supervised_logits(model, on_device)


def _shortened(rows: Sequence[Tokenized]) -> list[Tokenized]:
    """Return a few of the rows, from shortly before their prompts part to shortly behind the first
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
    short = []
    for row in rows:
        first = next(at for at, label in enumerate(row.labels) if label != IGNORED)
        begin = max(0, (parted or first) - _TOKENS)
        end = first + _TOKENS
        short.append(replace(row, ids=row.ids[begin:end], labels=row.labels[begin:end]))
    return short


def _harmless_changes(row: Tokenized, width: int, *, masked: bool) -> list[list[TokenSequence]]:
    """Return batches that hold the row, and nothing that a causal model could see from it: tokens
    behind it, some and up to the joint sequence's `width`, and the row twice; where `masked`, also through
    the mask that rows with a shared prompt have."""
    batches = []
    most = max(width - len(row.ids), 1)
    for more in sorted({1, (most + 1) // 2, most}):
        longer = {
            "input_ids": [*row.ids, *(row.ids[at % len(row.ids)] for at in range(more))],
            "labels": [*row.labels, *[IGNORED] * more],
            "position_ids": list(range(len(row.ids) + more)),
        }
        shut_out = longer | {"segments": [1] * len(row.ids) + [2] * more}
        batches += [[longer], [shut_out, shut_out] if masked else [longer, longer]]
    return batches


def _distance(one: Any, other: Any) -> float:
    return float((one - other).abs().max())
