"""The recipe's `export` section: in which precision the model ships, and how far it may be from the one
that was trained. Knows nothing of ONNX."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from ...errors import suggest
from .base import LimitOrAuto, Section, ShareOrAuto

_INT4 = ("rtn", "k_quant", "k_quant_last", "k_quant_mixed", "gptq", "gptq_mixed")
# precision-algorithm-block; what each stands for: models/precision.py
CANDIDATES = (
    *(f"int4-{how}-{block}" for how in _INT4 for block in (128, 64, 32)),
    "int8-32",
    "fp16",
    "fp32",
)
# Of GPTQ only the finest blocks, as each calibration takes minutes.
_DEFAULT_CANDIDATES = tuple(
    name
    for name in CANDIDATES
    if name not in ("fp16", "fp32") and ("gptq" not in name or name.endswith("-32"))
)


class Export(Section):
    """How the model becomes the ONNX file that ships."""

    precision: Literal["auto", "int4", "int8", "fp16", "fp32"] = "int4"
    """What weights are stored in; auto tries `candidates` and keeps the smallest within the
    limits."""
    # SmolLM2-135M: perplexity 36.4 in fp32; int4 rtn 51.2 (83 MB), k_quant 51.6, k_quant_last 45.4
    # (99 MB), k_quant_mixed 40.8 (109 MB).
    algorithm: Literal["rtn", "k_quant", "k_quant_last", "k_quant_mixed", "gptq", "gptq_mixed"] = (
        "k_quant_mixed"
    )
    """How int4 is rounded; the mixed ones have int8 where it matters; gptq and gptq_mixed calibrate
    on the recipe's training prompts, which takes minutes and loses least."""
    block_size: Literal[16, 32, 64, 128, 256] = 32
    """Weights that share a scale, in int4 and int8."""
    max_context: Annotated[int, Field(ge=128)] = 2048
    """Tokens of prompt and answer together; the device reserves memory for as many."""
    max_perplexity_ratio: Annotated[float, Field(ge=1)] = 1.5
    """A safety net under every precision: how many times the perplexity of the right answers may be
    that of full precision."""
    max_kl: LimitOrAuto = "auto"
    """How far the exported model may be from the one in torch, as mean KL divergence in nats. auto:
    what the candidate's own rounding costs in torch, measured in the same run on the same tokens,
    and half of that error again; beyond it, the graph computes something else (fp32: about
    1e-7)."""
    min_same_next_token: ShareOrAuto = "auto"
    """Least share of positions whose best next token is torch's, or level with it; auto as
    `max_kl`."""
    candidates: Annotated[list[str], Field(min_length=1)] = list(_DEFAULT_CANDIDATES)
    """What `precision: auto` tries: int4-ALGORITHM-BLOCK, int8-32, fp16, fp32."""
    max_size_mb: Annotated[float, Field(gt=0)] | None = None
    """Limit to the model's folder."""
    max_memory_mb: Annotated[float, Field(gt=0)] | None = None
    """Limit to what opening the model and answering one question takes."""
    # SmolLM2-135M tuned on TAT-QA, 40 questions: 0.105 (int4-rtn-32) lost 22% of answer F1, 0.063
    # (k_quant_mixed) 13%; int8 is at 0.003 (benchmarks/export.py).
    max_degradation: Annotated[float, Field(ge=0)] = 0.05
    """Under `precision: auto`, by what share a perplexity on held-out questions may rise against
    full precision: that of the right answers or of the model's own, whichever rises more."""

    @field_validator("candidates")
    @classmethod
    def _known(cls, names: list[str]) -> list[str]:
        for name in names:
            if name not in CANDIDATES:
                raise ValueError(
                    f"{name!r}: no such candidate{suggest(name, CANDIDATES)}; one of "
                    f"{', '.join(CANDIDATES)}"
                )
        if len(set(names)) < len(names):
            raise ValueError("a candidate is named twice")
        return names
