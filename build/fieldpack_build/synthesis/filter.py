"""Which written pairs are kept, and why the others are not. Knows nothing of models.

An answer must stand in its chunk: most of its words (`train.synthesize.support`) and all of its
figures. Of the 366 answers of the finance recipe, written by hand, 92% pass with some chunk of
their document, and 5% with a chance one.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from fieldpack.citations import support
from fieldpack.passages import Chunk, Passage
from fieldpack_build.index.minhash import numbers_of

from ..data.similar_questions import SimilarQuestions, compared_words

Pair = tuple[str, str | None]
Search = Callable[[str, int], Sequence[Passage]]
# passages among which a question must find its document: what names nothing finds nothing (Dai et
# al. 2022)
_WITHIN = 10
_FEWEST = 3  # words of a question
_POINTS = re.compile(
    r"\b(?:(?:the|this|that)(?: given| above| following| provided)? "
    r"(?:passage|text|excerpt|paragraph|extract|snippet)s?"
    r"|this document|(?:in|to|by) the document|according to (?:it|the author)"
    r"|(?:mentioned|described|stated|listed|shown) (?:above|below|here))\b",
    re.IGNORECASE,
)


class QualityFilter:
    """`asked`: questions and answers that there are rows of already; `tested`: those of the test.
    `words`: an answer has at most. `dropped`: reason -> pairs."""

    def __init__(
        self,
        *,
        support: float,
        words: int,
        asked: Iterable[Pair],
        tested: Iterable[Pair],
        search: Search | None,
    ) -> None:
        self._support, self._words, self._search = support, words, search
        self._asked, self._tested = SimilarQuestions(asked), SimilarQuestions(tested)
        self.dropped: Counter[str] = Counter()

    def keeps(self, question: str, answer: str, chunk: Chunk) -> bool:
        reason = self._against_question(question, answer) or self._against_answer(answer, chunk)
        return self._count(reason or self._not_found(question, chunk), question, answer)

    def keeps_question(self, question: str) -> bool:
        """Of a question that shall have no answer."""
        return self._count(self._against_question(question, None), question, None)

    def drop(self, reason: str) -> None:
        self.dropped[reason] += 1

    def _count(self, reason: str | None, question: str, answer: str | None) -> bool:
        if reason is None:
            self._asked.add(question, answer)
        else:
            self.drop(reason)
        return reason is None

    def _against_question(self, question: str, answer: str | None) -> str | None:
        if len(compared_words(question)) < _FEWEST:
            return "no question"
        if _POINTS.search(question):
            return "points to the passage"
        if self._tested.has(question, answer):
            return "is a test question"
        return "asked before" if self._asked.has(question, answer) else None

    def _against_answer(self, answer: str, chunk: Chunk) -> str | None:
        words = compared_words(answer)
        if not words:
            return "no answer"
        if _POINTS.search(answer):
            return "points to the passage"
        if len(words) > self._words:
            return "answer too long"
        figures = set(numbers_of(words)) <= set(numbers_of(compared_words(chunk.in_context)))
        return (
            None
            if figures and support(answer, chunk.in_context) >= self._support
            else "answer not in its chunk"
        )

    def _not_found(self, question: str, chunk: Chunk) -> str | None:
        if self._search is None:
            return None
        found = any(
            passage.document == chunk.document for passage in self._search(question, _WITHIN)
        )
        return None if found else "does not find its document"
