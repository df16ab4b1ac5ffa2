"""What a question asks for, by its first words and a few others: yes or no, an amount, a figure that
has to be worked out, or something else; and the words by which an answer gives an amount without a
digit. The words of each language are in `question_kinds.toml`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from .expressions import read_expressions
from .question_words import spoken_languages

_FILE = "question_kinds.toml"


@dataclass(frozen=True, slots=True)
class QuestionKinds:
    """The expressions of one or more languages, over folded text. `yes_no` and `other`: match at the
    beginning of a sentence; `how_much`, `amount`: search in it; `derived`: searches in a whole
    question; `number`: searches in an answer."""

    yes_no: re.Pattern[str]
    other: re.Pattern[str]
    how_much: re.Pattern[str]
    amount: re.Pattern[str]
    derived: re.Pattern[str]
    number: re.Pattern[str]


def question_kinds(question: str) -> QuestionKinds:
    """Return the expressions of the language that a question is asked in: of the one in the file
    that most of its question words belong to, of all that have as many."""
    return _compiled(tuple(sorted(spoken_languages(question, read_expressions(_FILE)))))


@cache
def _compiled(languages: tuple[str, ...]) -> QuestionKinds:
    def any_of(kind: str) -> str:
        return "|".join(read_expressions(_FILE)[language][kind] for language in languages)

    yes_no = any_of("yes_no")
    return QuestionKinds(
        yes_no=re.compile(rf"\W*(?:{yes_no})\b"),
        other=re.compile(rf"\W*(?:{any_of('other')})\b"),
        how_much=re.compile(rf"\b(?:{any_of('how_much')})\b"),
        amount=re.compile(rf"\b(?:{any_of('amount')})\b"),
        derived=re.compile(
            rf"(?:^|[.!?;:,]\s)\W*(?:{yes_no})\b|\b(?:{any_of('derived')})(?:\b|(?<=\s))"
        ),
        number=re.compile(rf"\b(?:{any_of('number')})\b"),
    )
