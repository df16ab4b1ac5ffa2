"""What is wrong with rows that are each right by themselves: said twice, said differently, or asked
in the test too. Knows nothing of files or models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .rows import Example, TestQuestion
from .similar_questions import question_key, same_answer, similar_pairs


@dataclass(frozen=True, slots=True)
class Duplicate:
    """`later` asks what `earlier` asked; `contradicts`: with another answer."""

    earlier: Example
    later: Example
    contradicts: bool

    def __str__(self) -> str:
        what = "asks the same and answers differently" if self.contradicts else "is the same row"
        question = _shorten(self.later.question)
        return f"{self.later.place}: {what} as {self.earlier.place}: {question}"


@dataclass(frozen=True, slots=True)
class Leak:
    """A training row that asks a test question; `near`: in nearly the same words."""

    example: Example
    question: TestQuestion
    near: bool

    def describe(self, questions: str) -> str:
        """Return a line that names both; `questions`: the name of the test's file."""
        what = "asks nearly" if self.near else "asks"
        return (
            f"{self.example.place}: {what} the test question {questions}:{self.question.line}: "
            f"{_shorten(self.question.question)}"
        )


def find_duplicates(examples: Sequence[Example]) -> list[Duplicate]:
    """Return each later row with the first of its question."""
    first: dict[str, Example] = {}
    duplicates = []
    for example in examples:
        earlier = first.setdefault(question_key(example.question), example)
        if earlier is not example:
            keys = (
                None if row.answer is None else question_key(row.answer)
                for row in (earlier, example)
            )
            duplicates.append(Duplicate(earlier, example, contradicts=len(set(keys)) > 1))
    return duplicates


def find_leaks(examples: Sequence[Example], questions: Sequence[TestQuestion]) -> list[Leak]:
    """Return one leak for each row that asks a test question, in the rows' order."""
    by_key = {question_key(question.question): question for question in reversed(questions)}
    leaks = {
        i: Leak(example, by_key[key], near=False)
        for i, example in enumerate(examples)
        if (key := question_key(example.question)) in by_key
    }
    pairs = similar_pairs([e.question for e in examples], [q.question for q in questions])
    for i, j in pairs:
        if i not in leaks and same_answer(examples[i].answer, questions[j].answer):
            leaks[i] = Leak(examples[i], questions[j], near=True)
    return [leaks[i] for i in sorted(leaks)]


def _shorten(question: str) -> str:
    line = " ".join(question.split())
    return line if len(line) <= 80 else line[:79] + "…"
