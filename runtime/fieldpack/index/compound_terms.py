"""Terms for the words of a question that documents write apart, or as one: "Kündigungsfrist" asked
and "Frist der Kündigung" written, "code names" asked and "codenames" written, and the other way
round. The library's own words say which parts are words and which compounds there are. Knows nothing
of vectors.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import islice

from ..language import COMPOUNDING, analyzer, cuts, fold, is_unspaced, joined
from .query_terms import MOST_WORDS, languages_asked_in, left_out, neighbours

_MOST_LOOKED_UP = 1_000  # compounds of a question that are looked up: 3 to 10 us each
_NEAR = 2  # words looked for, within which two are taken for the parts of one
_MOST_PARTS = 3
_LEAST_JOINED, _MOST_JOINED = 5, 40  # letters of two words as one: "email"
_LEAST_TAIL = 3  # letters of the second part of a word that the library writes as two
_MOST_COUNTED = 1_000  # places of a word
_WORD = re.compile(r"\w+")


def compound_terms(
    database: sqlite3.Connection, question: str, languages: Collection[str]
) -> list[str]:
    """Return what else to look for, each once: in languages that compound, the parts of the
    question's compounds and the compounds of its words; in others, its neighbouring words as one
    and words that the library has nowhere as two, a phrase. All of them are in the library.
    `languages`: those of its documents."""
    leave_out = left_out(question, languages)
    written = _WORD.findall(question)[:MOST_WORDS]
    words = [word for word in written if not is_unspaced(word) and fold(word) not in leave_out]
    if not words:
        return []
    terms: dict[str, None] = {}
    for language in languages_asked_in(question, languages):
        if language in COMPOUNDING:
            terms |= dict.fromkeys(_compounds(database, words, language))
            for word in _may_be_compounds(words, language, first=written[0]):
                terms |= dict.fromkeys(_parts(database, word, language, leave_out, _MOST_PARTS))
        else:
            terms |= dict.fromkeys(_as_one(database, neighbours(question, leave_out), language))
            terms |= dict.fromkeys(_as_two(database, words, language))
    return list(terms)


def _may_be_compounds(words: Sequence[str], language: str, *, first: str) -> Sequence[str]:
    """Return the words to cut, in small letters. Who writes German nouns with capitals, as words
    other than the question's `first` show, writes "brennendes" without: it is no compound of Brennen
    and Ende."""
    capitals = [word for word in words if not word[0].islower()]
    nouns = capitals if language == "de" and set(capitals) - {first} else words
    return [word.casefold() for word in nouns]


def _compounds(database: sqlite3.Connection, words: Sequence[str], language: str) -> list[str]:
    """Return the known compounds of two words near each other, in either order."""

    def pairs() -> Iterator[str]:
        small = [word.casefold() for word in words]
        for at, one in enumerate(small):
            for other in small[at + 1 : at + 1 + _NEAR]:
                yield from joined(other, one, language)
                yield from joined(one, other, language)

    return known_terms(database, islice(pairs(), _MOST_LOOKED_UP))


def _parts(
    database: sqlite3.Connection,
    word: str,
    language: str,
    leave_out: Collection[str],
    max_parts: int,
) -> list[str]:
    """Return the parts of a word that is a compound of known words, as few as it may be of,
    `max_parts` at most; where it may be cut in several ways, those of all. None for another word."""
    stem = analyzer(language).stem
    all_ways = list(cuts(word, language))
    known = set(known_terms(database, (tail for _, tails in all_ways for tail in tails)))
    # SQLite's own stemmer finds "ubergabe" where there is "ubergab": one term, not two.
    tails = {tail for tail in known if stem(tail) == tail or stem(tail) not in known}
    ways = [
        (head, [tail for tail in own if tail in tails])
        for head, own in all_ways
        if head not in leave_out and not tails.isdisjoint(own)
    ]
    heads = set(known_terms(database, (stem(head) for head, _ in ways)))
    if two := [(stem(head), *own) for head, own in ways if stem(head) in heads]:
        return list(dict.fromkeys(part for way in two for part in way))
    if max_parts > 2:
        for head, own in ways:
            if more := _parts(database, head, language, leave_out, max_parts - 1):
                return [*more, *own]
    return []


def _as_one(
    database: sqlite3.Connection, pairs: Iterable[tuple[str, str]], language: str
) -> list[str]:
    """Return neighbouring words as one, where the library has that in more places than the two:
    "codenames" of "code names", and no "cashflow" that a page's layout once glued together."""
    stem = analyzer(language).stem
    phrases = {
        stem(one + other): f"{stem(one)} {stem(other)}"
        for one, other in pairs
        if (one + other).isalpha() and len(one + other) >= _LEAST_JOINED
    }
    return [
        word
        for word in known_terms(database, phrases)
        if _count(database, word) > _count(database, phrases[word])
    ]


def _as_two(database: sqlite3.Connection, words: Sequence[str], language: str) -> list[str]:
    """Return words that the library has nowhere as phrases of two that it has: "file name" of
    "filename"."""
    stem = analyzer(language).stem
    long = [w.lower() for w in words if w.isalpha() and _LEAST_JOINED <= len(w) <= _MOST_JOINED]
    there = set(known_terms(database, map(stem, long)))
    ways = (
        f"{stem(word[:at])} {stem(word[at:])}"
        for word in long
        if stem(word) not in there
        for at in range(1, len(word) - _LEAST_TAIL + 1)
    )
    return known_terms(database, islice(ways, _MOST_LOOKED_UP))


def _count(database: sqlite3.Connection, phrase: str) -> int:
    query = "SELECT count(*) FROM (SELECT 1 FROM words WHERE words MATCH ? LIMIT ?)"
    return int(database.execute(query, (f'"{phrase}"', _MOST_COUNTED)).fetchone()[0])


def known_terms(database: sqlite3.Connection, terms: Iterable[str]) -> list[str]:
    """Return those of the terms that the library has, each once, in their order."""
    distinct = list(dict.fromkeys(terms))
    if not distinct:
        return []
    query = (
        "SELECT value FROM json_each(?) AS terms WHERE EXISTS "
        "(SELECT 1 FROM words WHERE words MATCH '\"' || terms.value || '\"')"
    )
    return [row[0] for row in database.execute(query, (json.dumps(distinct),))]
