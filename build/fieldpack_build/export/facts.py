"""What is measured of an export and written down: the figures of each candidate, and what a stage
leaves beside its model for the stages that follow. Plain dictionaries, as JSON holds them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NotRequired, TypedDict

FACTS = "export.json"


class AgreementLimits(TypedDict):
    """How far an exported model may be from torch's: the largest KL in nats, the least share of
    next tokens that are the same."""

    max_kl: float
    min_same_next_token: float


class RoundingCost(AgreementLimits):
    """What a precision costs in torch alone, and the limits that follow from it for an export."""

    kl: float
    same_next_token: float


class ProbeFigures(TypedDict, total=False):
    """What a process of its own measures of an exported model. `kl` is None, and what follows it
    missing, where logits are not numbers. Memory in MiB, perplexities over the right answers."""

    memory_mb: float
    prefill_tokens_per_s: float
    decode_tokens_per_s: float
    kl: float | None
    perplexity_torch: float
    perplexity_onnx: float
    perplexity_ratio: float
    same_next_token: float
    same_answers: float
    texts: int
    positions: int


class CandidateFigures(ProbeFigures, total=False):
    """What was measured of a candidate. `failed`: why it could not be built or opened. `size_mb`:
    of 10^6 bytes. `degradation`: as `choose.degradation` has it. `refused`: why it cannot ship."""

    name: str
    precision: str
    size_mb: float
    failed: str
    degradation: float
    rounding: RoundingCost
    max_kl: float
    min_same_next_token: float
    refused: str | None


class ExportFacts(CandidateFigures):
    """What an export stage writes down: the figures of the candidate that was chosen.
    `skip_tokens`: that the device's tokenizer puts before a text. `texts_compared`: by both
    tokenizers."""

    candidate: str
    skip_tokens: int
    texts_compared: int
    candidates: NotRequired[list[CandidateFigures]]
    limits: NotRequired[dict[str, float | None]]


class RefusedFormat(TypedDict):
    """A format that was tried and does not ship, by its folder's name, and why."""

    folder: str
    refused: str


class FormatFigures(CandidateFigures, total=False):
    """What was measured of the model in another format than the CPU's. `folder`: its name under
    variants/. `asked`: the `group` that the recipe asks for. `source`: the key of the stage whose
    model it was made of, `rounded`: how (`openvino_ir.Rounding`), `like`: how the CPU's model is.
    `tried`: what was refused before it."""

    folder: str
    asked: str
    source: str
    rounded: dict[str, bool]
    like: dict[str, bool]
    texts_compared: int
    tried: list[RefusedFormat]


def read_facts(folder: Path) -> ExportFacts:
    """Read the facts that an export stage wrote into its folder."""
    facts: ExportFacts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
    return facts
