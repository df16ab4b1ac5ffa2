"""The report -> rows ready to be laid out. Knows nothing of HTML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..evaluation.report_file import Figures, GateResult, Interval, Report, Retrieval
from .charts.axis import arm_colour

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
    """An arm's figures, a cell a column."""

    arm: str
    colour: str
    shipped: bool
    questions: int
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class ArmsTable:
    """The figures of all arms."""

    columns: tuple[Column, ...]
    rows: tuple[ArmRow, ...]


@dataclass(frozen=True, slots=True)
class Gap:
    """What the shipped arm has more than another: `tone` is good, bad, or empty where noise may
    have made it."""

    text: str
    range: str
    tone: str


# --- figures in words -----------------------------------------------------------------------------


def figure(value: float | None) -> str:
    """Return a share or score with three decimals; a dash for what was not measured."""
    return NONE if value is None else f"{value:.3f}"


def milliseconds(value: float | None) -> str:
    """Return a time as a whole number; a dash for what was not measured."""
    return NONE if value is None else f"{value:,.0f}"


def text_of(column: Column, value: float | None) -> str:
    """Return a figure as its column writes it."""
    if value is None:
        return NONE
    if column.kind == "rate":
        return f"{value:,.1f}"
    if column.kind == "ratio":
        return f"{value:,.2f}" if value < 1000 else f"{value:,.0f}"
    return milliseconds(value) if column.kind == "time" else figure(value)


def signed(column: Column, value: float) -> str:
    """Return a difference as its column writes it, with its sign where it is not nothing."""
    text = text_of(column, abs(value))
    if not any(digit in text for digit in "123456789"):
        return text
    return ("+" if value > 0 else "−") + text


# --- tables ---------------------------------------------------------------------------------------


def arms_table(report: Report, columns: Sequence[Column] = COLUMNS) -> ArmsTable:
    """Return the figures of all arms. A figure is marked as the best only where another arm has one
    to compare it with, and is not as good. Columns that no arm has a figure for are left out,
    except where all columns are asked for."""
    shown = tuple(
        column
        for column in columns
        if columns is COLUMNS
        or any(arm.get(column.key) is not None for arm in report.arms.values())
    )
    best = {column.key: _best(column, report.arms) for column in shown}
    rows = []
    for name, arm in report.arms.items():
        cells = []
        for column in shown:
            value, range_ = arm.get(column.key), ""
            if (interval := report.intervals.get(name, {}).get(column.key)) is not None:
                range_ = f"{text_of(column, interval[0])}–{text_of(column, interval[1])}"
            is_best = value is not None and value == best[column.key]
            cells.append(Cell(text_of(column, value), is_best, range_))
        questions = int(arm.get("questions") or 0)
        rows.append(ArmRow(name, arm_colour(name), name == report.shipped, questions, tuple(cells)))
    return ArmsTable(shown, tuple(rows))


def _best(column: Column, arms: Mapping[str, Figures]) -> float | None:
    values = [value for arm in arms.values() if (value := arm.get(column.key)) is not None]
    if len(set(values)) < 2:
        return None
    return max(values) if column.best == "max" else min(values)


def against_shipped(report: Report) -> dict[tuple[str, str], Interval]:
    """Return the figure of the shipped arm less that of another, by (other arm, figure)."""
    gaps = {}
    for row in report.differences:
        if row.arm == report.shipped:
            gap = Interval(value=row.value, low=row.low, high=row.high)
            gaps[row.against, row.figure] = gap
        elif row.against == report.shipped:
            gap = Interval(value=-row.value, low=-row.high, high=-row.low)
            gaps[row.arm, row.figure] = gap
    return gaps


def gaps_table(report: Report) -> tuple[list[str], list[tuple[str, list[Gap | None]]]] | None:
    """Return (other arms, [(figure, a gap for each arm)]); None where nothing was compared."""
    gaps = against_shipped(report)
    others = [arm for arm in report.arms if arm != report.shipped]
    rows = []
    for column in COLUMNS:
        cells = [
            gap_of(column, gaps[arm, column.key]) if (arm, column.key) in gaps else None
            for arm in others
        ]
        if any(cells):
            rows.append((column.label, cells))
    return (others, rows) if rows else None


def gap_of(column: Column, gap: Interval) -> Gap:
    """Return a difference in words, and whether it is a gain."""
    tone = ""
    if gap.clear:
        tone = "good" if (gap.low > 0) == (column.best == "max") else "bad"
    range_ = f"{signed(column, gap.low)} to {signed(column, gap.high)}"
    return Gap(signed(column, gap.value), range_, tone)


def gates_table(report: Report) -> list[tuple[str, str, bool]]:
    """Return (gate as the recipe has it, what was measured, passed), the missed ones first."""
    gates = [(gate.gate, _gate_in_words(gate), gate.passed) for gate in report.gates]
    return sorted(gates, key=lambda gate: gate[2])


def _gate_in_words(gate: GateResult) -> str:
    text = _measured(gate.measured)
    if gate.low is not None:
        return f"{text}; ahead by {gate.low:.3f} to {gate.high:.3f}"
    try:
        float(gate.gate.split("=")[-1])  # the right side is written out as a number
    except ValueError:
        return text if gate.wanted is None else f"{text}, wanted {_measured(gate.wanted)}"
    return text


def _measured(value: float | None) -> str:
    if value is None:
        return "not measured"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3f}"


def retrieval_table(retrieval: Retrieval) -> tuple[int, list[tuple[str, list[str]]]]:
    """Return (questions asked, [("By document", [recall@1, @5, @10, MRR]), ("By passage",
    ...)])."""
    keys = ("recall_at_1", "recall_at_5", "recall_at_10", "mrr")
    kinds = (("By document", retrieval.document), ("By passage", retrieval.passage))
    rows = [(label, [figure((figures or {}).get(key)) for key in keys]) for label, figures in kinds]
    return retrieval.questions, rows
