"""What the stages before the evaluation said of themselves (their receipts) -> rows to be laid out.
Knows nothing of HTML.

A receipt holds more than a page shows; the types here name what is shown, all of it optional, as
bundles of other versions are read too."""

from __future__ import annotations

from collections.abc import Callable

from ..evaluation.report_file import Number, Part, Receipts
from .tables import NONE

Row = tuple[str, str]  # what, and its value


class BaseModelFacts(Part):
    """Of the base model."""

    source: str | None = None
    architecture: str | None = None
    license: str | None = None
    context: Number | None = None
    vocabulary: Number | None = None

    def rows(self) -> list[Row]:
        """Return (what, value) of each fact."""
        return [
            ("Model", _plain(self.source)),
            ("Architecture", _plain(self.architecture)),
            ("License", _plain(self.license)),
            ("Context", _count(self.context, "tokens")),
            ("Vocabulary", _count(self.vocabulary, "tokens")),
        ]


class TrainingFacts(Part):
    """Of the fine-tuning."""

    examples: Number | None = None
    steps: Number | None = None
    resumed: bool = False
    first_loss: float | None = None
    last_loss: float | None = None
    supervised_tokens: Number | None = None
    tokens_per_s: Number | None = None
    device: str | None = None
    peak_gpu_mb: Number | None = None

    def rows(self) -> list[Row]:
        """Return (what, value) of each fact."""
        loss = NONE
        if self.first_loss is not None and self.last_loss is not None:
            loss = f"{self.first_loss:.3f} at first, {self.last_loss:.3f} at last"
        resumed = ", resumed from a checkpoint" if self.resumed else ""
        return [
            ("Examples", _count(self.examples)),
            ("Steps", _count(self.steps) + resumed),
            ("Loss", loss),
            ("Tokens learnt from", _count(self.supervised_tokens, "of the answers")),
            ("Speed", _count(self.tokens_per_s, "tokens/s")),
            ("Device", _plain(self.device)),
            ("Peak GPU memory", _count(self.peak_gpu_mb, "MiB")),
        ]


class MergeFacts(Part):
    """Of the merge of base and adapter."""

    matrices_moved: Number | None = None
    logit_shift: float | None = None
    merge_gap: float | None = None

    def rows(self) -> list[Row]:
        """Return (what, value) of each fact."""
        gap, shift = self.merge_gap, self.logit_shift
        return [
            ("Weight matrices changed", _count(self.matrices_moved)),
            ("Logits moved by tuning", NONE if shift is None else f"up to {shift:g}"),
            (
                "Merged against base + adapter",
                NONE if gap is None else f"logits within {gap:g}",
            ),
        ]


class Candidate(Part):
    """One precision that the export tried. `refused`: why it does not ship, None where it may."""

    name: str
    refused: str | None
    size_mb: float | None = None
    perplexity_onnx: float | None = None
    perplexity_ratio: float | None = None
    kl: float | None = None
    max_kl: float | None = None
    same_next_token: float | None = None
    min_same_next_token: float | None = None
    same_answers: float | None = None
    degradation: float | None = None
    prefill_tokens_per_s: float | None = None
    decode_tokens_per_s: float | None = None
    memory_mb: float | None = None


class PrecisionLimits(Part):
    """How much worse than full precision the recipe lets a candidate be."""

    degradation: float | None = None


class ExportFacts(Part):
    """Of an exported model, and of the candidates where its precision was chosen."""

    candidate: str | None = None
    size_mb: Number | None = None
    memory_mb: Number | None = None
    perplexity_torch: float | None = None
    perplexity_onnx: float | None = None
    perplexity_ratio: float | None = None
    same_next_token: float | None = None
    min_same_next_token: float | None = None
    kl: float | None = None
    max_kl: float | None = None
    texts_compared: Number | None = None
    candidates: list[Candidate] | None = None
    limits: PrecisionLimits | None = None
    texts: int | None = None
    positions: int | None = None

    def rows(self) -> list[Row]:
        """Return (what, value) of each fact."""
        perplexity = same = kl = NONE
        if self.perplexity_ratio is not None:
            perplexity = f"{self.perplexity_ratio:.3f} times torch's"
            if self.perplexity_torch is not None and self.perplexity_onnx is not None:
                perplexity += f" ({self.perplexity_onnx:.2f} against {self.perplexity_torch:.2f})"
        if self.same_next_token is not None:
            same = f"{self.same_next_token:.1%}"
            if self.min_same_next_token is not None:
                same += f" (at least {self.min_same_next_token:.1%})"
        if self.kl is not None:
            kl = f"{self.kl:.2g} nats"
            if self.max_kl is not None:
                kl += f" (at most {self.max_kl:.2g})"
        return [
            ("Precision", _plain(self.candidate)),
            ("Size", _count(self.size_mb, "MB")),
            ("Memory at its peak", _count(self.memory_mb, "MB")),
            ("Perplexity", perplexity),
            ("Same next token as torch", same),
            ("KL from torch", kl),
            ("Texts with the same tokens", _count(self.texts_compared)),
        ]


class EmbedderFacts(Part):
    """Of the embedding model."""

    source: str | None = None
    license: str | None = None
    dim: Number | None = None
    max_tokens: Number | None = None
    pooling: str | None = None
    cosine_to_torch: float | None = None

    def rows(self) -> list[Row]:
        """Return (what, value) of each fact."""
        cosine = self.cosine_to_torch
        return [
            ("Model", _plain(self.source)),
            ("License", _plain(self.license)),
            ("Vectors", _count(self.dim, "figures")),
            ("Reads at most", _count(self.max_tokens, "tokens")),
            ("Pooling", _plain(self.pooling)),
            ("Least cosine to torch", NONE if cosine is None else f"{cosine:.6f}"),
        ]


class KnowledgeFacts(Part):
    """Of the library."""

    documents: Number | None = None
    skipped: Number | None = None
    pages: Number | None = None
    chunks: Number | None = None

    def rows(self) -> list[Row]:
        """Return (what, value) of each fact."""
        return [
            ("Documents", _count(self.documents)),
            ("Skipped", _count(self.skipped)),
            ("Pages", _count(self.pages)),
            ("Chunks", _count(self.chunks)),
        ]


_Facts = BaseModelFacts | TrainingFacts | MergeFacts | ExportFacts | EmbedderFacts | KnowledgeFacts
# In the order of the page: stage -> heading, and what reads its receipt.
_STAGES: dict[str, tuple[str, Callable[[object], _Facts]]] = {
    "base": ("Base model", BaseModelFacts.model_validate),
    "train": ("Fine-tuning", TrainingFacts.model_validate),
    "merge": ("Merge", MergeFacts.model_validate),
    "export": ("Shipped model", ExportFacts.model_validate),
    "baseline": ("Untuned baseline", ExportFacts.model_validate),
    "embedder": ("Embedding model", EmbedderFacts.model_validate),
    "knowledge": ("Knowledge", KnowledgeFacts.model_validate),
}


def facts_table(receipts: Receipts) -> list[tuple[str, list[Row]]]:
    """Return (heading, rows) of each stage that ran and left a fact to show."""
    table = []
    for stage, (heading, read) in _STAGES.items():
        if not receipts.get(stage):
            continue
        rows = [(label, value) for label, value in read(receipts[stage]).rows() if value != NONE]
        if rows:
            table.append((heading, rows))
    return table


def _plain(value: str | None) -> str:
    return NONE if value is None else value


def _count(value: Number | None, unit: str = "") -> str:
    if value is None:
        return NONE
    digits = "0" if value >= 100 or value == int(value) else "1"
    return f"{value:,.{digits}f} {unit}".strip()
