"""Which written pairs are kept, and why the others are not. Knows nothing of models.

An answer must stand in its chunk: most of its words (`train.synthesize.support`) and all of its
figures. Of the 366 answers of the finance recipe, written by hand, 92% pass with some chunk of
their document, and 5% with a chance one.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

from fieldpack.citations import support
from fieldpack.passages import Chunk, Passage

from ..data.similar_questions import SimilarQuestions, compared_words
from ..index.minhash import numbers_of

Pair: TypeAlias = tuple[str, str | None]
Search: TypeAlias = Callable[[str, int], Sequence[Passage]]
# passages among which a question must find its document: what names nothing finds nothing (Dai et
# al. 2022)
_MAX_RANK = 10
_MIN_WORDS = 3  # of a question
_POINTS_TO_PASSAGE = re.compile(
    r"\b(?:(?:the|this|that)(?: given| above| following| provided)? "
    r"(?:passage|text|excerpt|paragraph|extract|snippet)s?"
    r"|this document|(?:in|to|by) the document|according to (?:it|the author)"
    r"|(?:mentioned|described|stated|listed|shown) (?:above|below|here))\b",
    re.IGNORECASE,
)


class QualityFilter:
    """Keeps what is worth learning from.

    `existing`: questions and answers that there are rows of already; `tested`: those of the test.
    `max_words`: of an answer. `search`: of the library; None: whether a question finds its document
    is not looked at. `dropped`: reason -> pairs."""

    def __init__(
        self,
        *,
        support: float,
        max_words: int,
        existing: Iterable[Pair],
        tested: Iterable[Pair],
        search: Search | None,
    ) -> None:
        self._support, self._max_words, self._search = support, max_words, search
        self._existing, self._tested = SimilarQuestions(existing), SimilarQuestions(tested)
        self.dropped: Counter[str] = Counter()

    def keeps(self, question: str, answer: str, chunk: Chunk) -> bool:
        """Return whether a pair is kept; then it counts among the existing ones."""
        reason = self._against_question(question, answer) or self._against_answer(answer, chunk)
        if reason is None and self._search is not None:
            passages = self._search(question, _MAX_RANK)
            if not any(passage.document == chunk.document for passage in passages):
                reason = "does not find its document"
        return self._count(reason, question, answer)

    def keeps_question(self, question: str) -> bool:
        """Return whether a question that has no answer is kept."""
        return self._count(self._against_question(question, None), question, None)

    def drop(self, reason: str) -> None:
        """Count something that was dropped elsewhere."""
        self.dropped[reason] += 1

    def _count(self, reason: str | None, question: str, answer: str | None) -> bool:
        """Note what is kept, or why it is dropped."""
        if reason is None:
            self._existing.add(question, answer)
        else:
            self.drop(reason)
        return reason is None

    def _against_question(self, question: str, answer: str | None) -> str | None:
        """Say what is wrong with a question; None if nothing is."""
        if len(compared_words(question)) < _MIN_WORDS:
            return "no question"
        if _POINTS_TO_PASSAGE.search(question):
            return "points to the passage"
        if self._tested.has(question, answer):
            return "is a test question"
        return "asked before" if self._existing.has(question, answer) else None

    def _against_answer(self, answer: str, chunk: Chunk) -> str | None:
        """Say what is wrong with an answer; None if nothing is."""
        words = compared_words(answer)
        if not words:
            return "no answer"
        if _POINTS_TO_PASSAGE.search(answer):
            return "points to the passage"
        if len(words) > self._max_words:
            return "answer too long"
        figures = set(numbers_of(words)) <= set(numbers_of(compared_words(chunk.in_context)))
        return (
            None
            if figures and support(answer, chunk.in_context) >= self._support
            else "answer not in its chunk"
        )
