"""The report's dict -> rows ready to be laid out. Knows nothing of HTML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .charts import slug

NONE = "–"


@dataclass(frozen=True, slots=True)
class Column:
    """One figure of an arm. `best` is max or min; `time` says milliseconds, `rate` tokens a second, else a share."""

    key: str
    label: str
    best: str = "max"
    kind: str = "share"


COLUMNS = (
    Column("f1", "F1"), Column("value_match", "Value match"), Column("refused_right", "Refused right"),
    Column("refused_wrong", "Refused wrong", "min"), Column("citations_valid", "Citations valid"),
    Column("citations_right", "Citations right"), Column("first_token_ms", "First token, ms", "min", "time"),
    Column("total_ms", "Total, ms", "min", "time"), Column("tokens_per_s", "Tokens/s", "max", "rate"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Cell:
    text: str
    best: bool


@dataclass(frozen=True, slots=True)
class ArmRow:
    arm: str
    colour: str
    shipped: bool
    questions: int
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class ArmsTable:
    columns: tuple[Column, ...]
    rows: tuple[ArmRow, ...]


def figure(value: float | None) -> str:
    """A share or score, three decimals; a dash for what was not measured."""
    return NONE if value is None else f"{value:.3f}"


def milliseconds(value: float | None) -> str:
    return NONE if value is None else f"{value:,.0f}"


def arms_table(report: Mapping[str, Any]) -> ArmsTable:
    """A figure is marked as the best only where another arm has one to compare it with, and is not as good."""
    arms: Mapping[str, Mapping[str, Any]] = report["arms"]
    best = {column.key: _best(column, arms) for column in COLUMNS}
    rows = []
    for name, arm in arms.items():
        values = [(column, arm.get(column.key)) for column in COLUMNS]
        cells = tuple(Cell(_text(c, value), value is not None and value == best[c.key]) for c, value in values)
        rows.append(ArmRow(name, slug(name), name == report["shipped"], arm.get("questions") or 0, cells))
    return ArmsTable(COLUMNS, tuple(rows))


def gates_table(report: Mapping[str, Any]) -> list[tuple[str, str, bool]]:
    """(gate as the recipe has it, what was measured, passed), the missed ones first."""
    gates = [(g["gate"], _measured(g["measured"]), bool(g["passed"])) for g in report.get("gates") or []]
    return sorted(gates, key=lambda gate: gate[2])


def retrieval_table(report: Mapping[str, Any]) -> tuple[int, list[tuple[str, list[str]]]] | None:
    """(questions asked, [("by document", [recall@1, @5, @10, MRR]), ("by passage", ...)])."""
    retrieval = report.get("retrieval")
    if not retrieval:
        return None
    keys = ("recall_at_1", "recall_at_5", "recall_at_10", "mrr")
    found = {kind: retrieval.get(kind) or {} for kind in ("document", "passage")}
    rows = [(f"By {kind}", [figure(of.get(key)) for key in keys]) for kind, of in found.items()]
    return retrieval.get("questions") or 0, rows


def facts(model: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, list[tuple[str, str]]]]:
    """What the stages before said of themselves: (heading, [(what, value)]); stages that did not run are left out."""
    makers = {
        "base": ("Base model", _base), "train": ("Fine-tuning", _train), "merge": ("Merge", _merge),
        "export": ("Shipped model", _export), "baseline": ("Untuned baseline", _export),
        "embedder": ("Embedding model", _embedder), "knowledge": ("Knowledge", _knowledge),
    }  # fmt: skip
    found = []
    for stage, (heading, maker) in makers.items():
        rows = [(label, value) for label, value in maker(model[stage]) if value != NONE] if model.get(stage) else []
        if rows:
            found.append((heading, rows))
    return found


def _best(column: Column, arms: Mapping[str, Mapping[str, Any]]) -> float | None:
    values = [arm[column.key] for arm in arms.values() if arm.get(column.key) is not None]
    if len(set(values)) < 2:
        return None
    found: float = max(values) if column.best == "max" else min(values)
    return found


def _text(column: Column, value: float | None) -> str:
    if value is None:
        return NONE
    if column.kind == "rate":
        return f"{value:,.1f}"
    return milliseconds(value) if column.kind == "time" else figure(value)


def _measured(value: float | None) -> str:
    if value is None:
        return "not measured"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3f}"


def _base(f: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [("Model", _plain(f.get("source"))), ("Architecture", _plain(f.get("architecture"))),
            ("License", _plain(f.get("license"))), ("Context", _count(f.get("context"), "tokens")),
            ("Vocabulary", _count(f.get("vocabulary"), "tokens"))]  # fmt: skip


def _train(f: Mapping[str, Any]) -> list[tuple[str, str]]:
    steps = _count(f.get("steps"), "") + (", resumed from a checkpoint" if f.get("resumed") else "")
    first, last = f.get("first_loss"), f.get("last_loss")
    loss = NONE if first is None or last is None else f"{first:.3f} at first, {last:.3f} at last"
    return [("Examples", _count(f.get("examples"), "")), ("Steps", steps), ("Loss", loss),
            ("Tokens learnt from", _count(f.get("supervised_tokens"), "of the answers")),
            ("Speed", _count(f.get("tokens_per_s"), "tokens/s")), ("Device", _plain(f.get("device"))),
            ("Peak GPU memory", _count(f.get("peak_gpu_mb"), "MiB"))]  # fmt: skip


def _merge(f: Mapping[str, Any]) -> list[tuple[str, str]]:
    gap, shift = f.get("merge_gap"), f.get("logit_shift")
    return [("Weight matrices changed", _count(f.get("matrices_moved"), "")),
            ("Logits moved by tuning", NONE if shift is None else f"up to {shift:g}"),
            ("Merged against base + adapter", NONE if gap is None else f"logits within {gap:g}")]  # fmt: skip


def _export(f: Mapping[str, Any]) -> list[tuple[str, str]]:
    torch, onnx = f.get("perplexity_torch"), f.get("perplexity_onnx")
    ratio = NONE if f.get("perplexity_ratio") is None else f"{f['perplexity_ratio']:.3f} times torch's"
    both = "" if torch is None or onnx is None else f" ({onnx:.2f} against {torch:.2f})"
    same = f.get("same_next_token")
    return [("Size", _count(f.get("size_mb"), "MB")), ("Perplexity", ratio + both if ratio != NONE else NONE),
            ("Same next token as torch", NONE if same is None else f"{same:.1%}"),
            ("Texts with the same tokens", _count(f.get("texts_compared"), ""))]  # fmt: skip


def _embedder(f: Mapping[str, Any]) -> list[tuple[str, str]]:
    cosine = f.get("cosine_to_torch")
    return [("Model", _plain(f.get("source"))), ("License", _plain(f.get("license"))),
            ("Vectors", _count(f.get("dim"), "figures")), ("Reads at most", _count(f.get("max_tokens"), "tokens")),
            ("Pooling", _plain(f.get("pooling"))),
            ("Least cosine to torch", NONE if cosine is None else f"{cosine:.6f}")]  # fmt: skip


def _knowledge(f: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [("Documents", _count(f.get("documents"), "")), ("Skipped", _count(f.get("skipped"), "")),
            ("Pages", _count(f.get("pages"), "")), ("Chunks", _count(f.get("chunks"), ""))]  # fmt: skip


def _plain(value: object) -> str:
    return NONE if value is None else str(value)


def _count(value: float | None, unit: str) -> str:
    if value is None:
        return NONE
    return f"{value:,.0f} {unit}".strip() if value >= 100 or value == int(value) else f"{value:,.1f} {unit}".strip()
