"""The recipe's `answer` section: how the device answers, and when it refuses. Knows nothing of
prompts."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from .base import CosineOrAuto, Fraction, Section


def _with_a_letter(text: str) -> str:
    """Return a refusal as it is; raises ValueError where no answer could be told from it."""
    if not any(map(str.isalpha, text)):
        raise ValueError("needs a letter: an answer is known for a refusal by its words")
    return text


class Risk(Section):
    """How often an answer may be wrong. The bundle answers only what is sure enough for that, and
    says of anything else that it is not sure and shows the passages."""

    wrong: Annotated[float, Field(gt=0, lt=1)] = 0.05
    """The largest share of wrong answers among those given."""
    sure: Annotated[float, Field(gt=0, lt=1)] = 0.95
    """The probability with which that holds, for questions like those that it is learned from."""


class AnswerSection(Section):
    """How the device answers."""

    system: str = ""
    """The language model's system prompt; without `base` there is none."""
    refusal: Annotated[str, AfterValidator(_with_a_letter)] = "The documents do not say."
    """What is said in the place of an answer that the documents do not have; with a letter in it.
    What a model says is a refusal where it begins with these words; where they are one or two, its
    sentence must end behind them."""
    passages: Annotated[int, Field(ge=1, le=20)] = 3
    """Passages that are read for an answer."""
    max_answer_tokens: Annotated[int, Field(ge=1, le=4096)] = 96
    """Longest answer."""
    refuse_below: CosineOrAuto = 0.25
    """Cosine of the best passage under which nothing is generated. auto: learned on questions that
    are set aside (`evaluate.calibration`)."""
    max_wrong_refusals: Fraction = 0.1
    """Share of the answerable questions that may be refused: under auto, of those set aside; for a
    quote that does not seem to answer, of questions like the training rows, with 90% certainty."""
    made_up_questions: bool = True
    """Whether a recipe without `train.data` gets a threshold under which a quote is refused: that of
    the finance recipe's rows, unless it refuses too many questions made of the library's own
    sentences. Off, a quote is refused by `refuse_below` alone."""
    risk: Risk | None = None
    """How often an answer may be wrong. From which sureness on an answer is given is learned on test
    questions that are set aside (`evaluate.calibration`, a share); the report says which share of
    questions gets an answer, or how many more questions are needed."""
    unsure: str = Field(min_length=1, default="Not sure enough to answer: see the passages.")
    """Under `risk`, what is said in the place of an answer that is not sure enough."""
    max_question_chars: Annotated[int, Field(ge=1, le=100_000)] = 4000
    """Longest question."""
    repetition_penalty: Annotated[float, Field(ge=1, le=2)] = 1.0
    """Divides the logits of tokens that were said already; 1 is off."""
