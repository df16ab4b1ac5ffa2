"""A question's words. Knows nothing of indexes."""

from __future__ import annotations

import re
from collections.abc import Collection

from ..language import PLAIN, analyzer, fold, question_words, spoken_question_words

# Words of questions, not of documents: rare in a library, so bm25 would weigh them most.
QUESTION_WORDS = question_words("en")
_MOST_WORDS = 64
_LETTERS_OR_DIGITS = re.compile(r"[^\W\d_]+|\d+")


def parts_of(word: str) -> list[str]:
    """The letters and the digits of a word that has both, in their order: "2023q4" is 2023, q and
    4."""
    parts: list[str] = _LETTERS_OR_DIGITS.findall(word)
    return parts if len(parts) > 1 else []


def content_words(question: str, leave_out: Collection[str] = QUESTION_WORDS) -> list[str]:
    """The words to look for, each once, in their order: "FY2022" is looked for as "2022" too."""
    found: dict[str, None] = {}
    for word in re.findall(r"\w+", question.lower()):
        mixed = [part for part in parts_of(word) if len(part) > 1]
        found |= dict.fromkeys(w for w in (word, *mixed) if w not in leave_out)
    return list(found)[:_MOST_WORDS]


def word_spans(question: str) -> list[tuple[int, int]]:
    """Return the [start, end) of each of a question's words that are looked for, in characters; of
    all its words where it has no such."""
    spans = [match.span() for match in re.finditer(r"\w+", question)][:_MOST_WORDS]
    content = [(a, b) for a, b in spans if question[a:b].lower() not in QUESTION_WORDS]
    return content or spans


def search_terms(question: str, languages: Collection[str]) -> list[str]:
    """Return what to look for in the index, each once: the words as they are, for English documents
    and for codes, and as each of `languages`, those of the library's documents, indexes them. A
    document has its words in one form, so none counts twice."""
    others = [language for language in languages if language != PLAIN]
    if not others:
        return content_words(question)
    leave_out = spoken_question_words(question, ["en", *others])
    plain = [w for w in content_words(question, frozenset()) if fold(w) not in leave_out]
    terms = dict.fromkeys(plain)
    for language in others:
        terms |= dict.fromkeys(analyzer(language).terms(question, leave_out))
    return list(terms)[: _MOST_WORDS * len(others)]


def forms_of(phrase: str, languages: Collection[str]) -> list[str]:
    """Return a word or phrase as it is, and as documents in each of `languages` have it in the
    index."""
    forms = dict.fromkeys((phrase,))
    for language in languages:
        if language != PLAIN and (form := analyzer(language).text(phrase)):
            forms.setdefault(form)
    return list(forms)
