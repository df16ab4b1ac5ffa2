"""What a question asks for, by its first words and a few others: yes or no, an amount, a figure that
has to be worked out, or something else; and the words by which an answer gives an amount without a
digit. The words of each language are in `question_kinds.toml`.
"""

from __future__ import annotations

import pkgutil
import re
import tomllib
from dataclasses import dataclass
from functools import cache

from .folding import fold
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
    return _compiled(tuple(sorted(spoken_languages(question, _expressions()))))


@cache
def _compiled(languages: tuple[str, ...]) -> QuestionKinds:
    def any_of(kind: str) -> str:
        return "|".join(_expressions()[language][kind] for language in languages)

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


@cache
def _expressions() -> dict[str, dict[str, str]]:
    # Not by path: a wheel that is imported as it is, a zip, has none.
    data = pkgutil.get_data(__package__, _FILE)
    assert data is not None
    sections: dict[str, dict[str, str]] = tomllib.loads(data.decode("utf-8"))
    return {
        language: {kind: fold(text.replace("\n", "")) for kind, text in kinds.items()}
        for language, kinds in sections.items()
    }
