"""Gates: what a bundle must reach to be made, as a recipe writes them.

    f1 >= 0.4                                  the arm that ships
    tuned+rag.refused_right >= 0.5             a named arm
    f1 >= rag.f1 + 0.1                         against another arm
    f1 >= 1.5 * rag.f1
    surely f1 >= rag.f1                        the whole 95% interval, not the figure alone
    possibly refused_wrong <= 0.15             some of the 95% interval: missed only by more than noise

Knows nothing of figures that were measured.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..errors import suggest

ARMS = ("quote", "base", "rag", "tuned", "tuned+rag")
RETRIEVAL = ("recall_at_1", "recall_at_5", "recall_at_10", "mrr")  # the library's, whatever the arm
METRICS = (
    "f1",
    "exact_match",
    "numeric_match",
    "value_match",
    "refused_right",
    "refused_wrong",
    "citations_valid",
    "citations_right",
    "perplexity",
    "first_token_ms",
    "total_ms",
    "tokens_per_s",
    "peak_mb",
    "size_mb",
    *RETRIEVAL,
)
_NUMBER = r"\d+(?:\.\d+)?"
_FIGURE = r"(?:(?P<arm>[a-z+]+)\.)?(?P<metric>[a-z]\w*)"
_GATE = re.compile(
    rf"\s*(?:(?P<how>surely|possibly)\s+)?{_FIGURE}\s*(?P<op>>=|<=)\s*(?P<right>\S.*?)\s*"
)
_OTHER = re.compile(
    rf"(?:(?P<factor>{_NUMBER})\s*\*\s*)?{_FIGURE}(?:\s*(?P<sign>[+-])\s*(?P<offset>{_NUMBER}))?"
)
_SHAPES = (
    "write `metric >= number`, `arm.metric <= number` or `metric >= 1.5 * arm.metric + number`"
)


@dataclass(frozen=True, slots=True)
class Gate:
    """What must be reached: `arm`.`metric` `op` `factor` * `other_arm`.`other` + `value`. An arm of None is the one that
    ships; `other` is None where a number alone is asked for. `sure`: the 95% interval must clear
    it, `possible`: some of it must."""

    text: str
    arm: str | None
    metric: str
    op: str
    value: float
    other_arm: str | None = None
    other: str | None = None
    factor: float = 1.0
    sure: bool = False
    possible: bool = False

    @property
    def arms(self) -> tuple[str, ...]:
        """The arms that the gate names."""
        return tuple(arm for arm in (self.arm, self.other_arm) if arm)


def parse_gate(text: str) -> Gate:
    """Read a gate as a recipe writes it. Raises ValueError, which says what is wrong and what can be
    written."""
    match = _GATE.fullmatch(text)
    if not match:
        raise ValueError(f"{text!r}: {_SHAPES}")
    arm, metric, right = match["arm"], match["metric"], match["right"]
    _check_names(text, arm, metric)
    sure, possible = match["how"] == "surely", match["how"] == "possibly"
    if match["how"] and metric in (*RETRIEVAL, "peak_mb", "size_mb"):
        raise ValueError(f"{text!r}: {metric} has no interval; leave `{match['how']}` away")
    if re.fullmatch(rf"-?{_NUMBER}", right):
        return Gate(text, arm, metric, match["op"], float(right), sure=sure, possible=possible)
    if percent := re.fullmatch(rf"({_NUMBER})\s*%", right):
        raise ValueError(f"{text!r}: shares go from 0 to 1; write {float(percent[1]) / 100:g}")
    other = _OTHER.fullmatch(right)
    if not other:
        raise ValueError(
            f"{text!r}: {right!r} is neither a number nor a figure of an arm; {_SHAPES}"
        )
    _check_names(text, other["arm"], other["metric"])
    offset = float(other["offset"] or 0) * (-1 if other["sign"] == "-" else 1)
    return Gate(
        text,
        arm,
        metric,
        match["op"],
        offset,
        other["arm"],
        other["metric"],
        float(other["factor"] or 1),
        sure,
        possible,
    )


def _check_names(text: str, arm: str | None, metric: str) -> None:
    if arm and arm not in ARMS:
        raise ValueError(f"{text!r}: unknown arm {arm}; one of {', '.join(ARMS)}")
    if metric not in METRICS:
        raise ValueError(
            f"{text!r}: unknown metric "
            f"{metric}{suggest(metric, METRICS) or '; one of ' + ', '.join(METRICS)}"
        )
