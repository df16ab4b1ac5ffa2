"""Which questions ask the same, or nearly the same. Knows nothing of files or models.

Questions are the same by their words (case, white space and punctuation aside). Nearly the same: at
least 0.8 of the words are shared (Jaccard), the numbers are the same, and so is the answer as far
as both are known. "The I class" for "the A class" in a short question shares less; in a long one
the answers differ. On the finance recipe (447 rows, 135 questions) the nearest pair shares 0.69,
and is about two funds.

The pairs are exact: two sets of which 0.8 is shared share one of their rarest fifth (prefix filter;
Chaudhuri et al. 2006). MinHash, which finds the copies among a library's chunks (`index.minhash`),
is for sets of hundreds of runs and not for ten words: of 480 pairs that differ in one word
datasketch 2.0 with 128 permutations missed 128 at this threshold; with 256 and a threshold of 0.6
it missed none, and took 15 times as long.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from zlib import crc32

from fieldpack.citations import support
from fieldpack_build.index.minhash import numbers_of

MIN_SHARED = 0.8
_MIN_SUPPORT = 0.5  # share of one answer's words in the other, from which on they say the same
_IDEOGRAM = r"\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
# Scripts without blanks: each sign by itself.
_WORD = re.compile(rf"[{_IDEOGRAM}]|(?:(?![{_IDEOGRAM}])[^\W_])+")


def compared_words(text: str) -> list[str]:
    """Return the words of a text as questions are compared by: case and forms of a letter aside,
    each ideogram a word."""
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())


def question_key(question: str) -> str:
    """Return what two questions share that are the same."""
    return " ".join(compared_words(question)) or question.strip()


def same_answer(one: str | None, other: str | None) -> bool:
    """Return whether one answer holds the other, as far as words and numbers tell; None is a
    refusal."""
    if one is None or other is None:
        return one is other
    a, b = (set(numbers_of(compared_words(text))) for text in (one, other))
    if a and b and not (a <= b or b <= a):
        return False
    return max(support(one, other), support(other, one)) >= _MIN_SUPPORT


@dataclass(frozen=True, slots=True)
class _Words:
    words: frozenset[str]
    numbers: tuple[str, ...]

    @classmethod
    def of(cls, text: str) -> _Words:
        words = compared_words(text)
        return cls(frozenset(words), tuple(sorted(numbers_of(words))))

    def near(self, other: _Words) -> bool:
        shared, all_ = len(self.words & other.words), len(self.words | other.words)
        return shared >= MIN_SHARED * all_ > 0 and self.numbers == other.numbers


class SimilarQuestions:
    """Questions with their answers, to compare others with. Each is indexed by its rarest words, in
    an order that the first `questions` decide: words that they seldom hold come first."""

    def __init__(self, questions: Iterable[tuple[str, str | None]] = ()) -> None:
        questions = list(questions)
        self._frequency = Counter(
            word for question, _ in questions for word in set(compared_words(question))
        )
        self._keys: set[str] = set()
        self._questions: list[tuple[_Words, str | None]] = []
        self._places: dict[str, list[int]] = defaultdict(list)
        for question, answer in questions:
            self.add(question, answer)

    def add(self, question: str, answer: str | None) -> None:
        """Add a question with its answer, None for a refusal."""
        words = _Words.of(question)
        self._keys.add(question_key(question))
        for word in self._rarest(words):
            self._places[word].append(len(self._questions))
        self._questions.append((words, answer))

    def near(self, question: str) -> list[int]:
        """Return the places of the questions that are nearly the same in words and the same in
        numbers, in the order in which they were added."""
        words = _Words.of(question)
        places = {place for word in self._rarest(words) for place in self._places.get(word, ())}
        return [place for place in sorted(places) if words.near(self._questions[place][0])]

    def has(self, question: str, answer: str | None) -> bool:
        """Return whether a question is there already, or nearly so with the same answer."""
        return question_key(question) in self._keys or any(
            same_answer(answer, self._questions[place][1]) for place in self.near(question)
        )

    def _rarest(self, question: _Words) -> list[str]:
        """Enough of a question's words that every near one shares one of them. Of equally frequent
        words the order has nothing to do with language."""
        count = len(question.words) - ceil(MIN_SHARED * len(question.words)) + 1
        return sorted(
            question.words, key=lambda word: (self._frequency[word], crc32(word.encode()), word)
        )[:count]


def similar_pairs(left: Sequence[str], right: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Yield (place in `left`, place in `right`) of the questions that are nearly the same in words
    and the same in numbers."""
    index = SimilarQuestions((question, None) for question in right)
    for i, question in enumerate(left):
        for j in index.near(question):
            yield i, j
