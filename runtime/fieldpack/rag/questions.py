"""What a question is read as: cleaned of what is no text, and a follow-up joined to the question before
it where it says little alone. Knows nothing of prompts' texts or of models."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from unicodedata import category

from ..errors import EmptyQuestion, QuestionTooLong
from ..index.query_terms import content_words
from ..passages import Filter, Passage, Previous
from ..prompt import PromptSettings

if TYPE_CHECKING:
    from ..retrieval.retriever import Retriever

_VAGUE, _ELSEWHERE = 0.1, 0.04  # differences of cosine, see `choose_follow_up`
_FEW = 2  # content words, in a question that may need the one before it
# Unicode categories: control, lone surrogate, unassigned, private use.
_NO_TEXT = frozenset(("Cc", "Cs", "Cn", "Co"))


def clean_question(question: str, max_chars: int) -> str:
    """Return the question trimmed, without control characters (NUL among them); joiners that
    scripts need stay. Raises EmptyQuestion, QuestionTooLong."""
    text = " ".join("".join(c if category(c) not in _NO_TEXT else " " for c in question).split())
    if not text:
        raise EmptyQuestion("the question is empty; ask something in words")
    if len(text) > max_chars:
        raise QuestionTooLong(
            f"the question has {len(text):,} characters, this bundle takes {max_chars:,}; shorten it"
        )
    return text


@dataclass(frozen=True, slots=True)
class ResolvedQuestion:
    """A question as it is read, a follow-up perhaps joined to the question before, and the passages
    for it."""

    question: str
    passages: tuple[Passage, ...]

    @property
    def similarity(self) -> float:
        """The best passage's similarity; -1 without passages."""
        return max((p.similarity for p in self.passages), default=-1.0)


def resolve_question(
    retriever: Retriever | None,
    question: str,
    previous: Previous | None,
    where: Filter | None,
    settings: PromptSettings,
) -> ResolvedQuestion:
    """Return the question as it is read, with its passages; without a retriever it has none. A
    follow-up is read over the passages before, in their order, where its best passage is among them:
    the model has read those already."""
    if retriever is None:
        return ResolvedQuestion(question, ())

    def search(text: str, count: int) -> ResolvedQuestion:
        return ResolvedQuestion(text, tuple(retriever.search(text, count, where)))

    resolved = search(question, settings.passages)
    if previous is None:
        return resolved
    joined = f"{previous.question} {question}"
    # A question that says enough by itself is not searched for three times.
    is_short = len(content_words(question)) <= _FEW
    if is_short and len(joined) <= settings.max_question_chars:
        resolved = choose_follow_up(
            resolved, search(joined, settings.passages), search(previous.question, 1)
        )
    if resolved.passages and resolved.passages[0].chunk_id in previous.passages:
        passages = retriever.passages_of(previous.passages, resolved.passages)
        return replace(resolved, passages=passages)
    return resolved


def choose_follow_up(
    alone: ResolvedQuestion, joined: ResolvedQuestion, before: ResolvedQuestion
) -> ResolvedQuestion:
    """Return a follow-up as a question of its own, or joined to the one before: joined where it
    says little alone ("And for a trader?"; at most two content words) and the two together are
    about as near to the library as the first was; a question about something else moves them away
    from it. The limits were chosen on twenty follow-ups of the finance recipe: 17 are read as a
    person would."""
    words = len(content_words(alone.question))
    vague = words < 2 or (words == _FEW and alone.similarity < before.similarity - _VAGUE)
    return joined if vague and joined.similarity >= before.similarity - _ELSEWHERE else alone
