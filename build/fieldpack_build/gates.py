"""Gates: what a bundle must reach to be made. Their grammar, and how they are held against what was measured.

    f1 >= 0.4                                  the arm that ships
    tuned+rag.refused_right >= 0.5             a named arm
    f1 >= rag.f1 + 0.1                         against another arm
    f1 >= 1.5 * rag.f1
    surely f1 >= rag.f1                        the whole 95% interval, not the figure alone

Knows nothing of how the figures were made.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .errors import suggest

if TYPE_CHECKING:
    from .intervals import Resampled

ARMS = ("quote", "base", "rag", "tuned", "tuned+rag")
RETRIEVAL = ("recall_at_1", "recall_at_5", "recall_at_10", "mrr")  # the library's, whatever the arm
METRICS = (
    "f1", "exact_match", "numeric_match", "value_match", "refused_right", "refused_wrong", "citations_valid",
    "citations_right", "perplexity", "first_token_ms", "total_ms", "tokens_per_s", "peak_mb", "size_mb", *RETRIEVAL,
)  # fmt: skip
_NUMBER = r"\d+(?:\.\d+)?"
_FIGURE = r"(?:(?P<arm>[a-z+]+)\.)?(?P<metric>[a-z]\w*)"
_GATE = re.compile(rf"\s*(?P<sure>surely\s+)?{_FIGURE}\s*(?P<op>>=|<=)\s*(?P<right>\S.*?)\s*")
_OTHER = re.compile(
    rf"(?:(?P<factor>{_NUMBER})\s*\*\s*)?{_FIGURE}(?:\s*(?P<sign>[+-])\s*(?P<offset>{_NUMBER}))?"
)
_SHAPES = "write `metric >= number`, `arm.metric <= number` or `metric >= 1.5 * arm.metric + number`"


@dataclass(frozen=True, slots=True)
class Gate:
    """`arm`.`metric` `op` `factor` * `other_arm`.`other` + `value`. An arm of None is the one that ships; `other` is None
    where a number alone is asked for. `sure`: the 95% interval must clear it."""

    text: str
    arm: str | None
    metric: str
    op: str
    value: float
    other_arm: str | None = None
    other: str | None = None
    factor: float = 1.0
    sure: bool = False

    @property
    def arms(self) -> tuple[str, ...]:
        """The arms it names."""
        return tuple(arm for arm in (self.arm, self.other_arm) if arm)


def parse_gate(text: str) -> Gate:
    """ValueError says what is wrong and what can be written."""
    match = _GATE.fullmatch(text)
    if not match:
        raise ValueError(f"{text!r}: {_SHAPES}")
    arm, metric, right = match["arm"], match["metric"], match["right"]
    _check_names(text, arm, metric)
    sure = match["sure"] is not None
    if sure and metric in (*RETRIEVAL, "peak_mb", "size_mb"):
        raise ValueError(f"{text!r}: {metric} has no interval; leave `surely` away")
    if re.fullmatch(rf"-?{_NUMBER}", right):
        return Gate(text, arm, metric, match["op"], float(right), sure=sure)
    if percent := re.fullmatch(rf"({_NUMBER})\s*%", right):
        raise ValueError(f"{text!r}: shares go from 0 to 1; write {float(percent[1]) / 100:g}")
    other = _OTHER.fullmatch(right)
    if not other:
        raise ValueError(f"{text!r}: {right!r} is neither a number nor a figure of an arm; {_SHAPES}")
    _check_names(text, other["arm"], other["metric"])
    offset = float(other["offset"] or 0) * (-1 if other["sign"] == "-" else 1)
    return Gate(text, arm, metric, match["op"], offset, other["arm"], other["metric"], float(other["factor"] or 1), sure)


def _check_names(text: str, arm: str | None, metric: str) -> None:
    if arm and arm not in ARMS:
        raise ValueError(f"{text!r}: unknown arm {arm}; one of {', '.join(ARMS)}")
    if metric not in METRICS:
        raise ValueError(f"{text!r}: unknown metric {metric}{suggest(metric, METRICS) or '; one of ' + ', '.join(METRICS)}")


def check_gates(
    texts: Iterable[str], *, shipped: str, arms: Mapping[str, Mapping[str, Any]], retrieval: Mapping[str, Any] | None,
    drawn: Resampled,
) -> list[dict[str, Any]]:  # fmt: skip
    """For the report, in the recipe's order: what was measured, what was wanted, whether it passed. What was not measured
    does not pass."""

    def figure(arm: str | None, metric: str) -> float | None:
        if metric in RETRIEVAL:
            found: float | None = (retrieval or {}).get(metric)
        else:
            found = arms.get(arm or shipped, {}).get(metric)
        return found

    return [_check(parse_gate(text), figure, shipped, drawn) for text in texts]


def _check(gate: Gate, figure: Callable[[str | None, str], float | None], shipped: str, drawn: Resampled) -> dict[str, Any]:
    measured = figure(gate.arm, gate.metric)
    other = figure(gate.other_arm, gate.other) if gate.other else 0.0
    wanted = None if other is None else round(gate.factor * other + gate.value, 6)
    passed = measured is not None and wanted is not None and _holds(measured - wanted, gate.op)
    found: dict[str, Any] = {"gate": gate.text, "measured": measured, "wanted": wanted, "passed": passed}
    if gate.sure and passed:
        margin = _margin(gate, shipped, drawn)
        found |= {"low": margin[0], "high": margin[1], "passed": _holds(margin[0 if gate.op == ">=" else 1], gate.op)}
    return found


def _holds(margin: float, op: str) -> bool:
    return margin >= -1e-9 if op == ">=" else margin <= 1e-9  # 0.1 + 0.2 is more than 0.3


def _margin(gate: Gate, shipped: str, drawn: Resampled) -> tuple[float, float]:
    """95% interval of what was measured less what was wanted."""
    from .intervals import between

    arm, other_arm = gate.arm or shipped, gate.other_arm or shipped
    if gate.other is None:
        mine = drawn.interval(arm, gate.metric)
        return (mine.low - gate.value, mine.high - gate.value) if mine else (float("-inf"), float("inf"))
    if gate.factor == 1 and gate.other == gate.metric:
        gap = drawn.difference(arm, other_arm, gate.metric)
        return (gap.low - gate.value, gap.high - gate.value) if gap else (float("-inf"), float("inf"))
    left, right = drawn.draws(arm, gate.metric), drawn.draws(other_arm, gate.other)
    if left is None or right is None:
        return float("-inf"), float("inf")
    found = between(0.0, left - gate.factor * right - gate.value)
    return found.low, found.high
