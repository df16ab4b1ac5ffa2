"""The rows that the build works on, whatever file and format they came from, and how a list of
problems is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ..errors import DataError

MAX_NAMED = 10  # problems that are named; more are counted


@dataclass(frozen=True, slots=True)
class Example:
    """`answer` None: the documents do not say, and the refusal is the right answer. `line` counts
    from 1, in a Parquet file it is the row; `file` as messages name it."""

    question: str
    answer: str | None
    document: str | None
    line: int
    file: str = field(default="", compare=False)

    @property
    def place(self) -> str:
        """File and line, as messages name them."""
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class TestQuestion:
    """`value`: what a right answer must contain, a figure or a phrase; None where only `answer` is
    known. `pages`: those of `document` that hold the answer, from 1; none where they are not known.
    `scale`: what a figure in the answer counts ("million", "percent"), as TAT-QA says it."""

    question: str
    answer: str | None
    value: str | None
    document: str | None
    line: int
    pages: tuple[int, ...] = ()
    scale: str | None = None


def judged_in_words(without_value: int, answerable: int) -> str:
    """Return how answers are judged to questions that name no value, or an empty text where every
    one names one."""
    if not without_value:
        return ""
    name = "names" if without_value == 1 else "name"
    return (
        f"{without_value:,} of {answerable:,} answerable test questions {name} no value: an answer "
        "is right if it has the expected answer's figures with their units, or its words where there "
        "are none"
    )


def shortened(problems: Sequence[str], what: str = "lines") -> list[str]:
    """Return the first ten problems, and a line that says how many more there are."""
    hidden = len(problems) - MAX_NAMED
    more = [f"... and {hidden:,} more {what}"] if hidden > 0 else []
    return [*problems[:MAX_NAMED], *more]


def raise_problems(problems: Sequence[str]) -> None:
    """Raise DataError that names the problems, where there are any."""
    if problems:
        raise DataError("\n".join(shortened(problems)))
