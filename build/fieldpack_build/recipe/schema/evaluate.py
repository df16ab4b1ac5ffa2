"""The recipe's `evaluate` section: what is asked of the bundle before it ships, and what it must
reach. Knows nothing of how a figure is measured."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_validator

from ...errors import suggest
from ..gates import METRICS, RETRIEVAL, parse_gate
from .base import Positive, Section, ShareOrTrain

# Of an answer that is right, half the worth is that it can be checked; of a question without an
# answer, that it is not answered. A wrong refusal costs its F1 already, and half of it once more:
# it also hides that there is an answer.
WEIGHTS = {"f1": 1.0, "citations_right": 0.5, "refused_right": 0.5, "refused_wrong": -0.5}
ArmName = Literal["quote", "base", "rag", "tuned", "tuned+rag"]


def _readable_gate(text: str) -> str:
    """Return a gate as it is; raises ValueError where it is none."""
    parse_gate(text)
    return text


class Attribution(Section):
    """Where quality was won and lost, from the base to the quantised export. `off` is the same as
    leaving the section away."""

    questions: Positive = 20
    """Measured questions that are asked of each step; a CPU takes about half a minute a question
    for a model of 135M."""


class Evaluate(Section):
    """What is asked of the bundle before it ships, and what it must reach."""

    questions: str
    """The file of test questions, a row each: `question` and `answer` (null where the documents do
    not say); if wanted `value` (what a right answer contains; without one the figures or words of
    `answer` decide), `document` (as the library names it) and `pages`."""
    sample: Positive | None = None
    """Questions to ask, evenly over the file; all where none is given."""
    arms: Annotated[list[ArmName], Field(min_length=1)] = [
        "quote",
        "base",
        "rag",
        "tuned",
        "tuned+rag",
    ]
    """What is measured, as far as the recipe has the halves; quote is a passage's own words, no
    model."""
    ship: Literal["auto", "all", ArmName] = "auto"
    """The arm that becomes the bundle. auto: of the measured arms that reach the gates the one with
    the best score by `weights`; among those that noise cannot tell from it an untuned one, the
    smallest. all: every half that the recipe has, whatever was measured."""
    gates: list[Annotated[str, AfterValidator(_readable_gate)]] = []
    """What ships must reach, such as `f1 >= rag.f1`; a gate that is missed stops the build."""
    weights: dict[str, float] = WEIGHTS
    """What the best arm is chosen by: a figure of `gates` to its worth (below 0 where less is
    better), times a second, sizes a hundred megabytes."""
    calibration: ShareOrTrain = 0.3
    """What `answer.refuse_below: auto` and `answer.risk` are learned from: a share of the questions,
    which are then not measured, or (not for a risk) train, the training rows, which leaves all
    questions to be measured (retrieval alone is looked at, and it has learned from no row)."""
    attribution: Attribution | None = None
    """Where quality was won and lost."""

    @field_validator("weights")
    @classmethod
    def _known(cls, weights: dict[str, float]) -> dict[str, float]:
        known = [metric for metric in METRICS if metric not in RETRIEVAL]
        for name in weights:
            if name not in known:
                raise ValueError(
                    f"{name}: unknown "
                    f"figure{suggest(name, known) or '; one of ' + ', '.join(known)}"
                )
        return weights

    @field_validator("attribution", mode="before")
    @classmethod
    def _short_off(cls, value: object) -> object:
        return None if value == "off" else value
