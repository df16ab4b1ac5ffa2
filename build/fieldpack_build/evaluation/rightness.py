"""Whether an answer is right by a question's expected answer alone, where the question names no
`value` that a right answer must contain. The one rule for it: figures, guarantee, risk, golden
questions and the fit of quotes all use it. Knows nothing of models, bundles or files.

An expected answer is a sentence, and a right one need not have its words. What counts is what the
expected answer says beyond its question:

1. One that begins with yes is not said by an answer that begins with no, nor the other way round.
2. Where it has figures that the question has not, all of them must stand in the answer, each with its
   unit: per cent, currency, or the word behind it.
3. Where it has none, at least `MIN_RECALL` of its words that the question has not must stand there,
   as stems, and the sentence that has most of them must be negated where the expected answer is.
   Where the question has all of its words, the answer must say yes or no as the expected one does,
   or have them all.

None where the question cannot be judged so, whatever is said: its expected answer has nothing to look
for, or no figure and a language in which a sentence cannot be told from its opposite (`polarity`).

Where it is in doubt the rule says wrong, so that a promise made of it holds. Held against the values
of the finance recipe's questions, on 540 answers of five arms (110 of them with the right value), it
calls 90 of these right and one other, "GBP 2.9m" for "GBP 2.9 million"; token F1 of 0.5 and more,
which it replaces, calls 79 of them right and 52 others.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from functools import cache, lru_cache

from fieldpack.figures import paired_marks
from fieldpack.language import (
    PLAIN,
    analyzer,
    decimal_mark,
    fold,
    question_words,
    sentence_ends,
    sentence_spans,
)

from .numbers import Quantity, expected_quantities, is_same, quantities
from .polarity import begins_with, is_known, is_negated, polar_words, without_beginning

# Of those answers one more is called right, and it is wrong, at 0.5; at 0.6 to 0.8 none; at 1.0 two
# of twelve right ones are lost.
MIN_RECALL = 0.75
_CLOSE = 3  # words behind a figure among which its unit must stand: "25 whole working days"
_WORD = re.compile(r"[^\W\d_]+|[%€$£¥]")
_PARTS = re.compile(r"(?<=;)\s+")  # of a sentence
_CLAUSE_ENDS = re.compile(r"[,;:]\s|\n|\d")  # where a sentence does not end
_UNITS = {
    alias: names.split()[0]
    for names in (
        "% percent prozent percentage procent procento prosent",
        "€ eur euro euros",
        "$ usd dollar dollars",
        "£ gbp pound pounds",
        "¥ jpy yen",
        "chf franc francs franken frs",
    )
    for alias in names.split()
}
_PER_CENT = re.compile(r"\b(?:per|pour|por|pro)\s(?:cent|ciento|cento)\b", re.IGNORECASE)


def says(
    said: str, question: str, expected: str, *, languages: Collection[str] = ()
) -> bool | None:
    """Return whether `said` answers the question as `expected` does; None where it cannot be told.
    `languages`: those of the library's documents, as `fieldpack.language` has them."""
    by_figures = _says_figures(said, question, expected, languages)
    wanted_start, start = begins_with(expected, languages), begins_with(said, languages)
    rest = without_beginning(expected, languages)
    of_expected, of_question = _terms(rest, languages), _terms(question, languages)
    if by_figures is None and not is_known(languages):
        return None
    if by_figures is None and not of_expected and wanted_start is None:
        return None
    if not said.strip() or (None not in (wanted_start, start) and wanted_start != start):
        return False
    if by_figures is not None:
        return by_figures
    new = [term for term in of_expected if not _holds(of_question, term)]
    if not of_expected or (not new and start is not None):
        negated = is_negated(rest, languages)
        return start == (wanted_start if wanted_start is not None else not negated)
    said = without_beginning(said, languages)
    if _recall(said, new or of_expected, languages) < MIN_RECALL:
        return False
    parts = [part for start, end in sentence_spans(said) for part in _PARTS.split(said[start:end])]
    nearest = max(parts, key=lambda part: _recall(part, of_expected, languages))
    return is_negated(nearest, languages) == is_negated(rest, languages)


def _says_figures(
    said: str, question: str, expected: str, languages: Collection[str]
) -> bool | None:
    """Return whether the figures that `expected` has and the question has not are said with their
    units; None where there are none."""
    any_wanted, right = False, False
    for mark, other in paired_marks(said, expected, expected=decimal_mark(languages)):
        asked = quantities(question, other)
        wanted = [
            one
            for one in expected_quantities(expected, None, other)
            if not any(is_same(known, one) for known in asked)
        ]
        any_wanted |= bool(wanted)
        found = quantities(said, mark)
        units_asked = {_unit(word, languages) for word in _words(question)}
        right |= all(
            any(
                is_same(figure, one)
                and (
                    (unit := _unit_of(one, expected, languages)) in units_asked | {None}
                    or unit in _units_near(figure, said, languages)
                )
                for figure in found
            )
            for one in wanted
        )
    return right if any_wanted else None


def _unit_of(quantity: Quantity, text: str, languages: Collection[str]) -> str | None:
    """The unit of an expected figure: a sign that touches it, or the word behind it. A year has
    none."""
    touching = [_unit(word, languages) for word in _words(text[quantity.start : quantity.end])]
    signs = [unit for unit in touching if unit in _UNITS.values()]
    if quantity.percent:
        return "%"
    if signs:
        return signs[0]
    words = _words(_clause_behind(quantity, text))
    if not words or words[0] in _left_out(tuple(languages)):
        return None
    return _unit(words[0], languages)


def _units_near(figure: Quantity, text: str, languages: Collection[str]) -> set[str]:
    """The units that a figure in an answer may have: signs that touch it, the word before it, and
    the words behind it up to another figure or the end of the clause."""
    behind = _words(_clause_behind(figure, text))[:_CLOSE]
    before = _words(text[: figure.start])[-1:]
    near = [*before, *_words(text[figure.start : figure.end]), *behind]
    return {_unit(word, languages) for word in near} | ({"%"} if figure.percent else set())


def _clause_behind(figure: Quantity, text: str) -> str:
    """The text from a figure to another one or to the end of the clause."""
    # From the text's beginning, as the words before a full stop tell whether it ends a sentence.
    stop = next((end for end in sentence_ends(text) if end > figure.end), len(text))
    return _CLAUSE_ENDS.split(text[figure.end : stop], maxsplit=1)[0]


def _words(text: str) -> list[str]:
    return _WORD.findall(_PER_CENT.sub("%", text).casefold())


def _unit(word: str, languages: Collection[str]) -> str:
    return _UNITS.get(word) or min(_forms(word, tuple(languages)))


def _terms(text: str, languages: Collection[str]) -> Sequence[frozenset[str]]:
    """The words of a text that say something, each once and in all forms by which it is compared."""
    return _terms_of(text, tuple(languages))


@lru_cache(1000)
def _terms_of(text: str, languages: Sequence[str]) -> Sequence[frozenset[str]]:
    left_out = _left_out(languages) | polar_words(languages)
    text = _PER_CENT.sub("%", text).casefold()
    words = [word for word in re.findall(r"\w+|%", text) if word not in left_out]
    return tuple(dict.fromkeys(_forms(word, languages) for word in words))


@cache
def _forms(word: str, languages: Sequence[str]) -> frozenset[str]:
    stems = {
        _english(word) if language == PLAIN else analyzer(language).stem(word)
        for language in languages or (PLAIN,)
    }
    return frozenset(fold(stem) for stem in stems)


@cache
def _left_out(languages: Sequence[str]) -> frozenset[str]:
    """Words of grammar, as they are and folded."""
    return frozenset().union(*(question_words(one or "en") for one in languages or (PLAIN,)))


@cache
def _english(word: str) -> str:
    # Such text goes into the index unstemmed, and SQLite stems it there.
    from snowballstemmer.english_stemmer import EnglishStemmer

    return str(EnglishStemmer().stemWord(word))


def _holds(terms: Sequence[frozenset[str]], term: frozenset[str]) -> bool:
    return any(term & other for other in terms)


def _recall(text: str, looked_for: Sequence[frozenset[str]], languages: Collection[str]) -> float:
    terms = _terms(text, languages)
    return sum(_holds(terms, term) for term in looked_for) / max(len(looked_for), 1)
