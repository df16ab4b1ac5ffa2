"""A question's words. Knows nothing of indexes."""

from __future__ import annotations

import re
from collections.abc import Collection

from ..language import (
    PLAIN,
    analyzer,
    fold,
    is_unspaced,
    ngram_spans,
    question_words,
    spoken_languages,
    spoken_question_words,
)

# Words of questions, not of documents: rare in a library, so bm25 would weigh them most.
QUESTION_WORDS = question_words("en")
MOST_WORDS = 64  # of a question that are looked for
# A word with the one behind it; an apostrophe joins no two: the "s" of "Boeing's" is none.
_NEIGHBOURS = re.compile(r"(?<![\w'\u2019])([^\W_]+)(?=[-\s]([^\W_]+)(?!\w))")
_LETTERS_OR_DIGITS = re.compile(r"[^\W\d_]+|\d+")


def parts_of(word: str) -> list[str]:
    """The letters and the digits of a word that has both, in their order: "2023q4" is 2023, q and
    4."""
    parts: list[str] = _LETTERS_OR_DIGITS.findall(word)
    return parts if len(parts) > 1 else []


def left_out(question: str, languages: Collection[str]) -> frozenset[str]:
    """Return the words, folded, that are not looked for: the question words of the language that a
    question is asked in, which is English or one of `languages`, those of the library's
    documents."""
    others = [language for language in languages if language != PLAIN]
    return spoken_question_words(question, ["en", *others]) if others else QUESTION_WORDS


def content_words(question: str, leave_out: Collection[str] = QUESTION_WORDS) -> list[str]:
    """The words to look for, each once, in their order: "FY2022" is looked for as "2022" too."""
    words: dict[str, None] = {}
    for word in re.findall(r"\w+", question.lower()):
        mixed = [part for part in parts_of(word) if len(part) > 1]
        words |= dict.fromkeys(w for w in (word, *mixed) if w not in leave_out)
    return list(words)[:MOST_WORDS]


def word_spans(question: str, languages: Collection[str] = ()) -> list[tuple[int, int]]:
    """Return the [start, end) of each of a question's words that are looked for, in characters; of
    all its words where it has no such. In scripts without blanks a word is an n-gram. `languages`:
    those of the library's documents."""
    leave_out = left_out(question, languages)
    spans = [match.span() for match in re.finditer(r"\w+", question)][:MOST_WORDS]
    if all(language == PLAIN for language in languages):
        content = [(a, b) for a, b in spans if question[a:b].lower() not in leave_out]
        return content or spans
    blank = question
    for word in sorted(filter(is_unspaced, leave_out), key=len, reverse=True):
        blank = blank.replace(word, " " * len(word))
    content = [
        (a, b)
        for a, b in spans
        if not is_unspaced(question[a:b]) and fold(question[a:b]) not in leave_out
    ]
    return sorted([*content, *ngram_spans(blank)])[:MOST_WORDS] or spans


def search_terms(question: str, languages: Collection[str]) -> list[str]:
    """Return what to look for in the index, each once: the words as they are, for English documents
    and for codes, and as each of `languages`, those of the library's documents, indexes them. A
    document has its words in one form, so none counts twice."""
    others = [language for language in languages if language != PLAIN]
    if not others:
        return content_words(question)
    leave_out = left_out(question, languages)
    plain = [w for w in content_words(question, frozenset()) if fold(w) not in leave_out]
    terms = dict.fromkeys(plain)
    for language in others:
        terms |= dict.fromkeys(analyzer(language).terms(question, leave_out))
    return list(terms)[: MOST_WORDS * len(others)]


def neighbours(question: str, leave_out: frozenset[str]) -> list[tuple[str, str]]:
    """Return each two words with a blank or dash between them, none of them to leave out, in small
    letters."""
    pairs = (match.groups() for match in _NEIGHBOURS.finditer(question.lower()))
    return [(one, two) for one, two in pairs if leave_out.isdisjoint({fold(one), fold(two)})]


def neighbour_phrases(question: str, languages: Collection[str]) -> list[str]:
    """Return the question's neighbouring words as phrases, each once, as documents in the language
    that it is asked in have them in the index. `languages`: those of the library's documents."""
    phrases: dict[str, None] = {}
    pairs = neighbours(question, left_out(question, languages))[:MOST_WORDS]
    for language in languages_asked_in(question, languages):
        texts = (f"{one} {two}" for one, two in pairs if not is_unspaced(one + two))
        phrases |= dict.fromkeys(analyzer(language).text(text) for text in texts)
    return [phrase for phrase in phrases if phrase]


def languages_asked_in(question: str, languages: Collection[str]) -> list[str]:
    """Return those of `languages`, the library's, that have most of their question words in a question,
    sorted; English stands for PLAIN."""
    codes = {"en" if language == PLAIN else language for language in languages or (PLAIN,)}
    spoken = spoken_languages(question, sorted(codes))
    return sorted(PLAIN if language == "en" else language for language in spoken)


def forms_of(phrase: str, languages: Collection[str]) -> list[str]:
    """Return a word or phrase as it is, and as documents in each of `languages` have it in the
    index."""
    forms = dict.fromkeys((phrase,))
    for language in languages:
        if language != PLAIN and (form := analyzer(language).text(phrase)):
            forms.setdefault(form)
    return list(forms)
