"""Holds a recipe's gates (see `recipe.gates`) against what was measured. Knows nothing of how the
figures were made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..recipe.gates import RETRIEVAL, Gate, parse_gate
from .bootstrap import PairedBootstrap, between
from .report_file import Figures, GateResult

_UNKNOWN = (float("-inf"), float("inf"))


def check_gates(
    texts: Iterable[str],
    *,
    shipped: str,
    arms: Mapping[str, Figures],
    retrieval: Figures | None,
    bootstrap: PairedBootstrap,
) -> list[GateResult]:
    """Return each gate's result, in the recipe's order. A figure that was not measured reaches no
    gate. `retrieval`: the figures by document."""

    def figure(arm: str | None, metric: str) -> float | None:
        if metric in RETRIEVAL:
            return (retrieval or {}).get(metric)
        return arms.get(arm or shipped, {}).get(metric)

    results = []
    for gate in map(parse_gate, texts):
        measured = figure(gate.arm, gate.metric)
        other = figure(gate.other_arm, gate.other) if gate.other else 0.0
        wanted = None if other is None else round(gate.factor * other + gate.value, 6)
        passed = measured is not None and wanted is not None and _holds(measured - wanted, gate.op)
        result = GateResult(gate=gate.text, measured=measured, wanted=wanted, passed=passed)
        known = measured is not None and wanted is not None
        if known and (gate.sure if passed else gate.possible):
            result.low, result.high = _margin(gate, shipped, bootstrap)
            worst, best = result.low, result.high
            if gate.op == "<=":
                worst, best = best, worst
            result.passed = _holds(worst if gate.sure else best, gate.op)
        results.append(result)
    return results


def _holds(margin: float, op: str) -> bool:
    return margin >= -1e-9 if op == ">=" else margin <= 1e-9  # 0.1 + 0.2 is more than 0.3


def _margin(gate: Gate, shipped: str, bootstrap: PairedBootstrap) -> tuple[float, float]:
    """The 95% interval of what was measured less what was wanted."""
    arm, other_arm = gate.arm or shipped, gate.other_arm or shipped
    if gate.other is None or (gate.factor == 1 and gate.other == gate.metric):
        interval = (
            bootstrap.interval(arm, gate.metric)
            if gate.other is None
            else bootstrap.difference(arm, other_arm, gate.metric)
        )
        return (interval.low - gate.value, interval.high - gate.value) if interval else _UNKNOWN
    left = bootstrap.resampled(arm, gate.metric)
    right = bootstrap.resampled(other_arm, gate.other)
    if left is None or right is None:
        return _UNKNOWN
    margin = between(0.0, left - gate.factor * right - gate.value)
    return margin.low, margin.high
