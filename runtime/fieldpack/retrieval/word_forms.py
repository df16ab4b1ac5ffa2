"""The words of a question and of a text in forms that can be compared: as they are, and as each of
the library's languages indexes them. In a library of English documents words are compared as they
are. Knows nothing of indexes.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence, Set
from dataclasses import dataclass

from ..citations import words_of
from ..index.query_terms import MOST_WORDS, content_words, left_out
from ..language import COMPOUNDING, PLAIN, analyzer, cuts, fold, is_unspaced, joined

_NEAR = 2  # words within which two may be the parts of one


def words_to_match(question: str, languages: Collection[str] = ()) -> list[frozenset[str]]:
    """Return the words of a question that are looked for, each once, in their order, each in the
    forms in which `text_forms` has it. `languages`: those of the library's documents."""
    others = [language for language in languages if language != PLAIN]
    leave_out = left_out(question, languages)
    if not others:
        return [frozenset((word,)) for word in content_words(question, leave_out)]
    words = [
        frozenset((word, *(term for code in others for term in analyzer(code).terms(word))))
        for word in content_words(question, frozenset())
        if fold(word) not in leave_out and not is_unspaced(word)
    ]
    terms = (term for code in others for term in analyzer(code).terms(question, leave_out))
    grams = dict.fromkeys(term for term in terms if is_unspaced(term))
    return [*words, *(frozenset((gram,)) for gram in grams)][:MOST_WORDS]


def text_forms(text: str, languages: Collection[str] = ()) -> set[str]:
    """Return the words of a text in small letters, a figure with its separators as one, and as each
    of `languages`, those of the library's documents, indexes them."""
    forms = set(words_of(text))
    for language in languages:
        if language != PLAIN:
            forms.update(analyzer(language).text(text).split())
    return forms


@dataclass(frozen=True, slots=True)
class Compounds:
    """A question's words with compounds in both directions. `words`: those of
    `words_to_match`, each with the compounds that it may be a part of; `cuts`: of each word that may
    be one, the word, and the ways to cut it: its first part, and what its second part may be."""

    words: tuple[frozenset[str], ...]
    cuts: tuple[tuple[str, tuple[tuple[str, frozenset[str]], ...]], ...]

    @classmethod
    def of(
        cls, words: Sequence[frozenset[str]], said: set[str], languages: Collection[str]
    ) -> Compounds:
        """Return the compounds of words that the texts to compare have, by the forms of all of these
        texts, `said`."""
        result = list(words)
        apart = []
        for language in sorted(COMPOUNDING.intersection(languages)):
            stem = analyzer(language).stem
            written = [max(sorted(forms), key=len) for forms in words]
            for at, one in enumerate(written):
                for other, two in enumerate(written[at + 1 : at + 1 + _NEAR], at + 1):
                    names = said.intersection(
                        (*joined(one, two, language), *joined(two, one, language))
                    )
                    result[at] |= names
                    result[other] |= names
                ways = [(head, said.intersection(tails)) for head, tails in cuts(one, language)]
                known = [(stem(head), frozenset(tails)) for head, tails in ways if tails]
                apart.append((one, tuple(way for way in known if way[0] in said)))
        return cls(tuple(result), tuple(cut for cut in apart if cut[1]))

    def count_in(self, forms: Set[str]) -> int:
        """Return how many of the words a text has, by the forms of its words; one that it has in two
        parts, too."""
        whole = {
            word
            for word, ways in self.cuts
            if any(head in forms and not tails.isdisjoint(forms) for head, tails in ways)
        }
        return sum(not (word.isdisjoint(forms) and word.isdisjoint(whole)) for word in self.words)
