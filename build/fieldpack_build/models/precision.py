"""What a model may be exported as: a precision, and for whole numbers the algorithm and block that
round to it. Knows nothing of files or of how a candidate fares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Precision = Literal["int4", "int8", "fp16", "fp32"]
_ALGORITHMS: dict[str, dict[str, str]] = {
    "rtn": {},
    "k_quant": {"algo_config": "k_quant"},
    "k_quant_last": {"algo_config": "k_quant", "matmul_mixed_precision": "last_matmul:int8"},
    "k_quant_mixed": {
        "algo_config": "k_quant",
        "matmul_mixed_precision": "last_matmul:int8,mixed_layers:int8",
    },
    # The weights lie on the grid of the builder's default quantizer already (`export.gptq`). That
    # one names an int8 head otherwise than shared embeddings look for it (genai 0.18: "Node input
    # 'lm_head.MatMul.weight_Q8G32' is not a graph input"), so `quantize_embeddings` shares them.
    "gptq": {"matmul_mixed_precision": "last_matmul:int8", "shared_embeddings": "false"},
    "gptq_mixed": {
        "matmul_mixed_precision": "last_matmul:int8,mixed_layers:int8",
        "shared_embeddings": "false",
    },
}
_MIXED = ("k_quant_mixed", "gptq_mixed")
_INT8_HEAD = ("k_quant_last", "gptq", *_MIXED)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A precision with what it needs: `algorithm` for int4 alone, `block_size` (weights that share
    a scale) for int4 and int8."""

    precision: Precision
    algorithm: str | None = None
    block_size: int | None = None

    @property
    def name(self) -> str:
        """The name as the recipe writes it: int4-k_quant_mixed-32, int8-32, fp16."""
        parts = (self.precision, self.algorithm, self.block_size)
        return "-".join(str(part) for part in parts if part is not None)

    @property
    def quantized(self) -> bool:
        """Whether the weights are rounded to whole numbers."""
        return self.precision in ("int4", "int8")

    @property
    def int8_head(self) -> bool:
        """Whether the output matrix is in int8, whatever the others are in."""
        return self.precision == "int8" or self.algorithm in _INT8_HEAD

    @property
    def calibrated(self) -> bool:
        """Whether the model is rounded on calibration texts before the builder sees it."""
        return self.algorithm in ("gptq", "gptq_mixed")

    @property
    def mixed(self) -> bool:
        """Whether the matrices that lose most by int4 are in int8."""
        return self.algorithm in _MIXED

    @property
    def rounded_alike(self) -> Candidate:
        """The one candidate that stands for all that are rounded alike in torch (`rounding`)."""
        if self.precision != "int4":
            return self
        return Candidate("int4", "k_quant_last" if self.int8_head else "rtn", self.block_size)

    @property
    def options(self) -> dict[str, str]:
        """The options that genai's builder is given for it."""
        blocks = {"block_size": str(self.block_size)} if self.block_size else {}
        return blocks | (_ALGORITHMS[self.algorithm] if self.algorithm else {})


FP32 = Candidate("fp32")


def unfit(candidate: Candidate, config: Mapping[str, Any]) -> str | None:
    """Say why the builder would fail on a model of this config.json, after it has read all of it;
    None if nothing is known."""
    if config.get("model_type") == "gpt_oss" and candidate.quantized:
        return (
            "the builder quantizes gpt-oss from its publisher's MXFP4 tensors alone, which a "
            "merged model no longer has"
        )
    heads = config.get("head_dim") or int(config.get("hidden_size", 0)) // max(
        1, int(config.get("num_attention_heads", 1))
    )
    widths = (
        config.get("hidden_size"),
        config.get("intermediate_size"),
        heads * int(config.get("num_attention_heads", 0)),
    )
    blocks = [
        (width, -(-int(width) // candidate.block_size))
        for width in widths
        if width and candidate.block_size
    ]
    odd = [(width, count) for width, count in blocks if count % 2]
    if odd and (candidate.algorithm or "").startswith("k_quant"):
        # onnxruntime 1.31 packs two zero points into a byte: "cannot reshape array of size 4320
        # into shape (960,newaxis)"
        return (
            f"k_quant needs an even number of blocks in a row: this model has rows of {odd[0][0]}, "
            f"{odd[0][1]} blocks"
        )
    return None


def candidate(precision: Precision, algorithm: str, block_size: int) -> Candidate:
    """Return the candidate of a recipe's settings, with those that this precision has a use for."""
    if precision == "int4":
        return Candidate(precision, algorithm, block_size)
    return Candidate(precision, None, block_size if precision == "int8" else None)


def parse(name: str) -> Candidate:
    """Return the candidate of a name; the recipe has refused all others."""
    precision, *rest = name.split("-")
    algorithm = rest[0] if len(rest) == 2 else None
    return Candidate(precision, algorithm, int(rest[-1]) if rest else None)  # type: ignore[arg-type]
