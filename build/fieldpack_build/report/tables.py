"""The report's dict -> rows ready to be laid out. Knows nothing of HTML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .charts.bars import slug
from .charts.whiskers import against_shipped

NONE = "–"


@dataclass(frozen=True, slots=True)
class Column:
    """One figure of an arm. `best` is max or min; `kind`: time (milliseconds, megabytes: whole
    numbers), rate (tokens a second), ratio, or share."""

    key: str
    label: str
    best: str = "max"
    kind: str = "share"


QUALITY = (
    Column("f1", "F1"),
    Column("exact_match", "Exact match"),
    Column("numeric_match", "Numeric match"),
    Column("value_match", "Value match"),
    Column("refused_right", "Refused right"),
    Column("refused_wrong", "Refused wrong", "min"),
    Column("citations_valid", "Citations valid"),
    Column("citations_right", "Citations right"),
)
COST = (
    Column("perplexity", "Perplexity", "min", "ratio"),
    Column("first_token_ms", "First token, ms", "min", "time"),
    Column("total_ms", "Total, ms", "min", "time"),
    Column("tokens_per_s", "Tokens/s", "max", "rate"),
    Column("peak_mb", "Peak memory, MB", "min", "time"),
    Column("size_mb", "Bundle, MB", "min", "time"),
)
COLUMNS = (*QUALITY, *COST)
LABELS = {column.key: column.label for column in COLUMNS}


@dataclass(frozen=True, slots=True)
class Cell:
    """`range`: the 95% interval, empty where there is none."""

    text: str
    best: bool
    range: str = ""


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


def arms_table(report: Mapping[str, Any], columns: Sequence[Column] = COLUMNS) -> ArmsTable:
    """A figure is marked as the best only where another arm has one to compare it with, and is not
    as good. Columns that no arm has a figure for are left out."""
    arms: Mapping[str, Mapping[str, Any]] = report["arms"]
    intervals = report.get("intervals") or {}
    shown = tuple(
        c
        for c in columns
        if columns is COLUMNS or any(arm.get(c.key) is not None for arm in arms.values())
    )
    best = {column.key: _best(column, arms) for column in shown}
    rows = []
    for name, arm in arms.items():
        values = [(column, arm.get(column.key)) for column in shown]
        cells = tuple(
            Cell(
                text_of(c, value),
                value is not None and value == best[c.key],
                _range(c, intervals.get(name, {}).get(c.key)),
            )
            for c, value in values
        )
        rows.append(
            ArmRow(name, slug(name), name == report["shipped"], arm.get("questions") or 0, cells)
        )
    return ArmsTable(shown, tuple(rows))


@dataclass(frozen=True, slots=True)
class Gap:
    """What the shipped arm has more than another: `tone` is good, bad, or empty where noise may
    have made it."""

    text: str
    range: str
    tone: str


def gaps_table(
    report: Mapping[str, Any],
) -> tuple[list[str], list[tuple[str, list[Gap | None]]]] | None:
    """(other arms, [(figure, a gap for each arm)]); None where nothing was compared."""
    rows, others = (
        against_shipped(report),
        [arm for arm in report["arms"] if arm != report["shipped"]],
    )
    found = []
    for column in COLUMNS:
        gaps = [gap_of(column, rows.get((arm, column.key))) for arm in others]
        if any(gaps):
            found.append((column.label, gaps))
    return (others, found) if found else None


def gap_of(column: Column, gap: tuple[float, float, float] | None) -> Gap | None:
    if gap is None:
        return None
    value, low, high = gap
    better = low > 0 if column.best == "max" else high < 0
    worse = high < 0 if column.best == "max" else low > 0
    return Gap(
        signed(column, value),
        f"{signed(column, low)} to {signed(column, high)}",
        "good" if better else "bad" if worse else "",
    )


def signed(column: Column, value: float) -> str:
    text = text_of(column, abs(value))
    if not any(digit in text for digit in "123456789"):
        return text
    return ("+" if value > 0 else "−") + text


def _range(column: Column, edges: Sequence[float] | None) -> str:
    return "" if edges is None else f"{text_of(column, edges[0])}–{text_of(column, edges[1])}"


def gates_table(report: Mapping[str, Any]) -> list[tuple[str, str, bool]]:
    """(gate as the recipe has it, what was measured, passed), the missed ones first."""
    gates = [(g["gate"], _of_gate(g), bool(g["passed"])) for g in report.get("gates") or []]
    return sorted(gates, key=lambda gate: gate[2])


def _of_gate(gate: Mapping[str, Any]) -> str:
    text = _measured(gate["measured"])
    if gate.get("low") is not None:
        return f"{text}; ahead by {gate['low']:.3f} to {gate['high']:.3f}"
    wanted = gate.get("wanted")
    return text if wanted is None or _is_number(gate) else f"{text}, wanted {_measured(wanted)}"


def _is_number(gate: Mapping[str, Any]) -> bool:
    """Its right side is written out."""
    try:
        float(gate["gate"].split("=")[-1])
    except ValueError:
        return False
    return True


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
    """What the stages before said of themselves: (heading, [(what, value)]); stages that did not
    run are left out."""
    makers = {
        "base": ("Base model", _base),
        "train": ("Fine-tuning", _train),
        "merge": ("Merge", _merge),
        "export": ("Shipped model", _export),
        "baseline": ("Untuned baseline", _export),
        "embedder": ("Embedding model", _embedder),
        "knowledge": ("Knowledge", _knowledge),
    }
    found = []
    for stage, (heading, maker) in makers.items():
        rows = (
            [(label, value) for label, value in maker(model[stage]) if value != NONE]
            if model.get(stage)
            else []
        )
        if rows:
            found.append((heading, rows))
    return found


def _best(column: Column, arms: Mapping[str, Mapping[str, Any]]) -> float | None:
    values = [arm[column.key] for arm in arms.values() if arm.get(column.key) is not None]
    if len(set(values)) < 2:
        return None
    found: float = max(values) if column.best == "max" else min(values)
    return found


def text_of(column: Column, value: float | None) -> str:
    if value is None:
        return NONE
    if column.kind == "rate":
        return f"{value:,.1f}"
    if column.kind == "ratio":
        return f"{value:,.2f}" if value < 1000 else f"{value:,.0f}"
    return milliseconds(value) if column.kind == "time" else figure(value)


def _measured(value: float | None) -> str:
    if value is None:
        return "not measured"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3f}"


def _base(f: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [
        ("Model", _plain(f.get("source"))),
        ("Architecture", _plain(f.get("architecture"))),
        ("License", _plain(f.get("license"))),
        ("Context", _count(f.get("context"), "tokens")),
        ("Vocabulary", _count(f.get("vocabulary"), "tokens")),
    ]


def _train(f: Mapping[str, Any]) -> list[tuple[str, str]]:
    steps = _count(f.get("steps"), "") + (", resumed from a checkpoint" if f.get("resumed") else "")
    first, last = f.get("first_loss"), f.get("last_loss")
    loss = NONE if first is None or last is None else f"{first:.3f} at first, {last:.3f} at last"
    return [
        ("Examples", _count(f.get("examples"), "")),
        ("Steps", steps),
        ("Loss", loss),
        ("Tokens learnt from", _count(f.get("supervised_tokens"), "of the answers")),
        ("Speed", _count(f.get("tokens_per_s"), "tokens/s")),
        ("Device", _plain(f.get("device"))),
        ("Peak GPU memory", _count(f.get("peak_gpu_mb"), "MiB")),
    ]


def _merge(f: Mapping[str, Any]) -> list[tuple[str, str]]:
    gap, shift = f.get("merge_gap"), f.get("logit_shift")
    return [
        ("Weight matrices changed", _count(f.get("matrices_moved"), "")),
        ("Logits moved by tuning", NONE if shift is None else f"up to {shift:g}"),
        ("Merged against base + adapter", NONE if gap is None else f"logits within {gap:g}"),
    ]


def _export(f: Mapping[str, Any]) -> list[tuple[str, str]]:
    torch, onnx = f.get("perplexity_torch"), f.get("perplexity_onnx")
    ratio = (
        NONE if f.get("perplexity_ratio") is None else f"{f['perplexity_ratio']:.3f} times torch's"
    )
    both = "" if torch is None or onnx is None else f" ({onnx:.2f} against {torch:.2f})"
    same, least = f.get("same_next_token"), f.get("min_same_next_token")
    kl, most = f.get("kl"), f.get("max_kl")
    return [
        ("Precision", _plain(f.get("candidate"))),
        ("Size", _count(f.get("size_mb"), "MB")),
        ("Memory at its peak", _count(f.get("memory_mb"), "MB")),
        ("Perplexity", ratio + both if ratio != NONE else NONE),
        (
            "Same next token as torch",
            NONE
            if same is None
            else f"{same:.1%}" + ("" if least is None else f" (at least {least:.1%})"),
        ),
        (
            "KL from torch",
            NONE
            if kl is None
            else f"{kl:.2g} nats" + ("" if most is None else f" (at most {most:.2g})"),
        ),
        ("Texts with the same tokens", _count(f.get("texts_compared"), "")),
    ]


def _embedder(f: Mapping[str, Any]) -> list[tuple[str, str]]:
    cosine = f.get("cosine_to_torch")
    return [
        ("Model", _plain(f.get("source"))),
        ("License", _plain(f.get("license"))),
        ("Vectors", _count(f.get("dim"), "figures")),
        ("Reads at most", _count(f.get("max_tokens"), "tokens")),
        ("Pooling", _plain(f.get("pooling"))),
        ("Least cosine to torch", NONE if cosine is None else f"{cosine:.6f}"),
    ]


def _knowledge(f: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [
        ("Documents", _count(f.get("documents"), "")),
        ("Skipped", _count(f.get("skipped"), "")),
        ("Pages", _count(f.get("pages"), "")),
        ("Chunks", _count(f.get("chunks"), "")),
    ]


def _plain(value: object) -> str:
    return NONE if value is None else str(value)


def _count(value: float | None, unit: str) -> str:
    if value is None:
        return NONE
    return (
        f"{value:,.0f} {unit}".strip()
        if value >= 100 or value == int(value)
        else f"{value:,.1f} {unit}".strip()
    )
