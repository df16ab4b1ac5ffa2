"""Rounds the linear layers of a model to int4 by GPTQ (Frantar et al., 2022, arXiv:2210.17323):
each weight's rounding error is made up for by the weights that are not rounded yet, as far as the
inputs of the layer in calibration texts allow.

What comes out is a model in float32 whose weights lie on the grid that onnxruntime's symmetric
quantizer chooses for them: in every block one weight is the lowest whole number, so that the
quantizer finds the same scale and the same whole numbers again. So any architecture that the
exporter knows can be exported, by the exporter as it is. Knows nothing of files or recipes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from math import ceil
from typing import Any

_DAMPING = 0.01  # of the mean of the Hessian's diagonal, as the paper has it (section 4)
_COLUMNS = (
    128  # rounded before the rest of the matrix is brought up to date (the paper's lazy batches)
)
_LOWEST, _HIGHEST = -8, 7
# Shares of a block's largest weight that are tried as the end of its scale: a smaller one cuts the
# largest weight and rounds all others finer.
_SHARES = tuple(1 - 0.02 * step for step in range(16))


def round_to_int4(
    model: Any,
    texts: Sequence[Sequence[int]],
    *,
    block_size: int,
    half_scales: bool = False,
    keep: Callable[[int, str], bool] = lambda layer, name: False,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Round the decoder layers' linear weights in place; the output matrix and the embeddings stay.

    `model`: a causal language model of transformers in float32. `texts`: calibration prompts as
    tokens. `block_size`: weights of a row that share a scale. `half_scales`: every scale is a
    float16, as OpenVINO stores them. `keep(layer, name)`: True for a
    linear layer that stays as it is, by the number of its decoder layer and its name in it
    (`mlp.down_proj`). `on_progress`: decoder layers done, and all of them. Raises ValueError where
    the model has no list of decoder layers."""
    import torch

    layers = decoder_layers(model)
    with torch.inference_mode():
        hidden, arguments = _inputs(model, layers, texts)
        for number, layer in enumerate(layers):
            linears = {
                name: module
                for name, module in layer.named_modules()
                if isinstance(module, torch.nn.Linear) and not keep(number, name)
            }
            with _hessians(linears) as hessians:
                for states, given in zip(hidden, arguments, strict=True):
                    layer(states, *given[number][0], **given[number][1])
            for name, module in linears.items():
                if name in hessians:  # an expert that no text reached has none
                    rounded = round_matrix(
                        module.weight.float(),
                        hessians.pop(name),
                        block_size=block_size,
                        half_scales=half_scales,
                    )
                    module.weight.copy_(rounded)
            for index, (states, given) in enumerate(zip(hidden, arguments, strict=True)):
                output = layer(states, *given[number][0], **given[number][1])
                hidden[index] = output[0] if isinstance(output, tuple) else output
            on_progress(number + 1, len(layers))


def decoder_layers(model: Any) -> Any:
    """Return the model's list of decoder layers: the ModuleList as long as its configuration says.
    Raises ValueError."""
    import torch

    count = model.config.get_text_config().num_hidden_layers
    lists = [m for m in model.modules() if isinstance(m, torch.nn.ModuleList) and len(m) == count]
    if not lists:
        raise ValueError(f"{type(model).__name__} has no list of its {count} decoder layers")
    return max(lists, key=lambda m: sum(p.numel() for p in m.parameters()))


def _inputs(model: Any, layers: Any, texts: Sequence[Sequence[int]]) -> tuple[list[Any], list[Any]]:
    """What the first layer reads of each text, float32 [1, tokens, hidden], and the other arguments
    of every layer (masks and positions, which differ where layers have windows)."""
    import torch

    hidden: list[Any] = []
    arguments: list[Any] = []
    current: list[Any] = []

    def record(module: Any, positional: Any, named: Any) -> None:
        if not current:
            hidden.append(positional[0] if positional else named["hidden_states"])
        rest = {key: value for key, value in named.items() if key != "hidden_states"}
        current.append((positional[1:], rest))

    handles = [layer.register_forward_pre_hook(record, with_kwargs=True) for layer in layers]
    try:
        for text in texts:
            current = []
            model(
                torch.tensor([list(text)], device=model.device), use_cache=False, logits_to_keep=1
            )
            arguments.append(current)
    finally:
        for handle in handles:
            handle.remove()
    return hidden, arguments


@contextmanager
def _hessians(linears: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Sum x^T x over all inputs x that each layer reads, float32 [in, in]."""
    sums: dict[str, Any] = {}

    def hook(name: str) -> Callable[..., None]:
        def add(module: Any, inputs: Any) -> None:
            x = inputs[0].reshape(-1, inputs[0].shape[-1]).float()
            sums[name] = sums.get(name, 0) + x.T @ x

        return add

    handles = [module.register_forward_pre_hook(hook(name)) for name, module in linears.items()]
    try:
        yield sums
    finally:
        for handle in handles:
            handle.remove()


def round_matrix(weights: Any, hessian: Any, *, block_size: int, half_scales: bool = False) -> Any:
    """Return `weights`, float32 [out, in], on the grid of int4 with a scale for each `block_size`
    of a row, which is a float16 if `half_scales` says so.

    `hessian`: the sum of x^T x over the inputs x, float32 [in, in]. Columns are rounded in the
    order of what their inputs weigh (the paper's "act-order"); blocks keep the scales that they
    have before, so that the order changes no block."""
    import torch

    out, width = weights.shape
    weights, hessian = weights.clone(), hessian.clone()
    diagonal = hessian.diagonal()
    dead = diagonal == 0  # inputs that are always zero: any weight does
    diagonal[dead] = 1
    importance = diagonal.clone()
    diagonal += _DAMPING * diagonal.mean()
    scales, lowest = _scales(weights, importance, block_size, half_scales=half_scales)
    order = importance.argsort(descending=True)
    weights, scales, lowest = weights[:, order], scales[:, order], lowest[:, order]
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(hessian[order][:, order]))
    upper = torch.linalg.cholesky(inverse, upper=True)
    rounded = torch.empty_like(weights)
    for begin in range(0, width, _COLUMNS):
        end = min(begin + _COLUMNS, width)
        part, errors = (
            weights[:, begin:end].clone(),
            torch.empty(out, end - begin, device=weights.device),
        )
        for column in range(end - begin):
            at = begin + column
            scale = scales[:, at]
            whole = (part[:, column] / scale).round().clamp(_LOWEST, _HIGHEST)
            whole = torch.where(lowest[:, at], torch.full_like(whole, _LOWEST), whole)
            rounded[:, at] = whole * scale
            errors[:, column] = (part[:, column] - rounded[:, at]) / upper[at, at]
            part[:, column + 1 :] -= errors[:, column, None] * upper[at, at + 1 : end]
        weights[:, end:] -= errors @ upper[begin:end, end:]
    return rounded[:, order.argsort()]


def _scales(
    weights: Any, importance: Any, block_size: int, *, half_scales: bool
) -> tuple[Any, Any]:
    """For every weight, float32 and bool [out, in]: its block's scale, and whether it is the one
    that becomes the lowest whole number (the furthest from zero). Of the scales that `_SHARES`
    gives each block takes the one with the least squared rounding error, weighted by `importance`.
    """
    import torch

    out, width = weights.shape
    count = ceil(width / block_size)
    missing = count * block_size - width
    blocks = torch.nn.functional.pad(weights, (0, missing)).reshape(out, count, block_size)
    weight = torch.nn.functional.pad(importance, (0, missing)).reshape(count, block_size)
    index = blocks.abs().argmax(dim=-1, keepdim=True)

    def stored(scale: Any) -> Any:
        return scale.half().float() if half_scales else scale

    full = stored(blocks.gather(-1, index) / _LOWEST)
    zero = full == 0  # also where a float16 has no scale that small
    full = torch.where(zero, torch.ones_like(full), full)
    best, least = full, torch.full_like(full, torch.inf)
    for share in _SHARES:
        scale = stored(full * share)
        rounded = (blocks / scale).round().clamp(_LOWEST, _HIGHEST) * scale
        error = ((rounded - blocks).square() * weight).sum(dim=-1, keepdim=True)
        best, least = torch.where(error < least, scale, best), torch.fmin(error, least)
    lowest = torch.zeros_like(blocks, dtype=torch.bool).scatter_(-1, index, ~zero)
    spread = best.expand(-1, -1, block_size).reshape(out, -1)[:, :width]
    return spread, lowest.reshape(out, -1)[:, :width]
