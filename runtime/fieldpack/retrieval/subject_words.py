"""The words by which a question says what it is about, as far as the embedder's tokenizer tells: names
and technical words, which it has in several pieces. What is common in the texts that it was made from
is one token: "dose", "patient", "please". Knows nothing of indexes and vectors.

On the questions of docs/benchmarks.md ("Words that no document has") this is what separates the
words that an answerable question has beside its documents' words ("okay", "haircut", "phone") from
those that make it unanswerable ("digoxin", "WireGuard").
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import takewhile

from ..index.query_terms import MOST_WORDS, languages_asked_in, left_out
from ..language import LANGUAGES, fold, is_unspaced, question_words, spoken_languages
from .sufficiency import capitalized

TokenSpans = Callable[[str], Sequence[tuple[int, int]]]

_SHORTEST = 3  # letters
# Of the words that a language asks with, the share that are one token of a tokenizer made for it. MiniLM's
# has all of English, 55% of French, 40% of German and 7% of Ukrainian.
_WHOLE = 0.9
_MOST_INITIALS = 5  # letters of an abbreviation: icu, ECMO
_LETTERS = re.compile(r"[^\W\d_]+")
# Letters alone: no figure, code, address or part of one, nor what an apostrophe parts ("don't"), a
# genitive's s aside ("Boeing's").
_WORD = re.compile(
    r"(?<![\w.@/'\u2019-])[^\W\d_]+(?![\w@/]|['\u2019](?!s\b)\w|[.-]\w)|"
    r"(?<=\w-)[^\W\d_]{5,}(?![\w@/.'\u2019])"
)


def subject_words(question: str, token_spans: TokenSpans, languages: Collection[str]) -> list[str]:
    """Return the words of a question that the tokenizer has in several pieces, or that are written as
    names, each once. None where the question is asked in another language than the library's
    documents, or in one that the tokenizer was not made for, as it has its commonest words in pieces
    too. `token_spans`: gives [start, end) of a text's tokens; `languages`: those of the documents."""
    spoken = spoken_languages(question, ("en", *LANGUAGES))
    asked_in = languages_asked_in(question, languages)
    if not {language or "en" for language in asked_in}.intersection(spoken):
        return []
    leave_out = left_out(question, languages)
    pieces = _pieces(question, token_spans)
    # German nouns have capitals, and a whole question may.
    has_names = "de" not in asked_in and not question.isupper()
    names = frozenset(capitalized(question) if has_names else ())
    words = [
        match[0]
        for match in _WORD.finditer(question)
        if match.end() - match.start() >= _SHORTEST
        and (match[0] in names or pieces[match.span()] > 1)
        and fold(match[0]) not in leave_out
        and not is_unspaced(match[0])
    ]
    if not words or not all(_knows(language or "en", token_spans) for language in asked_in):
        return []
    return list(dict.fromkeys(words))[:MOST_WORDS]


def _knows(language: str, token_spans: TokenSpans) -> bool:
    """Return whether a tokenizer has most of the commonest words of a language as one token each."""
    words = [word for word in question_words(language) if word.isalpha()]
    counts = list(_pieces(" ".join(words), token_spans).values())
    return counts.count(1) >= _WHOLE * max(len(counts), 1)


def _pieces(text: str, token_spans: TokenSpans) -> dict[tuple[int, int], int]:
    """Return the number of tokens of each run of letters, by its [start, end)."""
    spans, counts, at = sorted(token_spans(text)), {}, 0
    for match in _LETTERS.finditer(text):
        while at < len(spans) and spans[at][1] <= match.start():
            at += 1
        inside = takewhile(lambda span: span[0] < match.end(), spans[at:])  # noqa: B023 - read here
        counts[match.span()] = sum(1 for _ in inside)
    return counts


def is_said_otherwise(word: str, texts: Iterable[str]) -> bool:
    """Return whether one of the texts has a word with one letter changed, added, left out, or
    exchanged with its neighbour, as of a slip of the pen, or words with these initials."""
    small = word.lower()
    for text in texts:
        words = list(dict.fromkeys(_LETTERS.findall(text.lower())))
        if any(_one_slip(small, other) for other in words):
            return True
        initials = "".join(other[0] for other in _LETTERS.findall(text.lower()))
        if len(small) <= _MOST_INITIALS and small in initials:
            return True
    return False


def _one_slip(one: str, other: str) -> bool:
    """Return whether two different words of four letters or more are one slip apart."""
    if abs(len(one) - len(other)) > 1 or min(len(one), len(other)) < 4:
        return False
    at = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), None)
    if at is None:
        return True
    rest, rest_of_other = one[at:], other[at:]
    return (
        rest[1:] == rest_of_other[1:]
        or rest[1:] == rest_of_other
        or rest == rest_of_other[1:]
        or (rest[:2] == rest_of_other[1::-1] and rest[2:] == rest_of_other[2:])
    )
