"""Rounds a torch model as an export of some precision is rounded, so that what a precision costs
can be told from what is wrong with an exported graph. Changes the model in place. Knows nothing of
ONNX.

float32    the output of every linear layer, to the error of a sum that another kernel adds up in
           another order
float16    the weights, and the output of every layer
int4, int8 the weights by blocks that share a scale, and what is multiplied with them to int8 by the
           same blocks, as onnxruntime's MatMulNBits does at the accuracy level that genai's builder
           sets on a CPU (4)
"""

from __future__ import annotations

from math import sqrt
from typing import Any

from ..models.precision import Candidate

_BITS = {"int4": 4, "int8": 8}
_ROWS = 4096  # of a matrix at once: rounding needs several copies of what it rounds


def round_model(model: Any, candidate: Candidate) -> None:
    """Round a float32 model in place as an export of `candidate` is rounded.

    k_quant is rounded as rtn is, and of its layers in int8 only the output matrix, so that the
    error here is about as large as the candidate's or larger."""
    if candidate.precision == "fp32":
        _round_sums(model)
    elif candidate.precision == "fp16":
        _round_halves(model)
    else:
        assert candidate.block_size
        bits = _BITS[candidate.precision]
        head_bits = 8 if candidate.int8_head else bits
        _round_blocks(model, bits, head_bits, candidate.block_size)


def _round_sums(model: Any) -> None:
    """Round the outputs of linear layers: two orders of a sum of n products differ by about
    sqrt(n) * 2^-24 of its size (Higham and Mary, 2019)."""
    import torch

    def hook(module: Any, inputs: Any, output: Any) -> Any:
        size = output.square().mean(dim=-1, keepdim=True).sqrt()
        step = (size * sqrt(module.in_features) * 2.0**-24).clamp_min(1e-37)
        return (output / step).round() * step

    for module in model.modules():
        if isinstance(module, torch.nn.Linear):
            module.register_forward_hook(hook)


def _round_halves(model: Any) -> None:
    """Round weights and the outputs of all layers to float16."""
    import torch

    def half(value: Any) -> Any:
        return (
            value.half().float()
            if isinstance(value, torch.Tensor) and value.dtype == torch.float32
            else value
        )

    def hook(module: Any, inputs: Any, output: Any) -> Any:
        return half(output) if isinstance(output, torch.Tensor) else output

    for parameter in model.parameters():
        parameter.data = half(parameter.data)
    for module in model.modules():
        if not list(module.children()):
            module.register_forward_hook(hook)


def _round_blocks(model: Any, bits: int, head_bits: int, block: int) -> None:
    """Round weights to `bits` by blocks, the output matrix to `head_bits`, and what linear layers
    multiply to int8."""
    import torch

    def hook(module: Any, inputs: Any) -> Any:
        return (round_by_blocks(inputs[0], 8, block), *inputs[1:])

    head, table = model.get_output_embeddings(), model.get_input_embeddings()
    for parameter in model.parameters():
        if parameter.dim() < 2:  # norms and biases stay as they are
            continue
        parameter_bits = bits
        if head is not None and parameter is head.weight:
            parameter_bits = head_bits
        elif parameter is table.weight:
            parameter_bits = 8  # a table of its own is kept in int8: export/quantize_embeddings.py
        for part in parameter.data.flatten(0, -2).split(_ROWS):
            part.copy_(round_by_blocks(part, parameter_bits, block))
    for module in model.modules():
        if isinstance(module, torch.nn.Linear):
            module.register_forward_pre_hook(hook)


def round_by_blocks(values: Any, bits: int, block: int) -> Any:
    """Round the values of each row, [..., width], in blocks: each block to whole multiples of its
    own scale, from -2^(bits-1) to 2^(bits-1) - 1. The value that is furthest from zero becomes the lowest of these, as
    in onnxruntime's symmetric quantizer."""
    import torch

    width = values.shape[-1]
    padded = torch.nn.functional.pad(values, (0, -width % block))
    blocks = padded.reshape(*padded.shape[:-1], -1, block)
    furthest = blocks.gather(-1, blocks.abs().argmax(dim=-1, keepdim=True))
    low = -(2 ** (bits - 1))
    scale = furthest / low
    scale = torch.where(scale == 0, torch.ones_like(scale), scale)
    rounded = (blocks / scale).round().clamp(low, -low - 1) * scale
    return rounded.reshape(padded.shape)[..., :width]
