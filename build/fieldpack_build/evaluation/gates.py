"""Holds a recipe's gates (see `gate_grammar`) against what was measured. Knows nothing of how the
figures were made."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ..recipe.gates import RETRIEVAL, Gate, parse_gate

if TYPE_CHECKING:
    from .bootstrap import Resampled


def check_gates(
    texts: Iterable[str],
    *,
    shipped: str,
    arms: Mapping[str, Mapping[str, Any]],
    retrieval: Mapping[str, Any] | None,
    drawn: Resampled,
) -> list[dict[str, Any]]:
    """For the report, in the recipe's order: what was measured, what was wanted, whether it passed.
    What was not measured does not pass."""

    def figure(arm: str | None, metric: str) -> float | None:
        if metric in RETRIEVAL:
            found: float | None = (retrieval or {}).get(metric)
        else:
            found = arms.get(arm or shipped, {}).get(metric)
        return found

    return [_check(parse_gate(text), figure, shipped, drawn) for text in texts]


def _check(
    gate: Gate, figure: Callable[[str | None, str], float | None], shipped: str, drawn: Resampled
) -> dict[str, Any]:
    measured = figure(gate.arm, gate.metric)
    other = figure(gate.other_arm, gate.other) if gate.other else 0.0
    wanted = None if other is None else round(gate.factor * other + gate.value, 6)
    passed = measured is not None and wanted is not None and _holds(measured - wanted, gate.op)
    found: dict[str, Any] = {
        "gate": gate.text,
        "measured": measured,
        "wanted": wanted,
        "passed": passed,
    }
    if gate.sure and passed:
        margin = _margin(gate, shipped, drawn)
        found |= {
            "low": margin[0],
            "high": margin[1],
            "passed": _holds(margin[0 if gate.op == ">=" else 1], gate.op),
        }
    return found


def _holds(margin: float, op: str) -> bool:
    return margin >= -1e-9 if op == ">=" else margin <= 1e-9  # 0.1 + 0.2 is more than 0.3


def _margin(gate: Gate, shipped: str, drawn: Resampled) -> tuple[float, float]:
    """95% interval of what was measured less what was wanted."""
    from .bootstrap import between

    arm, other_arm = gate.arm or shipped, gate.other_arm or shipped
    if gate.other is None:
        mine = drawn.interval(arm, gate.metric)
        return (
            (mine.low - gate.value, mine.high - gate.value)
            if mine
            else (float("-inf"), float("inf"))
        )
    if gate.factor == 1 and gate.other == gate.metric:
        gap = drawn.difference(arm, other_arm, gate.metric)
        return (
            (gap.low - gate.value, gap.high - gate.value) if gap else (float("-inf"), float("inf"))
        )
    left, right = drawn.draws(arm, gate.metric), drawn.draws(other_arm, gate.other)
    if left is None or right is None:
        return float("-inf"), float("inf")
    found = between(0.0, left - gate.factor * right - gate.value)
    return found.low, found.high
