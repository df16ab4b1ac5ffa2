"""What may be promised of answers, passages and refusals, in words. Knows nothing of arms or of how
the bounds were computed (`evaluation.guarantee`)."""

from __future__ import annotations

from collections.abc import Mapping
from math import floor
from typing import Any

from ..evaluation.guarantee import fewest
from ..evaluation.report_file import Guarantee, RiskReport


def risk_in_words(risk: RiskReport) -> str:
    """Return which share of the questions gets an answer at the wanted risk, or what is missing for
    any."""
    wanted = f"at most {risk.wrong:.0%} of answers wrong, with {risk.sure:.0%} certainty"
    learned, measured = risk.learned, risk.measured
    if risk.sure_from is None:
        return (
            f"For {wanted} (answer.risk), no answer is sure enough: of the {learned.questions} "
            f"questions set aside too few were answered, or too many wrong. At least {risk.missing:,} "
            "more answers as good as the surest ones are needed (more test questions, or a larger "
            "evaluate.calibration); until then the bundle shows passages and gives no answer."
        )
    return (
        f"For {wanted} (answer.risk), answers are given from a sureness of {risk.sure_from:.2f} on: "
        f"to {learned.answered} of the {learned.questions} questions that this was learned from, "
        f"{learned.wrong} of them wrong; of the {measured.questions} test questions "
        f"{measured.answered} get one, {measured.wrong} wrong. To the others the bundle says that "
        "it is not sure and shows the passages."
    )


def guarantee_in_words(promised: Guarantee) -> list[str]:
    """Return what may be promised of answers and of passages, and how many more right answers the
    promise of few wrong ones would take: a remark each, figures first."""
    sure = f"{promised.sure:.0%}"
    remarks = [
        f"{promised.questions} questions, {promised.answered} answered, {promised.right} of these "
        f"right. So, with {sure} certainty: of 100 questions like the test's at least "
        f"{floor(promised.answered_of_100)} are answered, and of 100 answers at least "
        f"{floor(promised.right_of_100)} are right."
        + (
            f" That this arm was chosen among {promised.arms} is allowed for."
            if promised.arms > 1
            else ""
        )
    ]
    if promised.missing:
        least = fewest(promised.wrong, promised.sure)
        few = f" At least {least} answers are needed." if promised.answered < least else ""
        remarks.append(
            f"{promised.answered - promised.right} of {promised.answered} answers are wrong. That "
            f"at most {promised.wrong:.0%} are cannot be promised with {sure} certainty:"
            f" {promised.missing:,} more answers would be needed, all of them right.{few}"
        )
    else:
        remarks.append(f"With {sure} certainty at most {promised.wrong:.0%} of answers are wrong.")
    if passages := promised.passages:
        remarks.append(
            f"{passages.questions} questions that the documents answer: in at least "
            f"{floor(passages.shown_of_100)} of 100 such the right passage is among the "
            f"{passages.shown} shown, with {passages.sure:.0%} certainty. For "
            f"{passages.share:.0%} of them "
            + (
                f"{passages.needed} must be shown."
                if passages.needed
                else f"not even {passages.depth} are enough, or the questions are too few."
            )
        )
    return remarks


def made_up_in_words(quoting: Mapping[str, Any]) -> list[str]:
    """Return what was learned of refusals without training rows, from the result of the quoting
    stage; nothing where there were rows or the stage did not run."""
    if not quoting.get("made_up"):
        return []
    line, count = quoting["refuse_below"], quoting["answerable"]
    shares = ""
    if count:
        shares = (
            f"it refuses {quoting['refused_wrong']:.0%} of {count} questions made up from these "
            f"documents' sentences, and {quoting['refused_right']:.0%} of them once their source "
            "is left out"
        )
    if line is None:
        text = (
            "There were no training rows, and a quote is refused by its passage's similarity alone: "
            "a threshold on how well it answers could only come from another library, and "
            + (
                f"{shares}, which is too many, or they are too few."
                if shares
                else "the documents have no sentence to make a question of."
            )
        )
    else:
        text = (
            "There were no training rows: the threshold under which a quote is refused comes from "
            f"another library, and {shares}. Such questions are weaker evidence than those that "
            "people ask."
        )
    return [text]
