"""What a device needs to answer one question: a process of its own opens the arm's parts, asks, and
says the most memory it ever held. The parent's own memory would say what all arms together have
left behind.

Parent's side: `peak_mb`. Child's side: `python -m fieldpack_build.evaluation.peak_memory`.
"""

from __future__ import annotations

import resource
from pathlib import Path
from typing import TypedDict

from fieldpack.child import ChildFailed, answer_parent, ask_child, python
from fieldpack.memory import peak_bytes

from ..errors import StageError


class _Question(TypedDict):
    """`folder`: a staged bundle. `retrieval`: whether its library is opened and searched."""

    folder: str
    question: str
    retrieval: bool


def peak_mb(folder: Path, question: str, *, retrieval: bool) -> float:
    """Return the most memory, in MiB, that a process held which opened a staged bundle and answered
    one question. Raises StageError if it does not answer."""
    request: _Question = {"folder": str(folder), "question": question, "retrieval": retrieval}
    try:
        return float(ask_child(python("-m", "fieldpack_build.evaluation.peak_memory"), request))
    except ChildFailed as failed:
        raise StageError(
            f"the process that measures memory ended with {failed.code}; its words are in the "
            f"stage's log.txt, the last: {failed.last_line}"
        ) from None


def own_peak_mb() -> float:
    """Return the most memory, in MiB, that this process has held."""
    # getrusage, where the system has no better, counts what the parent held when it started us
    peak = peak_bytes() or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return round(peak / 2**20, 1)


def _answer(question: _Question) -> float:
    from fieldpack.rag import AnswerOptions

    from .scoring_expert import ScoringExpert

    retrieval = question["retrieval"]
    expert = ScoringExpert(Path(question["folder"]), retrieval=retrieval, scores=False)
    options = AnswerOptions(retrieval=retrieval, threshold=False)
    expert.ask(question["question"], options=options)
    return own_peak_mb()


if __name__ == "__main__":
    answer_parent(_answer)
