"""The words of questions by language: `question_words.toml`. Knows nothing of texts and stems."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache

from .expressions import read_words
from .folding import fold

_FILE = "question_words.toml"
_WORD = re.compile(r"\w+")


@cache
def question_words(language: str) -> frozenset[str]:
    """Return the folded words that a language asks with; none for a language not in the file."""
    return frozenset(fold(word) for word in _lists().get(language, "").split())


def spoken_question_words(question: str, languages: Iterable[str]) -> frozenset[str]:
    """Return the question words of the language that a question is asked in: the one of `languages`
    with most of its words in the question, all of those that have as many. Without this, English
    "man" and "die" would be left out wherever there is a German document."""
    spoken = spoken_languages(question, languages)
    return frozenset().union(*(question_words(language) for language in spoken))


def spoken_languages(question: str, languages: Iterable[str]) -> list[str]:
    """Return those of `languages` that have most of their question words in a question; all of those
    that have as many."""
    words = [fold(word) for word in _WORD.findall(question)]
    counts = {language: sum(w in question_words(language) for w in words) for language in languages}
    most = max(counts.values(), default=0)
    return [language for language, count in counts.items() if count == most]


@cache
def _lists() -> dict[str, str]:
    return read_words(_FILE)
