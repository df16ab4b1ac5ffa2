"""What is wrong with rows that are each right by themselves: said twice, said differently, or asked
in the test too. Knows nothing of files or models.

Questions are the same by their words (case, white space and punctuation aside). Nearly the same: at
least 0.8 of the words are shared (Jaccard), the numbers are the same, and so is the answer as far
as both are known. "The I class" for "the A class" in a short question shares less; in a long one
the answers differ. On the finance recipe (447 rows, 135 questions) the nearest pair shares 0.69,
and is about two funds.
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

from .rows import Example, TestQuestion

NEAR = 0.8
_AGREE = 0.5  # share of one answer's words in the other, from which on they say the same
_IDEOGRAM = r"\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_WORD = re.compile(
    rf"[{_IDEOGRAM}]|(?:(?![{_IDEOGRAM}])[^\W_])+"
)  # scripts without blanks: each sign by itself


@dataclass(frozen=True, slots=True)
class Duplicate:
    """`later` asks what `earlier` asked; `contradicts`: with another answer."""

    earlier: Example
    later: Example
    contradicts: bool

    def __str__(self) -> str:
        what = "asks the same and answers differently" if self.contradicts else "is the same row"
        return f"{self.later.place}: {what} as {self.earlier.place}: {_short(self.later.question)}"


@dataclass(frozen=True, slots=True)
class Leak:
    """A training row that asks a test question; `near`: in nearly the same words."""

    example: Example
    question: TestQuestion
    near: bool

    def say(self, questions: str) -> str:
        what, asked = "asks nearly" if self.near else "asks", self.question
        return (
            f"{self.example.place}: {what} the test question {questions}:{asked.line}: "
            f"{_short(asked.question)}"
        )


def words_of(text: str) -> list[str]:
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())


def normal(question: str) -> str:
    """What two questions share that are the same."""
    return " ".join(words_of(question)) or question.strip()


def find_duplicates(examples: Sequence[Example]) -> list[Duplicate]:
    """Each later row with the first of its question."""
    first: dict[str, Example] = {}
    found = []
    for example in examples:
        earlier = first.setdefault(normal(example.question), example)
        if earlier is not example:
            found.append(Duplicate(earlier, example, _answer(earlier) != _answer(example)))
    return found


def _answer(example: Example) -> str | None:
    return None if example.answer is None else normal(example.answer)


def find_leaks(examples: Sequence[Example], questions: Sequence[TestQuestion]) -> list[Leak]:
    """One for each row that leaks, in the rows' order."""
    asked = {normal(question.question): question for question in reversed(questions)}
    found = {
        i: Leak(e, asked[key], near=False)
        for i, e in enumerate(examples)
        if (key := normal(e.question)) in asked
    }
    pairs = similar([e.question for e in examples], [q.question for q in questions])
    for i, j in pairs:
        if i not in found and agree(examples[i].answer, questions[j].answer):
            found[i] = Leak(examples[i], questions[j], near=True)
    return [found[i] for i in sorted(found)]


def agree(one: str | None, other: str | None) -> bool:
    """Whether one answer holds the other, as far as words and numbers tell; None is a refusal."""
    if one is None or other is None:
        return one is other
    a, b = numbers_of(words_of(one)), numbers_of(words_of(other))
    if a and b and not (set(a) <= set(b) or set(b) <= set(a)):
        return False
    return max(support(one, other), support(other, one)) >= _AGREE


def similar(left: Sequence[str], right: Sequence[str]) -> Iterator[tuple[int, int]]:
    """(place in `left`, place in `right`) of the texts that are nearly the same in words and the
    same in numbers.

    Exact and not a square: two sets of which 0.8 is shared share one of their rarest fifth (prefix
    filter; Chaudhuri et al. 2006)."""
    ours, theirs = [words_of(text) for text in left], [words_of(text) for text in right]
    frequency = Counter(word for words in (*ours, *theirs) for word in set(words))

    def rarest(words: set[str]) -> list[str]:
        return sorted(words, key=lambda w: (frequency[w], w))[: _prefix(len(words))]

    places = defaultdict(list)
    for j, words in enumerate(theirs):
        for word in rarest(set(words)):
            places[word].append(j)
    for i, words in enumerate(ours):
        for j in sorted({j for word in rarest(set(words)) for j in places.get(word, ())}):
            if _near(words, theirs[j]):
                yield i, j


class NearIndex:
    """Questions with their answers, to compare with one by one: the same ones, and nearly the same
    ones with the same answer. Each is found by its first words in an order that has nothing to do
    with language; see `similar`."""

    def __init__(self, pairs: Iterable[tuple[str, str | None]] = ()) -> None:
        self._exact: set[str] = set()
        self._pairs: list[tuple[list[str], str | None]] = []
        self._places: dict[str, list[int]] = defaultdict(list)
        for question, answer in pairs:
            self.add(question, answer)

    def add(self, question: str, answer: str | None) -> None:
        words = words_of(question)
        self._exact.add(normal(question))
        for word in self._first(words):
            self._places[word].append(len(self._pairs))
        self._pairs.append((words, answer))

    def has(self, question: str, answer: str | None) -> bool:
        if normal(question) in self._exact:
            return True
        words = words_of(question)
        places = {place for word in self._first(words) for place in self._places.get(word, ())}
        found = (self._pairs[place] for place in places)
        return any(_near(words, other) and agree(answer, its_answer) for other, its_answer in found)

    @staticmethod
    def _first(words: Sequence[str]) -> list[str]:
        return sorted(set(words), key=lambda word: (crc32(word.encode()), word))[
            : _prefix(len(set(words)))
        ]


def _prefix(count: int) -> int:
    return count - ceil(NEAR * count) + 1


def _near(words: Sequence[str], others: Sequence[str]) -> bool:
    one, other = set(words), set(others)
    shared = len(one & other) >= NEAR * len(one | other) > 0
    return shared and sorted(numbers_of(words)) == sorted(numbers_of(others))


def _short(question: str) -> str:
    line = " ".join(question.split())
    return line if len(line) <= 80 else line[:79] + "…"
